//! Versions of the contents of places.

/// A version of the contents of a place: equal as long as the contents are, as far as the source can tell.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Version(Box<[u8]>);

impl Version {
    /// A version made of anything that changes with the contents: a hash, a row's version, a file's inode and times.
    pub fn new(version: impl Into<Vec<u8>>) -> Self {
        Version(version.into().into())
    }

    /// The bytes that it was made of.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
