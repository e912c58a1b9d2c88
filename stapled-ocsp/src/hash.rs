//! SHA-256, by the provider of this build. Such hashes are the names and versions of kept objects.

use std::fmt;

use crate::provider;

/// Computes a SHA-256 hash of bytes that arrive in parts.
///
/// ```
/// use stapled_ocsp::hash::Sha256;
///
/// let mut hash = Sha256::new();
/// hash.update(b"ab");
/// hash.update(b"c");
/// assert_eq!(hash.finish(), Sha256::of(b"abc"));
/// ```
#[derive(Clone)]
pub struct Sha256(provider::Context);

impl Sha256 {
    /// The SHA-256 hash of these bytes.
    pub fn of(bytes: &[u8]) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(bytes);
        hash.finish()
    }

    /// Starts a hash without any bytes.
    pub fn new() -> Self {
        Sha256(provider::context(provider::Hash::Sha256))
    }

    /// Adds these bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of all the bytes that were added.
    pub fn finish(self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(self.0.finish().as_ref());
        hash
    }
}

impl Default for Sha256 {
    fn default() -> Self {
        Sha256::new()
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sha256")
    }
}
