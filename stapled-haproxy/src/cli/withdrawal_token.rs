//! The withdrawal token: a response that takes a staple out of service.
//!
//! HAProxy has no command that removes a staple. It stops stapling a response 300 s before its nextUpdate, and it accepts
//! any response for a certificate that it knows. A response that ends in a minute is therefore never stapled, and
//! replaces the staple. The token is such a response. It is not a [`Staple`](stapled_core::staple::Staple) and cannot
//! become one: its key is made for this process and trusted by no client, so a client that received the token would
//! reject it.

use std::sync::OnceLock;
use std::time::Duration;

use aws_lc_rs::digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use bytes::Bytes;
use stapled_core::ocsp::CertId;
use stapled_core::time::Timestamp;

/// The life of a token: well below the 300 s in which HAProxy does not staple, well above the time of its transport.
const VALIDITY: Duration = Duration::from_secs(60);

const OID: u8 = 0x06;
const ENUMERATED: u8 = 0x0a;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;

/// id-pkix-ocsp-basic, 1.3.6.1.5.5.7.48.1.1.
const OCSP_BASIC: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01];
/// ecdsa-with-SHA256, 1.2.840.10045.4.3.2.
const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

/// A response about a certificate that HAProxy accepts and does not staple.
#[derive(Debug)]
pub(crate) struct WithdrawalToken {
    der: Vec<u8>,
    cert_id: Bytes,
    this_update: Timestamp,
}

/// A token cannot be made: the system has no randomness, or the time cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no withdrawal token can be made: no randomness, or a time that cannot be written")]
pub(crate) struct NoToken;

impl WithdrawalToken {
    /// A token for the certificate with this CertID, made at this time.
    pub(crate) fn new(cert_id: &CertId, now: Timestamp) -> Result<Self, NoToken> {
        let key = key()?;
        let this_update = generalized_time(now)?;
        // SingleResponse: CertID, [0] good, thisUpdate, [0] nextUpdate (RFC 6960 §4.2.1).
        let cert_id = cert_id.to_der();
        let mut single = cert_id.clone();
        single.extend(element(0x80, &[]));
        single.extend(&this_update);
        single.extend(element(0xa0, &generalized_time(now + VALIDITY)?));
        // ResponseData: [2] byKey, producedAt, responses.
        let key_hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, key.public_key().as_ref());
        let mut data = element(0xa2, &element(OCTET_STRING, key_hash.as_ref()));
        data.extend(&this_update);
        data.extend(element(SEQUENCE, &element(SEQUENCE, &single)));
        let data = element(SEQUENCE, &data);

        let signature = key.sign(&SystemRandom::new(), &data).map_err(|_| NoToken)?;
        let mut bits = vec![0];
        bits.extend(signature.as_ref());
        let mut basic = data;
        basic.extend(element(SEQUENCE, &element(OID, ECDSA_WITH_SHA256)));
        basic.extend(element(BIT_STRING, &bits));
        let mut body = element(OID, OCSP_BASIC);
        body.extend(element(OCTET_STRING, &element(SEQUENCE, &basic)));
        let mut response = element(ENUMERATED, &[0]);
        response.extend(element(0xa0, &element(SEQUENCE, &body)));
        Ok(WithdrawalToken { der: element(SEQUENCE, &response), cert_id: cert_id.into(), this_update: now })
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

/// The key of this process for its tokens.
fn key() -> Result<&'static EcdsaKeyPair, NoToken> {
    static KEY: OnceLock<Option<EcdsaKeyPair>> = OnceLock::new();
    KEY.get_or_init(|| EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).ok()).as_ref().ok_or(NoToken)
}

/// `YYYYMMDDHHMMSSZ` (RFC 5280 §4.1.2.5.2).
fn generalized_time(at: Timestamp) -> Result<Vec<u8>, NoToken> {
    let text = at.to_string();
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    if digits.len() != 14 || !text.ends_with('Z') || text.starts_with('-') {
        return Err(NoToken);
    }
    Ok(element(GENERALIZED_TIME, format!("{digits}Z").as_bytes()))
}

/// One DER element.
fn element(tag: u8, contents: &[u8]) -> Vec<u8> {
    let mut der = vec![tag];
    match u8::try_from(contents.len()) {
        Ok(length) if length < 0x80 => der.push(length),
        _ => {
            let length: Vec<u8> = contents.len().to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
            // At most eight bytes: a length of lengths below 0x80.
            der.push(0x80 | u8::try_from(length.len()).unwrap_or_default());
            der.extend(length);
        }
    }
    der.extend(contents);
    der
}

#[cfg(test)]
mod tests {
    use super::*;
    use stapled_core::ocsp::{CertIdHash, CertStatus, OcspResponse};

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
    }

    #[test]
    fn a_time_that_cannot_be_written_makes_no_token() {
        let cert_id = CertId::new(CertIdHash::Sha1, b"name", b"key", &[1]);
        assert!(WithdrawalToken::new(&cert_id, Timestamp::MAX).is_err());
        assert!(WithdrawalToken::new(&cert_id, Timestamp::MIN).is_err());
    }

    #[test]
    fn lengths_are_shortest() {
        assert_eq!(element(4, &[0; 127])[..2], [4, 127]);
        assert_eq!(element(4, &[0; 128])[..3], [4, 0x81, 128]);
        assert_eq!(element(4, &[0; 256])[..4], [4, 0x82, 1, 0]);
    }
}
