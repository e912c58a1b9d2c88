//! Now, by two clocks.

use std::time::Duration;

use crate::time::Timestamp;

/// Now: by the wall clock, and by one that goes with it but never back.
///
/// What is put with a delay is kept by the latter. Otherwise a machine that starts with its clock a year ahead would
/// wait for a year with every retry, after its clock was set right.
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
