//! The withdrawal token: a response that takes a staple out of service.
//!
//! HAProxy has no command that removes a staple. It stops stapling a response 300 s before its nextUpdate, and it accepts
//! any response for a certificate that it knows. A response that ends in a minute is therefore never stapled, and
//! replaces the staple. The token is such a response. It is not a [`Staple`](stapled_core::staple::Staple) and cannot
//! become one: no key verifies its signature, so a client that received the token would reject it.

use std::time::Duration;

use bytes::Bytes;
use rasn::types::{BitString, GeneralizedTime, Integer, ObjectIdentifier, OctetString};
use rasn_ocsp::{
    BasicOcspResponse, CertStatus, OcspResponse, OcspResponseStatus, ResponderId, ResponseBytes, ResponseData,
    SingleResponse,
};
use rasn_pkix::AlgorithmIdentifier;
use stapled_core::ocsp::CertId;
use stapled_core::time::Timestamp;

/// The life of a token: well below the 300 s in which HAProxy does not staple, well above the time of its transport.
const VALIDITY: Duration = Duration::from_secs(60);

/// id-pkix-ocsp-basic.
const OCSP_BASIC: &[u32] = &[1, 3, 6, 1, 5, 5, 7, 48, 1, 1];
/// ecdsa-with-SHA256.
const ECDSA_WITH_SHA256: &[u32] = &[1, 2, 840, 10045, 4, 3, 2];
/// The length of a SHA-1 hash, in bytes.
const KEY_HASH: usize = 20;

/// A response about a certificate that HAProxy accepts and does not staple.
#[derive(Debug)]
pub(crate) struct WithdrawalToken {
    der: Vec<u8>,
    cert_id: Bytes,
    this_update: Timestamp,
}

/// A token cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no withdrawal token can be made: the clock shows a time that no OCSP response can have")]
pub(crate) struct NoToken;

impl WithdrawalToken {
    /// A token for the certificate with this CertID, made at this time.
    pub(crate) fn new(cert_id: &CertId, now: Timestamp) -> Result<Self, NoToken> {
        let cert_id = cert_id.to_der();
        let der = response(&cert_id, time(now)?, time(now + VALIDITY)?).ok_or(NoToken)?;
        Ok(WithdrawalToken { der, cert_id: cert_id.into(), this_update: now })
    }

    pub(crate) fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// The DER of the CertID that the token is about.
    pub(crate) fn cert_id(&self) -> &Bytes {
        &self.cert_id
    }

    /// The time at which the token was made.
    pub(crate) fn this_update(&self) -> Timestamp {
        self.this_update
    }

    /// The end of the token.
    pub(crate) fn next_update(&self) -> Timestamp {
        self.this_update + VALIDITY
    }
}

/// The DER of a response of status good (RFC 6960 §4.2.1).
fn response(cert_id: &[u8], this_update: GeneralizedTime, next_update: GeneralizedTime) -> Option<Vec<u8>> {
    let single = SingleResponse {
        cert_id: rasn::der::decode(cert_id).ok()?,
        cert_status: CertStatus::Good,
        this_update,
        next_update: Some(next_update),
        single_extensions: None,
    };
    let basic = BasicOcspResponse {
        tbs_response_data: ResponseData {
            version: Integer::from(0),
            responder_id: ResponderId::ByKey(OctetString::from(vec![0; KEY_HASH])),
            produced_at: this_update,
            responses: vec![single],
            response_extensions: None,
        },
        signature_algorithm: AlgorithmIdentifier {
            algorithm: ObjectIdentifier::new(ECDSA_WITH_SHA256)?,
            parameters: None,
        },
        signature: BitString::from_vec(unverifiable()?),
        certs: None,
    };
    let bytes = ResponseBytes {
        r#type: ObjectIdentifier::new(OCSP_BASIC)?,
        response: OctetString::from(rasn::der::encode(&basic).ok()?),
    };
    rasn::der::encode(&OcspResponse { status: OcspResponseStatus::Successful, bytes: Some(bytes) }).ok()
}

/// An ECDSA signature that no key verifies: its numbers r and s are 0 (FIPS 186-5 §6.4.2).
fn unverifiable() -> Option<Vec<u8>> {
    rasn::der::encode(&vec![Integer::from(0), Integer::from(0)]).ok()
}

/// A time as a response has it: in whole seconds (RFC 5280 §4.1.2.5.2), in a year of four digits.
fn time(at: Timestamp) -> Result<GeneralizedTime, NoToken> {
    let text = Timestamp::from_unix(at.unix()).to_string();
    let digits = text.chars().filter(char::is_ascii_digit).count();
    if digits != 14 || text.starts_with('-') {
        return Err(NoToken);
    }
    GeneralizedTime::parse_from_rfc3339(&text).map_err(|_| NoToken)
}

#[cfg(test)]
mod tests {
    use stapled_core::ocsp::{CertIdHash, CertStatus, OcspResponse};

    use super::{CertId, Timestamp, VALIDITY, WithdrawalToken};

    #[test]
    fn a_token_is_a_good_response_that_ends_at_once() {
        let cert_id = CertId::new(CertIdHash::Sha1, b"name", b"key", &[0x10, 0x01]);
        let now = Timestamp::from_unix(1_800_000_000);
        let token = WithdrawalToken::new(&cert_id, now).expect("a token");
        let OcspResponse::Basic(basic) = OcspResponse::from_der(token.as_der()).expect("a response") else {
            panic!("not a basic response");
        };
        assert_eq!(basic.responses.len(), 1);
        let single = &basic.responses[0];
        assert_eq!(single.cert_id, cert_id);
        assert_eq!(single.status, CertStatus::Good);
        assert_eq!(single.this_update, now);
        assert_eq!(single.next_update, Some(now + VALIDITY));
        assert_eq!(token.cert_id().as_ref(), cert_id.to_der());
    }

    #[test]
    fn a_token_has_whole_seconds() {
        let cert_id = CertId::new(CertIdHash::Sha1, b"name", b"key", &[1]);
        let at = |milliseconds| WithdrawalToken::new(&cert_id, Timestamp::from_unix_millis(milliseconds)).unwrap();
        assert_eq!(at(1_800_000_000_000).as_der(), at(1_800_000_000_999).as_der());
    }

    #[test]
    fn a_time_that_cannot_be_written_makes_no_token() {
        let cert_id = CertId::new(CertIdHash::Sha1, b"name", b"key", &[1]);
        assert!(WithdrawalToken::new(&cert_id, Timestamp::MAX).is_err());
        assert!(WithdrawalToken::new(&cert_id, Timestamp::MIN).is_err());
    }
}
