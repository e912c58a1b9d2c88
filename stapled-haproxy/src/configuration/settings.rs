//! The settings that apply to the certificates of the following lines.

use std::path::PathBuf;

use super::extra::ExtraFiles;
use super::place::Place;

/// The settings of the global section about certificates' files.
#[derive(Debug)]
pub(super) struct Settings {
    /// `crt-base`; several if an undecidable condition decides.
    pub(super) bases: Vec<Option<Vec<u8>>>,
    pub(super) extra: ExtraFiles,
    /// `issuers-chain-path`.
    pub(super) chains: Option<PathBuf>,
    /// `ocsp-update.mode`: whether HAProxy asks for responses itself by default.
    pub(super) updates: bool,
    /// `zero-warning`.
    pub(super) zero_warning: Option<Place>,
}

/// `default-path`.
#[derive(Debug)]
pub(super) enum DefaultPath {
    Current,
    /// The directory of each configuration file.
    Config,
    /// The directory above that of each configuration file.
    Parent,
    Origin(PathBuf),
}

impl Default for Settings {
    fn default() -> Self {
        Settings { bases: vec![None], extra: ExtraFiles::default(), chains: None, updates: false, zero_warning: None }
    }
}
