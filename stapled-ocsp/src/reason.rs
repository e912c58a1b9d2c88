//! Reason codes: stable words for outcomes, the same in logs, metrics, JSON and hooks.
//!
//! # Codes of a judgement
//!
//! A [refusal](crate::staple::Refusal::code) has one of these codes. So has a certificate that makes no
//! [chain](crate::chain::ChainError::code) with its issuer. `stapled verify` reports the codes, and so does the daemon
//! when it renews.
//!
//! | code | meaning | remedy |
//! |---|---|---|
//! | `malformed` | The bytes are not one strict DER response, or a certificate that is needed cannot be read. The message names the field and its value, or shows the first bytes of other content, such as a web page. | Look at the bytes (`stapled inspect`); a proxy or an error page may have answered. |
//! | `too_large` | The response, or the staple made from it, is larger than the limit; or too many certificates in it fit the responderID. | Ask the CA; no TLS client wants such a staple. |
//! | `error_status:malformed_request` | The responder cannot read the request. | Ask with another hash or without a nonce. |
//! | `error_status:internal_error` | The responder failed. | Wait; tell the CA. |
//! | `error_status:try_later` | The responder cannot answer now. | Wait. |
//! | `error_status:sig_required` | The responder wants signed requests. | Signed requests are not supported: tell the CA. |
//! | `error_status:unauthorized` | The responder does not answer for this certificate, or not yet. | Wait if the certificate is new; ask with another hash; tell the CA. |
//! | `unsupported_response_type` | The response is not of the type id-pkix-ocsp-basic. | Tell the CA. |
//! | `unsupported_version` | The response is not of version 1. | Tell the CA. |
//! | `unsupported_algorithm` | The signature algorithm of the response, of the responder's certificate or of the certificate itself is not supported, or does not fit the signer's key. | Tell the CA. |
//! | `weak_signature` | The response or the responder's certificate is signed with SHA-1. Nothing else is wrong. | Tell the CA, or allow such signatures (`--allow-sha1`). |
//! | `weak_key` | The response or the responder's certificate is signed with an RSA key of fewer than 2048 bits. Nothing else is wrong. | Tell the CA, or allow such keys (`--allow-weak-keys`). |
//! | `bad_signature` | The signature does not verify with the signer's key. | The response was changed or forged. |
//! | `responder_cert_missing` | The signer is not the issuer, and the response has no certificate of the signer. | Check the issuer; tell the CA. |
//! | `responder_id_mismatch` | The responderID names none of the certificates in the response. | Tell the CA. |
//! | `responder_missing_eku` | The signer's certificate lacks id-kp-OCSPSigning. | Tell the CA; any of its customers could have signed. |
//! | `responder_wrong_issuer` | The signer's certificate was not issued by the certificate's issuer. | Check the issuer; tell the CA. |
//! | `responder_cert_not_yet_valid` | The signer's certificate is not valid yet. | Check the clock; tell the CA. |
//! | `responder_cert_expired` | The signer's certificate has expired. | Check the clock; tell the CA. |
//! | `responder_key_usage` | The keyUsage of the signer's certificate has neither digitalSignature nor nonRepudiation. | Tell the CA. |
//! | `wrong_issuer` | The response is about the same serial number of another issuer, or the given issuer did not issue the certificate. | Check the issuer. |
//! | `no_matching_certid` | The response has no answer about this certificate. | The response is for another certificate. |
//! | `conflicting_responses` | The response has several answers about this certificate, with different statuses. | Tell the CA. |
//! | `not_yet_valid` | thisUpdate is in the future. | Check the clock; allow a larger difference (`--clock-skew`). |
//! | `expired` | nextUpdate is past. | Check the clock; the responder, or a cache before it, is behind. |
//! | `missing_next_update` | The response has no nextUpdate, so it has no end of validity. | Tell the CA, or allow such responses (`--allow-missing-next-update`). |
//! | `bad_times` | nextUpdate is not after thisUpdate. | Tell the CA. |
//! | `nonce_mismatch` | The nonce of the response differs from that of the request. | A cache answered, or the response is replayed. |
//! | `unhandled_critical_extension` | A critical extension is not supported. | Tell the CA. |
//!
//! The other codes are documented with their errors and events: [`FetchError`](crate::exchange::FetchError), and in
//! `stapled-core` the errors of sinks and the kinds of events.

use std::fmt;

/// A stable, documented word for one outcome, such as `bad_signature`.
///
/// Codes are lower case with underscores; one colon may set off a detail, as in `error_status:try_later`. A code never
/// changes its meaning. Later versions may add codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReasonCode(&'static str);

impl ReasonCode {
    /// Makes a code, for sinks, sources and fetchers outside of this crate.
    pub const fn new(code: &'static str) -> Self {
        ReasonCode(code)
    }

    /// The code as text.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
