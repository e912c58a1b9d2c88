//! Files that a command was given: read whole, up to a limit, and wiped when they are done with, since private keys lie
//! in them.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use zeroize::Zeroizing;

/// No file with certificates or a response is larger than this.
pub(crate) const MAX_FILE: usize = 1024 * 1024;

/// What stands for standard input.
const STANDARD_INPUT: [&str; 4] = ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"];
/// Where the descriptors lie that this process was started with, such as those of a shell's `<(…)`.
const DESCRIPTORS: [&str; 2] = ["/dev/fd/", "/proc/self/fd/"];

/// What is in a file.
pub(crate) enum Input {
    Bytes(Zeroizing<Vec<u8>>),
    /// More than [`MAX_FILE`] bytes.
    TooLarge,
}

impl Input {
    /// The bytes; none of what is too large.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Input::Bytes(bytes) => bytes,
            Input::TooLarge => &[],
        }
    }
}

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

/// Reads a file. A path in the file system must be a regular file, since whatever else may hang; standard input and
/// descriptors that this process was given may be anything that ends.
pub(crate) fn read(path: &Path) -> Result<Input, InputError> {
    let unreadable = |error| InputError::Unreadable { path: path.to_owned(), error };
    if is_standard_input(path) {
        // Past the buffer of `Stdin`, which nobody wipes.
        return io::stdin().as_fd().try_clone_to_owned().map(File::from).and_then(take).map_err(unreadable);
    }
    if DESCRIPTORS.iter().any(|descriptors| path.starts_with(descriptors)) {
        return File::open(path).and_then(take).map_err(unreadable);
    }
    let not_a_file = || InputError::NotAFile { path: path.to_owned() };
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(not_a_file());
    }
    // Whatever has taken its place meanwhile: opening it does not wait for anybody.
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let file = fs::OpenOptions::new().read(true).custom_flags(nonblocking).open(path).map_err(unreadable)?;
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err(not_a_file());
    }
    take(file).map_err(unreadable)
}

/// Of these named paths, which may be read from standard input: one.
pub(crate) fn check_standard_input<'p>(
    paths: impl IntoIterator<Item = (&'static str, &'p Path)>,
) -> Result<(), InputError> {
    let mut named = paths.into_iter().filter(|(_, path)| is_standard_input(path)).map(|(name, _)| name);
    match (named.next(), named.next()) {
        (Some(first), Some(second)) => Err(InputError::StandardInputTwice { first, second }),
        _ => Ok(()),
    }
}

/// How a file is called in messages.
pub(crate) fn name(path: &Path) -> String {
    if is_standard_input(path) { "standard input".to_owned() } else { path.display().to_string() }
}

fn is_standard_input(path: &Path) -> bool {
    STANDARD_INPUT.iter().any(|standard_input| path.as_os_str() == *standard_input)
}

/// Reads up to its end, where that comes soon enough.
fn take(mut from: File) -> io::Result<Input> {
    // Of a regular file the size is known, mostly; of nothing else.
    let size = from.metadata()?.len();
    let expected = usize::try_from(size).ok().filter(|size| (1..MAX_FILE).contains(size)).unwrap_or(MAX_FILE);
    let mut bytes = room(expected);
    from.by_ref().take(expected as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > expected && expected < MAX_FILE {
        // It has grown meanwhile.
        let mut all = room(MAX_FILE);
        all.extend_from_slice(&bytes);
        from.take((MAX_FILE + 1 - bytes.len()) as u64).read_to_end(&mut all)?;
        bytes = all;
    }
    Ok(if bytes.len() > MAX_FILE { Input::TooLarge } else { Input::Bytes(bytes) })
}

/// One allocation, for so many bytes and the one by which it is seen that there are more: a buffer that grows leaves
/// copies of what it held behind.
fn room(size: usize) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(Vec::with_capacity(size + 1))
}
