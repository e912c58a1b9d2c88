//! The configuration that a process was started with, as hints about its certificates: their files, where HAProxy looks
//! for their issuers and responses, and which are client certificates. Only the file itself proves that it holds a loaded
//! certificate. Blocks: it reads files.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stapled_core::hash::Sha256;
use stapled_core::report::Reporters;
use stapled_core::source::issuer::{IssuerChains, IssuerLookup};
use stapled_core::source::{Sighting, Version};

use crate::cli::reply::environment::Environment;
use crate::configuration::{Configuration, ExtraFiles, Served, Surroundings, ZeroWarning};
use crate::reports;
use crate::running::stamp::{Stamp, Stamps};

/// The number of directories that the process may have been started in.
const MAX_STARTS: usize = 3;
/// The number of files of a chain directory that are looked at.
const MAX_CHAINS: usize = 20_000;

/// The certificates of a configuration, by their names.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    /// Several of one name if it is not known in which directory relative names begin.
    served: HashMap<String, Vec<Served>>,
    clients: HashSet<String>,
    /// The files that HAProxy looks for beside certificates that no line names, if the configuration can be read.
    others: Option<(ExtraFiles, Option<PathBuf>)>,
    /// By what HAProxy refuses a reload after a warning.
    pub(crate) zero_warning: Option<ZeroWarning>,
    /// The files that were read for it.
    stamps: Stamps,
}

/// The files that HAProxy looks for beside a certificate when it starts.
#[derive(Clone, Debug)]
pub(crate) struct Beside {
    pub(crate) staple: Option<PathBuf>,
    /// Whether the configuration names the staple's file: HAProxy does not start without it.
    pub(crate) is_staple_named: bool,
    pub(crate) issuer: IssuerLookup,
    /// The directory of chains for certificates that come without one.
    pub(crate) chains: Option<PathBuf>,
}

impl Layout {
    /// Reads the configuration that a process was started with, in one of these directories, likeliest first, and with its
    /// environment. A configuration that cannot be read gives no hints.
    pub(crate) fn read(
        environment: &Environment,
        variables: Vec<(OsString, OsString)>,
        starts: &[PathBuf],
        reporters: &Reporters,
    ) -> Self {
        let mut layout = Layout::default();
        let files = &environment.configuration_files;
        if files.is_empty() {
            return layout;
        }
        let surroundings = Surroundings::default().environment(variables);
        for start in starts.iter().take(MAX_STARTS) {
            let places = files.iter().map(|file| start.join(file));
            layout.stamps.extend(places.map(|file| (file.clone(), Stamp::of(&file))));
            match Configuration::read_in(&surroundings.clone().directory(start), files) {
                Ok(configuration) => layout.take(configuration),
                Err(error) => reporters.tell(reports::configuration_not_read(&error)),
            }
        }
        layout
    }

    fn take(&mut self, configuration: Configuration) {
        let read = configuration.configuration_files.iter().chain(&configuration.files);
        self.stamps.extend(read.map(|file| (file.clone(), Stamp::of(file))));
        self.zero_warning = self.zero_warning.take().or(configuration.refuses_warnings());
        self.others.get_or_insert((configuration.extra, configuration.chains));
        self.clients.extend(configuration.client_certificates);
        for served in configuration.certificates {
            let known = self.served.entry(served.name.clone()).or_default();
            if known.iter().all(|known| known.file != served.file) {
                known.push(served);
            }
        }
    }

    /// Whether its files are unchanged.
    pub(crate) fn is_current(&self) -> bool {
        self.stamps.iter().all(|(file, stamp)| Stamp::of(file) == *stamp)
    }

    /// The files that it was read from.
    pub(crate) fn stamps(&self) -> impl Iterator<Item = (PathBuf, Option<Stamp>)> + '_ {
        self.stamps.iter().cloned()
    }

    /// The files that may have this name.
    pub(crate) fn files(&self, name: &str) -> impl Iterator<Item = &Path> {
        self.served.get(name).into_iter().flatten().map(|served| served.file.as_path())
    }

    /// The line about the certificate of this name in this file.
    pub(crate) fn of_file(&self, name: &str, file: &Path) -> Option<&Served> {
        self.served.get(name)?.iter().find(|served| served.file == file)
    }

    /// Whether the certificate of this name is a client certificate for servers behind HAProxy.
    pub(crate) fn is_client(&self, name: &str) -> bool {
        self.clients.contains(name) && !self.served.contains_key(name)
    }

    /// The files that HAProxy looks for beside this file, which is loaded by this name; `None` if the configuration cannot be
    /// read.
    pub(crate) fn beside(&self, name: &str, file: &Path) -> Option<Beside> {
        if let Some(served) = self.of_file(name, file) {
            return Some(Beside::of(served));
        }
        let beside = self.beside_unnamed(file)?;
        match name.starts_with('@') {
            // In a store only the files count that a line names.
            true => Some(Beside { staple: None, issuer: IssuerLookup::Nowhere, ..beside }),
            false => Some(beside),
        }
    }

    /// The files that HAProxy looks for beside a file that no line names, because it was loaded at run time or its line is
    /// gone, if a line names it again.
    pub(crate) fn beside_unnamed(&self, file: &Path) -> Option<Beside> {
        let (extra, chains) = self.others.as_ref()?;
        let path = |bytes: Vec<u8>| PathBuf::from(OsString::from_vec(bytes));
        let file = file.as_os_str().as_bytes();
        Some(Beside {
            staple: extra.staple(file).map(path),
            is_staple_named: false,
            issuer: extra
                .issuer(file)
                .map(path)
                .map_or(IssuerLookup::Nowhere, |issuer| IssuerLookup::In(issuer.into())),
            chains: chains.clone(),
        })
    }

    /// The lines about certificates.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Served> {
        self.served.values().flatten()
    }
}

/// Directories of chains, each looked at once.
#[derive(Debug, Default)]
pub(crate) struct Chains(HashMap<PathBuf, Arc<IssuerChains>>);

impl Chains {
    fn look(&mut self, directory: PathBuf) -> Arc<IssuerChains> {
        let new = || {
            let entries = fs::read_dir(&directory).into_iter().flatten().flatten().take(MAX_CHAINS);
            let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
            files.sort();
            let mut hash = Sha256::new();
            for (file, stamp) in files.iter().filter_map(|file| Some((file, Stamp::of(file)?))) {
                hash.update(file.as_os_str().as_encoded_bytes());
                hash.update(&stamp.to_bytes());
            }
            Arc::new(IssuerChains::new(&directory, version(hash)))
        };
        self.0.entry(directory.clone()).or_insert_with(new).clone()
    }
}

impl Beside {
    /// The files of a line.
    pub(crate) fn of(served: &Served) -> Self {
        Beside {
            staple: served.staple.clone(),
            is_staple_named: served.is_staple_named,
            issuer: served.issuer.as_deref().map_or(IssuerLookup::Nowhere, |issuer| IssuerLookup::In(issuer.into())),
            chains: served.chains.clone(),
        }
    }

    /// Adds these files to a sighting.
    pub(crate) fn add(self, mut sighting: Sighting, chains: &mut Chains) -> Sighting {
        let Beside { staple, is_staple_named, issuer, chains: directory } = self;
        let issuer_chains = directory.map(|directory| chains.look(directory));
        let mut hash = Sha256::new();
        hash.update(sighting.version.as_bytes());
        // The version changes with the configuration and with the files.
        hash.update(format!("{staple:?} {is_staple_named} {issuer:?}").as_bytes());
        if let IssuerLookup::In(issuer) = &issuer {
            hash.update(&Stamp::of(issuer).iter().flat_map(Stamp::to_bytes).collect::<Vec<u8>>());
        }
        if let Some(chains) = &issuer_chains {
            hash.update(chains.directory.as_os_str().as_encoded_bytes());
            hash.update(chains.version.as_bytes());
        }
        sighting.version = version(hash);
        sighting.staple_file = staple.map(Arc::from);
        sighting.staple_file_needed = is_staple_named;
        sighting.issuer_lookup = issuer;
        sighting.issuer_chains = issuer_chains;
        sighting
    }
}

/// The version of a hash. Half of the hash distinguishes versions well enough.
fn version(hash: Sha256) -> Version {
    Version::new(hash.finish().get(..16).unwrap_or_default())
}
