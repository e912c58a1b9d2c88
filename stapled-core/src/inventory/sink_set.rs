//! A set of sinks, mostly of one.

use super::delivery::SinkNumber;
use super::few::Few;

/// A set of sinks, in the order of their numbers. One takes no memory of its own.
#[derive(Clone, Debug, Default)]
pub(crate) struct SinkSet(Few<SinkNumber, ()>);

impl SinkSet {
    pub(crate) fn iter(&self) -> impl Iterator<Item = SinkNumber> {
        self.0.iter().map(|(sink, ())| *sink)
    }
}

impl FromIterator<SinkNumber> for SinkSet {
    fn from_iter<I: IntoIterator<Item = SinkNumber>>(sinks: I) -> Self {
        let mut set = Few::default();
        sinks.into_iter().for_each(|sink| set.insert(sink, ()));
        SinkSet(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_each_sink_once_in_order() {
        for (sinks, expected) in [(&[][..], &[][..]), (&[3], &[3]), (&[5, 1, 5, 3], &[1, 3, 5])] {
            assert_eq!(sinks.iter().copied().collect::<SinkSet>().iter().collect::<Vec<_>>(), expected);
        }
    }
}
