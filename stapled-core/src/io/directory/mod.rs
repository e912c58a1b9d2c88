//! Certificates in files: one file, or a directory with or without its subdirectories.

mod ignore;
mod settings;
mod walk;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use async_trait::async_trait;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use ignore::IgnoreError;

use self::ignore::Ignore;
use self::settings::Settings;
use self::walk::{Listener, Walk};
use crate::clock::{Clock, SystemClock};
use crate::io::certificate_file::is_beside_certificate;
use crate::io::heard::heard;
use crate::io::stamp::Memory;
use crate::io::watch::Watches;
use crate::source::{CertSource, Scan, SourceError};

pub(crate) mod codes;

/// A source of certificates: one file, or a directory.
///
/// In a directory, files count whose extension is one of [`extensions`](DirectorySource::extensions). Names that begin
/// with a dot are skipped, as servers skip them. A root that is itself a file always counts. Symbolic links are
/// followed. The scan reads no file unless the file changed within the last two seconds, when its times are not
/// reliable.
///
/// An entry that cannot be inspected becomes a problem of the scan with a reason code of its own, and the scan continues.
///
/// The first wait for changes sets up watches (inotify on Linux): for every directory, for the parent of the root, and
/// for the directories of link targets. Watches are hints. Without them, the regular scan finds changes.
///
/// ```
/// # use stapled_core::io::directory::{DirectorySource, IgnoreError};
/// let source = DirectorySource::new("/etc/letsencrypt/live").recursive(true).ignore(["privkey.pem", "*.bak.pem"])?;
/// # Ok::<(), IgnoreError>(())
/// ```
#[derive(Debug)]
pub struct DirectorySource {
    settings: Arc<Settings>,
    memory: Arc<Mutex<Memory>>,
    watches: Arc<Watches>,
}

impl DirectorySource {
    /// A source of the certificates at this path. The path may be created later.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        DirectorySource {
            settings: Arc::new(Settings {
                root: path.into(),
                recursive: false,
                extensions: ["crt", "pem", "cer"].map(str::to_owned).to_vec(),
                ignore: Ignore::default(),
                max_entries: 2_000_000,
                max_depth: 32,
            }),
            memory: Arc::default(),
            watches: Arc::default(),
        }
    }

    /// Whether subdirectories are scanned. Default: no.
    #[must_use]
    pub fn recursive(mut self, recursive: bool) -> Self {
        self.edit().recursive = recursive;
        self
    }

    /// The extensions of certificate files, with or without a dot, in upper or lower case. Default: `crt`, `pem` and
    /// `cer`. `issuer`, `ocsp`, `key` and `sctl` never count.
    #[must_use]
    pub fn extensions<S: AsRef<str>>(mut self, extensions: impl IntoIterator<Item = S>) -> Self {
        self.edit().extensions = extensions
            .into_iter()
            .map(|extension| extension.as_ref().trim_start_matches('.').to_ascii_lowercase())
            // Files beside a certificate never count as certificates.
            .filter(|extension| !extension.is_empty() && !is_beside_certificate(Path::new(&format!(".{extension}"))))
            .collect();
        self
    }

    /// Ignores files and directories that match one of these globs. The patterns replace those of an earlier call. A
    /// pattern that begins with `/` matches the whole absolute path, any other the end of the path. `*` and `?` stop at
    /// slashes, `**/` does not.
    ///
    /// # Errors
    ///
    /// A pattern that is not a glob, is empty, or begins with `./` or `../`.
    pub fn ignore<S: AsRef<str>>(mut self, patterns: impl IntoIterator<Item = S>) -> Result<Self, IgnoreError> {
        self.edit().ignore = Ignore::new(patterns)?;
        Ok(self)
    }

    /// Whether a scan passes this file over because of [`ignore`](DirectorySource::ignore): a pattern matches the file, or a
    /// directory that it lies in. For a file below the root, only the directories below the root count. Other sources of
    /// the same program can pass over the same files by this rule.
    pub fn ignores(&self, file: &Path) -> bool {
        self.settings.ignore.matches_below(&self.settings.root, file)
    }

    /// The largest number of directory entries in one scan. Default: 2,000,000.
    #[must_use]
    pub fn max_entries(mut self, entries: usize) -> Self {
        self.edit().max_entries = entries;
        self
    }

    /// The greatest depth below the root, in directories. Default: 32.
    #[must_use]
    pub fn max_depth(mut self, depth: usize) -> Self {
        self.edit().max_depth = depth;
        self
    }

    fn edit(&mut self) -> &mut Settings {
        Arc::make_mut(&mut self.settings)
    }
}

/// How many scans of one root go on at once. Scans that hang are left behind by sources that are dropped, such as at a reload.
const SCANS_OF_ROOT: usize = 4;

/// Waits for the permission to scan a root, which lasts until it is dropped.
async fn turn(root: &Path) -> Option<OwnedSemaphorePermit> {
    static ROOTS: Mutex<BTreeMap<PathBuf, Weak<Semaphore>>> = Mutex::new(BTreeMap::new());
    let turns = {
        let mut roots = ROOTS.lock().unwrap_or_else(PoisonError::into_inner);
        roots.retain(|_, turns| turns.strong_count() > 0);
        let known = roots.get(root).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let new = Arc::new(Semaphore::new(SCANS_OF_ROOT));
            roots.insert(root.to_owned(), Arc::downgrade(&new));
            new
        })
    };
    // The semaphore is never closed. Its permit keeps it.
    turns.acquire_owned().await.ok()
}

#[async_trait]
impl CertSource for DirectorySource {
    async fn scan(&self) -> Result<Scan, SourceError> {
        self.walk(None).await
    }

    async fn scan_and_tell(&self, found: Listener) -> Result<Scan, SourceError> {
        self.walk(Some(found)).await
    }

    async fn changed(&self) {
        self.watches.changed().await;
    }

    fn root(&self) -> Option<PathBuf> {
        Some(self.settings.root.clone())
    }

    fn name(&self) -> String {
        self.settings.root.to_string_lossy().into_owned()
    }
}

impl DirectorySource {
    async fn walk(&self, listener: Option<Listener>) -> Result<Scan, SourceError> {
        let settings = Arc::clone(&self.settings);
        let memory = Arc::clone(&self.memory);
        let watches = Arc::clone(&self.watches);
        let unheard = Arc::clone(&self.watches);
        let turn = turn(&self.settings.root).await;
        let scan = move || {
            let _turn = turn;
            let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
            // File times come from the machine's clock, even if the stapler uses another clock.
            Walk::new(&settings, &mut memory, watches.begin_scan(), SystemClock.now()).telling(listener).run()
        };
        heard(scan, move || unheard.hint()).await.map_err(|error| {
            SourceError::new(codes::SCAN_FAILED, format!("{}: the scan broke off: {error}", self.name()))
        })
    }
}
