//! The present, by two clocks.

use std::time::Duration;

use crate::time::Timestamp;

/// The present: by the wall clock, and by a steady clock that advances with it but never goes back.
///
/// Delays are measured by the steady clock. Otherwise, on a machine that starts with its clock a year ahead, every
/// retry would wait for a year after the clock was corrected.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) wall: Timestamp,
    ahead: Duration,
}

impl Moment {
    pub(super) fn starting_at(wall: Timestamp) -> Self {
        Moment { wall, ahead: Duration::ZERO }
    }

    /// A later moment, at which the wall clock shows `wall`.
    pub(super) fn go_on(&mut self, wall: Timestamp) -> Moment {
        self.ahead = self.ahead.saturating_add(self.wall.since(wall));
        self.wall = wall;
        *self
    }

    pub(super) fn steady(self) -> Timestamp {
        self.wall + self.ahead
    }

    pub(super) fn to_wall(self, steady: Timestamp) -> Timestamp {
        steady - self.ahead
    }
}
