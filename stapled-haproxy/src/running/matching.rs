//! Matches loaded certificates to files: by name, by the configuration, and by the contents of the files. Blocks: it reads
//! files.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stapled_core::io::certificate_file::staple_file_of;
use stapled_core::source::issuer::IssuerLookup;
use stapled_core::source::{Scan, Sighting, SourceError, SourceProblem, Version};

use crate::cli::process::Process;
use crate::cli::reply::certificate::Loaded;
use crate::cli::reply::environment::Environment;
use crate::codes;
use crate::running::files::{Files, OnDisk};
use crate::running::layout::{Chains, Layout};
use crate::running::stamp::{Stamp, Stamps};

/// The number of relative names that confirm the directory in which they begin.
const CONFIRMING: usize = 8;
/// The suffix of the place of a certificate whose file holds it while HAProxy serves another one.
const IN_FILE: &str = " (in its file)";

/// Where the files of certificates may be.
pub(crate) struct Places<'a> {
    /// The directories in which HAProxy's relative names may begin.
    pub(crate) bases: &'a [PathBuf],
    pub(crate) layout: &'a Layout,
}

/// The directories in which a process may have been started, likeliest first.
pub(crate) fn starts(process: &Process, environment: &Environment) -> Vec<PathBuf> {
    // The id of a process on another machine, or in another container, may be another process here; then no file there
    // matches.
    let working = std::fs::read_link(format!("/proc/{}/cwd", process.pid)).ok();
    let said = environment.working_directory.as_ref().map(PathBuf::from);
    // Services start there, and so does a process that has changed its root.
    let of_services = PathBuf::from("/");
    let mut starts: Vec<PathBuf> = working.into_iter().chain(said).chain([of_services]).collect();
    let mut known = HashSet::new();
    starts.retain(|start| known.insert(start.clone()));
    starts
}

/// The directory in which a process was started, if files of its relative names are there.
pub(crate) fn start<'a>(starts: &'a [PathBuf], loaded: &[(Arc<str>, Loaded)]) -> Option<&'a Path> {
    let relative = loaded.iter().map(|(name, _)| &**name).filter(|name| !name.starts_with(['/', '@']));
    let relative: Vec<&str> = relative.take(CONFIRMING).collect();
    let has_all = |start: &&PathBuf| relative.iter().all(|name| start.join(name).is_file());
    starts.iter().find(has_all).filter(|_| !relative.is_empty()).map(PathBuf::as_path)
}

/// The directories in which HAProxy's relative names may begin, likeliest first.
pub(crate) fn bases(starts: &[PathBuf], environment: &Environment) -> Vec<PathBuf> {
    let mut bases = starts.to_vec();
    let beside: Vec<PathBuf> = environment
        .configuration_files
        .iter()
        .flat_map(|file| bases.iter().map(move |base| base.join(file)))
        .filter_map(|file| file.parent().map(Path::to_path_buf))
        .collect();
    for base in beside {
        // `default-path parent` begins one above.
        let above = base.parent().map(Path::to_path_buf);
        bases.extend(std::iter::once(base).chain(above));
    }
    let mut known = HashSet::new();
    bases.retain(|base| known.insert(base.clone()));
    bases
}

impl Places<'_> {
    /// The file where HAProxy looks for the response of the certificate in this file, when it starts.
    pub(crate) fn staple(&self, name: &str, file: &Path) -> Option<PathBuf> {
        self.layout.beside(name, file).map_or_else(|| Some(staple_file_of(file)), |beside| beside.staple)
    }
}

/// The paths where a certificate of this name may be.
fn paths(name: &str, loaded: &Loaded, places: &Places<'_>) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = places.layout.files(name).map(Path::to_path_buf).collect();
    let name = loaded.file.as_deref().unwrap_or(name);
    // Names of a `crt-store` (`@store/name`) are no paths; as paths they lead to no file.
    match name.starts_with('/') {
        true => paths.push(PathBuf::from(name)),
        false => paths.extend(places.bases.iter().map(|base| base.join(name))),
    }
    let mut known = HashSet::new();
    paths.retain(|path| known.insert(path.clone()));
    paths
}

pub(crate) fn holds(on_disk: &OnDisk, loaded: &Loaded) -> bool {
    on_disk.identity.as_ref().is_some_and(|identity| loaded.is(identity))
}

/// The file of a name: the first that holds the certificate, or else the first that there is.
pub(crate) fn find(files: &mut Files, name: &str, loaded: &Loaded, places: &Places<'_>) -> Option<(PathBuf, OnDisk)> {
    let mut other = None;
    for path in paths(name, loaded, places) {
        let Some(on_disk) = files.look(&path) else { continue };
        if holds(&on_disk, loaded) {
            return Some((path, on_disk));
        }
        other.get_or_insert((path, on_disk));
    }
    other
}

/// The loaded certificates with their files.
#[derive(Debug, Default)]
pub(crate) struct Matches {
    pub(crate) found: Vec<Found>,
    pub(crate) mismatches: Vec<Mismatch>,
    /// The files that were looked at.
    pub(crate) stamps: Stamps,
}

/// A certificate that was found.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) sighting: Sighting,
    /// Whether its file holds it while HAProxy serves another certificate by its name.
    pub(crate) is_ahead: bool,
}

/// A loaded certificate that its file does not hold.
#[derive(Clone, Debug)]
pub(crate) struct Mismatch {
    /// The name under which it is loaded.
    pub(crate) name: Arc<str>,
    serial: String,
    pub(crate) cause: Cause,
}

/// Why a file does not hold the loaded certificate.
#[derive(Clone, Debug)]
pub(crate) enum Cause {
    /// The file holds another certificate. `has_copy` tells whether another file holds the loaded one.
    Differs { path: PathBuf, has_copy: bool },
    /// There is no readable file of that name, and no other file holds the certificate.
    Unreadable,
}

impl Matches {
    /// Matches all loaded certificates to files.
    pub(crate) fn of(files: &mut Files, loaded: &[(Arc<str>, Loaded)], places: &Places<'_>) -> Self {
        let mut matches = Matches { stamps: places.layout.stamps().collect(), ..Matches::default() };
        let mut chains = Chains::default();
        // A certificate that no client of HAProxy sees needs no staple.
        let is_seen = |(name, loaded): &&(Arc<str>, Loaded)| !loaded.is_unused && !places.layout.is_client(name);
        let loaded: Vec<&(Arc<str>, Loaded)> = loaded.iter().filter(is_seen).collect();
        let mut unmatched = Vec::new();
        let mut directories = BTreeSet::new();
        for (name, loaded) in &loaded {
            let file = find(files, name, loaded, places);
            let is_matched = file.as_ref().is_some_and(|(_, on_disk)| holds(on_disk, loaded));
            if !is_matched {
                for path in paths(name, loaded, places) {
                    let real = path.canonicalize().ok();
                    directories
                        .extend(real.iter().chain([&path]).filter_map(|path| path.parent().map(Path::to_path_buf)));
                }
                unmatched.push((name, loaded, file.as_ref().map(|(path, _)| path.clone())));
            }
            match file {
                Some((path, on_disk)) => matches.add_file(name, &path, &on_disk, is_matched, places, &mut chains),
                None => matches.stamps.extend(paths(name, loaded, places).into_iter().map(|path| (path, None))),
            }
        }
        if unmatched.iter().any(|(_, loaded, _)| files.chain(loaded).is_none()) {
            files.search(&directories);
        }
        for (name, loaded, path) in unmatched {
            matches.add_unmatched(files, name, loaded, path);
        }
        let known: HashSet<PathBuf> = matches.stamps.iter().map(|(path, _)| path.clone()).collect();
        let loaded: Vec<&Loaded> = loaded.into_iter().map(|(_, loaded)| loaded).collect();
        files.keep(&known, &directories, &loaded);
        matches
    }

    /// Adds the file of a loaded certificate.
    fn add_file(
        &mut self,
        name: &Arc<str>,
        path: &Path,
        on_disk: &OnDisk,
        is_matched: bool,
        places: &Places<'_>,
        chains: &mut Chains,
    ) {
        self.stamps.push((path.to_owned(), Some(on_disk.stamp.clone())));
        let mut sighting = sighting(name, path, on_disk);
        sighting.is_presented = is_matched;
        let sighting = match places.layout.beside(name, path) {
            Some(beside) => {
                if let IssuerLookup::In(issuer) = &beside.issuer {
                    self.stamps.push((issuer.to_path_buf(), Stamp::of(issuer)));
                }
                beside.add(sighting, chains)
            }
            None => sighting,
        };
        let place = if is_matched { Arc::clone(name) } else { format!("{name}{IN_FILE}").into() };
        self.found.push(Found { sighting: sighting.name(place), is_ahead: !is_matched });
    }

    /// Adds a loaded certificate that its file, if there is one, does not hold.
    fn add_unmatched(&mut self, files: &Files, name: &Arc<str>, loaded: &Loaded, path: Option<PathBuf>) {
        let chain = files.chain(loaded).map(|chain| chain.to_pem());
        let cause = match (path, chain.is_some()) {
            (Some(path), has_copy) => Some(Cause::Differs { path, has_copy }),
            (None, false) => Some(Cause::Unreadable),
            // Another file holds it.
            (None, true) => None,
        };
        let serial = || loaded.serial.clone();
        self.mismatches.extend(cause.map(|cause| Mismatch { name: Arc::clone(name), serial: serial(), cause }));
        let Some(pem) = chain else { return };
        let version = Version::new(format!("{} {}", loaded.serial, loaded.fingerprint));
        let mut sighting = Sighting::bytes(Arc::clone(name), pem, version).served_as(Arc::clone(name));
        sighting.is_presented = true;
        self.found.push(Found { sighting, is_ahead: false });
    }

    /// The scan for a stapler, with a problem for each mismatch.
    pub(crate) fn into_scan(self, address: &str) -> Scan {
        let problems = self.mismatches.iter().map(|mismatch| mismatch.problem(address));
        Scan::of(self.found.into_iter().map(|found| found.sighting)).problems(problems)
    }
}

impl Mismatch {
    fn problem(&self, address: &str) -> SourceProblem {
        let Mismatch { name, serial, cause } = self;
        let served = format!("{address} serves as {name} the certificate {serial}");
        let (code, what) = match cause {
            Cause::Differs { path, has_copy: true } => (
                codes::SERVED_DIFFERS,
                format!(
                    "{served}, {} holds another one: reload HAProxy, or use `set ssl cert` and `commit ssl cert`; until then \
                     both are kept stapled",
                    path.display()
                ),
            ),
            Cause::Differs { path, has_copy: false } => (
                codes::SERVED_DIFFERS,
                format!(
                    "{served}, {} holds another one, and no readable file beside it holds the served one: it gets no \
                     staple. Reload HAProxy, or put the certificate there",
                    path.display()
                ),
            ),
            Cause::Unreadable => (
                codes::UNREADABLE_CERTIFICATE,
                format!(
                    "{served}, and no readable file of that name or beside it holds it: let this user read it, or put it \
                     there with its chain"
                ),
            ),
        };
        SourceProblem::at(name.to_string(), SourceError::new(code, what))
    }
}

fn sighting(name: &Arc<str>, path: &Path, on_disk: &OnDisk) -> Sighting {
    let mut version = on_disk.stamp.to_bytes();
    version.extend(path.as_os_str().as_encoded_bytes());
    Sighting::file(path, Version::new(version)).served_as(Arc::clone(name))
}
