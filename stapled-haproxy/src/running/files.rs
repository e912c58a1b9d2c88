//! Files with certificates, each read once.
//!
//! Only certificates are kept of a file, and only those that HAProxy has loaded: after a file is renewed, the certificate
//! that is still served is known.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stapled_core::bundle::Bundle;
use stapled_core::certificate::Certificate;
use stapled_core::io::certificate_file::{ReadError, read_file};

use crate::cli::identity::{Identity, plain_serial};
use crate::cli::reply::certificate::Loaded;
use crate::running::stamp::Stamp;

/// The number of files beside the configured ones that are searched for certificates that their own files do not hold any
/// more.
const MAX_SEARCHED: usize = 20_000;

/// A certificate and the others in its file.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    end_entity: Arc<[u8]>,
    others: Vec<Arc<[u8]>>,
}

impl Chain {
    /// The certificates as PEM.
    pub(crate) fn to_pem(&self) -> Vec<u8> {
        let all = std::iter::once(&self.end_entity).chain(&self.others);
        all.flat_map(|der| Certificate::pem_of(der).into_bytes()).collect()
    }
}

/// The files that were read.
#[derive(Debug, Default)]
pub(crate) struct Files {
    read: HashMap<PathBuf, (Stamp, Option<Identity>)>,
    /// Loaded certificates that were found in a file, by serial number.
    chains: HashMap<String, Vec<(Identity, Chain)>>,
    /// One copy of each issuer.
    issuers: HashSet<Arc<[u8]>>,
}

/// A file on disk.
#[derive(Clone, Debug)]
pub(crate) struct OnDisk {
    pub(crate) stamp: Stamp,
    /// The certificate that a server with this file presents, if it is a readable one.
    pub(crate) identity: Option<Identity>,
}

impl Files {
    /// The file at a path, read if it has changed; `None` if there is no file, or no readable one.
    pub(crate) fn look(&mut self, path: &Path) -> Option<OnDisk> {
        let stamp = Stamp::of(path)?;
        if let Some((known, identity)) = self.read.get(path)
            && *known == stamp
        {
            return Some(OnDisk { stamp, identity: identity.clone() });
        }
        let bundle = read(path)?;
        let identity = self.take(&bundle);
        self.read.insert(path.to_owned(), (stamp.clone(), identity.clone()));
        Some(OnDisk { stamp, identity })
    }

    /// The chain of a loaded certificate, if it was read once.
    pub(crate) fn chain(&self, loaded: &Loaded) -> Option<&Chain> {
        let chains = self.chains.get(&plain_serial(&loaded.serial))?;
        chains.iter().find(|(known, _)| loaded.is(known)).map(|(_, chain)| chain)
    }

    /// Reads the files in these directories, up to a number: older copies of certificates are often kept beside the new
    /// ones.
    pub(crate) fn search(&mut self, directories: &BTreeSet<PathBuf>) {
        let mut left = MAX_SEARCHED;
        for directory in directories {
            let Ok(entries) = fs::read_dir(directory) else { continue };
            for entry in entries.filter_map(Result::ok) {
                if left == 0 {
                    return;
                }
                left -= 1;
                self.look(&entry.path());
            }
        }
    }

    /// Forgets the certificates that are neither loaded nor in one of these files.
    pub(crate) fn keep(&mut self, paths: &HashSet<PathBuf>, directories: &BTreeSet<PathBuf>, loaded: &[&Loaded]) {
        let is_near = |path: &Path| path.parent().is_some_and(|parent| directories.contains(parent));
        self.read.retain(|path, _| paths.contains(path) || is_near(path));
        let serials: HashSet<String> = loaded.iter().map(|loaded| plain_serial(&loaded.serial)).collect();
        let in_files: HashSet<String> =
            self.read.values().filter_map(|(_, identity)| Some(plain_serial(&identity.as_ref()?.serial))).collect();
        self.chains.retain(|serial, _| serials.contains(serial) || in_files.contains(serial));
        let issuers: HashSet<Arc<[u8]>> =
            self.chains.values().flatten().flat_map(|(_, chain)| chain.others.iter().map(Arc::clone)).collect();
        self.issuers = issuers;
    }

    fn take(&mut self, bundle: &Bundle) -> Option<Identity> {
        let end_entity = bundle.presented()?;
        let identity = Identity::of(end_entity);
        let chains = self.chains.entry(plain_serial(&identity.serial)).or_default();
        if chains.iter().all(|(known, _)| *known != identity) {
            let mut others = Vec::new();
            for other in bundle.certificates.iter().filter(|other| other.as_der() != end_entity.as_der()) {
                others.push(interned(&mut self.issuers, other));
            }
            chains.push((identity.clone(), Chain { end_entity: end_entity.as_der().into(), others }));
        }
        Some(identity)
    }
}

fn interned(issuers: &mut HashSet<Arc<[u8]>>, certificate: &Certificate) -> Arc<[u8]> {
    if let Some(known) = issuers.get(certificate.as_der()) {
        return Arc::clone(known);
    }
    let new: Arc<[u8]> = certificate.as_der().into();
    issuers.insert(Arc::clone(&new));
    new
}

/// The certificates in a file; none if the file is too large for certificates; `None` if it cannot be read.
fn read(path: &Path) -> Option<Bundle> {
    match read_file(path) {
        Ok(bytes) => Some(Bundle::read(&bytes).unwrap_or_default()),
        Err(ReadError::TooLarge) => Some(Bundle::default()),
        Err(_) => None,
    }
}
