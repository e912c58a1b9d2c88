//! What the configuration that a process was started with says about the certificates that it has loaded: in which
//! files they lie, where HAProxy looks for their issuers and responses, and which of them are no server's. It blocks: it
//! reads files.
//!
//! Hints: that a file holds what is loaded, only the file tells.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use stapled_core::report::Reporters;
use stapled_core::source::{IssuerChains, IssuerLookup, Sighting, Version};

use crate::cli::reply::Environment;
use crate::configuration::{Configuration, ExtraFiles, Served, Surroundings};
use crate::reports;
use crate::running::files::Stamp;

/// In how many directories the process may have been started, at most.
const MAX_STARTS: usize = 3;
/// No more files of a directory of chains are looked at.
const MAX_CHAINS: usize = 20_000;

/// What a configuration says about certificates, by their names.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    /// Several of one name where it is not known in which directory relative ones begin.
    served: HashMap<String, Vec<Served>>,
    clients: HashSet<String>,
    /// What is looked for beside certificates that no line names, where the configuration can be read.
    others: Option<(ExtraFiles, Option<PathBuf>)>,
    /// What was read for it.
    stamps: Vec<(PathBuf, Option<Stamp>)>,
}

/// What HAProxy looks for beside a certificate when it starts.
#[derive(Clone, Debug)]
pub(crate) struct Beside {
    pub(crate) staple: Option<PathBuf>,
    pub(crate) is_staple_named: bool,
    pub(crate) issuer: IssuerLookup,
    /// The directory of chains for those that come without.
    pub(crate) chains: Option<PathBuf>,
}

impl Layout {
    /// Reads the configuration that a process says it was started with, in one of these directories, likeliest first, and
    /// with its environment. What cannot be read says nothing: the process is asked first, and the configuration only
    /// helps.
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
        self.others.get_or_insert((configuration.extra, configuration.chains));
        self.clients.extend(configuration.client_certificates);
        for served in configuration.certificates {
            let known = self.served.entry(served.name.clone()).or_default();
            if known.iter().all(|known| known.file != served.file) {
                known.push(served);
            }
        }
    }

    /// Whether nothing has changed that it was read from.
    pub(crate) fn is_current(&self) -> bool {
        self.stamps.iter().all(|(file, stamp)| Stamp::of(file) == *stamp)
    }

    /// What it was read from.
    pub(crate) fn stamps(&self) -> impl Iterator<Item = (PathBuf, Option<Stamp>)> + '_ {
        self.stamps.iter().cloned()
    }

    /// The files that may have this name.
    pub(crate) fn files(&self, name: &str) -> impl Iterator<Item = &Path> {
        self.served.get(name).into_iter().flatten().map(|served| served.file.as_path())
    }

    /// What a line says about the certificate of this name in this file.
    pub(crate) fn of_file(&self, name: &str, file: &Path) -> Option<&Served> {
        self.served.get(name)?.iter().find(|served| served.file == file)
    }

    /// Whether only servers behind HAProxy are shown the certificate of this name.
    pub(crate) fn is_client(&self, name: &str) -> bool {
        self.clients.contains(name) && !self.served.contains_key(name)
    }

    /// What is looked for beside this file, which is loaded by this name; `None` where no configuration can be read.
    pub(crate) fn beside(&self, name: &str, file: &Path) -> Option<Beside> {
        if let Some(served) = self.of_file(name, file) {
            return Some(Beside::of(served));
        }
        let beside = self.beside_unnamed(file)?;
        match name.starts_with('@') {
            // A store has nothing but what a line names.
            true => Some(Beside { staple: None, issuer: IssuerLookup::Nowhere, ..beside }),
            false => Some(beside),
        }
    }

    /// What is looked for beside a file that no line names: it was loaded at run time, or its line is gone. If one names it
    /// again, then so.
    pub(crate) fn beside_unnamed(&self, file: &Path) -> Option<Beside> {
        let (extra, chains) = self.others.as_ref()?;
        let path = |bytes: Vec<u8>| PathBuf::from(OsString::from_vec(bytes));
        let file = file.as_os_str().as_bytes();
        Some(Beside {
            staple: extra.staple(file).map(path),
            is_staple_named: false,
            issuer: extra.issuer(file).map(path).map_or(IssuerLookup::Nowhere, IssuerLookup::In),
            chains: chains.clone(),
        })
    }

    /// All that lines say.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Served> {
        self.served.values().flatten()
    }
}

/// Directories of chains, each looked at once.
#[derive(Debug, Default)]
pub(crate) struct Chains(HashMap<PathBuf, IssuerChains>);

impl Chains {
    fn look(&mut self, directory: PathBuf) -> IssuerChains {
        let new = || {
            let entries = fs::read_dir(&directory).into_iter().flatten().flatten().take(MAX_CHAINS);
            let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
            files.sort();
            let mut hash = digest::Context::new(&digest::SHA256);
            for (file, stamp) in files.iter().filter_map(|file| Some((file, Stamp::of(file)?))) {
                hash.update(file.as_os_str().as_encoded_bytes());
                hash.update(&stamp.to_bytes());
            }
            IssuerChains { directory: directory.clone(), version: version(hash) }
        };
        self.0.entry(directory.clone()).or_insert_with(new).clone()
    }
}

impl Beside {
    /// What a line says.
    pub(crate) fn of(served: &Served) -> Self {
        Beside {
            staple: served.staple.clone(),
            is_staple_named: served.is_staple_named,
            issuer: served.issuer.clone().map_or(IssuerLookup::Nowhere, IssuerLookup::In),
            chains: served.chains.clone(),
        }
    }

    /// What is seen at a place, with what HAProxy looks for beside it.
    pub(crate) fn add(self, sighting: Sighting, chains: &mut Chains) -> Sighting {
        let Beside { staple, is_staple_named, issuer, chains: directory } = self;
        let issuer_chains = directory.map(|directory| chains.look(directory));
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(sighting.version.as_bytes());
        // What changes with what the configuration says, and with what lies there.
        hash.update(format!("{staple:?} {is_staple_named} {issuer:?}").as_bytes());
        if let IssuerLookup::In(issuer) = &issuer {
            hash.update(&Stamp::of(issuer).iter().flat_map(Stamp::to_bytes).collect::<Vec<u8>>());
        }
        if let Some(chains) = &issuer_chains {
            hash.update(chains.directory.as_os_str().as_encoded_bytes());
            hash.update(chains.version.as_bytes());
        }
        Sighting {
            version: version(hash),
            staple_file: staple,
            staple_file_needed: is_staple_named,
            issuer_lookup: issuer,
            issuer_chains,
            ..sighting
        }
    }
}

/// Half of the hash tells versions of one place apart well enough.
fn version(hash: digest::Context) -> Version {
    Version::new(hash.finish().as_ref().get(..16).unwrap_or_default())
}
