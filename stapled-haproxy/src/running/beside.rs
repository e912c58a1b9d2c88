//! Which certificates a process serves beside the files that path sources give: those below a root of these, and those that lie
//! elsewhere. Blocks: it resolves paths and reads files.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stapled_core::bundle::Bundle;
use stapled_core::io::certificate_file::read_file;
use stapled_core::overrides::ResponderOverrides;
use stapled_core::source::{Material, Scan, Sighting, SourceError, SourceProblem, Version};
use stapled_core::time::Timestamp;

use crate::cli::identity::Identity;
use crate::codes;

/// The certificates that a process serves beside the files of the watched paths.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    /// Certificates in files below a watched path, with their problems.
    pub(crate) scan: Scan,
    /// Certificates in other files that need a staple and are in no watched file either.
    pub(crate) missed: Vec<Missed>,
}

/// A served certificate that needs a staple and lies in no watched path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Missed {
    /// The name by which the process knows it.
    pub(crate) name: Arc<str>,
    pub(crate) serial: String,
}

impl Missed {
    pub(crate) fn problem(&self, address: &str) -> SourceProblem {
        let Missed { name, serial } = self;
        let what = format!(
            "{address} serves as {name} the certificate {serial}, which needs a staple and lies in none of the watched \
             paths, so that it gets none from here; add its path to --cert-paths, or pass it over with --ignore"
        );
        SourceProblem::at(name.to_string(), SourceError::new(codes::NOT_IN_PATHS, what))
    }
}

impl Beside {
    /// `served` is the scan of the process, `roots` are those of the paths, `given` is what these gave. Blocks: it resolves
    /// paths and reads files.
    pub(crate) fn of(served: Scan, roots: &[&Path], given: &[&Scan], read: &mut Read, now: Timestamp) -> Self {
        let mut resolved = Resolved::default();
        let roots: Vec<PathBuf> = roots.iter().flat_map(|root| [root.to_path_buf(), resolved.whole(root)]).collect();
        let hidden = given.iter().flat_map(|scan| &scan.problems).filter(|problem| problem.hides_below);
        let hidden: Vec<&Path> = hidden.map(|problem| Path::new(&problem.place)).collect();
        let given = || given.iter().flat_map(|scan| &scan.sightings);
        let files = given().filter_map(file_of);
        let listed: HashSet<PathBuf> = files.flat_map(|file| [file.to_owned(), resolved.file(file)]).collect();
        let mut lies = |file: &Path| {
            let resolved = resolved.file(file);
            let is_below = |root: &PathBuf| file.starts_with(root) || resolved.starts_with(root);
            match listed.contains(file) || listed.contains(&resolved) {
                true => Where::Listed,
                false if roots.iter().any(is_below) => Where::Below,
                false => Where::Elsewhere,
            }
        };
        // One name has several places while the process has another certificate than the file.
        let mut names: HashMap<Arc<str>, Where> = HashMap::new();
        for sighting in &served.sightings {
            let name = name_of(sighting);
            let lies = lies(file_of(sighting).unwrap_or_else(|| Path::new(&*name)));
            let known = names.entry(name).or_insert(lies);
            *known = lies.min(*known);
        }
        // The path's source gives the file's certificate, but not the one that the process still serves.
        for sighting in served.sightings.iter().filter(|sighting| sighting.name != name_of(sighting)) {
            names.entry(name_of(sighting)).and_modify(|lies| *lies = Where::Below.max(*lies));
        }
        let (mut below, mut elsewhere) = (Scan::default(), Vec::new());
        for sighting in served.sightings {
            match names.get(&name_of(&sighting)) {
                Some(Where::Below) => below.sightings.push(sighting),
                // Only the certificate that the process serves counts, not the one that its file holds meanwhile.
                Some(Where::Elsewhere) if sighting.name == name_of(&sighting) => elsewhere.push(sighting),
                _ => {}
            }
        }
        // A certificate that no readable file holds has a problem alone. Whether it needs a staple is not known.
        let mut lies = |place: &str| names.get(place).copied().unwrap_or_else(|| lies(Path::new(place)));
        below.problems = served.problems;
        // A directory that a path could not read has a problem of its own, and may hold what is missed.
        let is_hidden = |place: &str| hidden.iter().any(|directory| Path::new(place).starts_with(directory));
        below.problems.retain(|problem| lies(&problem.place) == Where::Below && !is_hidden(&problem.place));
        let missed = if hidden.is_empty() { missed(&elsewhere, given, read, now) } else { Vec::new() };
        Beside { scan: below, missed }
    }
}

/// Those of `elsewhere` that need a staple, without those that a file of the paths holds, too.
fn missed<'a, G: Iterator<Item = &'a Sighting>>(
    elsewhere: &'a [Sighting],
    given: impl Fn() -> G,
    read: &mut Read,
    now: Timestamp,
) -> Vec<Missed> {
    let needing: Vec<(&Sighting, Facts)> = elsewhere
        .iter()
        .filter_map(|sighting| Some((sighting, read.facts(sighting)?)))
        .filter(|(_, facts)| facts.needs_staple && facts.not_after > now)
        .collect();
    if needing.is_empty() {
        read.known.clear();
        return Vec::new();
    }
    let held: HashSet<Identity> = given().filter_map(|sighting| Some(read.facts(sighting)?.identity)).collect();
    let files: HashSet<&Path> = elsewhere.iter().chain(given()).filter_map(file_of).collect();
    read.known.retain(|file, _| files.contains(file.as_path()));
    let missed = needing.into_iter().filter(|(_, facts)| !held.contains(&facts.identity));
    missed.map(|(sighting, facts)| Missed { name: name_of(sighting), serial: facts.serial }).collect()
}

/// Where the file of a served certificate lies. Of several files of one name, the first variant counts. If the file of a listed
/// one holds another certificate by now, all its places are taken as those of one below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Where {
    /// A path's source gives it.
    Listed,
    /// Below a root.
    Below,
    Elsewhere,
}

/// Paths with resolved directories. The last part of a path stays: a link has a name of its own.
#[derive(Default)]
struct Resolved(HashMap<PathBuf, PathBuf>);

impl Resolved {
    fn whole(&mut self, root: &Path) -> PathBuf {
        root.canonicalize().unwrap_or_else(|_| root.to_owned())
    }

    fn file(&mut self, file: &Path) -> PathBuf {
        let (Some(directory), Some(name)) = (file.parent(), file.file_name()) else { return file.to_owned() };
        let resolve = || directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
        self.0.entry(directory.to_owned()).or_insert_with(resolve).join(name)
    }
}

impl Read {
    pub(crate) fn with(overrides: ResponderOverrides) -> Self {
        Read { overrides, ..Read::default() }
    }

    fn facts(&mut self, sighting: &Sighting) -> Option<Facts> {
        let Some(file) = file_of(sighting) else { return Facts::of_bytes(sighting, &self.overrides) };
        if let Some((version, facts)) = self.known.get(file)
            && *version == sighting.version
        {
            return facts.clone();
        }
        let facts =
            read_file(file).ok().and_then(|bytes| Facts::of(sighting, &Bundle::read(&bytes).ok()?, &self.overrides));
        self.known.insert(file.to_owned(), (sighting.version.clone(), facts.clone()));
        facts
    }
}

impl Facts {
    fn of(sighting: &Sighting, bundle: &Bundle, overrides: &ResponderOverrides) -> Option<Self> {
        let certificate = sighting.end_entity(bundle)?;
        Some(Facts {
            identity: Identity::of(certificate),
            serial: certificate.serial_hex(),
            not_after: certificate.not_after(),
            needs_staple: !overrides.is_off(certificate)
                && (certificate.must_staple() || !certificate.ocsp_urls().is_empty()),
        })
    }

    fn of_bytes(sighting: &Sighting, overrides: &ResponderOverrides) -> Option<Self> {
        let Material::Bytes(bytes) = &sighting.material else { return None };
        Facts::of(sighting, &Bundle::read(bytes).ok()?, overrides)
    }
}

fn file_of(sighting: &Sighting) -> Option<&Path> {
    match &sighting.material {
        Material::File(file) => Some(file),
        _ => None,
    }
}

/// The name by which the process knows the certificate.
fn name_of(sighting: &Sighting) -> Arc<str> {
    Arc::clone(sighting.served_as.as_ref().unwrap_or(&sighting.name))
}

/// The files that were read, with their versions.
#[derive(Default)]
pub(crate) struct Read {
    known: HashMap<PathBuf, (Version, Option<Facts>)>,
    /// The certificates among them that are turned off need no staple.
    overrides: ResponderOverrides,
}

/// The facts about an end-entity certificate that decide.
#[derive(Clone)]
struct Facts {
    identity: Identity,
    serial: String,
    not_after: Timestamp,
    /// Whether clients may ask for its staple, or require it.
    needs_staple: bool,
}

#[cfg(test)]
mod tests {
    use stapled_ca::{Authority, Profile};
    use stapled_core::clock::{Clock, SystemClock};
    use tempfile::TempDir;

    use super::*;

    const URL: &str = "http://ocsp.example/";

    struct World {
        folder: TempDir,
        ca: Authority,
    }

    impl World {
        fn new() -> Self {
            World { folder: TempDir::new().unwrap(), ca: Authority::root("Root").create().unwrap() }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        /// A place of a certificate with this profile.
        fn place(&self, name: &str, profile: Profile) -> Sighting {
            let pem = self.ca.issue(&profile).unwrap().certificate_pem();
            self.write(name, &pem)
        }

        fn with_url(&self, name: &str) -> Sighting {
            self.place(name, Profile::server("a.example").ocsp_url(URL))
        }

        fn write(&self, name: &str, pem: &str) -> Sighting {
            let path = self.path(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, pem).unwrap();
            Sighting::file(path, Version::new(name))
        }

        /// What is taken, and what is missed, of what a process serves, while the path `p` gives these.
        fn beside(&self, served: Scan, given: &[Sighting]) -> (Vec<String>, Vec<String>) {
            self.beside_scan(served, &Scan::of(given.iter().cloned()))
        }

        fn beside_scan(&self, served: Scan, given: &Scan) -> (Vec<String>, Vec<String>) {
            let root = self.path("p");
            // Turned off, wherever it lies.
            let mut read = Read::with(ResponderOverrides::new().off("off.example").unwrap());
            let beside = Beside::of(served, &[root.as_path()], &[given], &mut read, SystemClock.now());
            let Scan { sightings, problems, .. } = beside.scan;
            let taken = sightings.iter().map(|sighting| &*sighting.name);
            let taken = taken.chain(problems.iter().map(|problem| problem.place.as_str()));
            (self.short(taken), self.short(beside.missed.iter().map(|missed| &*missed.name)))
        }

        fn short<'a>(&self, names: impl Iterator<Item = &'a str>) -> Vec<String> {
            let folder = format!("{}/", self.folder.path().display());
            names.map(|name| name.replace(&folder, "")).collect()
        }
    }

    #[test]
    fn what_lies_below_a_root_is_taken_and_what_lies_elsewhere_is_missed() {
        let world = World::new();
        let listed = world.with_url("p/a.pem");
        let now = SystemClock.now().unix();
        let served = Scan::of([
            listed.clone(),
            world.with_url("p/shop.pem.rsa"),
            world.with_url("p/below/bank.bundle"),
            world.with_url("q/b.pem"),
            world.place("q/must.pem", Profile::server("m.example").must_staple(true)),
            // These need no staple.
            world.place("q/none.pem", Profile::server("n.example")),
            world.place("q/old.pem", Profile::server("o.example").ocsp_url(URL).valid_between(now - 9, now - 2)),
            world.place("q/off.pem", Profile::server("off.example").ocsp_url(URL).must_staple(true)),
            world.write("q/rubbish.pem", "rubbish"),
            // A path that only begins alike.
            world.with_url("p2/c.pem"),
        ]);
        let (taken, missed) = world.beside(served, &[listed]);
        assert_eq!(taken, ["p/shop.pem.rsa", "p/below/bank.bundle"]);
        assert_eq!(missed, ["q/b.pem", "q/must.pem", "p2/c.pem"]);
    }

    #[test]
    fn a_certificate_that_a_path_holds_under_another_name_is_not_missed() {
        let world = World::new();
        let listed = world.with_url("p/live/fullchain.pem");
        let copy = std::fs::read_to_string(world.path("p/live/fullchain.pem")).unwrap();
        let copy = world.write("haproxy/a.pem", &copy);
        assert_eq!(world.beside(Scan::of([copy.clone()]), &[listed]), (vec![], vec![]));
        assert_eq!(world.beside(Scan::of([copy]), &[]).1, ["haproxy/a.pem"]);
    }

    #[test]
    fn one_file_by_two_paths_is_one_place() {
        let world = World::new();
        let listed = world.with_url("p/a.pem");
        std::os::unix::fs::symlink(world.path("p"), world.path("link")).unwrap();
        let other = |name: &str| Sighting::file(world.path(name), Version::new(name));
        world.with_url("p/b.bundle");
        let served = Scan::of([other("link/a.pem"), other("link/b.bundle")]);
        assert_eq!(world.beside(served, &[listed]), (vec!["link/b.bundle".to_owned()], vec![]));
    }

    #[test]
    fn all_places_and_problems_of_a_name_go_the_same_way() {
        let world = World::new();
        let differing = |file: &str| {
            let pem = world.ca.issue(&Profile::server("old.example").ocsp_url(URL)).unwrap().certificate_pem();
            let name = world.path(file).display().to_string();
            let in_file = world.with_url(file).name(format!("{name} (in its file)")).served_as(name.as_str());
            [in_file, Sighting::bytes(name.as_str(), pem.into_bytes(), Version::new("served")).served_as(name.as_str())]
        };
        let problem = |file: &str| {
            let place = world.path(file).display().to_string();
            SourceProblem::at(place, SourceError::new(codes::SERVED_DIFFERS, "differs"))
        };
        let files = ["p/listed.pem", "p/x.bundle", "q/x.pem"];
        let served = Scan::of(files.iter().flat_map(|file| differing(file)));
        let served = served.problems(files.iter().copied().chain(["p/unreadable", "q/unreadable"]).map(problem));
        let listed = Sighting::file(world.path("p/listed.pem"), Version::new("listed"));
        let (taken, missed) = world.beside(served, &[listed]);
        let of = |file: &str| [format!("{file} (in its file)"), file.to_owned()];
        let places = [of("p/listed.pem"), of("p/x.bundle")].concat();
        let problems = ["p/listed.pem", "p/x.bundle", "p/unreadable"].map(str::to_owned);
        assert_eq!(taken, [&places[..], &problems].concat());
        assert_eq!(missed, ["q/x.pem"]);
    }

    #[test]
    fn a_directory_that_a_path_cannot_read_is_one_problem() {
        let world = World::new();
        let problem = |file: &str| {
            let place = world.path(file).display().to_string();
            SourceProblem::at(place, SourceError::new(codes::UNREADABLE_CERTIFICATE, "unreadable"))
        };
        let served = || {
            let files = ["p/a/1.pem", "p/a/2.pem", "p/b/3.pem"];
            Scan::of([world.with_url("q/b.pem")]).problems(files.map(problem))
        };
        let place = world.path("p/a").display().to_string();
        let hidden = SourceProblem::below(place, SourceError::new(codes::SCAN_FAILED, "no permission"));
        let given = Scan::default().problems([hidden]);
        assert_eq!(world.beside_scan(served(), &given), (vec!["p/b/3.pem".to_owned()], vec![]));
        assert_eq!(world.beside(served(), &[]).0.len(), 3);
        assert_eq!(world.beside(served(), &[]).1, ["q/b.pem"]);
    }
}
