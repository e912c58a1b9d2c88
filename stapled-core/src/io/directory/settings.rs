//! The settings of a directory source.

use std::path::PathBuf;

use super::ignore::Ignore;

/// The settings of a directory source: the root, the file names, and the limits of a scan.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) root: PathBuf,
    pub(super) recursive: bool,
    pub(super) extensions: Vec<String>,
    pub(super) ignore: Ignore,
    pub(super) max_entries: usize,
    pub(super) max_depth: usize,
}
