//! Files of keys that are known to be bad.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::hash::HashAlgorithm;
use crate::hex;

/// The most octets of a file: about a million keys.
const LONGEST: u64 = 64 << 20;

/// Why a file of bad keys cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadKeysError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The file is too long.
    #[error("{} has more than {limit} octets", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The most octets.
        limit: u64,
    },
    /// A line is malformed.
    #[error("{}:{line}: not the digest of a key; write 64 hexadecimal digits (SHA-256 of the SubjectPublicKeyInfo), 20 (openssl-blacklist), or a comment after #", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The number of the line, from 1.
        line: usize,
    },
}

/// The digests of keys in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BadKeys {
    /// SHA-256 of a SubjectPublicKeyInfo.
    pub(crate) keys: HashSet<[u8; 32]>,
    /// The last ten octets of a SHA-1: see [`modulus_digest`].
    pub(crate) moduli: HashSet<[u8; 10]>,
}

/// The digest of an RSA modulus by which Debian's package `openssl-blacklist` lists the weak keys of CVE-2008-0166: the last ten
/// octets of the SHA-1 of the line that `openssl rsa -modulus` prints.
pub(crate) fn modulus_digest(modulus: &[u8]) -> Option<[u8; 10]> {
    let digits = hex::lower(modulus).to_ascii_uppercase();
    let digest = HashAlgorithm::Sha1.digest(format!("Modulus={}\n", digits.trim_start_matches('0')).as_bytes());
    digest.last_chunk().copied()
}

/// The keys in a file: on each line 64 or 20 hexadecimal digits, a comment after `#`, or nothing.
pub(crate) fn read(path: &Path) -> Result<BadKeys, BadKeysError> {
    let failed = |source| BadKeysError::Read { path: path.to_owned(), source };
    let mut text = Vec::new();
    File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut text)).map_err(failed)?;
    if text.len() as u64 > LONGEST {
        return Err(BadKeysError::TooLong { path: path.to_owned(), limit: LONGEST });
    }
    let mut bad = BadKeys::default();
    for (line, contents) in (1..).zip(text.split(|octet| *octet == b'\n')) {
        let contents = contents.split(|octet| *octet == b'#').next().unwrap_or_default().trim_ascii();
        if !contents.is_empty() {
            let wrong = || BadKeysError::Line { path: path.to_owned(), line };
            let octets = octets(contents).ok_or_else(wrong)?;
            match (octets.as_slice().try_into(), octets.as_slice().try_into()) {
                (Ok(key), _) => bad.keys.insert(key),
                (_, Ok(modulus)) => bad.moduli.insert(modulus),
                _ => return Err(wrong()),
            };
        }
    }
    Ok(bad)
}

/// The octets of hexadecimal digits.
fn octets(digits: &[u8]) -> Option<Vec<u8>> {
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let octets = digits.chunks(2).map(|pair| match pair {
        [high, low] => Some(value(*high)? << 4 | value(*low)?),
        _ => None,
    });
    octets.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &[u8]) -> Result<BadKeys, BadKeysError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bad");
        std::fs::write(&path, text).unwrap();
        read(&path)
    }

    #[test]
    fn keys_and_comments_are_read() {
        let (lower, upper) = ("0a".repeat(32), "FF".repeat(32));
        let text = format!("# keys\n\n  {lower} # stolen\r\n{upper}\n{lower}\n00112233445566778899\n");
        let bad = read_text(text.as_bytes()).unwrap();
        assert_eq!(bad.keys, HashSet::from([[0x0a; 32], [0xff; 32]]));
        assert_eq!(bad.moduli, HashSet::from([[0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99]]));
        assert_eq!(read_text(b"").unwrap(), BadKeys::default());
    }

    #[test]
    fn a_malformed_line_is_named() {
        let good = "0a".repeat(32);
        for bad in [
            "x",
            &good[..19],
            &good[..22],
            &good[..40],
            &good[1..],
            &format!("{good}0"),
            &format!("{good}00"),
            &good.replace('a', "g"),
            "\u{ff}",
            &format!("{good} {good}"),
        ] {
            let error = read_text(format!("{good}\n#\n{bad}\n").as_bytes()).unwrap_err();
            assert!(matches!(error, BadKeysError::Line { line: 3, .. }), "{bad}: {error}");
        }
        let missing = read(Path::new("/nonexistent/keys")).unwrap_err();
        assert!(missing.to_string().starts_with("cannot read /nonexistent/keys: "), "{missing}");
        assert!(matches!(read(Path::new("/dev/zero")), Err(BadKeysError::TooLong { .. })));
    }
}
