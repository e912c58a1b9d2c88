//! The files that a command was given: each is read whole, up to a limit, and wiped after use, since it can contain private keys.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use stapled_core::bundle::Bundle;
use stapled_core::certificate::Certificate;
use stapled_core::io::certificate_file::{ReadError, read_input};
use stapled_core::io::open::named_file;
use stapled_core::reason::ReasonCode;
use stapled_core::verdict::Verdict;
use zeroize::Zeroizing;

use crate::stderr::say;

/// The largest file that is read, in bytes.
pub(crate) const MAX_FILE: usize = ReadError::MAX_FILE;

/// The paths that mean standard input.
const STANDARD_INPUT: [&str; 4] = ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"];

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputError {
    #[error("{} cannot be read: {error}", name(.path))]
    Unreadable { path: PathBuf, error: io::Error },
    #[error(
        "{} is not a regular file: give a file, or - for standard input, or a descriptor such as /dev/fd/3",
        name(.path)
    )]
    NotAFile { path: PathBuf },
    #[error("{} and {} are both read from standard input, which can be read once: give one of them a file", .first, .second)]
    StandardInputTwice { first: &'static str, second: &'static str },
}

/// Reads a file. A path in the file system must be a regular file, since opening others can hang; standard input and the
/// descriptors of this process may be of any kind. None: it has more than [`MAX_FILE`] bytes.
pub(crate) fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, InputError> {
    let opened = if is_standard_input(path) { standard_input() } else { named_file(path) };
    match opened.map_err(ReadError::from).and_then(read_input) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(ReadError::TooLarge) => Ok(None),
        Err(ReadError::Unreadable(error)) if error.kind() != ErrorKind::InvalidInput => {
            Err(InputError::Unreadable { path: path.to_owned(), error })
        }
        Err(_) => Err(InputError::NotAFile { path: path.to_owned() }),
    }
}

/// Standard input. Not through `Stdin`, whose buffer is never wiped.
fn standard_input() -> io::Result<File> {
    io::stdin().as_fd().try_clone_to_owned().map(File::from)
}

/// The certificates in a file of this option. What is no certificate is reported and passed over.
pub(crate) fn certificates(option: &str, path: &Path) -> Result<Vec<Certificate>, InputError> {
    let warn = |what: &str| say(&format!("{option} {}: {what}: passed over", name(path)));
    match read(path)?.map(|bytes| Bundle::read(&bytes)) {
        None => warn("too large for certificates"),
        Some(Err(error)) => warn(&error.to_string()),
        Some(Ok(bundle)) => {
            bundle.broken.iter().for_each(|(_, error)| warn(&error.to_string()));
            return Ok(bundle.certificates);
        }
    }
    Ok(Vec::new())
}

/// Opens a list for reading line by line. It may be of any kind and size.
pub(crate) fn list(path: &Path) -> Result<File, InputError> {
    let file = if is_standard_input(path) { standard_input() } else { File::open(path) };
    file.map_err(|error| InputError::Unreadable { path: path.to_owned(), error })
}

/// The verdict on a file of this option with more than [`MAX_FILE`] bytes.
pub(crate) fn too_large(option: &str) -> Verdict {
    Verdict::invalid(ReasonCode::new("too_large"), format!("{option}: more than the {MAX_FILE} bytes that are read"))
}

/// Refuses paths of which more than one means standard input. Each has the name of its option.
pub(crate) fn check_standard_input<'p>(
    paths: impl IntoIterator<Item = (&'static str, Option<&'p PathBuf>)>,
) -> Result<(), InputError> {
    let is_named = |path: Option<&PathBuf>| path.is_some_and(|path| is_standard_input(path));
    let mut named = paths.into_iter().filter(|(_, path)| is_named(*path)).map(|(name, _)| name);
    match (named.next(), named.next()) {
        (Some(first), Some(second)) => Err(InputError::StandardInputTwice { first, second }),
        _ => Ok(()),
    }
}

/// The name of a file in messages.
pub(crate) fn name(path: &Path) -> String {
    if is_standard_input(path) { "standard input".to_owned() } else { path.display().to_string() }
}

fn is_standard_input(path: &Path) -> bool {
    STANDARD_INPUT.iter().any(|standard_input| path.as_os_str() == *standard_input)
}
