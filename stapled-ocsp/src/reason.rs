//! Reason codes: the stable words for what happened, the same in logs, metrics, JSON and hooks.
//!
//! # Of a judgement
//!
//! Why a response was not believed, from [`Refusal::code`](crate::staple::Refusal::code), or why a certificate and its
//! issuer make no [chain](crate::chain::ChainError::code). `stapled verify` tells them, and the daemon when it renews.
//!
//! | code | what is wrong | what to do |
//! |---|---|---|
//! | `malformed` | Not one strict DER response, or a certificate that is needed cannot be read; field and value are told. What came instead, such as a web page, is told with its first bytes. | Look at the bytes (`stapled inspect`); a proxy or an error page may have answered. |
//! | `too_large` | More bytes than are looked at, or than a staple may have without the certificates that no client needs; or more certificates in it that could be the signer's than are checked. | Ask the CA; no TLS client wants such a staple. |
//! | `error_status:malformed_request` | The responder says that it cannot read the question. | Ask with another hash or without a nonce. |
//! | `error_status:internal_error` | The responder says that it failed. | Wait; tell the CA. |
//! | `error_status:try_later` | The responder asks for patience. | Wait. |
//! | `error_status:sig_required` | The responder wants signed questions. | There are none here: tell the CA. |
//! | `error_status:unauthorized` | The responder does not speak for this certificate, or not yet. | Wait, where the certificate is new; ask with another hash; tell the CA. |
//! | `unsupported_response_type` | Not of the type id-pkix-ocsp-basic. | Tell the CA. |
//! | `unsupported_version` | Not of version 1. | Tell the CA. |
//! | `unsupported_algorithm` | Signed, as the response or the certificate itself is, with an algorithm that is not supported here, or that does not fit the signer's key. | Tell the CA. |
//! | `weak_signature` | Signed with SHA-1, or by a delegate that was certified with it; all else is right. | Tell the CA, or allow it (`--allow-sha1`). |
//! | `weak_key` | Signed with an RSA key of fewer than 2048 bits, or by a delegate certified with one; all else is right. | Tell the CA, or allow it (`--allow-weak-keys`). |
//! | `bad_signature` | The signature is not the named signer's. | The response was changed, or is a forgery. |
//! | `responder_cert_missing` | Whoever signed is neither the issuer nor embedded in the response. | Look whether the issuer is the right one; tell the CA. |
//! | `responder_id_mismatch` | The responderID names somebody else than the embedded certificates. | Tell the CA. |
//! | `responder_missing_eku` | The signer's certificate lacks id-kp-OCSPSigning. | Tell the CA; any of its customers could have signed. |
//! | `responder_wrong_issuer` | The signer was not certified by the certificate's own issuer. | Look whether the issuer is the right one; tell the CA. |
//! | `responder_cert_not_yet_valid` | The validity of the signer's certificate has not begun. | Look at the clock; tell the CA. |
//! | `responder_cert_expired` | The validity of the signer's certificate is over. | Look at the clock; tell the CA. |
//! | `responder_key_usage` | The signer's keyUsage has neither digitalSignature nor nonRepudiation. | Tell the CA. |
//! | `wrong_issuer` | The response is about this serial number of another issuer; or the certificate was not issued by the issuer that was given. | Look whether the issuer is the right one. |
//! | `no_matching_certid` | The response says nothing about this certificate. | It is another certificate's response. |
//! | `conflicting_responses` | The response says several things about this certificate. | Tell the CA. |
//! | `not_yet_valid` | thisUpdate lies ahead. | Look at the clock; allow more (`--clock-skew`). |
//! | `expired` | nextUpdate is past. | Look at the clock; the responder, or a cache before it, is behind. |
//! | `missing_next_update` | There is no nextUpdate, so nobody knows how long it holds. | Tell the CA, or allow it (`--allow-missing-next-update`). |
//! | `bad_times` | nextUpdate is not after thisUpdate. | Tell the CA. |
//! | `nonce_mismatch` | It answers another question. | A cache has answered, or somebody who replays. |
//! | `unhandled_critical_extension` | Something in it must be understood, and is not understood here. | Tell the CA. |
//!
//! The other codes stand with what they tell of: [`FetchError`](crate::exchange::FetchError), and in `stapled-core` the
//! errors of sinks and the kinds of events.

use std::fmt;

/// A stable, documented word for one outcome, such as `bad_signature`.
///
/// Codes are lower case with underscores; one colon may set off a detail, as in `error_status:try_later`. A code never
/// changes its meaning; new ones are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReasonCode(&'static str);

impl ReasonCode {
    /// A code, for sinks, sources and fetchers outside of this crate.
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
