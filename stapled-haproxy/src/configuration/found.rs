//! The result of reading a configuration, and the surroundings that it is read with.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use super::extra::ExtraFiles;
use super::line_problem::Warning;
use super::place::Place;
use super::zero_warning::ZeroWarning;
use crate::cli::address::Address;
use crate::cli::level::Level;

/// The certificates and admin sockets of one HAProxy's configuration.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Configuration {
    /// The certificates that HAProxy serves, by their names. Client certificates (`server … crt`) do not count.
    pub certificates: Vec<Served>,
    /// The admin sockets of the highest level, in the order of the configuration. The others are left out: all lead to the
    /// same process, and a lower level refuses some commands.
    pub sockets: Vec<Socket>,
    /// The names of client certificates for servers behind HAProxy (`server … crt`): a running HAProxy lists them with the
    /// others, and never staples them.
    pub client_certificates: Vec<String>,
    /// Lines that cannot be used, or that HAProxy may read differently.
    pub warnings: Vec<Warning>,
    /// The configuration files, in the order in which HAProxy reads them.
    pub configuration_files: Vec<PathBuf>,
    /// The files whose change may change this: configurations, crt-lists, and certificates that do not exist yet.
    pub files: Vec<PathBuf>,
    /// The directories whose files all count.
    pub directories: Vec<PathBuf>,
    /// The line that makes HAProxy refuse to start after a warning (`zero-warning`).
    pub zero_warning: Option<Place>,
    /// The files that HAProxy looks for beside certificates, after the last line.
    pub(crate) extra: ExtraFiles,
    /// The directory where it looks for chains, after the last line.
    pub(crate) chains: Option<PathBuf>,
}

/// A certificate that HAProxy serves.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Served {
    /// The name on HAProxy's command line, as `show ssl cert` lists it.
    pub name: String,
    /// The file.
    pub file: PathBuf,
    /// The file where HAProxy looks for a response when it starts, if there is one.
    pub staple: Option<PathBuf>,
    /// Whether the configuration names that file: HAProxy does not start without it.
    pub is_staple_named: bool,
    /// Whether the configuration names the file of the key, which is elsewhere then.
    pub is_key_named: bool,
    /// The further file where HAProxy looks for the issuer's certificate, if there is one.
    pub issuer: Option<PathBuf>,
    /// A directory where HAProxy looks for the chain of a certificate that comes without (`issuers-chain-path`).
    pub chains: Option<PathBuf>,
    /// Whether HAProxy asks for the responses itself (`ocsp-update on`, `ocsp-update.mode on`; 2.8 and later): it would
    /// overwrite the staples of a stapler.
    pub updates_itself: bool,
    /// Whether HAProxy certainly loads it. If an undecidable condition decides, HAProxy may load another one instead.
    pub is_certain: bool,
    /// The line that names it.
    pub place: Place,
}

/// An admin socket of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Socket {
    /// The address to connect to.
    pub address: Address,
    /// The level of its commands.
    pub level: Level,
    /// The line that names it.
    pub place: Place,
}

impl Configuration {
    /// By what HAProxy refuses to start, and to reload, after a warning.
    pub(crate) fn refuses_warnings(&self) -> Option<ZeroWarning> {
        self.zero_warning.clone().map(ZeroWarning::Line)
    }
}

/// Why a configuration cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigurationError {
    /// The file, or the directory of files, cannot be read.
    #[error("HAProxy's configuration {} cannot be read: {error}; {}", .path.display(), remedy(.error))]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// The error of the operating system.
        error: io::Error,
    },
    /// The directory has no file that HAProxy would read.
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

/// The directory and the environment in which HAProxy reads its configuration.
#[derive(Clone, Debug)]
#[must_use]
pub struct Surroundings {
    pub(super) directory: PathBuf,
    /// Whether a running HAProxy was started there.
    pub(super) is_confirmed: bool,
    pub(super) environment: Vec<(OsString, OsString)>,
}

impl Default for Surroundings {
    /// The current directory and the environment of this process.
    fn default() -> Self {
        Surroundings {
            // Without a current directory, relative paths lead to no file.
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

    /// HAProxy's environment instead of this process's.
    pub fn environment<N: Into<OsString>, V: Into<OsString>>(
        self,
        environment: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let environment = environment.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Surroundings { environment, ..self }
    }
}
