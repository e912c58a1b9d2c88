//! Faults that events report: of places whose certificates get no staple, and of renewals.

use crate::bundle::BundleError;
use crate::chain::ChainError;
use crate::reason::ReasonCode;
use crate::time::Timestamp;

/// What is wrong with a place whose certificate gets no staple.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PlaceFault {
    /// The file cannot be read, or not in time.
    Unreadable,
    /// The file is larger than a file of certificates can be.
    TooLarge,
    /// There is no certificate in it.
    NoCertificate,
    /// A certificate in it is damaged.
    Malformed,
    /// The certificate's issuer was not found.
    IssuerMissing,
    /// The certificate was not issued by the issuer that was found.
    WrongIssuer,
    /// The signature on the certificate cannot be checked: its algorithm is not supported.
    UnsupportedAlgorithm,
    /// The certificate's validity has not begun.
    NotYetValid,
    /// The certificate's validity is over.
    Expired,
    /// The certificate is not for TLS servers.
    NotForServers,
    /// The certificate and its issuer make no chain, for another reason.
    NoChain,
}

impl PlaceFault {
    /// The reason code.
    pub fn code(self) -> ReasonCode {
        ReasonCode::new(match self {
            PlaceFault::Unreadable => "unreadable_file",
            PlaceFault::TooLarge => "too_large",
            PlaceFault::NoCertificate => "no_certificate",
            PlaceFault::Malformed => "malformed_certificate",
            PlaceFault::IssuerMissing => "issuer_missing",
            PlaceFault::WrongIssuer => "wrong_issuer",
            PlaceFault::UnsupportedAlgorithm => "unsupported_algorithm",
            PlaceFault::NotYetValid => "certificate_not_yet_valid",
            PlaceFault::Expired => "certificate_expired",
            PlaceFault::NotForServers => "not_for_servers",
            PlaceFault::NoChain => "no_chain",
        })
    }

    /// Whether the certificate is outside of its validity, so that clients miss no staple of it.
    pub fn is_outside_validity(self) -> bool {
        matches!(self, PlaceFault::NotYetValid | PlaceFault::Expired)
    }
}

impl From<&ChainError> for PlaceFault {
    fn from(error: &ChainError) -> Self {
        match error {
            ChainError::WrongIssuer { .. } => PlaceFault::WrongIssuer,
            ChainError::UnsupportedAlgorithm { .. } => PlaceFault::UnsupportedAlgorithm,
            ChainError::NotYetValid { .. } => PlaceFault::NotYetValid,
            ChainError::Expired { .. } => PlaceFault::Expired,
            ChainError::NotForServers { .. } => PlaceFault::NotForServers,
            ChainError::IssuerMissing { .. } => PlaceFault::IssuerMissing,
            ChainError::Bundle(error) => error.into(),
            ChainError::Certificate(_) => PlaceFault::Malformed,
            ChainError::NoEndEntity => PlaceFault::NoCertificate,
            _ => PlaceFault::NoChain,
        }
    }
}

impl From<&BundleError> for PlaceFault {
    fn from(error: &BundleError) -> Self {
        match error {
            BundleError::NoCertificate | BundleError::OtherKind { .. } => PlaceFault::NoCertificate,
            _ => PlaceFault::Malformed,
        }
    }
}

/// Renewals that have failed for some time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failing {
    /// The reason code of the last failure.
    pub code: ReasonCode,
    /// The last failure in words.
    pub what: String,
    /// Since when renewals fail.
    pub since: Timestamp,
}
