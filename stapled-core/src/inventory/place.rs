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
    pub(super) state: PlaceState,
    pub(super) since: Timestamp,
    /// When the place is read again, if it is read before it changes.
    pub(super) again: Option<Timestamp>,
    /// The certificate in this place. It stays while the new contents of the place cannot be parsed.
    pub(super) holds: Option<Subject>,
    /// The state in the stapler before this one, and its begin.
    pub(super) past: Option<(PlaceState, Timestamp)>,
}

impl Place {
    /// A place that was found at this time and is not parsed yet.
    pub(super) fn new(source: SourceNumber, sighting: Sighting, generation: u64, now: Timestamp) -> Self {
        let state = PlaceState::Pending;
        Place { source, sighting, generation, state, since: now, again: None, holds: None, past: None }
    }

    /// Records a new state. `since` changes only if the state does.
    pub(super) fn set_state(&mut self, state: PlaceState, again: Option<Timestamp>, now: Timestamp) {
        if self.state != state {
            let past = self.past.take().filter(|(was, _)| *was == state);
            self.since = past.map_or(now, |(_, since)| since);
        }
        self.state = state;
        self.again = again;
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
