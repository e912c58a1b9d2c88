//! Certificates that an operator excludes by their files: no source gives them, and no list has them.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use stapled_core::report::Reporter;
use stapled_core::source::{CertSource, Material, Scan, Sighting, SourceError};

use crate::configuration::Configuration;
use crate::running::snapshot::ProcessSnapshot;

type Rule = Arc<dyn Fn(&Path) -> bool + Send + Sync>;

/// The rules by which files are ignored. A file is ignored if all rules say so; without a rule, none is.
#[derive(Clone, Default)]
pub(crate) struct Ignored(Vec<Rule>);

impl Ignored {
    /// Files for which this function returns true.
    pub(crate) fn by(rule: impl Fn(&Path) -> bool + Send + Sync + 'static) -> Self {
        Ignored(vec![Arc::new(rule)])
    }

    /// The files that both ignore: one of two users of the same process may want a certificate.
    pub(crate) fn and(mut self, other: &Ignored) -> Self {
        if self.0.is_empty() || other.0.is_empty() {
            return Ignored::default();
        }
        self.0.extend(other.0.iter().cloned());
        self
    }

    /// Whether this file is ignored.
    pub(crate) fn has(&self, file: &Path) -> bool {
        !self.0.is_empty() && self.0.iter().all(|rule| rule(file))
    }

    /// Removes the ignored certificates from a scan, with the problems of their files.
    pub(crate) fn remove_from_scan(&self, scan: &mut Scan) {
        if self.0.is_empty() {
            return;
        }
        // A name may begin in a directory that only its file tells. One name has several places while the running process
        // has another certificate than the file.
        let ignored = scan.sightings.iter().filter(|sighting| self.has_sighting(sighting));
        let names: HashSet<Arc<str>> = ignored.map(name).collect();
        scan.sightings.retain(|sighting| !names.contains(&name(sighting)));
        scan.problems.retain(|problem| {
            let is_name = names.contains(problem.place.as_str());
            !is_name && !self.has(Path::new(&problem.place))
        });
    }

    /// Removes the ignored certificates from what a configuration names.
    pub(crate) fn remove_from_configuration(&self, configuration: &mut Configuration) {
        configuration.certificates.retain(|served| !self.has(&served.file));
    }

    /// Removes the ignored certificates from what a process has loaded. A name may be relative: what the configuration
    /// calls so is ignored by its file there.
    pub(crate) fn remove_from_process(&self, snapshot: &mut ProcessSnapshot, configuration: Option<&Configuration>) {
        if self.0.is_empty() {
            return;
        }
        let configured = configuration.map(|configuration| configuration.certificates.as_slice()).unwrap_or_default();
        let ignored = configured.iter().filter(|served| self.has(&served.file));
        let names: HashSet<&str> = ignored.map(|served| served.name.as_str()).collect();
        snapshot.certificates.retain(|served| {
            let file = served.file.as_deref().unwrap_or_else(|| Path::new(&served.name));
            !names.contains(served.name.as_str()) && !self.has(file)
        });
    }

    fn has_sighting(&self, sighting: &Sighting) -> bool {
        match &sighting.material {
            Material::File(file) => self.has(file),
            _ => self.has(Path::new(&*name(sighting))),
        }
    }
}

impl fmt::Debug for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ignored").field(&self.0.len()).finish()
    }
}

/// The name by which servers know the certificate of a place.
fn name(sighting: &Sighting) -> Arc<str> {
    Arc::clone(sighting.served_as.as_ref().unwrap_or(&sighting.name))
}

/// A source without its ignored certificates.
pub(crate) struct WithoutIgnored<S> {
    source: S,
    ignored: Ignored,
}

impl<S: CertSource> WithoutIgnored<S> {
    pub(crate) fn new(source: S, ignored: Ignored) -> Self {
        WithoutIgnored { source, ignored }
    }
}

#[async_trait]
impl<S: CertSource> CertSource for WithoutIgnored<S> {
    async fn scan(&self) -> Result<Scan, SourceError> {
        let mut scan = self.source.scan().await?;
        self.ignored.remove_from_scan(&mut scan);
        Ok(scan)
    }

    async fn changed(&self) {
        self.source.changed().await;
    }

    fn report_to(&self, reporter: Reporter) {
        self.source.report_to(reporter);
    }

    fn root(&self) -> Option<PathBuf> {
        self.source.root()
    }

    fn name(&self) -> String {
        self.source.name()
    }
}

#[cfg(test)]
mod tests {
    use stapled_core::source::{SourceProblem, Version};

    use super::*;
    use crate::codes;

    fn ignored(files: &'static [&str]) -> Ignored {
        Ignored::by(move |file| files.iter().any(|one| Path::new(one) == file))
    }

    #[test]
    fn all_places_of_an_ignored_name_are_removed_with_its_problems() {
        let problem = |place: &str| SourceProblem::at(place, SourceError::new(codes::SERVED_DIFFERS, "differs"));
        let version = || Version::new([]);
        let sightings = || {
            [
                Sighting::file("/srv/a.pem", version()).name("a.pem (in its file)").served_as("a.pem"),
                Sighting::bytes("a.pem", *b"old", version()).served_as("a.pem"),
                Sighting::file("/srv/b.pem", version()).name("b.pem").served_as("b.pem"),
                Sighting::bytes("/gone/c.pem", *b"c", version()),
            ]
        };
        let of = |ignored: &Ignored| {
            let mut scan = Scan::of(sightings()).problems(["a.pem", "b.pem", "/d.pem"].map(problem));
            ignored.remove_from_scan(&mut scan);
            let places = scan.sightings.iter().map(|sighting| sighting.name.to_string());
            places.chain(scan.problems.into_iter().map(|problem| problem.place)).collect::<Vec<_>>()
        };
        assert_eq!(of(&ignored(&["/srv/a.pem"])), ["b.pem", "/gone/c.pem", "b.pem", "/d.pem"]);
        let rest = ["a.pem (in its file)", "a.pem", "b.pem", "a.pem", "b.pem"];
        assert_eq!(of(&ignored(&["/gone/c.pem", "/d.pem"])), rest);
        assert_eq!(of(&Ignored::default()).len(), 7);
    }

    #[test]
    fn two_users_of_a_process_must_both_ignore_a_file() {
        let both = ignored(&["/a", "/b"]).and(&ignored(&["/b", "/c"]));
        assert_eq!(["/a", "/b", "/c"].map(|file| both.has(Path::new(file))), [false, true, false]);
        assert!(!ignored(&["/a"]).and(&Ignored::default()).has(Path::new("/a")));
        assert!(!Ignored::default().and(&ignored(&["/a"])).has(Path::new("/a")));
    }
}
