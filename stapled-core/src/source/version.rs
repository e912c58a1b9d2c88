//! Versions of the contents of places.

use std::fmt;
use std::hash::{Hash, Hasher};

/// A version of the contents of a place: equal as long as the contents are, as far as the source can tell.
#[derive(Clone)]
pub struct Version(Bytes);

/// The bytes of a version. A hash, which directories use, takes no memory of its own.
#[derive(Clone)]
enum Bytes {
    Hash([u8; 16]),
    Other(Box<[u8]>),
}

impl Version {
    /// A version made of anything that changes with the contents: a hash, a row's version, a file's inode and times.
    pub fn new(version: impl Into<Vec<u8>>) -> Self {
        let version = version.into();
        Version(match version.as_slice().try_into() {
            Ok(hash) => Bytes::Hash(hash),
            Err(_) => Bytes::Other(version.into()),
        })
    }

    /// The bytes that it was made of.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Bytes::Hash(hash) => hash,
            Bytes::Other(bytes) => bytes,
        }
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Version {}

impl Hash for Version {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Version").field(&self.as_bytes()).finish()
    }
}
