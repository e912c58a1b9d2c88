//! Reads files that may hold a private key.

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

use zeroize::Zeroizing;

use crate::io::open::{fill, regular_file_with_metadata};

/// The largest file with certificates that is read, in bytes.
const MAX_FILE: usize = 1024 * 1024;

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The system returned an error.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// It is a directory, a FIFO, a device or a socket.
    #[error("not a regular file")]
    NotAFile,
    /// It is larger than [`ReadError::MAX_FILE`].
    #[error("more than {MAX_FILE} bytes: too large for certificates")]
    TooLarge,
}

impl ReadError {
    /// The largest file of certificates that is read, in bytes.
    pub const MAX_FILE: usize = MAX_FILE;
}

/// Reads a regular file. The bytes are wiped when dropped, since they may include a private key.
///
/// # Errors
///
/// The file cannot be opened or read, is not a regular file, or is too large. A FIFO does not block the call, even if
/// it replaces the file meanwhile.
pub fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    let (file, metadata) = match regular_file_with_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Err(ReadError::NotAFile),
        opened => opened?,
    };
    read_certificates(file, &metadata)
}

/// Reads a file that is open already, such as one in an open directory, like [`read_file`].
///
/// # Errors
///
/// The file cannot be read, is not a regular file, or is too large.
pub fn read_opened(file: File) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    let metadata = file.metadata()?;
    read_certificates(file, &metadata)
}

fn read_certificates(file: File, metadata: &Metadata) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    if !metadata.is_file() {
        return Err(ReadError::NotAFile);
    }
    if metadata.len() > MAX_FILE as u64 {
        return Err(ReadError::TooLarge);
    }
    read_to_end(file, Some(metadata.len()))
}

/// Reads what is open already, and may be of any kind, such as standard input or a pipe: the call then takes as long as the writer.
/// The bytes are wiped when dropped.
///
/// # Errors
///
/// The input cannot be read, or is too large.
pub fn read_input(input: File) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    let size = input.metadata().ok().filter(Metadata::is_file).map(|metadata| metadata.len());
    read_to_end(input, size)
}

/// Reads a file of about this size; a pipe has none. The file may grow meanwhile, and some file systems report 0.
fn read_to_end(mut file: File, size: Option<u64>) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    // Room for what the file says: wiping the room of the largest file after each empty one takes longer than reading.
    let expected = size.and_then(|size| usize::try_from(size).ok()).map_or(MAX_FILE, |size| size.min(MAX_FILE));
    let mut bytes = room(expected);
    let mut filled = fill(&mut file, &mut bytes, size.unwrap_or_default())?;
    if filled > expected && expected < MAX_FILE {
        let mut all = room(MAX_FILE);
        let (begin, rest) = all.split_at_mut(filled);
        begin.copy_from_slice(&bytes);
        filled += fill(&mut file, rest, 0)?;
        bytes = all;
    }
    bytes.truncate(filled);
    if filled > MAX_FILE { Err(ReadError::TooLarge) } else { Ok(bytes) }
}

/// A buffer for this many bytes and one more, which shows that the file is longer. A single allocation, because a
/// growing buffer leaves copies of its contents behind.
fn room(size: usize) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(vec![0; size + 1])
}
