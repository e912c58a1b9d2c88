//! Certificates in files: a file, or a directory and perhaps all below it.

mod ignore;
mod settings;
mod walk;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

pub use ignore::IgnoreError;

use self::ignore::Ignore;
use self::settings::Settings;
use self::walk::Walk;
use crate::clock::{Clock, SystemClock};
use crate::io::heard::heard;
use crate::io::stamp::Memory;
use crate::io::watch::Watches;
use crate::source::{CertSource, Scan, SourceError};

pub mod codes;

/// These belong beside a certificate and are none, whatever extensions are asked for.
const NEVER: [&str; 4] = ["issuer", "ocsp", "key", "sctl"];

/// A source of certificates: one file, or a directory.
///
/// Of a directory, files count whose extension is one of [`extensions`](DirectorySource::extensions); entries whose
/// name begins with a dot do not, as servers have it. A file that is named itself always counts. Symbolic links are
/// followed. No file is read, unless it was changed within the last two seconds, when its times tell too little.
///
/// What cannot be looked at becomes a problem of the scan, with one of these [`codes`], and the scan goes on.
///
/// The first wait for changes sets up watches (inotify on Linux): for every directory, for the one that the root lies
/// in, and for those that links lead to. They are hints; without them, changes are found by the regular scan.
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
    /// A source of what is at this path. It need not exist yet.
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

    /// Whether directories in the directory are looked into as well. Not unless asked for.
    #[must_use]
    pub fn recursive(mut self, recursive: bool) -> Self {
        self.edit().recursive = recursive;
        self
    }

    /// The extensions of certificates' files, with or without a dot, in upper or lower case; `crt`, `pem` and `cer`
    /// unless said otherwise. `issuer`, `ocsp`, `key` and `sctl` never count.
    #[must_use]
    pub fn extensions<S: AsRef<str>>(mut self, extensions: impl IntoIterator<Item = S>) -> Self {
        self.edit().extensions = extensions
            .into_iter()
            .map(|extension| extension.as_ref().trim_start_matches('.').to_ascii_lowercase())
            .filter(|extension| !extension.is_empty() && !NEVER.contains(&extension.as_str()))
            .collect();
        self
    }

    /// Passes over files and directories that match one of these globs, instead of those of an earlier call. A pattern
    /// that begins with `/` matches the whole absolute path, any other the end of it. `*` and `?` stop at slashes,
    /// `**/` does not.
    ///
    /// # Errors
    ///
    /// A pattern that is no glob, is empty, or begins with `./` or `../`.
    pub fn ignore<S: AsRef<str>>(mut self, patterns: impl IntoIterator<Item = S>) -> Result<Self, IgnoreError> {
        self.edit().ignore = Ignore::new(patterns)?;
        Ok(self)
    }

    /// How many entries of directories are looked at in one scan; 2,000,000 unless said otherwise.
    #[must_use]
    pub fn max_entries(mut self, entries: usize) -> Self {
        self.edit().max_entries = entries;
        self
    }

    /// How many directories deep below the root is looked; 32 unless said otherwise.
    #[must_use]
    pub fn max_depth(mut self, depth: usize) -> Self {
        self.edit().max_depth = depth;
        self
    }

    fn edit(&mut self) -> &mut Settings {
        Arc::make_mut(&mut self.settings)
    }
}

#[async_trait]
impl CertSource for DirectorySource {
    async fn scan(&self) -> Result<Scan, SourceError> {
        let settings = Arc::clone(&self.settings);
        let memory = Arc::clone(&self.memory);
        let watches = Arc::clone(&self.watches);
        let unheard = Arc::clone(&self.watches);
        let scan = move || {
            let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
            // Files' times come from the machine's clock, whatever the rest of the program goes by.
            Walk::new(&settings, &mut memory, watches.begin_scan(), SystemClock.now()).run()
        };
        heard(scan, move || unheard.hint()).await.map_err(|error| {
            SourceError::new(codes::SCAN_FAILED, format!("{}: the scan broke off: {error}", self.name()))
        })
    }

    async fn changed(&self) {
        self.watches.changed().await;
    }

    fn name(&self) -> String {
        self.settings.root.to_string_lossy().into_owned()
    }
}
