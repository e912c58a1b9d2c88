//! What lies in a certificate's file and around it. Private keys beside certificates are passed over, and what was read
//! is wiped.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rustix::fs::Access;
use rustix::io::Errno;
use stapled_core::bundle::{Bundle, BundleError};
use stapled_core::certificate::Certificate;
use stapled_core::io::file::{codes, read_existing};
use stapled_core::lookup::Surroundings;
use stapled_core::reason::ReasonCode;
use stapled_core::source::{IssuerLookup, Material, Sighting};
use zeroize::Zeroizing;

use super::finding::Finding;
use crate::commands::input::{self, Input, MAX_FILE};

/// So many files of a directory with chains are read at most, as the daemon does.
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
    /// Why no staple's file can be written, as far as can be seen.
    pub(super) unwritable: Option<(ReasonCode, String)>,
}

/// The file that HAProxy looks in for the issuer.
#[derive(Debug)]
pub(super) struct IssuerFile {
    pub(super) path: PathBuf,
    /// What HAProxy takes for the issuer: the first certificate, in PEM.
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
    pub(super) fn read(&self, sighting: &Sighting, staple_path: Option<&Path>) -> Result<Contents, Finding> {
        let staple = staple_path.map(read_staple).unwrap_or_default();
        match &sighting.material {
            Material::Bytes(bytes) => Ok(Contents { staple, ..self.take(bytes, "the certificate")? }),
            Material::File(path) => {
                let name = path.display().to_string();
                let contents = self.take(&read_file(path)?, &name)?;
                let unwritable = staple_path.and_then(Path::parent).and_then(unwritable);
                Ok(self.around(path, sighting, Contents { staple, unwritable, ..contents }))
            }
            _ => Err(Finding::problem(
                ReasonCode::new("unreadable_file"),
                format!("{}: is neither a file nor bytes", sighting.name),
                "name files",
            )),
        }
    }

    fn take(&self, bytes: &[u8], name: &str) -> Result<Contents, Finding> {
        let bundle = Bundle::read(bytes).map_err(|error| match &error {
            BundleError::NoCertificate => Finding::problem(
                ReasonCode::new("no_certificate"),
                format!("{name}: {error}"),
                "put the certificate in it, in PEM, or take it out",
            ),
            _ => malformed(name, &error),
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

/// A finding about a file whose certificate cannot be read.
pub(super) fn malformed(name: &str, error: &BundleError) -> Finding {
    Finding::problem(
        ReasonCode::new("malformed_certificate"),
        format!("{name}: {error}"),
        "write the certificate anew, whole and in PEM",
    )
}

fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".issuer");
    name.into()
}

fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, Finding> {
    let unreadable = |what: String, remedy: &str| Finding::problem(ReasonCode::new("unreadable_file"), what, remedy);
    match input::read(path) {
        Ok(Input::Bytes(bytes)) => Ok(bytes),
        Ok(Input::TooLarge) => Err(Finding::problem(
            ReasonCode::new("too_large"),
            format!("{}: more than {MAX_FILE} bytes: too large for certificates", path.display()),
            "leave nothing in it but the certificate, its chain and its key",
        )),
        Err(error) => {
            let denied = matches!(&error, input::InputError::Unreadable { error, .. }
                if error.kind() == std::io::ErrorKind::PermissionDenied);
            let remedy = match denied {
                true => "let this user read it: the daemon has to, too (run both as the same user)",
                false => "see that there is a regular file that can be read",
            };
            Err(unreadable(error.to_string(), remedy))
        }
    }
}

/// Why this user can make no file in a directory. It is not tried.
pub(super) fn unwritable(directory: &Path) -> Option<(ReasonCode, String)> {
    let error = rustix::fs::access(directory, Access::WRITE_OK | Access::EXEC_OK).err()?;
    let code = match error {
        Errno::ACCESS | Errno::PERM => codes::NO_PERMISSION,
        Errno::ROFS => codes::READ_ONLY,
        Errno::NOENT | Errno::NOTDIR => codes::DIRECTORY_MISSING,
        _ => codes::UNWRITABLE,
    };
    Some((code, format!("{}: {}", directory.display(), std::io::Error::from(error))))
}

fn read_staple(path: &Path) -> StapleFile {
    match read_existing(path) {
        Ok(None) => StapleFile::Absent,
        Ok(Some(bytes)) => StapleFile::Bytes(bytes.into()),
        Err(error) => StapleFile::Unreadable(format!("{}: cannot be read: {error}", path.display())),
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
