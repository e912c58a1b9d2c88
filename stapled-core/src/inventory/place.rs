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
    source: u32,
    is_pending: bool,
    pub(super) sighting: Sighting,
    pub(super) generation: u64,
    /// A state in which the place holds no certificate that wants a staple. None: it is pending, or holds the certificate that it
    /// [`holds`](Place::holds).
    other: Option<Box<PlaceState>>,
    pub(super) since: Timestamp,
    /// When the place is read again, if it is read before it changes.
    pub(super) again: Option<Timestamp>,
    /// The certificate in this place. It stays while the new contents of the place cannot be parsed.
    pub(super) holds: Option<Subject>,
    /// The state in the stapler before this one, and its begin.
    pub(super) past: Option<Box<(PlaceState, Timestamp)>>,
}

impl Place {
    /// A place that was found at this time and is not parsed yet.
    pub(super) fn new(source: SourceNumber, sighting: Sighting, generation: u64, now: Timestamp) -> Self {
        Place {
            // No stapler has so many sources.
            source: u32::try_from(source).unwrap_or(u32::MAX),
            is_pending: true,
            sighting,
            generation,
            other: None,
            since: now,
            again: None,
            holds: None,
            past: None,
        }
    }

    /// The source that has it.
    pub(super) fn source(&self) -> SourceNumber {
        self.source as SourceNumber
    }

    /// Records a new state. `since` changes only if the state does.
    pub(super) fn set_state(&mut self, state: PlaceState, again: Option<Timestamp>, now: Timestamp) {
        if self.state() != state {
            let past = self.past.take().filter(|past| past.0 == state);
            self.since = past.map_or(now, |past| past.1);
        }
        self.is_pending = state == PlaceState::Pending;
        self.other = match state {
            PlaceState::Pending => None,
            PlaceState::Holds(subject) => {
                self.holds = Some(subject);
                None
            }
            other => Some(Box::new(other)),
        };
        self.again = again;
    }

    pub(super) fn state(&self) -> PlaceState {
        match (&self.other, &self.holds) {
            (Some(other), _) => PlaceState::clone(other),
            (None, Some(subject)) if !self.is_pending => PlaceState::Holds(subject.clone()),
            (None, _) => PlaceState::Pending,
        }
    }

    pub(super) fn is_pending(&self) -> bool {
        self.is_pending
    }
}

/// The location of a place of a source: the subject of its task *parse*.
pub(super) fn location(source: SourceNumber, name: &str) -> Subject {
    Subject::new(format!("{source}:{name}"))
}

/// The number of the source of a location.
pub(crate) fn source_of(location: &Subject) -> SourceNumber {
    let number = location.as_str().split_once(':').and_then(|(source, _)| source.parse().ok());
    number.unwrap_or(SourceNumber::MAX)
}
