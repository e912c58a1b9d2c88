//! Signers of OCSP responses.

use std::sync::Arc;

use crate::der;
use crate::hash::HashAlgorithm;
use crate::identity::IssuerIdentity;
use crate::issued::Issued;
use crate::key::Key;

/// A key that signs OCSP responses, with the certificate that clients need to verify the signature: none for the
/// issuer itself, the delegate's own for a delegate.
#[derive(Clone, Debug)]
pub struct Signer {
    pub(crate) key: Arc<Key>,
    pub(crate) identity: IssuerIdentity,
    pub(crate) certificate: Option<Vec<u8>>,
    pub(crate) not_after: i64,
    /// The ResponderID byKey, DER.
    pub(crate) by_key: Vec<u8>,
}

impl Signer {
    /// A signer with this identity, which embeds `certificate` in its responses. The caller must pass an
    /// identity, key and certificate that belong together.
    #[must_use]
    pub fn new(key: Arc<Key>, identity: IssuerIdentity, certificate: Option<Vec<u8>>) -> Self {
        // KeyHash is always SHA-1 (RFC 6960, 4.2.1), independent of the CertID's hash.
        let hash = HashAlgorithm::Sha1.digest(&identity.public_key);
        let by_key = der::explicit(2, &der::value(der::OCTET_STRING, &hash));
        Self { key, identity, certificate, not_after: i64::MAX, by_key }
    }

    /// A delegate: it signs with the key of an issued certificate, and embeds that certificate in its responses.
    #[must_use]
    pub fn delegate(issued: &Issued) -> Self {
        let signer = Self::new(Arc::clone(issued.key()), issued.identity().clone(), Some(issued.der().to_vec()));
        Self { not_after: issued.not_after(), ..signer }
    }

    /// The signer's name and public key, for the ResponderID.
    #[must_use]
    pub fn identity(&self) -> &IssuerIdentity {
        &self.identity
    }

    /// The delegate's certificate, DER; `None` for the issuer itself.
    #[must_use]
    pub fn certificate(&self) -> Option<&[u8]> {
        self.certificate.as_deref()
    }

    /// The signer's key.
    #[must_use]
    pub fn key(&self) -> &Arc<Key> {
        &self.key
    }
}
