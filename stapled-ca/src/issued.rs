//! Issued certificates, with key and chain.

use std::path::Path;
use std::sync::Arc;

use crate::identity::IssuerIdentity;
use crate::key::Key;
use crate::pem;
use crate::serial::Serial;
use crate::store::{self, StoreError};

/// An issued certificate with its key and the certificates of its issuers.
#[derive(Clone, Debug)]
pub struct Issued {
    pub(crate) der: Vec<u8>,
    pub(crate) chain: Vec<Vec<u8>>,
    pub(crate) key: Arc<Key>,
    pub(crate) identity: IssuerIdentity,
    pub(crate) serial: Serial,
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
}

impl Issued {
    /// The certificate, DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The certificate, PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        pem::certificate(&self.der)
    }

    /// The certificates of the issuer and of the authorities above it, DER, nearest first. The issuer is always
    /// included, because a stapler needs it. A root above the issuer is not.
    #[must_use]
    pub fn chain(&self) -> &[Vec<u8>] {
        &self.chain
    }

    /// [`Issued::chain`], PEM.
    #[must_use]
    pub fn chain_pem(&self) -> String {
        self.chain.iter().map(|der| pem::certificate(der)).collect()
    }

    /// The issuer's certificate, PEM.
    #[must_use]
    pub fn issuer_pem(&self) -> String {
        self.chain.first().map(|der| pem::certificate(der)).unwrap_or_default()
    }

    /// The private key, PKCS#8 PEM.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.key.to_pem()
    }

    /// The private key.
    #[must_use]
    pub fn key(&self) -> &Arc<Key> {
        &self.key
    }

    /// Certificate, chain and private key in one PEM text, as `crt` of HAProxy takes it.
    #[must_use]
    pub fn bundle_pem(&self) -> String {
        format!("{}{}{}", self.certificate_pem(), self.chain_pem(), self.key_pem())
    }

    /// Writes [`Issued::bundle_pem`] to a file with mode 0600, atomically.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_bundle(&self, path: &Path) -> Result<(), StoreError> {
        store::replace(path, self.bundle_pem().as_bytes(), store::SECRET)
    }

    /// The serial number.
    #[must_use]
    pub fn serial(&self) -> &Serial {
        &self.serial
    }

    /// The subject's name and public key.
    #[must_use]
    pub fn identity(&self) -> &IssuerIdentity {
        &self.identity
    }

    /// The first second of the validity, Unix.
    #[must_use]
    pub fn not_before(&self) -> i64 {
        self.not_before
    }

    /// The last second of the validity, Unix.
    #[must_use]
    pub fn not_after(&self) -> i64 {
        self.not_after
    }
}
