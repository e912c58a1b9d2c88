//! The sites of a certificate at one sink: mostly one, which takes no memory of its own.

use std::ops::Deref;
use std::sync::Arc;

use crate::sink::Site;

/// Sites, shared with the record of their certificate.
#[derive(Clone, Debug)]
pub(crate) enum Sites {
    One([Arc<Site>; 1]),
    Several(Box<[Arc<Site>]>),
}

impl Deref for Sites {
    type Target = [Arc<Site>];

    fn deref(&self) -> &[Arc<Site>] {
        match self {
            Sites::One(site) => site,
            Sites::Several(sites) => sites,
        }
    }
}

impl FromIterator<Arc<Site>> for Sites {
    fn from_iter<I: IntoIterator<Item = Arc<Site>>>(sites: I) -> Self {
        let mut sites = sites.into_iter();
        match (sites.next(), sites.next()) {
            (Some(only), None) => Sites::One([only]),
            (first, second) => Sites::Several(first.into_iter().chain(second).chain(sites).collect()),
        }
    }
}

impl PartialEq for Sites {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_a_list() {
        let site = |number: usize| Arc::new(Site::named(number.to_string()));
        for count in 0..4 {
            let sites: Vec<_> = (0..count).map(site).collect();
            let made: Sites = sites.iter().cloned().collect();
            assert_eq!((&*made, matches!(made, Sites::One(_))), (sites.as_slice(), count == 1));
        }
        assert_eq!(size_of::<Sites>(), 16);
    }
}
