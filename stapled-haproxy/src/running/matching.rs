//! Which file each loaded certificate lies in, by its name, by where the configuration says, and by what is in the file.
//! It blocks: it reads files.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stapled_core::source::{IssuerLookup, Scan, Sighting, SourceError, SourceProblem, Version};

use crate::cli::process::Process;
use crate::cli::reply::{Environment, Loaded};
use crate::codes;
use crate::running::files::{Files, Lying, Stamp};
use crate::running::layout::{Chains, Layout};

/// So many relative names confirm where they begin.
const CONFIRMING: usize = 8;
/// What the place is called of a certificate that lies in a file while HAProxy serves another one from there.
pub(crate) const IN_FILE: &str = " (in its file)";

/// Where certificates may lie.
pub(crate) struct Places<'a> {
    /// The directories in which HAProxy's relative names may begin.
    pub(crate) bases: &'a [PathBuf],
    pub(crate) layout: &'a Layout,
}

/// The directories in which a process may have been started, likeliest first.
pub(crate) fn starts(process: &Process, environment: &Environment) -> Vec<PathBuf> {
    // Of a process on another machine, or in another container, it is somebody else's; then what lies there does not
    // match.
    let working = std::fs::read_link(format!("/proc/{}/cwd", process.pid)).ok();
    let said = environment.working_directory.as_ref().map(PathBuf::from);
    // Where services are started, and where one that has changed its root says nothing of.
    let of_services = PathBuf::from("/");
    let mut starts: Vec<PathBuf> = working.into_iter().chain(said).chain([of_services]).collect();
    let mut known = HashSet::new();
    starts.retain(|start| known.insert(start.clone()));
    starts
}

/// The directory in which a process was started, as the relative names confirm that it has for its certificates.
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
    /// Where HAProxy looks for the response of what lies in this file, when it starts.
    pub(crate) fn staple(&self, name: &str, file: &Path) -> Option<PathBuf> {
        let beside = || {
            let mut staple = file.as_os_str().to_owned();
            staple.push(".ocsp");
            PathBuf::from(staple)
        };
        self.layout.beside(name, file).map_or_else(|| Some(beside()), |beside| beside.staple)
    }
}

/// Where a certificate of this name may lie.
fn paths(name: &str, loaded: &Loaded, places: &Places<'_>) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = places.layout.files(name).map(Path::to_path_buf).collect();
    let name = loaded.file.as_deref().unwrap_or(name);
    // Names of a `crt-store` (`@store/name`) are none of files, but as paths they lead nowhere.
    match name.starts_with('/') {
        true => paths.push(PathBuf::from(name)),
        false => paths.extend(places.bases.iter().map(|base| base.join(name))),
    }
    let mut known = HashSet::new();
    paths.retain(|path| known.insert(path.clone()));
    paths
}

pub(crate) fn holds(lying: &Lying, loaded: &Loaded) -> bool {
    lying.identity.as_ref().is_some_and(|identity| loaded.is(&identity.serial, &identity.fingerprint))
}

/// The file of a name: the first that holds the certificate, or else the first that there is.
pub(crate) fn found(files: &mut Files, name: &str, loaded: &Loaded, places: &Places<'_>) -> Option<(PathBuf, Lying)> {
    let mut other = None;
    for path in paths(name, loaded, places) {
        let Some(lying) = files.look(&path) else { continue };
        if holds(&lying, loaded) {
            return Some((path, lying));
        }
        other.get_or_insert((path, lying));
    }
    other
}

/// Files, and what they were when they were looked at.
pub(crate) type Stamps = Vec<(PathBuf, Option<Stamp>)>;

/// Matches everything that is loaded to files.
pub(crate) fn match_all(
    files: &mut Files,
    address: &str,
    loaded: &[(Arc<str>, Loaded)],
    places: &Places<'_>,
) -> (Scan, Stamps) {
    let mut scan = Scan::default();
    let mut stamps: Stamps = places.layout.stamps().collect();
    let mut chains = Chains::default();
    // What no client of HAProxy sees needs no staple.
    let is_seen = |(name, loaded): &&(Arc<str>, Loaded)| !loaded.is_unused && !places.layout.is_client(name);
    let loaded: Vec<&(Arc<str>, Loaded)> = loaded.iter().filter(is_seen).collect();
    let mut unmatched = Vec::new();
    let mut directories = BTreeSet::new();
    for (name, loaded) in &loaded {
        let lying = found(files, name, loaded, places);
        match &lying {
            Some((path, lying)) => stamps.push((path.clone(), Some(lying.stamp.clone()))),
            None => stamps.extend(paths(name, loaded, places).into_iter().map(|path| (path, None))),
        }
        let is_matched = lying.as_ref().is_some_and(|(_, lying)| holds(lying, loaded));
        if !is_matched {
            for path in paths(name, loaded, places) {
                let real = path.canonicalize().ok();
                directories.extend(real.iter().chain([&path]).filter_map(|path| path.parent().map(Path::to_path_buf)));
            }
            unmatched.push((name, loaded, lying.as_ref().map(|(path, _)| path.clone())));
        }
        scan.sightings.extend(lying.map(|(path, lying)| {
            let sighting = sighting(name, &path, &lying);
            let sighting = match places.layout.beside(name, &path) {
                Some(beside) => {
                    if let IssuerLookup::In(issuer) = &beside.issuer {
                        stamps.push((issuer.clone(), Stamp::of(issuer)));
                    }
                    beside.add(sighting, &mut chains)
                }
                None => sighting,
            };
            let place = if is_matched { Arc::clone(name) } else { format!("{name}{IN_FILE}").into() };
            Sighting { name: place, ..sighting }
        }));
    }
    if unmatched.iter().any(|(_, loaded, _)| files.chain(loaded).is_none()) {
        files.search(&directories);
    }
    for (name, loaded, path) in unmatched {
        let chain = files.chain(loaded).map(|chain| chain.to_pem());
        scan.problems.extend(problem(address, name, loaded, path.as_deref(), chain.is_some()));
        let Some(pem) = chain else { continue };
        let version = Version::new(format!("{} {}", loaded.serial, loaded.fingerprint));
        let bytes = Sighting::bytes(Arc::clone(name), pem, version);
        let served = Sighting { served_as: Some(Arc::clone(name)), ..bytes };
        scan.sightings.push(served);
    }
    let known: HashSet<PathBuf> = stamps.iter().map(|(path, _)| path.clone()).collect();
    let loaded: Vec<&Loaded> = loaded.into_iter().map(|(_, loaded)| loaded).collect();
    files.keep(&known, &directories, &loaded);
    (scan, stamps)
}

fn sighting(name: &Arc<str>, path: &Path, lying: &Lying) -> Sighting {
    let mut version = lying.stamp.to_bytes();
    version.extend(path.as_os_str().as_encoded_bytes());
    let file = Sighting::file(path, Version::new(version));
    Sighting { served_as: Some(Arc::clone(name)), ..file }
}

/// What is to be told of a name whose file does not hold what is loaded.
fn problem(
    address: &str,
    name: &Arc<str>,
    loaded: &Loaded,
    path: Option<&Path>,
    is_known: bool,
) -> Option<SourceProblem> {
    let serial = &loaded.serial;
    let (code, what) = match (path, is_known) {
        (Some(path), true) => (
            codes::SERVED_DIFFERS,
            format!(
                "{address} serves as {name} the certificate {serial}, {} holds another one: reload HAProxy, or use `set \
                 ssl cert` and `commit ssl cert`; until then both are kept stapled",
                path.display()
            ),
        ),
        (Some(path), false) => (
            codes::SERVED_DIFFERS,
            format!(
                "{address} serves as {name} the certificate {serial}, {} holds another one, and no readable file beside \
                 it holds the one that is served: it gets no staple. Reload HAProxy, or put the certificate there",
                path.display()
            ),
        ),
        // Found elsewhere: all is well.
        (None, true) => return None,
        (None, false) => (
            codes::UNREADABLE_CERTIFICATE,
            format!(
                "{address} serves as {name} the certificate {serial}, and no readable file of that name or beside it holds \
                 it: let this user read it, or put it there with its chain"
            ),
        ),
    };
    let error = SourceError::new(code, what);
    Some(SourceProblem::at(name.to_string(), error))
}
