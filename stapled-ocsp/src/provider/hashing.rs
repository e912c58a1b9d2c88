//! Hash functions. Both providers have the same interface for them.

#[cfg(feature = "aws-lc-rs")]
use aws_lc_rs::digest;
#[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
use ring::digest;

use super::algorithm::Hash;

pub(crate) use digest::{Context, Digest};

/// Starts a hash.
pub(crate) fn context(hash: Hash) -> Context {
    Context::new(match hash {
        Hash::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        Hash::Sha256 => &digest::SHA256,
        Hash::Sha384 => &digest::SHA384,
        Hash::Sha512 => &digest::SHA512,
    })
}

/// The hash of these parts, one after the other.
pub(crate) fn digest(hash: Hash, parts: &[&[u8]]) -> Digest {
    hashed(context(hash), parts)
}

/// The hash of these parts by a context of any hash function.
pub(crate) fn hashed(mut context: Context, parts: &[&[u8]]) -> Digest {
    parts.iter().for_each(|part| context.update(part));
    context.finish()
}
