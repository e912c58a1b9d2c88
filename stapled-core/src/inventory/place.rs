//! The record of a place.

use super::standing::PlaceState;
use crate::source::Sighting;
use crate::task::Subject;
use crate::time::Timestamp;

/// The number of a source in its stapler.
pub(crate) type SourceNumber = usize;

/// What is known about a place.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) source: SourceNumber,
    pub(super) sighting: Sighting,
    pub(super) generation: u64,
    state: State,
    pub(super) since: Timestamp,
    /// When the place is read again, if it is read before it changes.
    pub(super) again: Option<Timestamp>,
    /// The certificate in this place. It stays while the new contents of the place cannot be parsed.
    pub(super) holds: Option<Subject>,
    /// The state in the stapler before this one, and its begin.
    pub(super) past: Option<Box<(PlaceState, Timestamp)>>,
}

/// The state of a place, in as little memory as the usual ones need.
#[derive(Debug)]
enum State {
    Pending,
    /// The place holds the certificate that it [`holds`](Place::holds).
    Holds,
    Other(Box<PlaceState>),
}

impl Place {
    /// A place that was found at this time and is not parsed yet.
    pub(super) fn new(source: SourceNumber, sighting: Sighting, generation: u64, now: Timestamp) -> Self {
        Place { source, sighting, generation, state: State::Pending, since: now, again: None, holds: None, past: None }
    }

    /// Records a new state. `since` changes only if the state does.
    pub(super) fn set_state(&mut self, state: PlaceState, again: Option<Timestamp>, now: Timestamp) {
        if self.state() != state {
            let past = self.past.take().filter(|past| past.0 == state);
            self.since = past.map_or(now, |past| past.1);
        }
        self.state = match state {
            PlaceState::Pending => State::Pending,
            PlaceState::Holds(subject) => {
                self.holds = Some(subject);
                State::Holds
            }
            other => State::Other(Box::new(other)),
        };
        self.again = again;
    }

    pub(super) fn state(&self) -> PlaceState {
        match (&self.state, &self.holds) {
            (State::Holds, Some(subject)) => PlaceState::Holds(subject.clone()),
            (State::Pending | State::Holds, _) => PlaceState::Pending,
            (State::Other(state), _) => PlaceState::clone(state),
        }
    }

    pub(super) fn is_pending(&self) -> bool {
        matches!(self.state, State::Pending)
    }
}

/// The location of a place of a source: the subject of its task *parse*.
pub(super) fn location(source: SourceNumber, name: &str) -> Subject {
    Subject::new(format!("{source}:{name}"))
}

/// The number of the source of a location, as text.
pub(crate) fn source_of(location: &Subject) -> &str {
    location.as_str().split_once(':').map_or("", |(source, _)| source)
}
