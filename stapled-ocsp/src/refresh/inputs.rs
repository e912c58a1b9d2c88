//! What decides a renewal or a retry: the times of a response, and the facts of a failure.

use std::time::Duration;

use crate::time::Timestamp;

/// The times of a response that decide its renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usable {
    /// thisUpdate.
    pub from: Timestamp,
    /// The instant from which some server no longer serves the response: nextUpdate or the end of the signer's
    /// certificate, less the largest margin that a sink declares.
    pub until: Timestamp,
}

/// The receipt of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Received {
    /// When the response came.
    pub at: Timestamp,
    /// How long before that the responder was asked for it, if it comes from a store.
    pub age: Duration,
    /// Until when caches may keep it.
    pub cached_until: Option<Timestamp>,
}

impl Received {
    /// A response that came from the responder at this time, and that caches may keep for no stated time.
    pub fn at(at: Timestamp) -> Self {
        Received { at, age: Duration::ZERO, cached_until: None }
    }

    /// The same, from a store: the responder was asked this long before.
    pub fn age(self, age: Duration) -> Self {
        Received { age, ..self }
    }

    /// The same, which caches may keep until this time, if one is stated.
    pub fn cached_until(self, cached_until: impl Into<Option<Timestamp>>) -> Self {
        Received { cached_until: cached_until.into(), ..self }
    }

    /// When the responder was asked.
    pub fn asked_at(&self) -> Timestamp {
        self.at - self.age
    }
}

/// The spread of renewals that are planned at about the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// Spread by the jitter: for a certificate whose last answer was good, and which therefore already has its place
    /// among the others.
    Jitter,
    /// Spread over the whole interval: for a certificate that was not good before, or whose response was kept from
    /// before. After a start or a failure of the CA, there may be many such certificates at once.
    Interval,
}

impl Usable {
    /// The instant at which this many quarters of the usable validity have passed.
    pub(super) fn quarters(&self, quarters: u32) -> Timestamp {
        self.from + self.until.since(self.from) / 4 * quarters
    }
}

/// The facts of a failed renewal that decide the next try.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Failure {
    /// The number of failed tries in a row before this one.
    pub attempt: u32,
    /// The pause that the responder asks for.
    pub retry_after: Option<Duration>,
    /// Whether the responder answers that it does not know the certificate: `unknown` or `unauthorized`.
    pub not_known: bool,
    /// The time of the certificate's first sight.
    pub first_seen: Option<Timestamp>,
    /// The times of the staple that is still held.
    pub held: Option<Usable>,
}

impl Failure {
    /// A failure after this many failed tries in a row.
    pub fn after(attempt: u32) -> Self {
        Failure { attempt, ..Failure::default() }
    }
}
