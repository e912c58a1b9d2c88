//! States behind a pointer. Nearly all certificates are in one of a few states, which all of them share; a state that has words of its
//! own is as large as it needs to be.

use std::ops::Deref;
use std::sync::{Arc, LazyLock};

use super::standing::{DeliveryState, Standing};

/// A state. The usual ones are shared.
#[derive(Clone, Debug)]
pub(crate) struct Shared<T>(Arc<T>);

/// A kind of state, of which some are usual.
pub(crate) trait HasUsual: PartialEq + Sized + 'static {
    /// The usual states.
    fn usual() -> &'static [Arc<Self>];
}

impl HasUsual for DeliveryState {
    fn usual() -> &'static [Arc<Self>] {
        static USUAL: LazyLock<[Arc<DeliveryState>; 3]> = LazyLock::new(|| {
            [DeliveryState::Confirmed, DeliveryState::Pending, DeliveryState::Withdrawn].map(Arc::new)
        });
        &*USUAL
    }
}

impl HasUsual for Standing {
    fn usual() -> &'static [Arc<Self>] {
        static USUAL: LazyLock<[Arc<Standing>; 4]> =
            LazyLock::new(|| [Standing::Good, Standing::Waiting, Standing::Expired, Standing::Retired].map(Arc::new));
        &*USUAL
    }
}

impl<T: HasUsual> From<T> for Shared<T> {
    fn from(state: T) -> Self {
        let usual = T::usual().iter().find(|usual| ***usual == state);
        Shared(usual.cloned().unwrap_or_else(|| Arc::new(state)))
    }
}

impl<T: HasUsual + Default> Default for Shared<T> {
    fn default() -> Self {
        T::default().into()
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::ReasonCode;

    #[test]
    fn usual_states_take_no_memory_of_their_own() {
        let failing =
            Standing::Failing { code: ReasonCode::new("timed_out"), what: "no answer".to_owned(), attempts: 1 };
        let pair = |standing: &Standing| [0, 1].map(|_| Shared::from(standing.clone()));
        for (standing, is_shared) in [(Standing::Good, true), (Standing::Retired, true), (failing, false)] {
            let [one, other] = pair(&standing);
            assert_eq!((&*one, Arc::ptr_eq(&one.0, &other.0)), (&standing, is_shared));
        }
        assert_eq!(*Shared::<DeliveryState>::default(), DeliveryState::Pending);
    }
}
