//! Events: what happens in a stapler. Logs, metrics, hooks and progress displays observe them.

#[cfg(any(feature = "metrics", feature = "metrics-facade"))]
pub(crate) mod count;
pub mod digest;
pub mod facts;
pub mod faults;
#[cfg(feature = "serde")]
pub mod line;
#[cfg(any(feature = "metrics", feature = "metrics-facade"))]
pub(crate) mod names;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::Clock;
use crate::ocsp::CertStatus;
use crate::reason::ReasonCode;
use crate::report::Report;
pub use crate::severity::Severity;
use crate::sink::{EXPIRES_TOO_SOON, Withdrawal};
use crate::task::Subject;
use crate::time::Timestamp;
use faults::{Failing, PlaceFault};

/// The reason code of a revoked certificate.
const REVOKED: ReasonCode = ReasonCode::new("revoked");

/// Receives every event as it happens.
///
/// The stages call it in the middle of their work: it must return at once and hand slow work to another task or thread.
/// A call is never cancelled.
///
/// ```
/// use std::sync::atomic::{AtomicUsize, Ordering};
///
/// use stapled_core::event::{Event, Observer};
///
/// /// Counts what makes clients refuse a certificate.
/// #[derive(Default)]
/// struct Outages(AtomicUsize);
///
/// impl Observer for Outages {
///     fn observe(&self, event: &Event) {
///         self.0.fetch_add(usize::from(event.is_outage()), Ordering::Relaxed);
///     }
/// }
/// ```
pub trait Observer: Send + Sync {
    /// Receives an event.
    fn observe(&self, event: &Event);
}

/// A closure is an observer, too: `|event: &Event| println!("{event}")`.
impl<F: Fn(&Event) + Send + Sync> Observer for F {
    fn observe(&self, event: &Event) {
        self(event);
    }
}

/// Something that happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Event {
    /// When it happened.
    pub at: Timestamp,
    /// The certificate that the event concerns, if it concerns one.
    pub certificate: Option<Arc<About>>,
    /// What happened.
    pub kind: EventKind,
}

/// The certificate that an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct About {
    /// The subject of the certificate's tasks, once its issuer is known.
    pub subject: Option<Subject>,
    /// Its name for messages.
    pub name: String,
    /// Its serial number in hexadecimal.
    pub serial: String,
    /// The places that hold it.
    pub places: Vec<Arc<str>>,
    /// Whether clients refuse it without a staple.
    pub must_staple: bool,
    /// When its validity ends, if it was read.
    pub not_after: Option<Timestamp>,
}

impl About {
    /// A certificate without a place and without a known issuer, by its name for people and its serial number in
    /// hexadecimal.
    pub fn new(name: impl Into<String>, serial: impl Into<String>) -> Self {
        About {
            subject: None,
            name: name.into(),
            serial: serial.into(),
            places: Vec::new(),
            must_staple: false,
            not_after: None,
        }
    }

    /// Whether this is its name, its serial number in hexadecimal, or one of its places.
    pub fn is_named(&self, name: &str) -> bool {
        self.name == name || self.serial == name || self.places.iter().any(|place| **place == *name)
    }
}

/// Sends events to the observers, with the time.
#[derive(Clone)]
pub(crate) struct Journal {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) observers: Arc<[Arc<dyn Observer>]>,
    /// Wakes the watch over the clock.
    pub(crate) doubts: Arc<Notify>,
}

impl Journal {
    /// Has the clock compared with the steady one, because something is decided by its time that a wrong clock would spoil.
    pub(crate) fn doubt_clock(&self) {
        self.doubts.notify_one();
    }

    /// Sends an event that concerns no single certificate.
    pub(crate) fn tell(&self, kind: EventKind) {
        self.observe(None, kind);
    }

    /// Sends an event about this certificate.
    pub(crate) fn tell_of(&self, certificate: &Arc<About>, kind: EventKind) {
        self.observe(Some(Arc::clone(certificate)), kind);
    }

    /// Sends an event about a certificate. `describe` is called only if there is an observer.
    pub(crate) fn tell_about(&self, describe: impl FnOnce() -> Arc<About>, kind: EventKind) {
        if !self.observers.is_empty() {
            self.observe(Some(describe()), kind);
        }
    }

    fn observe(&self, certificate: Option<Arc<About>>, kind: EventKind) {
        if self.observers.is_empty() {
            return;
        }
        let event = Event { at: self.clock.now(), certificate, kind };
        for observer in &*self.observers {
            observer.observe(&event);
        }
    }
}

/// What happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum EventKind {
    /// A source could not read one of its parts.
    SourceProblem {
        /// The source's name.
        source: String,
        /// The part: a path, or another name.
        place: String,
        /// The reason code.
        code: ReasonCode,
        /// The reason in words, and what to do.
        what: String,
    },
    /// A source was scanned.
    Scanned {
        /// The source's name.
        source: String,
        /// How many places are new or changed.
        changed: usize,
        /// How many places are gone.
        gone: usize,
        /// How many places there are.
        places: usize,
        /// How long the scan took.
        took: Duration,
    },
    /// A place holds certificates of CAs only, and no end-entity certificate.
    OnlyCaCertificates {
        /// The name of the place.
        place: Arc<str>,
    },
    /// A certificate has no OCSP URL: it gets no staple and needs none.
    NotApplicable,
    /// The stapling of a certificate is turned off.
    Off,
    /// A must-staple certificate has no OCSP URL: clients will refuse it.
    MustStapleWithoutUrl,
    /// The certificate of a place gets no staple now.
    PlaceProblem {
        /// The name of the place.
        place: Arc<str>,
        /// What is wrong.
        fault: PlaceFault,
        /// The same in words, and what to do.
        what: String,
        /// When the place is read again, if it is read before it changes.
        again: Option<Timestamp>,
    },
    /// An issuer's certificate was fetched from a caIssuers URL of the certificate.
    IssuerFetched {
        /// The caIssuers URL.
        url: String,
        /// The issuer's name.
        issuer: String,
    },
    /// An issuer's certificate could not be fetched.
    IssuerFetchFailed {
        /// The caIssuers URL.
        url: String,
        /// The reason code.
        code: ReasonCode,
        /// The reason in words.
        what: String,
        /// When the next attempt is due.
        again: Timestamp,
    },
    /// A certificate and its issuer were found: the stapler keeps it stapled from now on.
    Accepted,
    /// A response that a sink kept was verified and is used again.
    Recycled {
        /// The end of its validity.
        expires: Timestamp,
        /// When it is renewed.
        renew: Timestamp,
    },
    /// A response that a sink kept is not used.
    NotRecycled {
        /// The reason code.
        code: ReasonCode,
        /// The reason in words.
        what: String,
    },
    /// One request to a responder brought no staple. The next URL, hash or method is tried.
    AttemptFailed {
        /// The responder's URL.
        url: String,
        /// The reason code.
        code: ReasonCode,
        /// The reason in words.
        what: String,
    },
    /// A new staple was received and verified.
    Renewed {
        /// The responder's URL.
        url: String,
        /// The beginning of its validity.
        this_update: Timestamp,
        /// The end of its validity.
        expires: Timestamp,
        /// When it is renewed.
        renew: Timestamp,
        /// Whether it differs from the one held before.
        changed: bool,
        /// Whether the last renewal had failed.
        recovered: bool,
        /// How long ago the responder was asked, if another process asked it and shares the answer. Zero otherwise.
        age: Duration,
    },
    /// No URL of the certificate brought a staple.
    RenewalFailed {
        /// Host and port of the responder whose queue the renewal is in: the first of the certificate's URLs.
        responder: Arc<str>,
        /// The reason code.
        code: ReasonCode,
        /// The reason in words.
        what: String,
        /// How many renewals in a row failed, this one included.
        attempts: u32,
        /// When the next attempt is due.
        again: Timestamp,
        /// The end of the staple that is held, if there is one.
        held_until: Option<Timestamp>,
    },
    /// The CA says that the certificate is revoked.
    Revoked {
        /// The status in the response.
        status: CertStatus,
        /// When the CA is asked again, since a hold can end.
        again: Timestamp,
    },
    /// The certificate's validity is over: its CA is not asked any more.
    CertificateExpired {
        /// The end of its validity.
        not_after: Timestamp,
    },
    /// A sink has put the staple into service.
    Delivered {
        /// The sink's name.
        sink: Arc<str>,
        /// The end of its validity.
        expires: Timestamp,
    },
    /// A sink does not serve this certificate.
    NotWanted {
        /// The sink's name.
        sink: Arc<str>,
        /// The reason code.
        code: ReasonCode,
        /// The reason in words.
        what: String,
    },
    /// A delivery or a withdrawal failed.
    DeliveryFailed {
        /// The sink's name.
        sink: Arc<str>,
        /// The reason code.
        code: ReasonCode,
        /// The reason in words, and what to do.
        what: String,
        /// When the next attempt is due.
        again: Timestamp,
        /// The end of the staple that this sink has in service, if it has one.
        served_until: Option<Timestamp>,
        /// Whether clients notice now if this sink lacks the staple
        /// ([`DeliveryStatus::is_felt`](crate::inventory::standing::DeliveryStatus::is_felt)).
        is_felt: bool,
        /// Why the staple was to be withdrawn, if it was a withdrawal.
        withdrawing: Option<Withdrawal>,
    },
    /// A staple was withdrawn.
    Withdrawn {
        /// The sink's name.
        sink: Arc<str>,
        /// Why.
        why: Withdrawal,
        /// Whether the sink took it out of service. Otherwise the server may serve it until it expires.
        confirmed: bool,
        /// Why the staple could not be renewed, if renewals fail.
        failing: Option<Failing>,
        /// Why the staple ended before its renewal was due, if it did.
        short_lived: Option<String>,
    },
    /// A server has the staple and will be without one before the next renewal: the CA's responses live too short.
    ShortLived {
        /// The sink's name.
        sink: Arc<str>,
        /// The reason in words, and what to do.
        what: String,
    },
    /// The clock was set, or the machine was suspended: all plans that depend on the time are made again.
    ClockSet {
        /// The time that the clock would show otherwise.
        expected: Timestamp,
        /// The time that it shows.
        now: Timestamp,
    },
    /// A server has lost staples, and they are delivered again.
    ServerLost {
        /// The sink's name.
        sink: Arc<str>,
        /// How many staples are delivered again.
        certificates: usize,
    },
    /// Another client of a server removed or replaced staples. The stapler judges what the server has now, and asks the CAs.
    ServerChanged {
        /// The sink's name.
        sink: Arc<str>,
        /// How many certificates the change concerns.
        certificates: usize,
    },
    /// A sink or a source sent a report.
    Reported {
        /// The name of the sink or source.
        from: Arc<str>,
        /// The report.
        report: Report,
    },
    /// A certificate is gone from all its places.
    Retired,
    /// A stage failed because of a bug. Its task is due again later.
    Internal {
        /// What happened.
        what: String,
    },
}

impl EventKind {
    /// The stable name of the event. For failures, [`code`](EventKind::code) says why.
    pub fn name(&self) -> &'static str {
        match self {
            EventKind::SourceProblem { .. } => "source_problem",
            EventKind::Scanned { .. } => "scanned",
            EventKind::OnlyCaCertificates { .. } => "only_ca_certificates",
            EventKind::NotApplicable => "not_applicable",
            EventKind::Off => "off",
            EventKind::MustStapleWithoutUrl => "must_staple_without_url",
            EventKind::PlaceProblem { .. } => "place_problem",
            EventKind::IssuerFetched { .. } => "issuer_fetched",
            EventKind::IssuerFetchFailed { .. } => "issuer_fetch_failed",
            EventKind::Accepted => "accepted",
            EventKind::Recycled { .. } => "recycled",
            EventKind::NotRecycled { .. } => "not_recycled",
            EventKind::AttemptFailed { .. } => "attempt_failed",
            EventKind::Renewed { .. } => "renewed",
            EventKind::RenewalFailed { .. } => "renewal_failed",
            EventKind::Revoked { .. } => "revoked",
            EventKind::CertificateExpired { .. } => "certificate_expired",
            EventKind::Delivered { .. } => "delivered",
            EventKind::NotWanted { .. } => "not_wanted",
            EventKind::DeliveryFailed { .. } => "delivery_failed",
            EventKind::Withdrawn { .. } => "withdrawn",
            EventKind::ShortLived { .. } => "short_lived",
            EventKind::ClockSet { .. } => "clock_set",
            EventKind::ServerLost { .. } => "server_lost",
            EventKind::ServerChanged { .. } => "server_changed",
            EventKind::Reported { report, .. } => report.name.as_str(),
            EventKind::Retired => "retired",
            EventKind::Internal { .. } => "internal",
        }
    }

    /// Whether the work on a certificate has a result: a staple, a failed renewal, a revocation, or the end of its validity.
    pub fn is_result(&self) -> bool {
        matches!(
            self,
            EventKind::Renewed { .. }
                | EventKind::Recycled { .. }
                | EventKind::RenewalFailed { .. }
                | EventKind::Revoked { .. }
                | EventKind::CertificateExpired { .. }
        )
    }

    /// The reason code of a failure, of a withdrawal, or of something that was left out. A report without a reason code has
    /// its name as code.
    pub fn code(&self) -> Option<ReasonCode> {
        match self {
            EventKind::SourceProblem { code, .. }
            | EventKind::IssuerFetchFailed { code, .. }
            | EventKind::NotRecycled { code, .. }
            | EventKind::AttemptFailed { code, .. }
            | EventKind::RenewalFailed { code, .. }
            | EventKind::NotWanted { code, .. }
            | EventKind::DeliveryFailed { code, .. } => Some(*code),
            EventKind::PlaceProblem { fault, .. } => Some(fault.code()),
            EventKind::Reported { report, .. } => Some(report.code.unwrap_or(report.name)),
            EventKind::Revoked { .. } | EventKind::Withdrawn { why: Withdrawal::Revoked, .. } => Some(REVOKED),
            EventKind::Withdrawn { failing: Some(failing), short_lived: None, .. } => Some(failing.code),
            EventKind::Withdrawn { why: Withdrawal::Expiring, .. } | EventKind::ShortLived { .. } => {
                Some(EXPIRES_TOO_SOON)
            }
            _ => None,
        }
    }
}

impl Event {
    /// An event at this time, about this certificate, if it concerns one.
    pub fn new(at: Timestamp, certificate: Option<Arc<About>>, kind: EventKind) -> Self {
        Event { at, certificate, kind }
    }

    /// Whether clients refuse the certificate because of the event: it is must-staple, and at least one server has no staple
    /// for it.
    pub fn is_outage(&self) -> bool {
        let must_staple = self.certificate.as_ref().is_some_and(|certificate| certificate.must_staple);
        must_staple
            && match &self.kind {
                EventKind::PlaceProblem { fault, .. } => !fault.is_outside_validity(),
                EventKind::RenewalFailed { held_until, .. } => held_until.is_none(),
                EventKind::DeliveryFailed { served_until, is_felt, .. } => *is_felt && served_until.is_none(),
                EventKind::Withdrawn { why, .. } => *why != Withdrawal::Retired,
                EventKind::MustStapleWithoutUrl | EventKind::Revoked { .. } | EventKind::ShortLived { .. } => true,
                _ => false,
            }
    }

    /// How much the event matters.
    pub fn severity(&self) -> Severity {
        match &self.kind {
            _ if self.is_outage() => Severity::Error,
            EventKind::DeliveryFailed { withdrawing: Some(Withdrawal::Revoked), .. } => Severity::Error,
            EventKind::Reported { report, .. } => report.severity,
            EventKind::OnlyCaCertificates { .. }
            | EventKind::NotApplicable
            | EventKind::Off
            | EventKind::AttemptFailed { .. }
            | EventKind::Scanned { changed: 0, gone: 0, .. }
            | EventKind::Renewed { changed: false, recovered: false, .. }
            | EventKind::Accepted => Severity::Debug,
            EventKind::Scanned { .. }
            | EventKind::IssuerFetched { .. }
            | EventKind::Recycled { .. }
            | EventKind::NotRecycled { .. }
            | EventKind::Renewed { .. }
            | EventKind::Delivered { .. }
            | EventKind::NotWanted { .. }
            | EventKind::ServerLost { .. }
            | EventKind::ClockSet { .. }
            | EventKind::ServerChanged { .. }
            | EventKind::Withdrawn { why: Withdrawal::Retired, .. }
            | EventKind::Retired => Severity::Info,
            EventKind::SourceProblem { .. }
            | EventKind::PlaceProblem { .. }
            | EventKind::IssuerFetchFailed { .. }
            | EventKind::RenewalFailed { .. }
            | EventKind::CertificateExpired { .. }
            | EventKind::Withdrawn { .. }
            | EventKind::ShortLived { .. }
            | EventKind::DeliveryFailed { .. } => Severity::Warning,
            EventKind::MustStapleWithoutUrl | EventKind::Revoked { .. } | EventKind::Internal { .. } => Severity::Error,
        }
    }
}

/// One line of text, with the certificate's name and without the time.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(certificate) = &self.certificate {
            write!(f, "{}: ", certificate.name)?;
        }
        write!(f, "{}", self.kind)
    }
}

/// One line of text, without the certificate's name.
impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EventKind::SourceProblem { place, what, .. } => placed(f, place, what),
            EventKind::Scanned { source, changed, gone, places, .. } => {
                write!(f, "{source}: {places} files, {changed} new or changed, {gone} gone")
            }
            EventKind::OnlyCaCertificates { place } => write!(f, "{place}: only CA certificates in it"),
            EventKind::NotApplicable => f.write_str("no OCSP URL in the certificate: no staple needed"),
            EventKind::Off => f.write_str("stapling is turned off for it"),
            EventKind::MustStapleWithoutUrl => f.write_str(
                "must-staple, but without an OCSP URL: clients will refuse it; have it issued again with a URL, or \
                 without must-staple",
            ),
            EventKind::PlaceProblem { place, what, again, .. } => {
                placed(f, place, what)?;
                match again {
                    Some(again) => write!(f, "; looked at again at {again}"),
                    None => Ok(()),
                }
            }
            EventKind::IssuerFetched { url, issuer } => write!(f, "issuer {issuer} fetched from {url}"),
            EventKind::IssuerFetchFailed { what, again, .. } => {
                write!(f, "issuer not fetched: {what}; tried again at {again}")
            }
            EventKind::Accepted => f.write_str("accepted"),
            EventKind::Recycled { expires, renew } => {
                write!(f, "kept staple is good until {expires}; renewal at {renew}")
            }
            EventKind::NotRecycled { what, .. } => write!(f, "kept staple not used: {what}"),
            EventKind::AttemptFailed { url, what, .. } => placed(f, url, what),
            EventKind::Renewed { url, expires, renew, changed, age, .. } => {
                let new = if *changed { "new staple" } else { "same staple" };
                write!(f, "{new} from {url}")?;
                if !age.is_zero() {
                    write!(f, ", asked by another process {} s ago", age.as_secs())?;
                }
                write!(f, ", good until {expires}; renewal at {renew}")
            }
            EventKind::RenewalFailed { what, attempts, again, held_until, .. } => {
                write!(f, "renewal failed ({attempts}×): {what}; tried again at {again}")?;
                match held_until {
                    Some(until) => write!(f, "; the staple held is good until {until}"),
                    None => f.write_str("; there is no staple"),
                }
            }
            EventKind::Revoked { status, again } => {
                f.write_str("REVOKED")?;
                if let CertStatus::Revoked { at, reason } = status {
                    write!(f, " at {at}")?;
                    if let Some(reason) = reason {
                        write!(f, " (reason {reason})")?;
                    }
                }
                write!(f, ": its staple is taken out of service; asked again at {again}")
            }
            EventKind::CertificateExpired { not_after } => {
                write!(f, "the certificate expired at {not_after}: replace it")
            }
            EventKind::Delivered { sink, .. } => write!(f, "staple delivered to {sink}"),
            EventKind::NotWanted { sink, what, .. } => placed(f, sink, what),
            EventKind::DeliveryFailed { what, again, sink, withdrawing: Some(why), .. } => {
                let why = in_words(*why);
                write!(f, "{sink} may still have its staple in service, which could not be withdrawn ({why}): {what}")?;
                write!(f, "; tried again at {again}")
            }
            EventKind::DeliveryFailed { what, again, sink, served_until, is_felt, .. } => {
                placed(f, sink, what)?;
                write!(f, "; tried again at {again}")?;
                match served_until {
                    Some(until) => write!(f, "; the staple that it has is good until {until}"),
                    None if !is_felt => f.write_str("; until then, the server lacks the staple after its next restart"),
                    None => Ok(()),
                }
            }
            EventKind::ShortLived { sink, what } => placed(f, sink, what),
            EventKind::ClockSet { expected, now } => {
                let (by, way) = match now.since(*expected) {
                    Duration::ZERO => (expected.since(*now), "back"),
                    ahead => (ahead, "ahead"),
                };
                write!(f, "the clock jumped {way} by {} s, to {now}: everything is looked at again", by.as_secs())
            }
            EventKind::Withdrawn { sink, why, confirmed, failing, short_lived } => {
                let why = in_words(*why);
                match confirmed {
                    true => write!(f, "staple withdrawn from {sink}: {why}")?,
                    false => write!(f, "staple not withdrawn from {sink}, which may serve it until it ends: {why}")?,
                }
                match (failing, short_lived) {
                    (Some(Failing { what, since, .. }), _) => {
                        write!(f, " and could not be renewed since {since}: {what}")
                    }
                    (None, Some(what)) => write!(f, ": {what}"),
                    (None, None) => Ok(()),
                }
            }
            EventKind::ServerLost { sink, certificates } => {
                write!(f, "{sink} has lost its staples: {certificates} delivered again")
            }
            EventKind::ServerChanged { sink, certificates } => {
                write!(f, "{sink}: another client removed or replaced staples: the CAs of {certificates} are asked")
            }
            EventKind::Reported { from, report } => placed(f, from, &report.what),
            EventKind::Retired => f.write_str("gone from all its places"),
            EventKind::Internal { what } => write!(f, "a bug: {what}"),
        }
    }
}

fn in_words(why: Withdrawal) -> &'static str {
    match why {
        Withdrawal::Revoked => "the certificate is revoked",
        Withdrawal::Expiring => "it ends",
        Withdrawal::Retired => "the certificate is gone",
    }
}

/// Writes the text after the place's name, unless the text begins with that name.
fn placed(f: &mut fmt::Formatter<'_>, place: &str, what: &str) -> fmt::Result {
    if what.starts_with(place) { f.write_str(what) } else { write!(f, "{place}: {what}") }
}
