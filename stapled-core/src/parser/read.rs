//! Files that may hold a private key.

use std::io::{self, Read};
use std::path::Path;

use zeroize::Zeroizing;

/// No file with certificates is larger.
const MAX_FILE: u64 = 1024 * 1024;

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    #[error("not a regular file")]
    NoFile,
    #[error("more than {MAX_FILE} bytes: too large for certificates")]
    TooLarge,
}

/// Reads a file: what was read is wiped as soon as the certificates are taken from it.
pub(super) fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    // A FIFO would hang whoever opens it.
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(ReadError::NoFile);
    }
    if metadata.len() > MAX_FILE {
        return Err(ReadError::TooLarge);
    }
    let file = std::fs::File::open(path)?;
    // One allocation of the largest size: a buffer that grows leaves copies of what it held behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(metadata.len() as usize + 1));
    file.take(metadata.len() + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
