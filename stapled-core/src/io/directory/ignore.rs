//! Patterns of the files and directories that a scan ignores.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// Why a pattern cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IgnoreError {
    /// The pattern begins with `./` or `../`, but there is no directory that it could be relative to.
    #[error(
        "{pattern}: a pattern is not relative to the current directory; \
         begin it with / to match the whole path, or leave the dots out to match the end of the path"
    )]
    Relative {
        /// The pattern.
        pattern: String,
    },
    /// The pattern is empty.
    #[error("an empty pattern matches nothing")]
    Empty,
    /// The pattern is not a glob.
    #[error("{pattern}: {what}")]
    Syntax {
        /// The pattern.
        pattern: String,
        /// The reason.
        what: String,
    },
}

/// Compiled patterns.
#[derive(Clone, Debug)]
pub(super) struct Ignore(GlobSet);

impl Default for Ignore {
    fn default() -> Self {
        Ignore(GlobSet::empty())
    }
}

impl Ignore {
    pub(super) fn new<S: AsRef<str>>(patterns: impl IntoIterator<Item = S>) -> Result<Self, IgnoreError> {
        let mut set = GlobSetBuilder::new();
        let syntax = |pattern: &str, error: &globset::Error| IgnoreError::Syntax {
            pattern: pattern.to_owned(),
            what: error.kind().to_string(),
        };
        for pattern in patterns {
            let pattern = pattern.as_ref();
            // `private/` means the same directory as `private`.
            let trimmed = pattern.trim_end_matches('/');
            if trimmed.is_empty() {
                return Err(IgnoreError::Empty);
            }
            if matches!(trimmed, "." | "..") || trimmed.starts_with("./") || trimmed.starts_with("../") {
                return Err(IgnoreError::Relative { pattern: pattern.to_owned() });
            }
            let anchored = if trimmed.starts_with('/') { trimmed.to_owned() } else { format!("**/{trimmed}") };
            let glob = GlobBuilder::new(&anchored).literal_separator(true).build();
            set.add(glob.map_err(|error| syntax(pattern, &error))?);
        }
        Ok(Ignore(set.build().map_err(|error| syntax("", &error))?))
    }

    /// Whether this path is ignored. A relative path is relative to the current directory.
    pub(super) fn matches(&self, path: &Path) -> bool {
        !self.0.is_empty() && self.0.is_match(absolute(path))
    }

    /// Whether this file is ignored, or a directory that it lies in: the root and the directories above it do not count.
    pub(super) fn matches_below(&self, root: &Path, file: &Path) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let (root, file) = (absolute(root), absolute(file));
        let directories = file.ancestors().skip(1).take_while(|directory| *directory != root);
        self.0.is_match(&file) || directories.into_iter().any(|directory| self.0.is_match(directory))
    }
}

fn absolute(path: &Path) -> Cow<'_, Path> {
    match path.is_absolute() {
        true => Cow::Borrowed(path),
        false => Cow::Owned(std::path::absolute(path).unwrap_or_else(|_| PathBuf::from("/").join(path))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_paths_or_their_ends() {
        for (pattern, path, expected) in [
            ("*.bak.pem", "/a/b/x.bak.pem", true),
            ("*.bak.pem", "/a/b/x.pem", false),
            ("live/*/privkey.pem", "/etc/letsencrypt/live/example.org/privkey.pem", true),
            ("live/*/privkey.pem", "/etc/letsencrypt/live/a/b/privkey.pem", false),
            ("live/*/privkey.pem", "/etc/letsencrypt/archive/a/privkey.pem", false),
            ("private/*", "/srv/private/x.pem", true),
            ("private/*", "/srv/private2/x.pem", false),
            ("private/", "/srv/private", true),
            ("x.pem", "/srv/x.pem", true),
            ("x.pem", "/srv/ax.pem", false),
            ("/srv/*.pem", "/srv/x.pem", true),
            ("/srv/*.pem", "/srv/a/x.pem", false),
            ("/srv/**/x.pem", "/srv/a/b/x.pem", true),
            ("/srv/*.pem", "/mnt/srv/x.pem", false),
            ("{a,b}.pem", "/srv/b.pem", true),
            ("[!a].pem", "/srv/a.pem", false),
            (".hidden.pem", "/srv/.hidden.pem", true),
        ] {
            let ignore = Ignore::new([pattern]).unwrap();
            assert_eq!(ignore.matches(Path::new(path)), expected, "{pattern} on {path}");
        }
        assert!(!Ignore::default().matches(Path::new("/x.pem")));
    }

    #[test]
    fn a_relative_path_is_matched_by_absolute_patterns() {
        let here = std::env::current_dir().unwrap();
        let ignore = Ignore::new([format!("{}/*.pem", here.display())]).unwrap();
        assert!(ignore.matches(Path::new("x.pem")));
        assert!(!ignore.matches(Path::new("y/x.pem")));
    }

    #[test]
    fn a_file_is_ignored_with_a_directory_that_it_lies_in() {
        for (root, pattern, file, expected) in [
            ("/", "private/", "/srv/private/x.pem", true),
            ("/", "private/", "/srv/private/a/x.pem", true),
            ("/", "private/", "/srv/private2/x.pem", false),
            ("/", "x.pem", "/srv/x.pem", true),
            ("/srv", "private", "/srv/private/x.pem", true),
            // A scan of a directory does not ask whether the directory itself is ignored.
            ("/srv/private", "private", "/srv/private/x.pem", false),
            ("/srv/private", "private", "/srv/private/private/x.pem", true),
            ("/srv/private", "private", "/elsewhere/private/x.pem", true),
            ("/srv/x.pem", "x.pem", "/srv/x.pem", true),
        ] {
            let ignore = Ignore::new([pattern]).unwrap();
            assert_eq!(ignore.matches_below(Path::new(root), Path::new(file)), expected, "{root} {pattern} {file}");
        }
        assert!(!Ignore::default().matches_below(Path::new("/"), Path::new("/x.pem")));
    }

    #[test]
    fn patterns_that_mean_nothing_are_refused() {
        for pattern in ["./x.pem", "../x.pem", ".", ".."] {
            assert!(matches!(Ignore::new([pattern]), Err(IgnoreError::Relative { .. })), "{pattern}");
        }
        assert_eq!(Ignore::new([""]).unwrap_err(), IgnoreError::Empty);
        assert_eq!(Ignore::new(["/"]).unwrap_err(), IgnoreError::Empty);
        assert!(matches!(Ignore::new(["[a.pem"]), Err(IgnoreError::Syntax { .. })));
    }
}
