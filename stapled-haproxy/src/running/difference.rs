//! What a running HAProxy has otherwise than its configuration, as it is now, says. Pure, but for looking where paths
//! lead.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use stapled_core::reason::ReasonCode;

use crate::cli::command::NameError;
use crate::codes;
use crate::configuration::{Configuration, Place};
use crate::running::source::Picture;

/// Something that a running HAProxy has otherwise than the configuration says. HAProxy is right about what is served.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Difference {
    /// It was started with other files.
    #[error(
        "the HAProxy of process {pid} was started with {}, not with {}: name what it is started with, or restart it",
        list(.started_with),
        list(.named)
    )]
    OtherConfiguration {
        /// Its process id.
        pid: u64,
        /// What it was started with.
        started_with: Vec<PathBuf>,
        /// What was named.
        named: Vec<PathBuf>,
    },
    /// A certificate is configured and not loaded: HAProxy was not reloaded, or is another one.
    #[error("{place} names the certificate {name}, and the running HAProxy has not loaded it: reload HAProxy")]
    NotLoaded {
        /// Its name.
        name: String,
        /// The line that names it.
        place: Place,
    },
    /// A certificate is loaded and not configured: its next start or reload will not have it.
    #[error(
        "the running HAProxy has loaded the certificate {name}, and its configuration does not name it: name it there, if it \
         shall be served after the next reload, too"
    )]
    NotInConfiguration {
        /// Its name.
        name: String,
    },
}

impl Difference {
    /// The stable word for it.
    pub fn code(&self) -> ReasonCode {
        match self {
            Difference::OtherConfiguration { .. } => codes::OTHER_CONFIGURATION,
            Difference::NotLoaded { .. } => codes::NOT_LOADED,
            Difference::NotInConfiguration { .. } => codes::NOT_IN_CONFIGURATION,
        }
    }
}

impl Configuration {
    /// What a running HAProxy has otherwise. What cannot be known, such as where relative paths of a process in another
    /// container lead, is no difference.
    pub fn differences(&self, running: &Picture) -> Vec<Difference> {
        let configured: HashSet<&str> = self.certificates.iter().map(|served| served.name.as_str()).collect();
        let loaded: HashSet<&str> = running.certificates.iter().map(|served| served.name.as_str()).collect();
        let not_loaded = self.certificates.iter().filter(|served| {
            // Names that cannot be said are not seen with it, either.
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

    fn other_files(&self, running: &Picture) -> Option<Difference> {
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

/// Where a file is; nothing, where that cannot be known.
fn place(file: &Path, directory: Option<&Path>) -> Option<PathBuf> {
    let whole = match (file.is_absolute(), directory) {
        (true, _) => file.to_owned(),
        (false, Some(directory)) => directory.join(file),
        (false, None) => return None,
    };
    // What is not here may be in a container, under its own name.
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
    use crate::running::source::ServedCertificate;

    fn configuration(names: &[&str]) -> Configuration {
        let served = |name: &&str| Served {
            name: (*name).to_owned(),
            file: (*name).into(),
            staple: None,
            is_staple_named: false,
            issuer: None,
            chains: None,
            updates_itself: false,
            is_certain: true,
            place: Place { file: Arc::from(Path::new("/h.cfg")), line: 3 },
        };
        Configuration { certificates: names.iter().map(served).collect(), ..Configuration::default() }
    }

    fn running(names: &[&str]) -> Picture {
        let served = |name: &&str| ServedCertificate { name: (*name).to_owned(), ..ServedCertificate::default() };
        Picture { pid: 7, certificates: names.iter().map(served).collect(), ..Picture::default() }
    }

    fn told(differences: &[Difference]) -> Vec<String> {
        differences.iter().map(|difference| format!("{}: {difference}", difference.code())).collect()
    }

    #[test]
    fn what_is_loaded_and_what_is_configured() {
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
    fn which_files_it_was_started_with() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = ["one.cfg", "other.cfg"].map(|name| folder.path().join(name));
        std::fs::write(&one, "").unwrap();
        std::fs::write(&other, "").unwrap();
        let link = folder.path().join("link.cfg");
        std::os::unix::fs::symlink(&one, &link).unwrap();
        let differs = |named: &[&Path], started_with: &[&Path], directory: Option<&Path>| {
            let named = named.iter().map(|path| path.to_path_buf()).collect();
            let configuration = Configuration { configuration_files: named, ..Configuration::default() };
            let picture = Picture {
                configuration_files: started_with.iter().map(|path| path.to_path_buf()).collect(),
                working_directory: directory.map(Path::to_owned),
                ..Picture::default()
            };
            !configuration.differences(&picture).is_empty()
        };
        let (relative, elsewhere) = (Path::new("one.cfg"), Path::new("/in/a/container.cfg"));
        assert!(!differs(&[&one], &[&one], None));
        assert!(!differs(&[&link], &[&one], None), "it is the same file");
        assert!(differs(&[&other], &[&one], None));
        assert!(differs(&[&one], &[&one, &other], None));
        assert!(!differs(&[&one], &[relative], Some(folder.path())));
        assert!(differs(&[&other], &[relative], Some(folder.path())));
        for unknown in [None, Some(Path::new("/nowhere"))] {
            assert!(!differs(&[&one], &[relative], unknown), "{unknown:?}");
        }
        assert!(!differs(&[elsewhere], &[elsewhere], None));
        assert!(!differs(&[&one], &[], None), "it does not tell");
    }
}
