//! Why a response was not believed.

use crate::certificate::CertificateError;
use crate::ocsp::ResponseStatus;
use crate::reason::ReasonCode;
use crate::time::Timestamp;

/// Why a response was not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// More bytes than a response may have.
    #[error("the response has {size} bytes, more than the {limit} that are looked at")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// More certificates that could be the signer's than are checked; none of those that were is.
    #[error(
        "more than {limit} certificates in the response could be the signer's, and none of those that were checked is"
    )]
    TooManyLookAlikes {
        /// How many signatures are checked at most.
        limit: usize,
    },
    /// Not one strict DER OCSPResponse.
    #[error("{0}")]
    Malformed(#[from] crate::ocsp::ResponseError),
    /// The responder gave no answer.
    #[error("the responder answered {}", .0.name())]
    ErrorStatus(ResponseStatus),
    /// An answer of an unknown type.
    #[error("the response is not of the type id-pkix-ocsp-basic")]
    UnsupportedResponseType,
    /// An answer of an unknown version.
    #[error("the response has version {version}; only 0 (v1) is known")]
    UnsupportedVersion {
        /// The number in it.
        version: u8,
    },
    /// A signature or key of an algorithm that is not known here.
    #[error("the {of} is signed with an algorithm that is not supported, or that does not fit the signer's key")]
    UnsupportedAlgorithm {
        /// What is signed: `response` or `responder's certificate`.
        of: &'static str,
    },
    /// An RSA key below 2048 bits.
    #[error("the {of} is signed with an RSA key of fewer than 2048 bits")]
    WeakKey {
        /// What is signed.
        of: &'static str,
    },
    /// A signature with SHA-1.
    #[error("the {of} is signed with SHA-1")]
    WeakSignature {
        /// What is signed.
        of: &'static str,
    },
    /// The signature is wrong.
    #[error("the signature is wrong: {signer} did not sign this response")]
    BadSignature {
        /// The name of the supposed signer.
        signer: String,
    },
    /// Nobody known has the signer's name or key.
    #[error("the response is signed by {responder}, which is not the issuer and is not embedded in the response")]
    ResponderCertMissing {
        /// The ResponderID in words.
        responder: String,
    },
    /// The ResponderID names somebody else than the certificate that comes with it.
    #[error("the responderID names {responder}, but the certificate in the response is another's")]
    ResponderIdMismatch {
        /// The ResponderID in words.
        responder: String,
    },
    /// The signer may not sign OCSP responses.
    #[error("{responder} may not sign OCSP responses: its extendedKeyUsage lacks id-kp-OCSPSigning")]
    ResponderMissingEku {
        /// The signer's name.
        responder: String,
    },
    /// The signer was not issued by the certificate's issuer.
    #[error("{responder} was not issued by {issuer}, so it does not speak for it")]
    ResponderWrongIssuer {
        /// The signer's name.
        responder: String,
        /// The name of the certificate's issuer.
        issuer: String,
    },
    /// The validity of the signer's certificate has not begun.
    #[error("the certificate of {responder} is not valid before {not_before}, and it is {at}")]
    ResponderCertNotYetValid {
        /// The signer's name.
        responder: String,
        /// The beginning of its validity.
        not_before: Timestamp,
        /// The time of the judgement.
        at: Timestamp,
    },
    /// The validity of the signer's certificate is over.
    #[error("the certificate of {responder} expired at {not_after}, and it is {at}")]
    ResponderCertExpired {
        /// The signer's name.
        responder: String,
        /// The end of its validity.
        not_after: Timestamp,
        /// The time of the judgement.
        at: Timestamp,
    },
    /// The signer's key may not sign.
    #[error("the key of {responder} may not sign: its keyUsage has neither digitalSignature nor nonRepudiation")]
    ResponderKeyUsage {
        /// The signer's name.
        responder: String,
    },
    /// The embedded certificate that signed cannot be read.
    #[error("a certificate in the response cannot be read: {0}")]
    ResponderCertMalformed(CertificateError),
    /// An answer about this serial number, but of another issuer.
    #[error("the response is about serial number {serial} of another issuer")]
    WrongIssuer {
        /// The serial number in hexadecimal.
        serial: String,
    },
    /// No answer about the certificate.
    #[error("the response says nothing about serial number {serial} of this issuer")]
    NoMatchingCertId {
        /// The serial number in hexadecimal.
        serial: String,
    },
    /// Several answers that disagree.
    #[error("the response gives several statuses for serial number {serial}")]
    ConflictingResponses {
        /// The serial number in hexadecimal.
        serial: String,
    },
    /// thisUpdate lies ahead.
    #[error("thisUpdate {this_update} lies ahead of {at}")]
    NotYetValid {
        /// The beginning of its validity.
        this_update: Timestamp,
        /// The time of the judgement.
        at: Timestamp,
    },
    /// nextUpdate is past.
    #[error("nextUpdate {next_update} is past at {at}")]
    Expired {
        /// The end of its validity.
        next_update: Timestamp,
        /// The time of the judgement.
        at: Timestamp,
    },
    /// There is no nextUpdate.
    #[error("the response has no nextUpdate")]
    MissingNextUpdate,
    /// nextUpdate is not after thisUpdate.
    #[error("nextUpdate {next_update} is not after thisUpdate {this_update}")]
    BadTimes {
        /// The beginning of its validity.
        this_update: Timestamp,
        /// The end of its validity.
        next_update: Timestamp,
    },
    /// Another nonce than the one asked with.
    #[error("the response answers another request: its nonce differs")]
    NonceMismatch,
    /// A critical extension that is not understood.
    #[error("{place} has a critical extension that is not understood: {oid}")]
    UnhandledCriticalExtension {
        /// Where it stands.
        place: &'static str,
        /// Its object identifier.
        oid: String,
    },
}

impl Refusal {
    /// The stable word for it.
    pub fn code(&self) -> ReasonCode {
        ReasonCode::new(match self {
            Refusal::TooLarge { .. } | Refusal::TooManyLookAlikes { .. } => "too_large",
            Refusal::Malformed(_) | Refusal::ResponderCertMalformed(_) => "malformed",
            Refusal::ErrorStatus(status) => match status {
                ResponseStatus::MalformedRequest => "error_status:malformed_request",
                ResponseStatus::InternalError => "error_status:internal_error",
                ResponseStatus::TryLater => "error_status:try_later",
                ResponseStatus::SigRequired => "error_status:sig_required",
                ResponseStatus::Unauthorized => "error_status:unauthorized",
            },
            Refusal::UnsupportedResponseType => "unsupported_response_type",
            Refusal::UnsupportedVersion { .. } => "unsupported_version",
            Refusal::UnsupportedAlgorithm { .. } => "unsupported_algorithm",
            Refusal::WeakKey { .. } => "weak_key",
            Refusal::WeakSignature { .. } => "weak_signature",
            Refusal::BadSignature { .. } => "bad_signature",
            Refusal::ResponderCertMissing { .. } => "responder_cert_missing",
            Refusal::ResponderIdMismatch { .. } => "responder_id_mismatch",
            Refusal::ResponderMissingEku { .. } => "responder_missing_eku",
            Refusal::ResponderWrongIssuer { .. } => "responder_wrong_issuer",
            Refusal::ResponderCertNotYetValid { .. } => "responder_cert_not_yet_valid",
            Refusal::ResponderCertExpired { .. } => "responder_cert_expired",
            Refusal::ResponderKeyUsage { .. } => "responder_key_usage",
            Refusal::WrongIssuer { .. } => "wrong_issuer",
            Refusal::NoMatchingCertId { .. } => "no_matching_certid",
            Refusal::ConflictingResponses { .. } => "conflicting_responses",
            Refusal::NotYetValid { .. } => "not_yet_valid",
            Refusal::Expired { .. } => "expired",
            Refusal::MissingNextUpdate => "missing_next_update",
            Refusal::BadTimes { .. } => "bad_times",
            Refusal::NonceMismatch => "nonce_mismatch",
            Refusal::UnhandledCriticalExtension { .. } => "unhandled_critical_extension",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::der::DerError;
    use crate::ocsp::OcspResponse;

    /// One of each. Whoever adds a refusal is told here by the compiler, and below by the test, where it is to be
    /// written down.
    fn every() -> Vec<Refusal> {
        let malformed = OcspResponse::from_der(b"").unwrap_err();
        let at = Timestamp::from_unix(0);
        let text = String::new;
        let all = vec![
            Refusal::TooLarge { size: 2, limit: 1 },
            Refusal::TooManyLookAlikes { limit: 1 },
            Refusal::Malformed(malformed),
            Refusal::ErrorStatus(ResponseStatus::MalformedRequest),
            Refusal::ErrorStatus(ResponseStatus::InternalError),
            Refusal::ErrorStatus(ResponseStatus::TryLater),
            Refusal::ErrorStatus(ResponseStatus::SigRequired),
            Refusal::ErrorStatus(ResponseStatus::Unauthorized),
            Refusal::UnsupportedResponseType,
            Refusal::UnsupportedVersion { version: 1 },
            Refusal::UnsupportedAlgorithm { of: "response" },
            Refusal::WeakKey { of: "response" },
            Refusal::WeakSignature { of: "response" },
            Refusal::BadSignature { signer: text() },
            Refusal::ResponderCertMissing { responder: text() },
            Refusal::ResponderIdMismatch { responder: text() },
            Refusal::ResponderMissingEku { responder: text() },
            Refusal::ResponderWrongIssuer { responder: text(), issuer: text() },
            Refusal::ResponderCertNotYetValid { responder: text(), not_before: at, at },
            Refusal::ResponderCertExpired { responder: text(), not_after: at, at },
            Refusal::ResponderKeyUsage { responder: text() },
            Refusal::ResponderCertMalformed(CertificateError::Framing(DerError::new("x"))),
            Refusal::WrongIssuer { serial: text() },
            Refusal::NoMatchingCertId { serial: text() },
            Refusal::ConflictingResponses { serial: text() },
            Refusal::NotYetValid { this_update: at, at },
            Refusal::Expired { next_update: at, at },
            Refusal::MissingNextUpdate,
            Refusal::BadTimes { this_update: at, next_update: at },
            Refusal::NonceMismatch,
            Refusal::UnhandledCriticalExtension { place: "x", oid: text() },
        ];
        for refusal in &all {
            match refusal {
                Refusal::ErrorStatus(status) => match status {
                    ResponseStatus::MalformedRequest
                    | ResponseStatus::InternalError
                    | ResponseStatus::TryLater
                    | ResponseStatus::SigRequired
                    | ResponseStatus::Unauthorized => {}
                },
                Refusal::TooLarge { .. }
                | Refusal::TooManyLookAlikes { .. }
                | Refusal::Malformed(_)
                | Refusal::UnsupportedResponseType
                | Refusal::UnsupportedVersion { .. }
                | Refusal::UnsupportedAlgorithm { .. }
                | Refusal::WeakKey { .. }
                | Refusal::WeakSignature { .. }
                | Refusal::BadSignature { .. }
                | Refusal::ResponderCertMissing { .. }
                | Refusal::ResponderIdMismatch { .. }
                | Refusal::ResponderMissingEku { .. }
                | Refusal::ResponderWrongIssuer { .. }
                | Refusal::ResponderCertNotYetValid { .. }
                | Refusal::ResponderCertExpired { .. }
                | Refusal::ResponderKeyUsage { .. }
                | Refusal::ResponderCertMalformed(_)
                | Refusal::WrongIssuer { .. }
                | Refusal::NoMatchingCertId { .. }
                | Refusal::ConflictingResponses { .. }
                | Refusal::NotYetValid { .. }
                | Refusal::Expired { .. }
                | Refusal::MissingNextUpdate
                | Refusal::BadTimes { .. }
                | Refusal::NonceMismatch
                | Refusal::UnhandledCriticalExtension { .. } => {}
            }
        }
        all
    }

    #[test]
    fn the_table_of_reasons_is_complete_and_has_nothing_else() {
        let table = include_str!("../reason.rs");
        let rows = table.lines().filter_map(|line| line.strip_prefix("//! | `")?.split_once("` | "));
        let mut documented: Vec<&str> = rows.map(|(code, _)| code).collect();
        let refusals = every();
        let mut given: Vec<&str> = refusals.iter().map(|refusal| refusal.code().as_str()).collect();
        documented.sort_unstable();
        given.sort_unstable();
        given.dedup();
        assert_eq!(documented, given);
    }
}
