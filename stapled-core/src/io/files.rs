//! Versions and change hints of files, for custom sources.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::JoinError;

use crate::clock::{Clock, SystemClock};
use crate::hash::Sha256;
use crate::io::heard::heard;
use crate::io::stamp::Memory;
use crate::io::watch::{Session, Watches, file_id, is_noise};
use crate::source::{SourceProblem, Version};
use crate::time::Timestamp;

pub(crate) mod codes;

/// Watches and versions of the files of a custom source, as [`DirectorySource`](super::directory::DirectorySource) has
/// them.
///
/// ```no_run
/// use stapled_core::io::files::Files;
/// use stapled_core::source::{CertSource, Scan, Sighting, SourceError};
///
/// struct OneFile(Files);
///
/// #[async_trait::async_trait]
/// impl CertSource for OneFile {
///     async fn scan(&self) -> Result<Scan, SourceError> {
///         let mut look = self.0.look();
///         look.name("/etc/ssl/site.pem".as_ref());
///         let version = look.version(["/etc/ssl/site.pem", "/etc/ssl/site.pem.issuer"]);
///         let problems = look.end("site.pem");
///         Ok(Scan::of([Sighting::file("/etc/ssl/site.pem", version)]).problems(problems))
///     }
///
///     async fn changed(&self) {
///         self.0.changed().await;
///     }
/// }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Files(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    memory: Mutex<Memory>,
    watches: Watches,
}

/// One look at all the files of a source. When it ends, paths that it did not name are not watched any longer.
#[derive(Debug)]
pub struct Look<'a> {
    memory: MutexGuard<'a, Memory>,
    watches: Session<'a>,
    now: Timestamp,
}

impl Files {
    /// No files yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns when something may have changed since the latest [`look`](Files::look) began: the result of a source's
    /// `changed`. The first call asks for watches, which the next look sets up. May be dropped at any time.
    pub async fn changed(&self) {
        self.0.watches.changed().await;
    }

    /// Runs a blocking scan on a thread for such work: the body of a source's `scan`, which may be dropped. Changes
    /// that a dropped scan has seen are not lost: [`changed`](Files::changed) returns for them once more.
    ///
    /// # Errors
    ///
    /// The scan panicked, or the runtime ends.
    pub async fn scan<T: Send + 'static>(&self, scan: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
        let files = self.clone();
        heard(scan, move || files.0.watches.hint()).await
    }

    /// Begins a look. Only one look may run at a time. Blocks.
    pub fn look(&self) -> Look<'_> {
        let memory = self.0.memory.lock().unwrap_or_else(PoisonError::into_inner);
        // File times come from the machine's clock, even if the stapler uses another clock.
        Look { memory, watches: self.0.watches.begin_scan(), now: SystemClock.now() }
    }
}

impl Look<'_> {
    /// Watches this path, and paths that begin with it, whether they exist or not. If the path is a link, its target is
    /// watched, too. Must be called before the path is read.
    pub fn name(&mut self, path: &Path) {
        if !self.watches.is_active() {
            return;
        }
        if let Some(name) = path.file_name() {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            self.watches.name(parent.unwrap_or(Path::new(".")), name);
        }
        self.follow(path);
    }

    /// Watches a directory and its direct entries. Must be called before the directory is read.
    pub fn directory(&mut self, path: &Path) {
        if !self.watches.is_active() {
            return;
        }
        // The directory itself may be created, removed or replaced.
        self.name(path);
        if let Ok(metadata) = std::fs::metadata(path)
            && metadata.is_dir()
        {
            self.watches.before_reading(path, file_id(&metadata));
        }
    }

    /// The version of these files: it changes with their contents and with their existence. No file is read, unless it
    /// changed within the last two seconds, when its times are not reliable.
    pub fn version<P: AsRef<Path>>(&mut self, paths: impl IntoIterator<Item = P>) -> Version {
        let mut version = Sha256::new();
        for path in paths {
            let path = path.as_ref();
            match std::fs::metadata(path) {
                Ok(metadata) if metadata.is_file() => {
                    version.update(&[1]);
                    self.memory.stamp(path, &metadata, self.now, &mut version);
                    self.follow(path);
                }
                Ok(_) => version.update(&[2]),
                Err(_) => version.update(&[0]),
            }
        }
        // Half of the hash is enough to distinguish the versions of one place.
        Version::new(version.finish().as_ref().get(..16).unwrap_or_default())
    }

    /// The [`version`](Look::version) of the names and contents of all files directly in a directory. Staples are left
    /// out, because they change all the time.
    pub fn version_of_directory(&mut self, path: &Path) -> Version {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| !is_noise(path)).collect();
        paths.sort();
        let names = paths.iter().map(|path| path.file_name().map(OsStr::as_bytes).unwrap_or_default());
        let names = names.flat_map(|name| name.iter().copied().chain([0])).collect::<Vec<u8>>();
        let mut version = Sha256::of(&names).to_vec();
        version.extend(self.version(&paths).as_bytes());
        Version::new(version)
    }

    /// Ends the look. Returns the problem that prevents watching, if there is one. `name` is the source's.
    #[must_use]
    pub fn end(mut self, name: &str) -> Option<SourceProblem> {
        self.memory.end_scan();
        self.watches.end(name)
    }

    /// Watches the target of a link: the directory of the link reports no changes behind it.
    fn follow(&mut self, path: &Path) {
        if self.watches.is_active()
            && path.is_symlink()
            && let Ok(target) = std::fs::canonicalize(path)
            && let (Some(parent), Some(name)) = (target.parent(), target.file_name())
        {
            self.watches.name(parent, name);
        }
    }
}
