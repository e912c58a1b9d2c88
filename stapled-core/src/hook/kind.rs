//! The operator's words for events: what a hook is told, whatever the stage that it comes from.

use crate::event::EventKind;
use crate::event::faults::PlaceFault;
use crate::sink::Withdrawal;

/// The operator's word for an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// The CA has given a new staple.
    Renewed,
    /// A server has a staple, or the file is in place.
    Delivered,
    /// Something failed, and is tried again or needs an operator.
    Failed,
    /// A certificate is revoked.
    Revoked,
    /// A must-staple certificate has no staple.
    Outage,
    /// An outage has ended, or everything that was told about a certificate.
    Recovered,
    /// A staple ends soon and cannot be renewed, or a certificate is past its end.
    Expiring,
    /// The issuer of a certificate is not found.
    IssuerMissing,
}

impl Kind {
    pub(super) const ALL: [Kind; 8] = [
        Kind::Renewed,
        Kind::Delivered,
        Kind::Failed,
        Kind::Revoked,
        Kind::Outage,
        Kind::Recovered,
        Kind::Expiring,
        Kind::IssuerMissing,
    ];

    /// The word.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Kind::Renewed => "renewed",
            Kind::Delivered => "delivered",
            Kind::Failed => "failed",
            Kind::Revoked => "revoked",
            Kind::Outage => "outage",
            Kind::Recovered => "recovered",
            Kind::Expiring => "expiring",
            Kind::IssuerMissing => "issuer_missing",
        }
    }

    /// The word for an event for which a hook runs.
    pub(super) fn of(kind: &EventKind) -> Kind {
        match kind {
            EventKind::Renewed { .. } => Kind::Renewed,
            EventKind::Delivered { .. } => Kind::Delivered,
            EventKind::Revoked { .. } | EventKind::Withdrawn { why: Withdrawal::Revoked, .. } => Kind::Revoked,
            EventKind::CertificateExpired { .. } => Kind::Expiring,
            EventKind::PlaceProblem { fault: PlaceFault::IssuerMissing, .. } | EventKind::IssuerFetchFailed { .. } => {
                Kind::IssuerMissing
            }
            _ => Kind::Failed,
        }
    }
}
