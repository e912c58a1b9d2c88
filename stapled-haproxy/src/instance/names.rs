//! Which names HAProxy may know a file by.

use std::collections::HashMap;
use std::path::Path;

/// No more names are tried for one certificate.
const MAX_CANDIDATES: usize = 8;

/// The names of all certificates that a process has loaded, found by the last part of their path.
#[derive(Debug, Default)]
pub(crate) struct Names {
    by_file_name: HashMap<String, Vec<String>>,
}

impl Names {
    pub(crate) fn add(&mut self, name: &str) {
        self.by_file_name.entry(file_name(name).to_owned()).or_default().push(name.to_owned());
    }

    /// The names that may stand for this one, likeliest first. Whether they do, only the certificate itself tells:
    /// HAProxy's relative names begin in a folder that we do not know.
    pub(crate) fn candidates(&self, name: &str) -> Vec<Candidate> {
        let same_file_name = self.by_file_name.get(file_name(name)).map(Vec::as_slice).unwrap_or_default();
        let mut candidates: Vec<Candidate> = same_file_name
            .iter()
            .filter(|loaded| loaded.as_str() != name)
            .map(|loaded| Candidate {
                name: loaded.clone(),
                is_likely: is_end_of(loaded, name) || is_same(loaded, name),
            })
            .collect();
        candidates.sort_by_key(|candidate| !candidate.is_likely);
        candidates.truncate(MAX_CANDIDATES);
        candidates
    }
}

/// A name that may be meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) name: String,
    /// Whether the paths agree; otherwise just the file names do.
    pub(crate) is_likely: bool,
}

fn file_name(name: &str) -> &str {
    name.rsplit_once('/').map_or(name, |(_, last)| last)
}

/// Whether a relative name is the end of a path, whole parts only.
fn is_end_of(relative: &str, path: &str) -> bool {
    let relative = relative.strip_prefix("./").unwrap_or(relative);
    !relative.starts_with('/') && Path::new(path).ends_with(relative)
}

/// Whether two paths lead to one file.
fn is_same(one: &str, other: &str) -> bool {
    match (Path::new(one).canonicalize(), Path::new(other).canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_names_come_first_and_strangers_stay_unlikely() {
        let mut names = Names::default();
        for name in ["/other/a.pem", "certs/a.pem", "erts/a.pem", "b.pem"] {
            names.add(name);
        }
        let found = names.candidates("/etc/certs/a.pem");
        assert_eq!(found[0], Candidate { name: "certs/a.pem".into(), is_likely: true });
        assert_eq!(found.iter().filter(|candidate| candidate.is_likely).count(), 1);
        assert_eq!(found.len(), 3);
        assert!(names.candidates("/etc/certs/c.pem").is_empty());
    }

    #[test]
    fn one_file_by_two_paths_is_likely() {
        let folder = tempfile::tempdir().expect("a folder");
        let real = folder.path().join("real");
        std::fs::create_dir(&real).expect("a folder");
        std::fs::write(real.join("a.pem"), "").expect("a file");
        std::os::unix::fs::symlink(&real, folder.path().join("link")).expect("a link");
        let mut names = Names::default();
        names.add(real.join("a.pem").to_str().expect("text"));
        let found = names.candidates(folder.path().join("link/a.pem").to_str().expect("text"));
        assert!(found[0].is_likely);
    }
}
