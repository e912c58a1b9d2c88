//! What the configuration that a process was started with says about the certificates that it has loaded: in which
//! files they lie, and where HAProxy looks for their issuers and responses. It blocks: it reads files.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use stapled_core::source::{IssuerChains, IssuerLookup, Sighting, Version};

use crate::configuration::{Configuration, Served, Surroundings};
use crate::files::Stamp;
use crate::reply::Environment;

/// No more files of a directory of chains are looked at.
const MAX_CHAINS: usize = 20_000;

/// What a configuration says about certificates, by their names.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    served: HashMap<String, Served>,
    /// What was read for it.
    stamps: Vec<(PathBuf, Option<Stamp>)>,
}

impl Layout {
    /// Reads the configuration that a process says it was started with, in one of these directories, and with its
    /// environment. What cannot be read says nothing: the process is asked first, and the configuration only helps.
    pub(crate) fn read(environment: &Environment, variables: Vec<(OsString, OsString)>, bases: &[PathBuf]) -> Self {
        let files = &environment.configuration_files;
        // Absolute ones are there whatever the directory.
        let bases = || bases.iter().map(PathBuf::as_path).chain([Path::new("/")]);
        let has_all = |base: &&Path| files.iter().all(|file| base.join(file).is_file());
        let nothing = || {
            let places = bases().flat_map(|base| files.iter().map(|file| base.join(file)));
            let stamps = places.map(|file| (file.clone(), Stamp::of(&file))).collect();
            Layout { served: HashMap::new(), stamps }
        };
        let Some(directory) = bases().find(has_all).filter(|_| !files.is_empty()) else { return nothing() };
        let surroundings = Surroundings::default().directory(directory).environment(variables);
        match Configuration::read_in(&surroundings, files) {
            Ok(configuration) => Layout::of(configuration),
            Err(error) => {
                tracing::debug!("{error}: the files of its certificates are looked for without it");
                nothing()
            }
        }
    }

    fn of(configuration: Configuration) -> Self {
        let read = configuration.configuration_files.iter().chain(&configuration.files);
        let stamps = read.map(|file| (file.clone(), Stamp::of(file))).collect();
        let served = configuration.certificates.into_iter().map(|served| (served.name.clone(), served)).collect();
        Layout { served, stamps }
    }

    /// Whether nothing has changed that it was read from.
    pub(crate) fn is_current(&self) -> bool {
        self.stamps.iter().all(|(file, stamp)| Stamp::of(file) == *stamp)
    }

    /// What it was read from.
    pub(crate) fn stamps(&self) -> impl Iterator<Item = (PathBuf, Option<Stamp>)> + '_ {
        self.stamps.iter().cloned()
    }

    /// What it says about a certificate.
    pub(crate) fn get(&self, name: &str) -> Option<&Served> {
        self.served.get(name)
    }

    /// The same about one in this very file, if it does.
    pub(crate) fn of_file(&self, name: &str, file: &Path) -> Option<&Served> {
        self.get(name).filter(|served| served.file == file)
    }
}

/// What HAProxy looks for around certificates.
#[derive(Debug, Default)]
pub(crate) struct Surrounding {
    /// The directories of chains that were looked at.
    chains: HashMap<PathBuf, IssuerChains>,
}

impl Surrounding {
    /// What is seen at a place, with what HAProxy looks for around it.
    pub(crate) fn add(&mut self, sighting: Sighting, served: &Served) -> Sighting {
        let issuer_chains = served.chains.as_deref().map(|directory| self.chains(directory));
        let mut version = sighting.version.as_bytes().to_vec();
        version.push(served.is_staple_named.into());
        for place in served.issuer.iter().chain(&served.staple) {
            version.extend(place.as_os_str().as_encoded_bytes());
            version.push(0);
        }
        version.extend(served.issuer.as_deref().and_then(Stamp::of).iter().flat_map(Stamp::to_bytes));
        version.extend(issuer_chains.iter().flat_map(|chains| chains.version.as_bytes()));
        Sighting {
            version: Version::new(version),
            staple_file: served.staple.clone(),
            staple_file_needed: served.is_staple_named,
            issuer_lookup: served.issuer.clone().map_or(IssuerLookup::Nowhere, IssuerLookup::In),
            issuer_chains,
            ..sighting
        }
    }

    fn chains(&mut self, directory: &Path) -> IssuerChains {
        if let Some(known) = self.chains.get(directory) {
            return known.clone();
        }
        let entries = fs::read_dir(directory).into_iter().flatten().flatten().take(MAX_CHAINS);
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        files.sort();
        let mut hash = digest::Context::new(&digest::SHA256);
        for (file, stamp) in files.iter().filter_map(|file| Some((file, Stamp::of(file)?))) {
            hash.update(file.as_os_str().as_encoded_bytes());
            hash.update(&stamp.to_bytes());
        }
        // Half of the hash tells versions of one directory apart well enough.
        let version = Version::new(hash.finish().as_ref().get(..16).unwrap_or_default());
        let chains = IssuerChains { directory: directory.to_owned(), version };
        self.chains.insert(directory.to_owned(), chains.clone());
        chains
    }
}
