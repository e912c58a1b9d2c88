//! The authority: its key, its certificate, and what it issued.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use x509_parser::prelude::FromDer as _;

use crate::clock;
use crate::error::AuthorityError;
use crate::hash::HashAlgorithm;
use crate::identity::IssuerIdentity;
use crate::issue::{self, Subject};
use crate::issued::Issued;
use crate::key::Key;
use crate::key_type::KeyType;
use crate::ledger::{Changes, Kind, Ledger, Reason, Record, Status};
use crate::ledger_file::LedgerFile;
use crate::ocsp::{CertId, Signer};
use crate::old_ledger;
use crate::pem;
use crate::profile::Profile;
use crate::serial::Serial;
use crate::store::{self, StoreError};

/// A certificate authority. Clones share one state: a certificate that one clone issues or revokes is known to all.
///
/// ```
/// use stapled_ca::{Authority, KeyType, Profile};
///
/// let root = Authority::root("Example Root").create()?;
/// let ca = root.intermediate("Example CA").key(KeyType::EcdsaP384).create()?;
/// let issued = ca.issue(&Profile::server("example.org").must_staple(true))?;
/// assert!(issued.bundle_pem().contains("PRIVATE KEY"));
/// # Ok::<(), stapled_ca::AuthorityError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Authority {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    key: Arc<Key>,
    certificate: Vec<u8>,
    above: Vec<Vec<u8>>,
    identity: IssuerIdentity,
    name: String,
    not_after: i64,
    ledger: Arc<dyn Ledger>,
    ledger_file: Option<Arc<LedgerFile>>,
    directory: Option<PathBuf>,
}

impl Authority {
    /// Opens the authority in `directory` (see [`crate::store`]). Records of an earlier version, which kept them in
    /// `DIR/issued`, are entered into the ledger.
    ///
    /// # Errors
    /// When the directory has no authority, or its key and certificate do not belong together.
    pub fn open(directory: &Path) -> Result<Self, AuthorityError> {
        let key_path = directory.join(store::CA_KEY);
        let certificate_path = directory.join(store::CA_CERTIFICATE);
        let certificate = first_certificate(&certificate_path)?;
        let key = read_key(&key_path)?;
        let chain_path = directory.join(store::CHAIN);
        let above = if chain_path.exists() { pem::certificates(&store::read(&chain_path)?) } else { Vec::new() };
        let ledger = Place::Directory(directory.to_owned(), Arc::new(old_ledger::open(directory)?));
        let authority = Self::assemble(Arc::new(key), certificate, above, ledger)?;
        if authority.inner.identity.public_key != authority.inner.key.public_key() {
            return Err(AuthorityError::NotAPair { path: key_path });
        }
        Ok(authority)
    }

    /// Issues a certificate and records it in the ledger.
    ///
    /// # Errors
    /// When no certificate can be made from the profile, or the ledger cannot be written.
    pub fn issue(&self, profile: &Profile) -> Result<Issued, AuthorityError> {
        let kind = if profile.no_check { Kind::Responder } else { Kind::EndEntity };
        self.issue_as(profile, kind, Subject::EndEntity)
    }

    /// Issues a certificate for a delegated OCSP responder, and returns the responder's signer.
    ///
    /// # Errors
    /// The same as those of [`Authority::issue`].
    pub fn delegate(&self, key_type: KeyType) -> Result<Signer, AuthorityError> {
        let profile = Profile::ocsp_responder(&format!("{} OCSP Responder", self.name())).key(key_type);
        Ok(Signer::delegate(&self.issue(&profile)?))
    }

    /// Revokes a certificate now.
    ///
    /// # Errors
    /// When this authority never issued the certificate, or the ledger cannot be written.
    pub fn revoke(&self, serial: &Serial, reason: Option<Reason>) -> Result<Record, AuthorityError> {
        self.set_status(serial, Status::Revoked { at: clock::now(), reason })
    }

    /// Sets the status of a certificate: for a revocation in the past, or for the end of a certificateHold.
    ///
    /// # Errors
    /// When this authority never issued the certificate, or the ledger cannot be written.
    pub fn set_status(&self, serial: &Serial, status: Status) -> Result<Record, AuthorityError> {
        Ok(self.inner.ledger.set_status(serial, status)?)
    }

    /// The present status of a certificate; `None` when this authority never issued it.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn status(&self, serial: &Serial) -> Result<Option<Status>, StoreError> {
        self.inner.ledger.status(serial)
    }

    /// The records of all issued certificates, sorted by serial number.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn records(&self) -> Result<Vec<Record>, StoreError> {
        self.inner.ledger.records()
    }

    /// At most `most` records that changed after a position of the ledger.
    pub(crate) fn changes(&self, position: usize, most: usize) -> Result<Changes, StoreError> {
        self.inner.ledger.changes(position, most)
    }

    /// The number of the next certificate revocation list, and the records that it has to name.
    pub(crate) fn number_crl(&self, this_update: i64) -> Result<(u64, Vec<Record>), StoreError> {
        self.inner.ledger.number_crl(this_update)
    }

    /// The authority as a signer of its OCSP responses.
    #[must_use]
    pub fn signer(&self) -> Signer {
        Signer {
            not_after: self.inner.not_after,
            ..Signer::new(Arc::clone(&self.inner.key), self.inner.identity.clone(), None)
        }
    }

    /// The common name; the whole subject when there is none.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The authority's name and public key, which CertIDs hash.
    #[must_use]
    pub fn identity(&self) -> &IssuerIdentity {
        &self.inner.identity
    }

    /// The CertID of a certificate of this authority.
    #[must_use]
    pub fn cert_id(&self, serial: &Serial, hash: HashAlgorithm) -> CertId {
        CertId::new(&self.inner.identity, serial, hash)
    }

    /// The authority's key.
    #[must_use]
    pub fn key(&self) -> &Arc<Key> {
        &self.inner.key
    }

    /// The authority's certificate, DER.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        &self.inner.certificate
    }

    /// The authority's certificate, PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        pem::certificate(&self.inner.certificate)
    }

    /// The certificates above the authority, DER, nearest first, root last; empty for a root.
    #[must_use]
    pub fn above(&self) -> &[Vec<u8>] {
        &self.inner.above
    }

    /// The root's certificate, PEM: the one that clients trust.
    #[must_use]
    pub fn root_pem(&self) -> String {
        pem::certificate(self.inner.above.last().unwrap_or(&self.inner.certificate))
    }

    /// Whether the authority is a root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.inner.above.is_empty()
    }

    /// The last second of the authority's own validity, Unix.
    #[must_use]
    pub fn not_after(&self) -> i64 {
        self.inner.not_after
    }

    /// The authority's directory; `None` when it is in memory only.
    #[must_use]
    pub fn directory(&self) -> Option<&Path> {
        self.inner.directory.as_deref()
    }

    /// The ledger of an authority in a directory; `None` when the authority is in memory only.
    #[must_use]
    pub fn ledger_file(&self) -> Option<&Arc<LedgerFile>> {
        self.inner.ledger_file.as_ref()
    }

    /// Signs the certificate of this profile for the key of a certificate request (SubjectPublicKeyInfo, DER). The ledger of
    /// the authority does not record it. The contents depend on the profile alone: a profile with its serial number and times
    /// gives the same certificate again.
    pub(crate) fn sign_request(
        &self,
        profile: &Profile,
        public_key: &[u8],
        is_rsa: bool,
    ) -> Result<Vec<u8>, AuthorityError> {
        let issuer = rcgen::Issuer::from_ca_cert_der(&self.certificate().into(), &*self.inner.key)?;
        issue::for_request(profile, clock::now(), public_key, is_rsa, &issuer)
    }

    /// Issues a certificate of this kind.
    pub(crate) fn issue_as(&self, profile: &Profile, kind: Kind, subject: Subject) -> Result<Issued, AuthorityError> {
        let issuer = rcgen::Issuer::from_ca_cert_der(&self.certificate().into(), &*self.inner.key)?;
        let draft = issue::Draft::new(profile, clock::now(), subject)?;
        let der = draft.signed_by(&issuer)?;
        self.inner.ledger.add(draft.record(kind), &der)?;
        let mut chain = vec![self.certificate().to_vec()];
        // Without the root: a client has it, or does not trust it.
        chain.extend(self.inner.above.split_last().map_or(&[][..], |(_, below)| below).iter().cloned());
        draft.issued(der, chain)
    }

    /// The authority of a key and its certificate.
    pub(crate) fn assemble(
        key: Arc<Key>,
        certificate: Vec<u8>,
        above: Vec<Vec<u8>>,
        place: Place,
    ) -> Result<Self, AuthorityError> {
        let identity = IssuerIdentity::from_certificate(&certificate).ok_or(AuthorityError::Unreadable)?;
        let not_after = issue::not_after(&certificate).ok_or(AuthorityError::Unreadable)?;
        let name = display_name(&certificate).ok_or(AuthorityError::Unreadable)?;
        let (ledger, ledger_file, directory): (Arc<dyn Ledger>, _, _) = match place {
            Place::Memory(ledger) => (ledger, None, None),
            Place::Directory(directory, file) => (Arc::<LedgerFile>::clone(&file), Some(file), Some(directory)),
        };
        let inner = Inner { key, certificate, above, identity, name, not_after, ledger, ledger_file, directory };
        Ok(Self { inner: Arc::new(inner) })
    }
}

/// Where an authority is.
pub(crate) enum Place {
    /// In memory, with this ledger.
    Memory(Arc<dyn Ledger>),
    /// In a directory, with its ledger.
    Directory(PathBuf, Arc<LedgerFile>),
}

impl From<&Authority> for Signer {
    fn from(authority: &Authority) -> Self {
        authority.signer()
    }
}

/// The common name of a certificate; its whole subject when there is none.
pub(crate) fn display_name(certificate: &[u8]) -> Option<String> {
    let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(certificate).ok()?;
    let common_name = parsed.subject().iter_common_name().find_map(|name| name.as_str().ok());
    Some(common_name.map_or_else(|| parsed.subject().to_string(), str::to_owned))
}

pub(crate) fn first_certificate(path: &Path) -> Result<Vec<u8>, AuthorityError> {
    let found = pem::certificates(&store::read(path)?).into_iter().next();
    found.ok_or_else(|| AuthorityError::NoCertificate { path: path.to_owned() })
}

fn read_key(path: &Path) -> Result<Key, AuthorityError> {
    Key::from_pem(&store::read(path)?).map_err(|source| AuthorityError::KeyFile { path: path.to_owned(), source })
}
