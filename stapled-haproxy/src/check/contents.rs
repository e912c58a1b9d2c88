//! The contents of a certificate's file and of the files around it. Private keys are skipped, and the bytes that were read
//! are wiped.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rustix::fs::Access;
use stapled_core::bundle::{Bundle, BundleError};
use stapled_core::certificate::Certificate;
use stapled_core::io::certificate_file::{Around, ChainReader, ReadError, read_file};
use stapled_core::io::file::{WriteFault, read_existing};
use stapled_core::lookup::search::Surroundings;
use stapled_core::reason::ReasonCode;
use stapled_core::source::{Material, Sighting};

use super::problem::{CertificateProblem, Unreadable};

/// The contents of a certificate's file and of the files around it.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// The file's certificates.
    pub(super) certificates: Vec<Arc<Certificate>>,
    /// The place among them of the one that a server would present.
    presented: Option<usize>,
    /// What is wrong with the first of them that cannot be read.
    pub(super) broken: Option<BundleError>,
    /// What lies where HAProxy looks for the issuer.
    pub(super) around: Around,
    pub(super) staple: StapleFile,
    /// Why no file can be made beside the staple's, as far as can be seen.
    pub(super) unwritable: Option<Unwritable>,
}

/// The file that HAProxy looks in for a staple when it starts.
#[derive(Debug, Default)]
pub(super) enum StapleFile {
    /// It looks nowhere, or there is no such file.
    #[default]
    Absent,
    Bytes(Bytes),
    /// Why it cannot be read.
    Unreadable(String),
}

/// A directory in which this user can make no file.
#[derive(Clone, Debug)]
pub(super) struct Unwritable {
    pub(super) directory: PathBuf,
    pub(super) code: ReasonCode,
    pub(super) error: String,
}

/// Reads files. A certificate that many files have in common is kept once.
#[derive(Debug, Default)]
pub(super) struct Reader {
    authorities: Mutex<HashMap<[u8; 32], Arc<Certificate>>>,
    chains: ChainReader,
}

impl Reader {
    /// Reads the place that a source saw, and the file of its staple. Blocks.
    pub(super) fn read(
        &self,
        sighting: &Sighting,
        staple_path: Option<&Path>,
    ) -> Result<Contents, Box<CertificateProblem>> {
        let staple = staple_path.map(read_staple).unwrap_or_default();
        match &sighting.material {
            Material::Bytes(bytes) => Ok(Contents { staple, ..self.take(sighting, bytes, "the certificate")? }),
            Material::File(path) => {
                let name = path.display().to_string();
                let bytes = read_file(path).map_err(|error| unreadable(&name, error))?;
                let contents = self.take(sighting, &bytes, &name)?;
                let unwritable = staple_path.and_then(Path::parent).and_then(unwritable);
                let around = Around::read(path, sighting, &self.chains, |certificate| self.shared(certificate));
                Ok(Contents { around, staple, unwritable, ..contents })
            }
            _ => Err(Box::new(CertificateProblem::Unreadable {
                certificate: sighting.name.to_string(),
                why: Unreadable::NowhereToRead,
            })),
        }
    }

    fn take(&self, sighting: &Sighting, bytes: &[u8], name: &str) -> Result<Contents, Box<CertificateProblem>> {
        let bundle = Bundle::read(bytes).map_err(|error| match error {
            BundleError::NoCertificate | BundleError::OtherKind { .. } => {
                CertificateProblem::NoCertificate { file: name.to_owned(), error, is_wanted: true }
            }
            error => CertificateProblem::Malformed { file: name.to_owned(), error },
        })?;
        let presented = bundle.certificates.iter().position(|one| Some(one) == sighting.end_entity(&bundle));
        let certificates = bundle.certificates.into_iter().map(|certificate| self.shared(certificate)).collect();
        let broken = bundle.broken.into_iter().next().map(|(_, error)| error);
        Ok(Contents { certificates, presented, broken, ..Contents::default() })
    }

    /// One copy of each authority's certificate, which lies in thousands of files.
    fn shared(&self, certificate: Certificate) -> Arc<Certificate> {
        if !certificate.is_ca() {
            return Arc::new(certificate);
        }
        let mut authorities = self.authorities.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(authorities.entry(certificate.fingerprint()).or_insert_with(|| Arc::new(certificate)))
    }
}

fn unreadable(file: &str, error: ReadError) -> CertificateProblem {
    let unreadable = |why| CertificateProblem::Unreadable { certificate: file.to_owned(), why };
    match error {
        ReadError::TooLarge => CertificateProblem::TooLarge { file: file.to_owned(), limit: ReadError::MAX_FILE },
        ReadError::Unreadable(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            unreadable(Unreadable::Denied { error: error.to_string() })
        }
        ReadError::Unreadable(error) => unreadable(Unreadable::Failed { error: error.to_string() }),
        _ => unreadable(Unreadable::NotAFile),
    }
}

/// Why this user can make no file in a directory, without trying it.
pub(super) fn unwritable(directory: &Path) -> Option<Unwritable> {
    let error = io::Error::from(rustix::fs::access(directory, Access::WRITE_OK | Access::EXEC_OK).err()?);
    Some(Unwritable { directory: directory.to_owned(), code: WriteFault::of(&error).code(), error: error.to_string() })
}

fn read_staple(path: &Path) -> StapleFile {
    match read_existing(path) {
        Ok(None) => StapleFile::Absent,
        Ok(Some(bytes)) => StapleFile::Bytes(bytes.into()),
        Err(error) => StapleFile::Unreadable(error.to_string()),
    }
}

impl Contents {
    /// The certificate that a server would present.
    pub(super) fn end_entity(&self) -> Option<&Arc<Certificate>> {
        self.certificates.get(self.presented?)
    }

    /// What lies where HAProxy looks for the issuer.
    pub(super) fn surroundings(&self) -> Surroundings<'_> {
        self.around.surroundings(&self.certificates)
    }

    /// Whether there are certificates, and all are authorities'.
    pub(super) fn has_only_authorities(&self) -> bool {
        self.end_entity().is_none() && self.broken.is_none()
    }
}
