//! Which file a loaded certificate came from: files read once, told apart by the certificates in them.
//!
//! Of what is read only certificates are kept, and of these only those that HAProxy has loaded: when a file is renewed,
//! the certificate that is still served is there.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use stapled_core::bundle::Bundle;
use stapled_core::certificate::Certificate;
use zeroize::Zeroizing;

use crate::cli::reply::{Loaded, plain_serial};
use crate::instance::first_staple::Identity;

/// No file with certificates is larger than this.
const MAX_FILE: u64 = 1024 * 1024;
/// How many files beside the configured ones are searched for certificates that their own files do not hold any more.
const MAX_SEARCHED: usize = 20_000;

/// What changes when a file does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// That of a regular file; `None` where there is none.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        Some(Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    /// The same as bytes.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let Stamp { device, inode, size, modified, changed } = self;
        let numbers = [device.to_be_bytes(), inode.to_be_bytes(), size.to_be_bytes()];
        let times = [modified.0, modified.1, changed.0, changed.1].map(i64::to_be_bytes);
        numbers.iter().chain(&times).flatten().copied().collect()
    }
}

/// A certificate and those that came with it.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    end_entity: Arc<[u8]>,
    others: Vec<Arc<[u8]>>,
}

impl Chain {
    /// All of it as PEM.
    pub(crate) fn to_pem(&self) -> Vec<u8> {
        let mut pem = String::new();
        for der in std::iter::once(&self.end_entity).chain(&self.others) {
            pem.push_str("-----BEGIN CERTIFICATE-----");
            for (position, c) in STANDARD.encode(der).chars().enumerate() {
                if position % 64 == 0 {
                    pem.push('\n');
                }
                pem.push(c);
            }
            pem.push_str("\n-----END CERTIFICATE-----\n");
        }
        pem.into_bytes()
    }
}

/// What is known of files.
#[derive(Debug, Default)]
pub(crate) struct Files {
    read: HashMap<PathBuf, (Stamp, Option<Identity>)>,
    /// By serial number: what was in a file and is loaded.
    chains: HashMap<String, Vec<(Identity, Chain)>>,
    /// One copy of each issuer.
    issuers: HashSet<Arc<[u8]>>,
}

/// What lies at a path.
#[derive(Clone, Debug)]
pub(crate) struct Lying {
    pub(crate) stamp: Stamp,
    /// Its end-entity certificate, where it has one that can be read.
    pub(crate) identity: Option<Identity>,
}

impl Files {
    /// What lies at a path, read if it has changed; `None` where there is no file, or none that may be read.
    pub(crate) fn look(&mut self, path: &Path) -> Option<Lying> {
        let stamp = Stamp::of(path)?;
        if let Some((known, identity)) = self.read.get(path)
            && *known == stamp
        {
            return Some(Lying { stamp, identity: identity.clone() });
        }
        let bundle = read(path, stamp.size)?;
        let identity = self.take(&bundle);
        self.read.insert(path.to_owned(), (stamp.clone(), identity.clone()));
        Some(Lying { stamp, identity })
    }

    /// The certificates that were once read, of a loaded one.
    pub(crate) fn chain(&self, loaded: &Loaded) -> Option<&Chain> {
        let chains = self.chains.get(&plain_serial(&loaded.serial))?;
        chains.iter().find(|(known, _)| loaded.is(&known.serial, &known.fingerprint)).map(|(_, chain)| chain)
    }

    /// Reads whatever lies in these directories, until so many files were looked at: older copies of certificates are
    /// often kept beside the new ones.
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

    /// Forgets what is neither loaded nor lies in one of these files.
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
        let end_entity = bundle.end_entity()?;
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

/// Reads a file that may hold a private key: what was read is wiped as soon as the certificates are taken from it.
fn read(path: &Path, size: u64) -> Option<Bundle> {
    if size > MAX_FILE {
        return Some(Bundle::default());
    }
    let file = fs::File::open(path).ok()?;
    // One allocation of the largest size: a buffer that grows leaves copies of what it held behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(size).ok()? + 1));
    file.take(size + 1).read_to_end(&mut bytes).ok()?;
    Some(Bundle::read(&bytes).unwrap_or_default())
}
