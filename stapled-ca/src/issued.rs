//! A certificate that was issued, with all that belongs to it.

use std::path::Path;
use std::sync::Arc;

use crate::key::Key;
use crate::ocsp::IssuerIdentity;
use crate::pem;
use crate::serial::Serial;
use crate::store::{self, StoreError};

/// An issued certificate, its key, and the certificates above it.
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
        pem::encode("CERTIFICATE", &self.der)
    }

    /// The issuer's certificate and those above it, DER, nearest first. The
    /// issuer is always in, for a stapler needs it; a root above it is not.
    #[must_use]
    pub fn chain(&self) -> &[Vec<u8>] {
        &self.chain
    }

    /// [`Issued::chain`] in PEM.
    #[must_use]
    pub fn chain_pem(&self) -> String {
        self.chain.iter().map(|der| pem::encode("CERTIFICATE", der)).collect()
    }

    /// The issuer's certificate, PEM.
    #[must_use]
    pub fn issuer_pem(&self) -> String {
        self.chain.first().map(|der| pem::encode("CERTIFICATE", der)).unwrap_or_default()
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

    /// Certificate, chain and private key in one PEM text, as HAProxy's `crt`
    /// takes it.
    #[must_use]
    pub fn bundle_pem(&self) -> String {
        format!("{}{}{}", self.certificate_pem(), self.chain_pem(), self.key_pem())
    }

    /// Writes [`Issued::bundle_pem`] with mode 0600, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_bundle(&self, path: &Path) -> Result<(), StoreError> {
        store::replace(path, self.bundle_pem().as_bytes(), store::SECRET)
    }

    /// The serial number.
    #[must_use]
    pub fn serial(&self) -> &Serial {
        &self.serial
    }

    /// Subject name and public key.
    #[must_use]
    pub fn identity(&self) -> &IssuerIdentity {
        &self.identity
    }

    /// First second of the validity, Unix.
    #[must_use]
    pub fn not_before(&self) -> i64 {
        self.not_before
    }

    /// Last second of the validity, Unix.
    #[must_use]
    pub fn not_after(&self) -> i64 {
        self.not_after
    }
}
