//! The settings of the stapler by which certificates are checked.

use std::path::PathBuf;

use stapled_core::io::file::FileSink;
use stapled_core::io::file::server::{FileServer, FileServerError};
use stapled_core::overrides::ResponderOverrides;
use stapled_core::staple::JudgePolicy;

use super::sandbox::Sandbox;

/// The directory of fetched issuers, where no other is named.
const ISSUER_DIRECTORY: &str = "/var/lib/stapled/issuers";

/// Where a stapler writes staples to files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StapleFiles {
    /// Nowhere.
    Nowhere,
    /// Beside the certificates, where HAProxy looks when it starts.
    #[default]
    BesideCertificates,
    /// Beside the certificates; those that cannot lie there, in this directory.
    In(PathBuf),
}

impl StapleFiles {
    /// The sink that writes there; `None`: no file is written.
    pub fn sink(&self) -> Option<FileSink> {
        match self {
            StapleFiles::Nowhere => None,
            StapleFiles::BesideCertificates => Some(FileSink::new()),
            StapleFiles::In(directory) => Some(FileSink::new().staple_dir(directory)),
        }
    }

    /// Checks that this server would have no file that is written for HAProxy.
    ///
    /// # Errors
    ///
    /// It would have one.
    pub fn apart_from(&self, server: &FileServer) -> Result<(), FileServerError> {
        match self {
            StapleFiles::Nowhere => Ok(()),
            StapleFiles::BesideCertificates => server.apart_from_files("HAProxy", None),
            StapleFiles::In(directory) => server.apart_from_files("HAProxy", Some(directory)),
        }
    }
}

/// The settings of the stapler.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) judging: JudgePolicy,
    pub(super) staple_files: StapleFiles,
    /// The directories of servers that read staples from files, each with what has it.
    pub(super) directories: Vec<(String, PathBuf)>,
    /// Whether the stapler fetches issuers that lie nowhere.
    pub(super) fetch_issuers: bool,
    /// The directory where it keeps these.
    pub(super) issuer_directory: PathBuf,
    /// Which responders it asks instead of others.
    pub(super) overrides: ResponderOverrides,
    /// Where its service may write, if that is limited.
    pub(super) sandbox: Option<Sandbox>,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            judging: JudgePolicy::default(),
            staple_files: StapleFiles::default(),
            directories: Vec::new(),
            fetch_issuers: true,
            issuer_directory: PathBuf::from(ISSUER_DIRECTORY),
            overrides: ResponderOverrides::new(),
            sandbox: None,
        }
    }
}
