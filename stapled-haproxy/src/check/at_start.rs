//! What HAProxy does with the response in a file when it starts, measured with 2.6, 3.0 and 3.2. Pure.
//!
//! A response that HAProxy does not take is a warning; with `zero-warning` HAProxy does not start then, and refuses to reload.
//! HAProxy checks neither signature nor thisUpdate, and takes a response with the status `revoked`.

use std::fmt;

use stapled_core::ocsp::{CertIdHash, CertStatus, OcspResponse, ResponseStatus};
use stapled_core::reason::ReasonCode;
use stapled_core::staple::Refusal;
use stapled_core::time::Timestamp;

use super::certificate::Case;
use crate::sink::requirements::MARGIN;

/// The largest file that HAProxy reads, in bytes: its buffer (`tune.bufsize`) by default.
const LARGEST: usize = 16_384;

/// Why HAProxy does not take the contents of a staple's file when it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotTaken {
    Empty,
    NoResponse,
    TooLarge,
    ErrorStatus(ResponseStatus),
    SeveralResponses,
    OtherCertificate,
    /// HAProxy looks for the staple by a CertID with another hash, or by the key of another issuer.
    OtherCertId,
    UnknownStatus,
    NoNextUpdate,
    /// The response has ended, or ends too soon.
    Ends(Timestamp),
}

impl Case<'_> {
    /// Why HAProxy does not take these contents of the staple's file; `None` if it does. HAProxy 3.1 and earlier take a
    /// response for 300 s longer than it is valid, and do not send it in the last 300 s of its validity.
    pub(super) fn not_taken(&self, bytes: &[u8]) -> Option<NotTaken> {
        if bytes.is_empty() {
            return Some(NotTaken::Empty);
        }
        if bytes.len() >= LARGEST {
            return Some(NotTaken::TooLarge);
        }
        let basic = match OcspResponse::from_der(bytes) {
            Ok(OcspResponse::Basic(basic)) => basic,
            Ok(OcspResponse::Error(status)) => return Some(NotTaken::ErrorStatus(status)),
            _ => return Some(NotTaken::NoResponse),
        };
        let [single] = basic.responses.as_slice() else { return Some(NotTaken::SeveralResponses) };
        let chain = self.issuer.ok().map(|issuer| &issuer.chain);
        let is_about = match chain {
            Some(chain) => chain.is_named_by(&single.cert_id),
            None => single.cert_id.serial_hex() == self.end_entity.serial_hex(),
        };
        let is_its_hash = single.cert_id.hash() == Some(CertIdHash::Sha1) && single.cert_id.has_null_parameters();
        match (single.status, single.next_update) {
            _ if !is_about => Some(NotTaken::OtherCertificate),
            _ if !is_its_hash || self.is_mistaken_in_file() => Some(NotTaken::OtherCertId),
            (CertStatus::Unknown, _) => Some(NotTaken::UnknownStatus),
            (_, None) => Some(NotTaken::NoNextUpdate),
            (_, Some(ends)) => (ends <= self.now + MARGIN).then_some(NotTaken::Ends(ends)),
        }
    }
}

impl NotTaken {
    /// The stable word for it.
    pub(super) fn code(self) -> ReasonCode {
        ReasonCode::new(match self {
            NotTaken::Empty => "empty",
            NotTaken::NoResponse => "malformed",
            NotTaken::TooLarge => "too_large",
            NotTaken::ErrorStatus(status) => return Refusal::ErrorStatus(status).code(),
            NotTaken::SeveralResponses => "several_responses",
            NotTaken::OtherCertificate => "no_matching_certid",
            NotTaken::OtherCertId => "unfit_certid",
            NotTaken::UnknownStatus => "unknown",
            NotTaken::NoNextUpdate => "missing_next_update",
            NotTaken::Ends(_) => "expires_too_soon",
        })
    }
}

impl fmt::Display for NotTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NotTaken::Empty => "it is empty",
            NotTaken::NoResponse => "it holds no OCSP response",
            NotTaken::TooLarge => "it is larger than HAProxy's buffer",
            NotTaken::ErrorStatus(_) => "it holds a responder's error and no answer",
            NotTaken::SeveralResponses => "it has several single responses, and HAProxy takes one",
            NotTaken::OtherCertificate => "it is about another certificate",
            NotTaken::OtherCertId => {
                "HAProxy finds a staple by a SHA-1 CertID with NULL parameters and the key of the first issuer by name, and it has \
                 another"
            }
            NotTaken::UnknownStatus => "its CA did not know the certificate",
            NotTaken::NoNextUpdate => "it has no nextUpdate",
            NotTaken::Ends(ends) => {
                return write!(f, "it ends at {ends}, and HAProxy sends none in its last {} s", MARGIN.as_secs());
            }
        })
    }
}
