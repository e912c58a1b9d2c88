//! The certificates to check, one for each name under which a HAProxy lists it: the sources, compared with what the
//! running HAProxys have loaded. Pure.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stapled_core::io::certificate_file::staple_file_of;
use stapled_core::source::{Material, Scan, Sighting, SourceError, Version};

use super::contents::Contents;
use super::finding::Finding;
use super::inputs::{Group, Inputs, Kind, Process};
use super::problem::{CertificateProblem, Problem, ProcessProblem, Reported};
use crate::configuration::{Configuration, Place, Served, ZeroWarning};
use crate::running::snapshot::ServedCertificate;

/// One certificate under one name.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// The name under which HAProxy lists or would list it; the path, where there is no HAProxy.
    pub(super) name: String,
    pub(super) file: Option<PathBuf>,
    pub(super) origin: Origin,
    /// Its group, by its place in [`Inputs::groups`].
    pub(super) group: usize,
    /// The place to read, as its source saw it.
    pub(super) sighting: Option<Sighting>,
    /// The file in which HAProxy looks for a staple when it starts.
    pub(super) staple: Option<PathBuf>,
    /// The line of the configuration that names it.
    pub(super) named_at: Option<Place>,
    /// Whether HAProxy asks for its responses itself.
    pub(super) updates_itself: bool,
    /// By what HAProxy refuses to start after a warning.
    pub(super) zero_warning: Option<ZeroWarning>,
    /// The HAProxys that its staples go to, by their places in [`Inputs::processes`].
    pub(super) processes: Vec<usize>,
    /// The certificate as each of these HAProxys has loaded it.
    pub(super) loaded: Vec<(usize, ServedCertificate)>,
    /// What was found so far.
    pub(super) findings: Vec<Finding>,
}

/// The source that names a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Configuration,
    Path,
    Process,
    /// A running HAProxy, and not the configuration.
    NotInConfiguration,
}

/// A certificate and the contents of its file.
pub(super) type Read = (Item, Result<Arc<Contents>, CertificateProblem>);

/// All certificates. A certificate of a path has the path for its name until [`named`].
pub(super) fn items(inputs: &Inputs) -> Vec<Item> {
    let mut items = Vec::new();
    for (number, group) in inputs.groups.iter().enumerate() {
        let begin = items.len();
        match &group.kind {
            Kind::Configuration { latest, .. } => configured(group, latest, &inputs.processes, &mut items),
            Kind::Path => {
                items.extend(group.sightings().iter().map(|sighting| {
                    Item {
                        staple: sighting
                            .staple_file
                            .as_deref()
                            .map(Path::to_owned)
                            .or_else(|| file_of(sighting).map(|file| staple_file_of(&file))),
                        processes: group.processes.clone(),
                        ..Item::of(sighting, Origin::Path)
                    }
                }));
                // A certificate that a process serves beside its paths belongs to the first path.
                let before = inputs.groups.get(..number).unwrap_or_default();
                let is_first = |process: &&usize| !before.iter().any(|group| group.processes.contains(process));
                for &process in group.processes.iter().filter(is_first) {
                    beside_paths(process, &inputs.processes, &mut items);
                }
            }
            Kind::Process => served(group, &inputs.processes, &mut items),
        }
        let of_configuration = group.configuration().and_then(Configuration::refuses_warnings);
        for item in items.iter_mut().skip(begin) {
            item.group = number;
            item.zero_warning = of_configuration.clone().or_else(|| {
                let processes = item.processes.iter().filter_map(|&number| inputs.processes.get(number));
                processes.filter_map(Process::refuses_warnings).next().cloned()
            });
        }
    }
    items
}

fn configured(group: &Group, latest: &Configuration, processes: &[Process], items: &mut Vec<Item>) {
    let by_name: HashMap<&str, &Served> =
        latest.certificates.iter().map(|served| (served.name.as_str(), served)).collect();
    let mut names = HashSet::new();
    let loaded: Vec<_> = group.processes.iter().map(|&number| (number, loaded_by(processes, number))).collect();
    for sighting in group.sightings() {
        let item = Item::of(sighting, Origin::Configuration);
        let served = by_name.get(item.name.as_str());
        names.insert(item.name.clone());
        let of = |(number, loaded): &(usize, HashMap<&str, &ServedCertificate>)| {
            loaded.get(item.name.as_str()).map(|&loaded| (*number, loaded.clone()))
        };
        items.push(Item {
            staple: served.and_then(|served| served.staple.clone()),
            named_at: served.map(|served| served.place.clone()),
            updates_itself: served.is_some_and(|served| served.updates_itself),
            processes: group.processes.clone(),
            loaded: loaded.iter().filter_map(of).collect(),
            ..item
        });
    }
    let clients: HashSet<&str> = latest.client_certificates.iter().map(String::as_str).collect();
    for (number, loaded) in &loaded {
        let is_known = |name: &String| names.contains(name) || clients.contains(name.as_str());
        let mut more: Vec<_> = loaded.values().filter(|served| !is_known(&served.name) && is_shown(served)).collect();
        more.sort_by(|one, other| one.name.cmp(&other.name));
        let beyond = processes.get(*number).map(|process| Scanned::of(&process.beyond)).unwrap_or_default();
        items.extend(more.into_iter().map(|served| {
            let is_kept = beyond.sightings.contains_key(served.name.as_str());
            let note = ProcessProblem::NotInConfiguration { configuration: group.name.clone(), is_kept };
            Item {
                findings: std::iter::once(note.into()).chain(beyond.problem(served)).collect(),
                ..of_process(*number, served, &beyond, Origin::NotInConfiguration)
            }
        }));
    }
}

/// Whether a loaded certificate is checked: it is used, or lies in a file.
fn is_shown(served: &ServedCertificate) -> bool {
    served.is_used || served.file.is_some()
}

/// The scan of a running HAProxy, by the names of the certificates.
#[derive(Default)]
struct Scanned<'a> {
    sightings: HashMap<&'a str, &'a Sighting>,
    problems: HashMap<&'a str, Reported>,
}

impl<'a> Scanned<'a> {
    fn of(scan: &'a Scan) -> Self {
        // The certificate that is served comes before the one in the file of that name.
        let mut sightings: HashMap<&str, &Sighting> = HashMap::new();
        for sighting in &scan.sightings {
            let name = sighting.served_as.as_deref().unwrap_or(&sighting.name);
            let known = sightings.entry(name).or_insert(sighting);
            if *sighting.name == *name {
                *known = sighting;
            }
        }
        let reported = |error: &SourceError| Reported::new(error.code, &error.what);
        let problems = scan.problems.iter().map(|problem| (problem.place.as_str(), reported(&problem.error))).collect();
        Scanned { sightings, problems }
    }

    fn problem(&self, served: &ServedCertificate) -> Option<Finding> {
        // A certificate that differs from its file is a problem of its own.
        if served.file.is_some() {
            return None;
        }
        let problem = self.problems.get(served.name.as_str())?.clone();
        // Names of a `crt-store` tell no file: only the configuration does.
        let remedy = "name HAProxy's configuration with --haproxy-config, which tells the file of this name";
        Some(if served.name.starts_with('@') { problem.remedy(remedy) } else { problem }.into())
    }
}

/// A certificate that a running HAProxy has loaded, with its file as far as that is known.
fn of_process(number: usize, served: &ServedCertificate, scan: &Scanned<'_>, origin: Origin) -> Item {
    let file = served.file.as_ref().filter(|_| !served.is_used);
    let of_unused = || file.map(|file| Sighting::file(file, Version::new([])));
    Item {
        name: served.name.clone(),
        file: served.file.clone(),
        origin,
        group: 0,
        sighting: scan.sightings.get(served.name.as_str()).map(|&sighting| sighting.clone()).or_else(of_unused),
        staple: served.staple.clone(),
        named_at: served.configured.as_ref().map(|configured| configured.place.clone()),
        updates_itself: served.configured.as_ref().is_some_and(|configured| configured.updates_itself),
        zero_warning: None,
        processes: vec![number],
        loaded: vec![(number, served.clone())],
        findings: scan.problem(served).into_iter().collect(),
    }
}

fn served(group: &Group, processes: &[Process], items: &mut Vec<Item>) {
    let Some((&number, process)) = group.processes.first().and_then(|number| Some((number, processes.get(*number)?)))
    else {
        return;
    };
    let Ok(snapshot) = &process.snapshot else { return };
    let Ok(scan) = &group.scan else { return };
    let scan = Scanned::of(scan);
    let certificates = snapshot.certificates.iter().filter(|served| !served.is_clients && is_shown(served));
    items.extend(certificates.map(|served| of_process(number, served, &scan, Origin::Process)));
}

/// What a process serves beside its paths, below their roots.
fn beside_paths(number: usize, processes: &[Process], items: &mut Vec<Item>) {
    let Some(process) = processes.get(number) else { return };
    let Ok(snapshot) = &process.snapshot else { return };
    let scan = Scanned::of(&process.beyond);
    let is_beside = |served: &&ServedCertificate| {
        let name = served.name.as_str();
        scan.sightings.contains_key(name) || scan.problems.contains_key(name)
    };
    let certificates = snapshot.certificates.iter().filter(is_beside);
    items.extend(certificates.map(|served| of_process(number, served, &scan, Origin::Process)));
}

fn loaded_by(processes: &[Process], number: usize) -> HashMap<&str, &ServedCertificate> {
    let snapshot = processes.get(number).and_then(|process| process.snapshot.as_ref().ok());
    let certificates = snapshot.map(|snapshot| snapshot.certificates.as_slice()).unwrap_or_default();
    certificates.iter().map(|served| (served.name.as_str(), served)).collect()
}

fn file_of(sighting: &Sighting) -> Option<PathBuf> {
    match &sighting.material {
        Material::File(path) => Some(path.to_path_buf()),
        _ => None,
    }
}

impl Item {
    /// Its file; the name under which HAProxy lists it, where no file is known.
    pub(super) fn path(&self) -> PathBuf {
        self.file.clone().unwrap_or_else(|| PathBuf::from(&self.name))
    }

    /// The same for messages.
    pub(super) fn path_or_name(&self) -> String {
        self.file.as_ref().map_or_else(|| self.name.clone(), |file| file.display().to_string())
    }

    /// Whether a running HAProxy has it, or would load it.
    pub(super) fn is_served(&self) -> bool {
        self.origin != Origin::Path || !self.loaded.is_empty()
    }

    /// Whether it was found in a directory of `--cert-paths`, where files of other kinds may lie, too.
    pub(super) fn is_listed(&self) -> bool {
        self.origin == Origin::Path && self.sighting.as_ref().is_some_and(|sighting| sighting.is_listed)
    }

    fn of(sighting: &Sighting, origin: Origin) -> Self {
        Item {
            name: sighting.served_as.as_deref().unwrap_or(&sighting.name).to_owned(),
            file: file_of(sighting),
            origin,
            group: 0,
            sighting: Some(sighting.clone()),
            staple: None,
            named_at: None,
            updates_itself: false,
            zero_warning: None,
            processes: Vec::new(),
            loaded: Vec::new(),
            findings: Vec::new(),
        }
    }

    /// Adds what another source knows of the same certificate.
    pub(super) fn join(&mut self, other: Item) {
        // A path gives it staples, whatever the configuration says.
        if self.origin == Origin::NotInConfiguration && other.origin == Origin::Path {
            self.origin = Origin::Path;
            let is_that =
                |problem: &Problem| matches!(problem, Problem::Process(ProcessProblem::NotInConfiguration { .. }));
            self.findings.retain(|finding| !is_that(&finding.problem));
        }
        // A file that was found in one directory may be named as well.
        let is_named = other.sighting.as_ref().is_some_and(|sighting| !sighting.is_listed);
        self.sighting.iter_mut().filter(|_| is_named).for_each(|sighting| sighting.is_listed = false);
        let new: Vec<usize> = other.processes.into_iter().filter(|number| !self.processes.contains(number)).collect();
        self.loaded.extend(other.loaded.into_iter().filter(|(number, _)| new.contains(number)));
        self.processes.extend(new);
        self.updates_itself |= other.updates_itself;
        self.zero_warning = self.zero_warning.take().or(other.zero_warning);
    }
}
