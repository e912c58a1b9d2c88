//! The responses that a command may give HAProxy: verified staples and withdrawal tokens. There is no third kind.

use std::sync::Arc;

use bytes::Bytes;
use stapled_core::staple::Staple;

use crate::cli::withdrawal_token::WithdrawalToken;

/// A response for HAProxy.
#[derive(Clone)]
pub(crate) enum Payload {
    /// A verified response of status good.
    Staple(Box<Staple>),
    /// A response that ends stapling and that no client gets.
    Withdrawal(Arc<WithdrawalToken>),
}

impl Payload {
    /// The DER of the response.
    pub(crate) fn as_der(&self) -> &[u8] {
        match self {
            Payload::Staple(staple) => staple.response(),
            Payload::Withdrawal(token) => token.as_der(),
        }
    }

    /// The DER of the CertID that the response is about.
    pub(crate) fn cert_id(&self) -> Bytes {
        match self {
            Payload::Staple(staple) => staple.facts().cert_id.to_der().into(),
            Payload::Withdrawal(token) => token.cert_id().clone(),
        }
    }
}
