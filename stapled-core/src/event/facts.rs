//! The facts of an event as values: its sink, its places and its times, and all that a log tells of it.

use std::sync::Arc;

use url::Url;

use super::digest::Alike;
use super::{Event, EventKind, Severity};
use crate::reason::ReasonCode;
use crate::time::Timestamp;

impl Event {
    /// The name of the sink that the event is about, or of the sink or source that reports it.
    pub fn sink(&self) -> Option<&str> {
        match &self.kind {
            EventKind::Delivered { sink, .. }
            | EventKind::NotWanted { sink, .. }
            | EventKind::DeliveryFailed { sink, .. }
            | EventKind::Withdrawn { sink, .. }
            | EventKind::ShortLived { sink, .. }
            | EventKind::ServerLost { sink, .. }
            | EventKind::ServerChanged { sink, .. }
            | EventKind::Reported { from: sink, .. } => Some(sink),
            _ => None,
        }
    }

    /// Host and port of the responder that the event is about, or of the server that an issuer is fetched from.
    pub fn responder(&self) -> Option<String> {
        match &self.kind {
            EventKind::RenewalFailed { responder, .. } => Some(responder.to_string()),
            EventKind::Renewed { url, .. }
            | EventKind::AttemptFailed { url, .. }
            | EventKind::IssuerFetched { url, .. }
            | EventKind::IssuerFetchFailed { url, .. } => host_of(url),
            _ => None,
        }
    }

    /// The places that the event is about: a place of a source, a source, or the places that hold the certificate.
    pub fn places(&self) -> Vec<Arc<str>> {
        match &self.kind {
            EventKind::SourceProblem { place, .. } => vec![place.as_str().into()],
            EventKind::OnlyCaCertificates { place } | EventKind::PlaceProblem { place, .. } => vec![Arc::clone(place)],
            EventKind::Scanned { source, .. } => vec![source.as_str().into()],
            _ => self.certificate.as_ref().map(|about| about.places.clone()).unwrap_or_default(),
        }
    }

    /// The time of the next try, or of the next renewal.
    pub fn next_try(&self) -> Option<Timestamp> {
        match &self.kind {
            EventKind::Recycled { renew, .. } | EventKind::Renewed { renew, .. } => Some(*renew),
            EventKind::RenewalFailed { again, .. }
            | EventKind::Revoked { again, .. }
            | EventKind::DeliveryFailed { again, .. }
            | EventKind::IssuerFetchFailed { again, .. } => Some(*again),
            EventKind::PlaceProblem { again, .. } => *again,
            _ => None,
        }
    }

    /// The end of the validity of the staple that is held, or that the sink has in service.
    pub fn staple_until(&self) -> Option<Timestamp> {
        match &self.kind {
            EventKind::Recycled { expires, .. }
            | EventKind::Renewed { expires, .. }
            | EventKind::Delivered { expires, .. } => Some(*expires),
            EventKind::RenewalFailed { held_until, .. } => *held_until,
            EventKind::DeliveryFailed { served_until, .. } => *served_until,
            _ => None,
        }
    }
}

/// The facts of an event, or of events that are alike, for a line of a log. A fact that does not apply is `None`.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the names are those of the fields in a line")]
pub struct EventFacts {
    pub event: &'static str,
    pub severity: Severity,
    pub code: Option<&'static str>,
    pub certificate: Option<String>,
    pub serial: Option<String>,
    /// The places, joined by commas.
    pub place: Option<String>,
    pub sink: Option<String>,
    pub responder: Option<String>,
    pub outage: Option<bool>,
    pub must_staple: Option<bool>,
    /// Of events that are alike: how many there are.
    pub count: Option<u64>,
    /// Of events that are alike: how many certificates they are about.
    pub certificates: Option<u64>,
    /// Of events that are alike: the names of some certificates.
    pub among: Option<String>,
    /// The event in words.
    pub text: String,
}

impl From<&Event> for EventFacts {
    fn from(event: &Event) -> Self {
        let about = event.certificate.as_deref();
        let severity = event.severity();
        let must_staple = about.filter(|about| about.must_staple).map(|_| true);
        let urgent = if must_staple.is_some() && severity >= Severity::Warning { "MUST-STAPLE " } else { "" };
        EventFacts {
            event: event.kind.name(),
            severity,
            code: event.kind.code().map(ReasonCode::as_str),
            certificate: about.map(|about| about.name.clone()),
            serial: about.map(|about| about.serial.clone()),
            place: Some(event.places().join(",")).filter(|places| !places.is_empty()),
            sink: event.sink().map(str::to_owned),
            responder: event.responder(),
            outage: event.is_outage().then_some(true),
            must_staple,
            count: None,
            certificates: None,
            among: None,
            text: format!("{urgent}{event}"),
        }
    }
}

/// Of the certificates, only some are named.
impl From<&Alike> for EventFacts {
    fn from(alike: &Alike) -> Self {
        let of_last = EventFacts::from(&alike.event);
        let urgent = if of_last.text.starts_with("MUST-STAPLE ") { "MUST-STAPLE " } else { "" };
        EventFacts {
            certificate: None,
            serial: None,
            place: None,
            count: Some(alike.count),
            certificates: Some(alike.certificates),
            among: Some(alike.among.join(", ")),
            text: format!("{urgent}{alike}"),
            ..of_last
        }
    }
}

/// Host and port of an http or https URL.
pub(crate) fn host_of(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    if !matches!(url.scheme(), "http" | "https") {
        return None;
    }
    Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?))
}
