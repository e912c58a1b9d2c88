//! What is found in a configuration, and what it is read with.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stapled_core::reason::ReasonCode;

use super::extra::ExtraFiles;
use crate::cli::address::Address;

/// What a configuration of one HAProxy says about certificates and admin sockets.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Configuration {
    /// The certificates that it serves, by their names. Certificates for servers behind it (`server … crt`) are none.
    pub certificates: Vec<Served>,
    /// Its admin sockets, in the order of the configuration. Those with less than the highest level there is are left
    /// out: all lead to the same process, and the others would refuse what takes that level.
    pub sockets: Vec<Socket>,
    /// The names of certificates that servers behind it are shown (`server … crt`): a running HAProxy lists them with the
    /// others, and never staples them.
    pub client_certificates: Vec<String>,
    /// What cannot be used, or may mean something else to HAProxy.
    pub warnings: Vec<Warning>,
    /// The configuration files themselves, in the order in which HAProxy reads them.
    pub configuration_files: Vec<PathBuf>,
    /// The files whose change may change this: configurations and crt-lists, and certificates that are not there yet.
    pub files: Vec<PathBuf>,
    /// The directories of which every file counts.
    pub directories: Vec<PathBuf>,
    /// What HAProxy looks for beside certificates, and where it looks for chains, in the end.
    pub(crate) extra: ExtraFiles,
    pub(crate) chains: Option<PathBuf>,
}

/// A certificate that HAProxy serves.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Served {
    /// Its name on HAProxy's command line, as `show ssl cert` lists it.
    pub name: String,
    /// The file.
    pub file: PathBuf,
    /// Where HAProxy looks for a response when it starts, if anywhere.
    pub staple: Option<PathBuf>,
    /// Whether that file is named, and not only looked for: HAProxy does not start without it.
    pub is_staple_named: bool,
    /// Where HAProxy looks for the issuer's certificate, if anywhere but in the file.
    pub issuer: Option<PathBuf>,
    /// A directory where HAProxy looks for the chain of a certificate that comes without (`issuers-chain-path`).
    pub chains: Option<PathBuf>,
    /// Whether HAProxy asks for its responses itself (`ocsp-update on`, `ocsp-update.mode on`; 2.8 and later): beside a
    /// stapler, it would be a second writer.
    pub updates_itself: bool,
    /// Whether HAProxy surely loads it. Where something depends on a condition that cannot be decided, it may have another
    /// one instead.
    pub is_certain: bool,
    /// The line that names it.
    pub place: Place,
}

/// An admin socket of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Socket {
    /// Where to connect to.
    pub address: Address,
    /// What its commands may do.
    pub level: Level,
    /// The line that names it.
    pub place: Place,
}

/// The level of an admin socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Level {
    /// `level user`.
    User,
    /// `level operator`, and the default.
    #[default]
    Operator,
    /// `level admin`: what a certificate's first staple takes.
    Admin,
}

/// As HAProxy writes it.
impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::User => "user",
            Level::Operator => "operator",
            Level::Admin => "admin",
        })
    }
}

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The file.
    pub file: Arc<Path>,
    /// The line, counted from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// Something in a configuration that is left out, or may mean something else to HAProxy.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{place}: {what}")]
#[non_exhaustive]
pub struct Warning {
    /// The stable word for it.
    pub code: ReasonCode,
    /// What comes of it.
    pub effect: Effect,
    /// Where.
    pub place: Place,
    /// What, and what to do.
    pub what: String,
}

/// What comes of something that a configuration says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Effect {
    /// A certificate may be missing.
    LeftOut,
    /// Something was assumed that may be different for HAProxy.
    Assumed,
}

/// Why a configuration cannot be read at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigurationError {
    /// The file, or the directory of files, cannot be read.
    #[error("HAProxy's configuration {} cannot be read: {error}; {}", .path.display(), remedy(.error))]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A directory without a file that HAProxy would read.
    #[error("HAProxy's configuration {}: the directory has no file whose name ends in .cfg", .path.display())]
    NoFiles {
        /// The directory.
        path: PathBuf,
    },
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "name the file that HAProxy is started with (-f)",
        io::ErrorKind::PermissionDenied => "let this user read it",
        _ => "name a file, or a directory of files",
    }
}

/// What HAProxy reads its configuration with, besides the files.
#[derive(Clone, Debug)]
#[must_use]
pub struct Surroundings {
    pub(super) directory: PathBuf,
    /// Whether a running HAProxy was found to have been started there.
    pub(super) is_confirmed: bool,
    pub(super) environment: Vec<(OsString, OsString)>,
}

impl Default for Surroundings {
    /// The current directory and the environment of this process.
    fn default() -> Self {
        Surroundings {
            // Without a current directory, relative paths lead nowhere.
            directory: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
            is_confirmed: false,
            environment: std::env::vars_os().collect(),
        }
    }
}

impl Surroundings {
    /// The directory that HAProxy is started in, where relative paths begin.
    pub fn directory(self, directory: impl Into<PathBuf>) -> Self {
        Surroundings { directory: directory.into(), ..self }
    }

    /// HAProxy's environment, instead of this process's.
    pub fn environment<N: Into<OsString>, V: Into<OsString>>(
        self,
        environment: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let environment = environment.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Surroundings { environment, ..self }
    }
}
