//! Who signs.

use std::sync::Arc;

use crate::issued::Issued;
use crate::key::Key;
use crate::ocsp::IssuerIdentity;

/// A key that signs OCSP responses, and the certificate that clients need for
/// it: none for the issuer itself, its own for a delegate.
#[derive(Clone, Debug)]
pub struct Signer {
    pub(crate) key: Arc<Key>,
    pub(crate) identity: IssuerIdentity,
    pub(crate) certificate: Option<Vec<u8>>,
    pub(crate) not_after: i64,
}

impl Signer {
    /// A signer that calls itself by `identity` and embeds `certificate`, if
    /// given. Nothing checks that the three belong together.
    #[must_use]
    pub fn new(key: Arc<Key>, identity: IssuerIdentity, certificate: Option<Vec<u8>>) -> Self {
        Self { key, identity, certificate, not_after: i64::MAX }
    }

    /// A delegate: an issued certificate that signs under its own name and is
    /// embedded in every response.
    #[must_use]
    pub fn delegate(issued: &Issued) -> Self {
        Self {
            key: Arc::clone(issued.key()),
            identity: issued.identity().clone(),
            certificate: Some(issued.der().to_vec()),
            not_after: issued.not_after(),
        }
    }

    /// The signer's name and public key.
    #[must_use]
    pub fn identity(&self) -> &IssuerIdentity {
        &self.identity
    }

    /// The delegate's certificate, DER; `None` for the issuer itself.
    #[must_use]
    pub fn certificate(&self) -> Option<&[u8]> {
        self.certificate.as_deref()
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &Arc<Key> {
        &self.key
    }
}
