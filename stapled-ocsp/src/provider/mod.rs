//! The provider of cryptography of this build: aws-lc-rs or ring.
//!
//! Both modules have the same items, so the rest of the crate names neither provider. Where both features are enabled,
//! aws-lc-rs is used: it supports more algorithms.

#[cfg(feature = "aws-lc-rs")]
#[path = "aws_lc_rs.rs"]
mod chosen;
#[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
#[path = "ring.rs"]
mod chosen;
#[cfg(not(any(feature = "aws-lc-rs", feature = "ring")))]
compile_error!("stapled-ocsp needs a provider of cryptography: enable its feature `aws-lc-rs` or `ring`");

#[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
pub(crate) use chosen::{ALGORITHMS, Context, Digest, context, digest, sha224, verify_legacy, verify_pss};

/// A hash function that every provider has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

/// Signature algorithms that webpki leaves out: with SHA-1, and with RSA keys of 1024 to 2047 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Legacy {
    RsaPkcs1(Hash),
    EcdsaP256Sha1,
    EcdsaP384Sha1,
    EcdsaP521Sha1,
}

/// What a provider says of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    Holds,
    Broken,
    /// The provider does not have this algorithm.
    Unsupported,
}

impl Check {
    fn of<E>(result: &Result<(), E>) -> Self {
        if result.is_ok() { Check::Holds } else { Check::Broken }
    }
}
