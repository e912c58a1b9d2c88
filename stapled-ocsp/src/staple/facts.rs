//! The contents of a judged response.

use std::sync::Arc;
use std::time::Duration;

use crate::ocsp::CertId;
use crate::time::Timestamp;

/// The contents of a judged response.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Facts {
    /// The time at which the response was signed.
    pub produced_at: Timestamp,
    /// The time at which the status was known to be correct.
    pub this_update: Timestamp,
    /// The time at or before which newer information will be available.
    pub next_update: Option<Timestamp>,
    /// The signer's name.
    pub responder: Arc<str>,
    /// Whether the signer is a delegate of the issuer rather than the issuer itself.
    pub delegated: bool,
    /// The end of the signer's own validity, for a delegate.
    pub responder_not_after: Option<Timestamp>,
    /// The name of the signature's algorithm, such as `ecdsa-with-SHA256`.
    pub signature_algorithm: &'static str,
    /// The CertID of the answer, as the responder spelled it.
    pub cert_id: CertId,
    /// The number of SingleResponses in the response.
    pub single_responses: u32,
    /// Whether the signer's certificate is not in the response, so that clients could not verify the response.
    pub foreign_delegate: bool,
    /// Oddities of the response that do not make it invalid, as messages.
    pub warnings: Box<[String]>,
}

impl Facts {
    /// The instant from which servers must not send the response any more: nextUpdate, or the end of the validity of the
    /// delegate that signed it, whichever is sooner. A response without nextUpdate expires one day after thisUpdate.
    pub fn expires(&self) -> Timestamp {
        let next_update = self.next_update.unwrap_or(self.this_update + Duration::from_secs(86_400));
        self.responder_not_after.map_or(next_update, |end| next_update.min(end))
    }
}
