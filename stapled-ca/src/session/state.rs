//! The states of a session.

use std::fmt;
use std::str::FromStr;

use stapled_core::task::Queue;

/// The queue of the tasks that end sessions which are too old, and forget those that are over.
pub const EXPIRE: &str = "expire";

/// The state of a session. The first four have a daemon and a queue each, of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its challenges are to be made.
    MakeChallenge,
    /// Its challenges are to be tested, as soon as the client says that it is ready.
    TestChallenge,
    /// Every name is satisfied; the certificate is to be signed.
    Issue,
    /// The certificate is signed; it is to be moved into the ledger, or is there.
    Done,
    /// The session is dead.
    Dead(End),
}

/// Why a session is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was too long in one state.
    Expired,
    /// Its challenges failed too often, or the authority refuses to issue.
    Failed,
    /// An operator ended it.
    Killed,
}

impl State {
    /// All states with their names.
    const ALL: [(State, &'static str); 7] = [
        (State::MakeChallenge, "makechallenge"),
        (State::TestChallenge, "testchallenge"),
        (State::Issue, "issue"),
        (State::Done, "done"),
        (State::Dead(End::Expired), "expired"),
        (State::Dead(End::Failed), "failed"),
        (State::Dead(End::Killed), "killed"),
    ];

    /// The name, as it is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(state, _)| *state == self).map_or("", |(_, name)| name)
    }

    /// The queue of the state's daemon; `None` for a dead session.
    #[must_use]
    pub fn queue(self) -> Option<Queue> {
        self.is_live().then(|| Queue::from(self.as_str()))
    }

    /// Whether the session is not dead.
    #[must_use]
    pub fn is_live(self) -> bool {
        !matches!(self, State::Dead(_))
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownState;

impl FromStr for State {
    type Err = UnknownState;

    fn from_str(name: &str) -> Result<Self, UnknownState> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(state, _)| *state).ok_or(UnknownState)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_read_as_they_are_written() {
        for (state, name) in State::ALL {
            assert_eq!((name.parse(), state.as_str()), (Ok(state), name));
            assert_eq!(state.queue().map(|queue| queue.to_string()), state.is_live().then(|| name.to_owned()));
        }
        assert_eq!("".parse::<State>(), Err(UnknownState));
    }
}
