//! The reasons for which a judgement refuses a response.

use crate::certificate::CertificateError;
use crate::ocsp::ResponseStatus;
use crate::reason::ReasonCode;
use crate::time::Timestamp;

/// Why a judgement refuses a response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The response has more bytes than the limit.
    #[error("the response has {size} bytes; the limit is {limit}")]
    TooLarge {
        /// The size of the response in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The signer was not found within the limit of signature checks: too many certificates in the response fit its
    /// responderID.
    #[error(
        "no signer was found in {limit} signature checks: too many certificates in the response fit its responderID"
    )]
    TooManyLookAlikes {
        /// The most signature checks for one response.
        limit: usize,
    },
    /// The bytes are not one OCSPResponse in strict DER.
    #[error("{0}")]
    Malformed(#[from] crate::ocsp::response::ResponseError),
    /// The responder sent an error status instead of an answer.
    #[error("the responder answered {}", .0.name())]
    ErrorStatus(ResponseStatus),
    /// The responseType is not id-pkix-ocsp-basic.
    #[error("the response is not of the type id-pkix-ocsp-basic")]
    UnsupportedResponseType,
    /// The version of the response is not v1.
    #[error("the response has version {version}; only 0 (v1) is supported")]
    UnsupportedVersion {
        /// The version as it is encoded: 0 is v1.
        version: u8,
    },
    /// The algorithm of a signature is not supported, or does not fit the signer's key.
    #[error("the {of} is signed with an algorithm that is not supported, or that does not fit the signer's key")]
    UnsupportedAlgorithm {
        /// The signed object: `response` or `responder's certificate`.
        of: &'static str,
    },
    /// The signature is made with an RSA key of fewer than 2048 bits.
    #[error("the {of} is signed with an RSA key of fewer than 2048 bits")]
    WeakKey {
        /// The signed object: `response` or `responder's certificate`.
        of: &'static str,
    },
    /// The signature is made with SHA-1.
    #[error("the {of} is signed with SHA-1")]
    WeakSignature {
        /// The signed object: `response` or `responder's certificate`.
        of: &'static str,
    },
    /// The signature does not verify with the key of the signer that the responderID names.
    #[error("the signature of the response does not verify with the key of {signer}")]
    BadSignature {
        /// The name of the supposed signer.
        signer: String,
    },
    /// The responderID names neither the issuer nor a certificate in the response, which has none.
    #[error(
        "the signer that the response names, {responder}, is not the issuer and has no certificate in the response"
    )]
    ResponderCertMissing {
        /// The responderID in words.
        responder: String,
    },
    /// The responderID names none of the certificates in the response.
    #[error(
        "the signer that the response names, {responder}, fits neither the issuer nor a certificate in the response"
    )]
    ResponderIdMismatch {
        /// The responderID in words.
        responder: String,
    },
    /// The signer's certificate lacks id-kp-OCSPSigning.
    #[error("{responder} may not sign OCSP responses: its extendedKeyUsage lacks id-kp-OCSPSigning")]
    ResponderMissingEku {
        /// The signer's name.
        responder: String,
    },
    /// The signer's certificate was not issued by the certificate's issuer.
    #[error("{responder} may not sign for {issuer}, which did not issue its certificate")]
    ResponderWrongIssuer {
        /// The signer's name.
        responder: String,
        /// The name of the certificate's issuer.
        issuer: String,
    },
    /// The signer's certificate is not valid yet.
    #[error("the certificate of {responder} is not valid before {not_before}; the time is {at}")]
    ResponderCertNotYetValid {
        /// The signer's name.
        responder: String,
        /// The beginning of the certificate's validity.
        not_before: Timestamp,
        /// The time of the judgement.
        at: Timestamp,
    },
    /// The signer's certificate has expired.
    #[error("the certificate of {responder} expired at {not_after}; the time is {at}")]
    ResponderCertExpired {
        /// The signer's name.
        responder: String,
        /// The end of the certificate's validity.
        not_after: Timestamp,
        /// The time of the judgement.
        at: Timestamp,
    },
    /// The keyUsage of the signer's certificate does not allow signatures.
    #[error("the key of {responder} may not sign: its keyUsage has neither digitalSignature nor nonRepudiation")]
    ResponderKeyUsage {
        /// The signer's name.
        responder: String,
    },
    /// A certificate in the response, which may be the signer's, cannot be read.
    #[error("a certificate in the response cannot be read: {0}")]
    ResponderCertMalformed(CertificateError),
    /// The response has an answer about this serial number, but of another issuer.
    #[error("the response is about serial number {serial} of another issuer")]
    WrongIssuer {
        /// The serial number in hexadecimal.
        serial: String,
    },
    /// The response has no answer about the certificate.
    #[error("the response has no answer about serial number {serial} of this issuer")]
    NoMatchingCertId {
        /// The serial number in hexadecimal.
        serial: String,
    },
    /// The response has several answers about the certificate, with different statuses.
    #[error("the response has several answers about serial number {serial}, with different statuses")]
    ConflictingResponses {
        /// The serial number in hexadecimal.
        serial: String,
    },
    /// The response is not valid yet: thisUpdate is in the future.
    #[error("the response is not valid before thisUpdate, {this_update}; the time is {at}")]
    NotYetValid {
        /// The beginning of the response's validity.
        this_update: Timestamp,
        /// The time of the judgement.
        at: Timestamp,
    },
    /// The response has expired: nextUpdate is past.
    #[error("the response expired at nextUpdate, {next_update}; the time is {at}")]
    Expired {
        /// The end of the response's validity.
        next_update: Timestamp,
        /// The time of the judgement.
        at: Timestamp,
    },
    /// The answer has no nextUpdate.
    #[error("the response has no nextUpdate")]
    MissingNextUpdate,
    /// nextUpdate is not after thisUpdate.
    #[error("nextUpdate {next_update} is not after thisUpdate {this_update}")]
    BadTimes {
        /// The beginning of the response's validity.
        this_update: Timestamp,
        /// The end of the response's validity.
        next_update: Timestamp,
    },
    /// The nonce of the response is not that of the request.
    #[error("the nonce of the response differs from that of the request")]
    NonceMismatch,
    /// A critical extension is not supported.
    #[error("{place} has a critical extension that is not supported: {oid}")]
    UnhandledCriticalExtension {
        /// The object that has the extension, such as `the response`.
        place: &'static str,
        /// The object identifier of the extension.
        oid: String,
    },
}

impl Refusal {
    /// The stable reason code of the refusal.
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

    /// One refusal of each kind. A new kind does not compile here until the list has it, and the test below fails until
    /// the table of reason codes has it.
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
