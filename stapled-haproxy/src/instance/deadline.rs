//! The time until which a response may be sent.

use std::sync::Arc;
use std::time::Duration;

use stapled_core::clock::Clock;
use stapled_core::time::Timestamp;

use crate::cli::error::Error;

/// The time that may pass between a look at our clock and HAProxy's look at its own.
pub(crate) const SLACK: Duration = Duration::from_secs(5);

/// The time until which a response may be sent; later it would do harm.
#[derive(Clone)]
pub(crate) struct Deadline {
    pub(crate) at: Timestamp,
    /// The time at which a withdrawal token was made. It must not be sent at an earlier time: then the clock was set back,
    /// the staple may be good, and HAProxy would serve the token instead.
    pub(crate) made: Option<Timestamp>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Deadline {
    /// Checks that the response may be sent now.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let now = self.clock.now();
        if self.made.is_some_and(|made| now + SLACK < made) {
            return Err(Error::ClockSetBack);
        }
        if now < self.at { Ok(()) } else { Err(Error::ExpiresTooSoon) }
    }
}
