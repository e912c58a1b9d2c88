//! The loaded names that may stand for a file's path.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use crate::instance::lock::lock;

/// The number of names that are tried for one certificate.
const MAX_CANDIDATES: usize = 8;
/// How long resolved paths are kept: a renewal may change the target of a link.
const RESOLVED_FOR: Duration = Duration::from_secs(10);

/// A name that may stand for a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) name: String,
    pub(crate) likelihood: Likelihood,
}

/// How likely a name stands for a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Likelihood {
    /// The paths agree.
    Likely,
    /// Only the file names agree.
    Unlikely,
}

/// The names of all certificates that a process has loaded, by the last part of their path.
#[derive(Debug, Default)]
pub(crate) struct Names {
    by_file_name: HashMap<String, Arc<SameFileName>>,
}

/// Loaded names with the same last part. Thousands of names may be alike: certbot calls every file `fullchain.pem`. So
/// their paths are resolved only when a path is compared with them, without a lock on the loaded certificates, and are
/// kept for further comparisons.
#[derive(Debug, Default)]
pub(crate) struct SameFileName {
    names: Vec<Arc<str>>,
    resolved: Mutex<Option<Resolved>>,
}

/// The names by their paths without symbolic links, and when they were resolved.
#[derive(Debug)]
struct Resolved {
    at: Instant,
    by_path: HashMap<PathBuf, Vec<Arc<str>>>,
}

impl Names {
    /// The names of a list.
    pub(crate) fn of<'a>(names: impl IntoIterator<Item = &'a Arc<str>>) -> Self {
        let mut groups: HashMap<String, Vec<Arc<str>>> = HashMap::new();
        for name in names {
            groups.entry(file_name(name).to_owned()).or_default().push(Arc::clone(name));
        }
        let group = |names| Arc::new(SameFileName { names, resolved: Mutex::default() });
        Names { by_file_name: groups.into_iter().map(|(file_name, names)| (file_name, group(names))).collect() }
    }

    /// The loaded names with the last part of this path.
    pub(crate) fn same_file_name(&self, path: &str) -> Arc<SameFileName> {
        self.by_file_name.get(file_name(path)).map(Arc::clone).unwrap_or_default()
    }
}

impl SameFileName {
    /// The names that may stand for this path, likeliest first. Only the certificate itself proves that one does:
    /// HAProxy's relative names begin in a folder that is not known. Blocks: it resolves paths.
    pub(crate) fn candidates(&self, path: &str) -> Vec<Candidate> {
        let others = || self.names.iter().filter(|name| ***name != *path);
        let same_file = self.of_same_file(path);
        let is_likely = |name: &Arc<str>| is_end_of(name, path) || same_file.contains(name);
        let candidate = |likelihood| move |name: &Arc<str>| Candidate { name: name.to_string(), likelihood };
        let likely = others().filter(|name| is_likely(name)).map(candidate(Likelihood::Likely));
        let unlikely = others().filter(|name| !is_likely(name)).map(candidate(Likelihood::Unlikely));
        likely.chain(unlikely).take(MAX_CANDIDATES).collect()
    }

    /// The names that lead to the same file as this path.
    fn of_same_file(&self, path: &str) -> Vec<Arc<str>> {
        let Ok(path) = Path::new(path).canonicalize() else { return Vec::new() };
        let mut resolved = lock(&self.resolved);
        if resolved.as_ref().is_none_or(|resolved| resolved.at.elapsed() > RESOLVED_FOR) {
            *resolved = Some(Resolved::of(&self.names));
        }
        resolved.as_ref().and_then(|resolved| resolved.by_path.get(&path)).cloned().unwrap_or_default()
    }
}

impl Resolved {
    fn of(names: &[Arc<str>]) -> Self {
        let mut by_path: HashMap<PathBuf, Vec<Arc<str>>> = HashMap::new();
        for name in names {
            if let Ok(path) = Path::new(&**name).canonicalize() {
                by_path.entry(path).or_default().push(Arc::clone(name));
            }
        }
        Resolved { at: Instant::now(), by_path }
    }
}

fn file_name(name: &str) -> &str {
    name.rsplit_once('/').map_or(name, |(_, last)| last)
}

/// Whether a relative name is the end of a path, whole parts only.
fn is_end_of(relative: &str, path: &str) -> bool {
    let relative = relative.strip_prefix("./").unwrap_or(relative);
    !relative.starts_with('/') && Path::new(path).ends_with(relative)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(names: &[&str], path: &str) -> Vec<Candidate> {
        let names: Vec<Arc<str>> = names.iter().map(|name| Arc::from(*name)).collect();
        Names::of(&names).same_file_name(path).candidates(path)
    }

    #[test]
    fn relative_names_come_first_and_other_folders_stay_unlikely() {
        let names = ["/other/a.pem", "certs/a.pem", "erts/a.pem", "b.pem"];
        let found = candidates(&names, "/etc/certs/a.pem");
        assert_eq!(found[0], Candidate { name: "certs/a.pem".into(), likelihood: Likelihood::Likely });
        assert_eq!(found.iter().filter(|candidate| candidate.likelihood == Likelihood::Likely).count(), 1);
        assert_eq!(found.len(), 3);
        assert!(candidates(&names, "/etc/certs/c.pem").is_empty());
    }

    #[test]
    fn a_likely_name_is_found_among_many() {
        let others: Vec<String> = (0..100).map(|number| format!("/live/{number}/a.pem")).collect();
        let names: Vec<&str> = others.iter().map(String::as_str).chain(["certs/a.pem"]).collect();
        let found = candidates(&names, "/etc/certs/a.pem");
        assert_eq!((found.len(), found[0].name.as_str()), (MAX_CANDIDATES, "certs/a.pem"));
    }

    #[test]
    fn one_file_by_two_paths_is_likely() {
        let folder = tempfile::tempdir().expect("a folder");
        let real = folder.path().join("real");
        std::fs::create_dir(&real).expect("a folder");
        std::fs::write(real.join("a.pem"), "").expect("a file");
        std::os::unix::fs::symlink(&real, folder.path().join("link")).expect("a link");
        let loaded = real.join("a.pem");
        let found =
            candidates(&[loaded.to_str().expect("text")], folder.path().join("link/a.pem").to_str().expect("text"));
        assert_eq!(found[0].likelihood, Likelihood::Likely);
    }
}
