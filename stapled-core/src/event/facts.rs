//! The facts of an event as values: its sink, its places and its times.

use std::sync::Arc;

use url::Url;

use super::{Event, EventKind};
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

/// Host and port of an http or https URL.
pub(crate) fn host_of(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    if !matches!(url.scheme(), "http" | "https") {
        return None;
    }
    Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?))
}
