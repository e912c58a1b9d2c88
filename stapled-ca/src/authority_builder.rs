//! Builds an authority.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::authority::{Authority, Place};
use crate::clock;
use crate::error::AuthorityError;
use crate::issue::{self, Subject};
use crate::key::Key;
use crate::key_type::KeyType;
use crate::ledger::{Kind, Ledger, MemoryLedger};
use crate::pem;
use crate::profile::{NameAttribute, Profile, Validity};
use crate::serial::Serial;
use crate::store::{self, StoreError};

/// Builds an authority.
#[derive(Debug)]
#[must_use]
pub struct AuthorityBuilder {
    profile: Profile,
    parent: Option<Authority>,
    ledger: Option<Arc<dyn Ledger>>,
}

impl Authority {
    /// Builds a self-signed authority with this common name.
    pub fn root(name: &str) -> AuthorityBuilder {
        AuthorityBuilder::new(name, None)
    }

    /// Builds an authority under this one, with this common name.
    pub fn intermediate(&self, name: &str) -> AuthorityBuilder {
        AuthorityBuilder::new(name, Some(self.clone()))
    }
}

impl AuthorityBuilder {
    fn new(name: &str, parent: Option<Authority>) -> Self {
        let profile = Profile::server(name).names([]).extended_key_usages([]).days(3650);
        Self { profile, parent, ledger: None }
    }

    /// Uses a new key of this type. Default: P-256.
    pub fn key(mut self, key_type: KeyType) -> Self {
        self.profile = self.profile.key(key_type);
        self
    }

    /// Uses an existing key.
    pub fn existing_key(mut self, key: Arc<Key>) -> Self {
        self.profile = self.profile.existing_key(key);
        self
    }

    /// Adds an organisation to the subject.
    pub fn organization(mut self, organization: &str) -> Self {
        self.profile.subject.insert(0, (NameAttribute::Organization, organization.to_owned()));
        self
    }

    /// Sets the validity. Default: ten years.
    pub fn validity(mut self, validity: Validity) -> Self {
        self.profile.validity = validity;
        self
    }

    /// Adds an OCSP URL to the authority's own certificate.
    pub fn ocsp_url(mut self, url: impl Into<String>) -> Self {
        self.profile = self.profile.ocsp_url(url);
        self
    }

    /// Adds a caIssuers URL to the authority's own certificate.
    pub fn ca_issuers_url(mut self, url: impl Into<String>) -> Self {
        self.profile = self.profile.ca_issuers_url(url);
        self
    }

    /// Adds a URL of the issuer's certificate revocation list to the authority's own certificate.
    pub fn crl_url(mut self, url: impl Into<String>) -> Self {
        self.profile = self.profile.crl_url(url);
        self
    }

    /// Sets the serial number of the authority's own certificate.
    pub fn serial(mut self, serial: Serial) -> Self {
        self.profile = self.profile.serial(serial);
        self
    }

    /// Records issued certificates in this ledger. Default: a ledger in memory.
    pub fn ledger(mut self, ledger: Arc<dyn Ledger>) -> Self {
        self.ledger = Some(ledger);
        self
    }

    /// Makes the authority in memory.
    ///
    /// # Errors
    /// When the key or the certificate cannot be made.
    pub fn create(self) -> Result<Authority, AuthorityError> {
        let (key, certificate, above) = self.certify()?;
        let ledger = self.ledger.unwrap_or_else(|| Arc::new(MemoryLedger::default()));
        Authority::assemble(key, certificate, above, Place::Memory(ledger))
    }

    /// Makes the authority in a directory, and creates the directory if necessary.
    ///
    /// # Errors
    /// When the directory has an authority, or when the key or the certificate cannot be made or written.
    pub fn create_in(self, directory: &Path) -> Result<Authority, AuthorityError> {
        let key_path = directory.join(store::CA_KEY);
        if key_path.exists() {
            return Err(StoreError::Exists { path: key_path }.into());
        }
        fs::create_dir_all(directory).map_err(|source| StoreError::Write { path: directory.to_owned(), source })?;
        let (key, certificate, above) = self.certify()?;
        store::create(&key_path, key.to_pem().as_bytes(), store::SECRET)?;
        if !above.is_empty() {
            let chain: String = above.iter().map(|der| pem::certificate(der)).collect();
            store::replace(&directory.join(store::CHAIN), chain.as_bytes(), store::READABLE)?;
        }
        let certificate_pem = pem::certificate(&certificate);
        store::replace(&directory.join(store::CA_CERTIFICATE), certificate_pem.as_bytes(), store::READABLE)?;
        Authority::open(directory)
    }

    /// The key, the certificate, and the certificates above.
    #[allow(clippy::type_complexity)]
    fn certify(&self) -> Result<(Arc<Key>, Vec<u8>, Vec<Vec<u8>>), AuthorityError> {
        match &self.parent {
            Some(parent) => {
                let issued = parent.issue_as(&self.profile, Kind::Authority, Subject::Authority)?;
                let mut above = vec![parent.certificate().to_vec()];
                above.extend(parent.above().iter().cloned());
                Ok((Arc::clone(issued.key()), issued.der, above))
            }
            None => {
                let draft = issue::Draft::new(&self.profile, clock::now(), Subject::Authority)?;
                let der = draft.self_signed()?;
                Ok((Arc::clone(draft.key()), der, Vec::new()))
            }
        }
    }
}
