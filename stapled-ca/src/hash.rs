//! Hash algorithms, with their object identifiers.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;

use crate::der;
use crate::hex;

/// The hash algorithms of CertIDs and signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HashAlgorithm {
    /// SHA-1
    Sha1,
    /// SHA-256
    Sha256,
    /// SHA-384
    Sha384,
    /// SHA-512
    Sha512,
}

/// Whether the AlgorithmIdentifier of a hash algorithm has NULL parameters. RFC 5754 says that it has none; OpenSSL
/// writes NULL, and both occur.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NullParameters {
    /// `05 00`
    #[default]
    Present,
    /// Nothing.
    Absent,
}

impl HashAlgorithm {
    /// All algorithms.
    pub const ALL: [Self; 4] = [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    /// The hash of `message`.
    #[must_use]
    pub fn digest(self, message: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, message).as_ref().to_vec()
    }

    /// The AlgorithmIdentifier of this algorithm, DER.
    pub(crate) fn identifier(self, parameters: NullParameters) -> Vec<u8> {
        match parameters {
            NullParameters::Present => der::sequence(&[self.oid(), der::NULL]),
            NullParameters::Absent => der::sequence(&[self.oid()]),
        }
    }

    /// The algorithm with this `OBJECT IDENTIFIER`, DER; `None` for any other.
    pub(crate) fn from_oid(oid: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|hash| hash.oid() == oid)
    }

    /// The `OBJECT IDENTIFIER`, DER.
    fn oid(self) -> &'static [u8] {
        match self {
            // 1.3.14.3.2.26
            Self::Sha1 => &[6, 5, 0x2b, 14, 3, 2, 26],
            // 2.16.840.1.101.3.4.2.1, .2 and .3
            Self::Sha256 => &[6, 9, 0x60, 0x86, 0x48, 1, 101, 3, 4, 2, 1],
            Self::Sha384 => &[6, 9, 0x60, 0x86, 0x48, 1, 101, 3, 4, 2, 2],
            Self::Sha512 => &[6, 9, 0x60, 0x86, 0x48, 1, 101, 3, 4, 2, 3],
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }
}

impl fmt::Display for HashAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for HashAlgorithm {
    type Err = UnknownHash;

    /// Reads `sha1`, `SHA-256` and the like.
    fn from_str(name: &str) -> Result<Self, UnknownHash> {
        let wanted = name.to_ascii_lowercase().replace('-', "");
        let found = Self::ALL.into_iter().find(|hash| hash.name() == wanted);
        found.ok_or_else(|| UnknownHash { name: name.to_owned() })
    }
}

/// The number of octets of a SHA-256 hash that are an ETag.
const ETAG_OCTETS: usize = 16;

/// The ETag of an HTTP body, with its quotes: from the SHA-256 hash, so the same for the same octets.
pub(crate) fn etag(body: &[u8]) -> String {
    let mut digest = HashAlgorithm::Sha256.digest(body);
    digest.truncate(ETAG_OCTETS);
    format!("\"{}\"", hex::lower(&digest))
}

/// A name that is not a hash algorithm.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not a hash algorithm; choose sha1, sha256, sha384 or sha512")]
pub struct UnknownHash {
    /// The name.
    pub name: String,
}
