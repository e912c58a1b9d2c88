//! A staple for a certificate of which only the issuer and the serial number are known.

use std::fmt;

use bytes::Bytes;

use super::facts::Facts;
use crate::chain::named::NamedCertificate;
use crate::time::Timestamp;

/// A response that was verified for a certificate of which only the issuer and the serial number are known, with the status
/// `good`. The rules are those of a [`Staple`](super::Staple); what only the certificate itself says, such as its validity,
/// is not checked.
///
/// Only a [`Judge`](super::Judge) makes it.
#[derive(Clone)]
pub struct NamedStaple {
    pub(super) certificate: NamedCertificate,
    pub(super) response: Bytes,
    pub(super) facts: Facts,
}

impl NamedStaple {
    /// The certificate that the staple is for.
    pub fn certificate(&self) -> &NamedCertificate {
        &self.certificate
    }

    /// The bytes for clients, as those of a [`Staple`](super::Staple).
    pub fn response(&self) -> &Bytes {
        &self.response
    }

    /// The contents of the response.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The instant from which servers must not send the staple any more, as that of a [`Staple`](super::Staple).
    pub fn expires(&self) -> Timestamp {
        self.facts.expires()
    }
}

impl fmt::Debug for NamedStaple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamedStaple").field("certificate", &self.certificate).field("facts", &self.facts).finish()
    }
}
