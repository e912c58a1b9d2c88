//! What lies in a certificate's file and around it. Private keys beside certificates are passed over, and the bytes
//! that were read are wiped.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rustix::fs::{Access, OFlags};
use rustix::io::Errno;
use stapled_core::bundle::{Bundle, BundleError};
use stapled_core::certificate::Certificate;
use stapled_core::io::file::{codes, read_existing};
use stapled_core::lookup::Surroundings;
use stapled_core::reason::ReasonCode;
use stapled_core::source::{IssuerLookup, Material, Sighting};
use zeroize::Zeroizing;

use super::problem::{CertificateProblem, Unreadable};

/// No file with certificates is larger, in bytes.
const MAX_FILE: usize = 1024 * 1024;
/// No more files of a directory with chains are read, as in the daemon.
const MAX_CHAINS: usize = 10_000;
const PEM: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// What lies in a certificate's file and around it.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// The file's certificates.
    pub(super) certificates: Vec<Arc<Certificate>>,
    /// What is wrong with the first of them that cannot be read.
    pub(super) broken: Option<BundleError>,
    /// The file that HAProxy looks in for the issuer, if there is anything by that name.
    pub(super) issuer_file: Option<IssuerFile>,
    /// Certificates beside it, whether HAProxy looks there or not, and where.
    pub(super) beside: Vec<Arc<Certificate>>,
    pub(super) beside_path: Option<PathBuf>,
    /// The certificates that chains begin with, and the directory of these.
    pub(super) chains: Option<(PathBuf, Firsts)>,
    pub(super) staple: StapleFile,
    /// Why no file can be made beside the staple's, as far as can be seen.
    pub(super) unwritable: Option<Unwritable>,
}

/// The file that HAProxy looks in for the issuer.
#[derive(Debug)]
pub(super) struct IssuerFile {
    pub(super) path: PathBuf,
    /// The certificate that HAProxy takes for the issuer: the first one, in PEM.
    pub(super) first: Option<Arc<Certificate>>,
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

/// The certificates that chains begin with.
type Firsts = Arc<Vec<Arc<Certificate>>>;

/// Reads files; what many of them have in common is kept once.
#[derive(Debug, Default)]
pub(super) struct Reader {
    authorities: Mutex<HashMap<[u8; 32], Arc<Certificate>>>,
    chains: Mutex<HashMap<PathBuf, Firsts>>,
}

impl Reader {
    /// Reads what a source saw, and the file of its staple. Blocks.
    pub(super) fn read(&self, sighting: &Sighting, staple_path: Option<&Path>) -> Result<Contents, CertificateProblem> {
        let staple = staple_path.map(read_staple).unwrap_or_default();
        match &sighting.material {
            Material::Bytes(bytes) => Ok(Contents { staple, ..self.take(bytes, "the certificate")? }),
            Material::File(path) => {
                let name = path.display().to_string();
                let contents = self.take(&read_file(path)?, &name)?;
                let unwritable = staple_path.and_then(Path::parent).and_then(unwritable);
                Ok(self.around(path, sighting, Contents { staple, unwritable, ..contents }))
            }
            _ => Err(CertificateProblem::Unreadable {
                certificate: sighting.name.to_string(),
                why: Unreadable::NowhereToRead,
            }),
        }
    }

    fn take(&self, bytes: &[u8], name: &str) -> Result<Contents, CertificateProblem> {
        let bundle = Bundle::read(bytes).map_err(|error| match error {
            BundleError::NoCertificate => CertificateProblem::NoCertificate { file: name.to_owned(), is_served: true },
            error => CertificateProblem::Malformed { file: name.to_owned(), error },
        })?;
        let certificates = bundle.certificates.into_iter().map(|certificate| self.shared(certificate)).collect();
        let broken = bundle.broken.into_iter().next().map(|(_, error)| error);
        Ok(Contents { certificates, broken, ..Contents::default() })
    }

    /// Reads what lies around a file, as the daemon does: whatever is wrong with it, the issuer may be found elsewhere.
    fn around(&self, path: &Path, sighting: &Sighting, contents: Contents) -> Contents {
        let (file, is_looked_in) = match &sighting.issuer_lookup {
            IssuerLookup::In(file) => (file.clone(), true),
            IssuerLookup::Nowhere => (beside(path), false),
            _ => (beside(path), true),
        };
        let bytes = read_file(&file).ok();
        let bundle = bytes.as_ref().and_then(|bytes| Bundle::read(bytes).ok());
        let is_pem = bytes.is_some_and(|bytes| bytes.windows(PEM.len()).any(|part| part == PEM));
        let is_whole = bundle.as_ref().is_some_and(|bundle| bundle.broken.iter().all(|(number, _)| *number != 1));
        let beside: Vec<_> =
            bundle.into_iter().flat_map(|bundle| bundle.certificates).map(|found| self.shared(found)).collect();
        let first = beside.first().filter(|_| is_pem && is_whole).cloned();
        let is_there = is_looked_in && fs::symlink_metadata(&file).is_ok();
        let chains = sighting.issuer_chains.as_ref();
        Contents {
            issuer_file: is_there.then(|| IssuerFile { path: file.clone(), first }),
            beside,
            beside_path: Some(file),
            chains: chains.map(|chains| (chains.directory.clone(), self.firsts(&chains.directory))),
            ..contents
        }
    }

    /// The first certificate of each file in a directory.
    fn firsts(&self, directory: &Path) -> Firsts {
        let mut known = self.chains.lock().unwrap_or_else(PoisonError::into_inner);
        let read = || {
            let Ok(entries) = fs::read_dir(directory) else { return Firsts::default() };
            let bundles = entries.flatten().take(MAX_CHAINS).filter_map(|entry| {
                let bytes = read_file(&entry.path()).ok()?;
                Bundle::read(&bytes).ok().filter(|bundle| bundle.broken.is_empty())
            });
            let firsts = bundles.filter_map(|bundle| bundle.certificates.into_iter().next());
            Arc::new(firsts.map(|first| self.shared(first)).collect())
        };
        Arc::clone(known.entry(directory.to_owned()).or_insert_with(read))
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

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".issuer");
    name.into()
}

/// Reads a file that may hold a private key. A file that another one replaces meanwhile, such as a FIFO, does not block
/// the opening.
fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, CertificateProblem> {
    let unreadable = |why| CertificateProblem::Unreadable { certificate: path.display().to_string(), why };
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::PermissionDenied => unreadable(Unreadable::Denied { error: error.to_string() }),
        _ => unreadable(Unreadable::Failed { error: error.to_string() }),
    };
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(unreadable(Unreadable::NotAFile));
    }
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let file = fs::OpenOptions::new().read(true).custom_flags(nonblocking).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(unreadable(Unreadable::NotAFile));
    }
    let too_large = || CertificateProblem::TooLarge { file: path.display().to_string(), limit: MAX_FILE };
    let size = usize::try_from(metadata.len()).ok().filter(|size| *size <= MAX_FILE).ok_or_else(too_large)?;
    // One allocation of the largest size: a buffer that grows leaves copies of what it held behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(size + 1));
    file.take(size as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// Why this user can make no file in a directory. It is not tried.
pub(super) fn unwritable(directory: &Path) -> Option<Unwritable> {
    let error = rustix::fs::access(directory, Access::WRITE_OK | Access::EXEC_OK).err()?;
    let code = match error {
        Errno::ACCESS | Errno::PERM => codes::NO_PERMISSION,
        Errno::ROFS => codes::READ_ONLY,
        Errno::NOENT | Errno::NOTDIR => codes::DIRECTORY_MISSING,
        _ => codes::UNWRITABLE,
    };
    Some(Unwritable { directory: directory.to_owned(), code, error: io::Error::from(error).to_string() })
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
        self.certificates.iter().find(|certificate| !certificate.is_ca())
    }

    /// What lies where HAProxy looks for the issuer.
    pub(super) fn surroundings(&self) -> Surroundings<'_> {
        Surroundings {
            own: &self.certificates,
            issuer_file: self.issuer_file.as_ref().map(|file| (file.path.as_path(), file.first.as_deref())),
            chains: self.chains.as_ref().map(|(directory, firsts)| (directory.as_path(), firsts.as_slice())),
        }
    }

    /// Whether there are certificates, and all are authorities'.
    pub(super) fn has_only_authorities(&self) -> bool {
        self.end_entity().is_none() && self.broken.is_none()
    }
}
