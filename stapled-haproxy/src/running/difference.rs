//! The differences between a running HAProxy and its configuration as it is now. Pure, except that it resolves paths.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use stapled_core::reason::ReasonCode;

use crate::cli::name::NameError;
use crate::codes;
use crate::configuration::{Configuration, Place};
use crate::running::snapshot::ProcessSnapshot;

/// A difference between a running HAProxy and its configuration. Clients get HAProxy's version.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}: {}", self.what(), self.remedy())]
#[non_exhaustive]
pub enum Difference {
    /// HAProxy was started with other files.
    OtherConfiguration {
        /// HAProxy's process id.
        pid: u64,
        /// The files that HAProxy was started with.
        started_with: Vec<PathBuf>,
        /// The files of the configuration.
        named: Vec<PathBuf>,
    },
    /// A certificate is configured and not loaded: HAProxy was not reloaded, or belongs to another configuration.
    NotLoaded {
        /// The name of the certificate.
        name: String,
        /// The line that names it.
        place: Place,
    },
    /// A certificate is loaded and not configured: HAProxy does not have it after the next start or reload.
    NotInConfiguration {
        /// The name of the certificate.
        name: String,
    },
}

impl Difference {
    /// The stable code of the difference.
    pub fn code(&self) -> ReasonCode {
        match self {
            Difference::OtherConfiguration { .. } => codes::OTHER_CONFIGURATION,
            Difference::NotLoaded { .. } => codes::NOT_LOADED,
            Difference::NotInConfiguration { .. } => codes::NOT_IN_CONFIGURATION,
        }
    }

    /// The difference in words, without what to do.
    pub fn what(&self) -> String {
        match self {
            Difference::OtherConfiguration { pid, started_with, named } => {
                format!(
                    "the HAProxy of process {pid} was started with {}, not with {}",
                    list(started_with),
                    list(named)
                )
            }
            Difference::NotLoaded { name, place } => {
                format!("{place} names the certificate {name}, and the running HAProxy has not loaded it")
            }
            Difference::NotInConfiguration { name } => {
                format!("the running HAProxy has loaded the certificate {name}, and its configuration does not name it")
            }
        }
    }

    /// What to do.
    pub fn remedy(&self) -> &'static str {
        match self {
            Difference::OtherConfiguration { .. } => "name what it is started with, or restart it",
            Difference::NotLoaded { .. } => "reload HAProxy",
            Difference::NotInConfiguration { .. } => "name it there if it is to be served after the next reload, too",
        }
    }
}

impl Configuration {
    /// The differences of a running HAProxy. An unknown fact, such as the target of a relative path in another container, is
    /// no difference.
    pub fn differences(&self, running: &ProcessSnapshot) -> Vec<Difference> {
        let configured: HashSet<&str> = self.certificates.iter().map(|served| served.name.as_str()).collect();
        let loaded: HashSet<&str> = running.certificates.iter().map(|served| served.name.as_str()).collect();
        let not_loaded = self.certificates.iter().filter(|served| {
            // HAProxy cannot be asked for a name that cannot be written, so it shows no certificate of that name.
            served.is_certain && !loaded.contains(served.name.as_str()) && NameError::check(&served.name).is_ok()
        });
        let not_loaded =
            not_loaded.map(|served| Difference::NotLoaded { name: served.name.clone(), place: served.place.clone() });
        let clients: HashSet<&str> = self.client_certificates.iter().map(String::as_str).collect();
        let is_known = |name: &str| configured.contains(name) || clients.contains(name);
        let others = running.certificates.iter().filter(|served| !is_known(&served.name));
        let others = others.map(|served| Difference::NotInConfiguration { name: served.name.clone() });
        self.other_files(running).into_iter().chain(not_loaded).chain(others).collect()
    }

    fn other_files(&self, running: &ProcessSnapshot) -> Option<Difference> {
        let directory = running.working_directory.as_deref();
        let started_with = running.configuration_files.iter().map(|file| place(file, directory));
        let started_with: BTreeSet<PathBuf> = started_with.collect::<Option<_>>()?;
        let named: BTreeSet<PathBuf> =
            self.configuration_files.iter().map(|file| place(file, None)).collect::<Option<_>>()?;
        if started_with.is_empty() || started_with == named {
            return None;
        }
        Some(Difference::OtherConfiguration {
            pid: running.pid,
            started_with: started_with.into_iter().collect(),
            named: named.into_iter().collect(),
        })
    }
}

/// The path of a file; `None` if it cannot be known.
fn place(file: &Path, directory: Option<&Path>) -> Option<PathBuf> {
    let whole = match (file.is_absolute(), directory) {
        (true, _) => file.to_owned(),
        (false, Some(directory)) => directory.join(file),
        (false, None) => return None,
    };
    // A file that does not exist here may exist in a container, under the same name.
    whole.canonicalize().ok().or_else(|| file.is_absolute().then_some(whole))
}

fn list(files: &[PathBuf]) -> String {
    files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::configuration::Served;
    use crate::running::snapshot::ServedCertificate;

    fn configuration(names: &[&str]) -> Configuration {
        let served = |name: &&str| Served {
            name: (*name).to_owned(),
            file: (*name).into(),
            staple: None,
            is_staple_named: false,
            is_key_named: false,
            issuer: None,
            chains: None,
            updates_itself: false,
            is_certain: true,
            place: Place { file: Arc::from(Path::new("/h.cfg")), line: 3 },
        };
        Configuration { certificates: names.iter().map(served).collect(), ..Configuration::default() }
    }

    fn running(names: &[&str]) -> ProcessSnapshot {
        let served = |name: &&str| ServedCertificate { name: (*name).to_owned(), ..ServedCertificate::default() };
        ProcessSnapshot { pid: 7, certificates: names.iter().map(served).collect(), ..ProcessSnapshot::default() }
    }

    fn told(differences: &[Difference]) -> Vec<String> {
        differences.iter().map(|difference| format!("{}: {difference}", difference.code())).collect()
    }

    #[test]
    fn loaded_certificates_are_compared_with_configured_ones() {
        let configuration = configuration(&["/a", "/b", "/odd\nname"]);
        assert_eq!(configuration.differences(&running(&["/a", "/b"])), []);
        let mut uncertain = configuration.clone();
        uncertain.certificates.iter_mut().for_each(|served| served.is_certain = false);
        assert_eq!(uncertain.differences(&running(&["/a"])), []);
        let with_client = Configuration { client_certificates: vec!["/client".to_owned()], ..configuration.clone() };
        assert_eq!(with_client.differences(&running(&["/a", "/b", "/client"])), []);
        let told = told(&configuration.differences(&running(&["/b", "/c"])));
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with("not_loaded: /h.cfg:3 names the certificate /a,"), "{told:?}");
        assert!(told[1].starts_with("not_in_configuration: "), "{told:?}");
    }

    #[test]
    fn files_at_the_start_are_compared_with_configured_ones() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = ["one.cfg", "other.cfg"].map(|name| folder.path().join(name));
        std::fs::write(&one, "").unwrap();
        std::fs::write(&other, "").unwrap();
        let link = folder.path().join("link.cfg");
        std::os::unix::fs::symlink(&one, &link).unwrap();
        let differs = |named: &[&Path], started_with: &[&Path], directory: Option<&Path>| {
            let named = named.iter().map(|path| path.to_path_buf()).collect();
            let configuration = Configuration { configuration_files: named, ..Configuration::default() };
            let snapshot = ProcessSnapshot {
                configuration_files: started_with.iter().map(|path| path.to_path_buf()).collect(),
                working_directory: directory.map(Path::to_owned),
                ..ProcessSnapshot::default()
            };
            !configuration.differences(&snapshot).is_empty()
        };
        let (relative, elsewhere) = (Path::new("one.cfg"), Path::new("/in/a/container.cfg"));
        assert!(!differs(&[&one], &[&one], None));
        assert!(!differs(&[&link], &[&one], None), "the link leads to the same file");
        assert!(differs(&[&other], &[&one], None));
        assert!(differs(&[&one], &[&one, &other], None));
        assert!(!differs(&[&one], &[relative], Some(folder.path())));
        assert!(differs(&[&other], &[relative], Some(folder.path())));
        for unknown in [None, Some(Path::new("/nowhere"))] {
            assert!(!differs(&[&one], &[relative], unknown), "{unknown:?}");
        }
        assert!(!differs(&[elsewhere], &[elsewhere], None));
        assert!(!differs(&[&one], &[], None), "HAProxy does not show its files");
    }
}
