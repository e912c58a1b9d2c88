//! The provider of cryptography of this build: aws-lc-rs or ring.
//!
//! The modules of both have the same items, so the rest of the crate names neither provider. If both features are
//! enabled, aws-lc-rs is used, because it supports more algorithms.

mod algorithm;
#[cfg(feature = "aws-lc-rs")]
mod aws_lc_rs;
#[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
mod hashing;
#[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
mod ring;

#[cfg(not(any(feature = "aws-lc-rs", feature = "ring")))]
compile_error!(
    "stapled-ocsp has no provider of cryptography: enable the feature `aws-lc-rs` or `ring` of stapled-ocsp"
);

#[cfg(feature = "aws-lc-rs")]
pub(crate) use self::aws_lc_rs::{ALGORITHMS, PreparedKey, sha224, verify_legacy, verify_pss};
#[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
pub(crate) use self::ring::{ALGORITHMS, PreparedKey, sha224, verify_legacy, verify_pss};
pub(crate) use algorithm::{Check, Hash, Legacy};
#[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
pub(crate) use hashing::{Context, Digest, context, digest};
