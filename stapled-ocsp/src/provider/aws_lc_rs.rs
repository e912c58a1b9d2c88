//! The provider aws-lc-rs.

use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::OnceLock;

use aws_lc_rs::digest;
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::signature::{self as aws, ParsedPublicKey, RsaParameters, RsaPssSaltLength};
use rustls_pki_types::SignatureVerificationAlgorithm;
use webpki::aws_lc_rs as webpki_algorithms;

use super::algorithm::{Check, Hash, Legacy};
use super::hashing::{Context, Digest, hashed};

/// The number of salt lengths for which parameters are kept. No supported key has room for a longer salt.
const LONGEST_SALT: usize = 1024;

/// An algorithm for [`PreparedKey`].
pub(crate) type Preparing = &'static dyn aws::VerificationAlgorithm;

type Algorithm = (&'static str, &'static dyn SignatureVerificationAlgorithm, Option<(Hash, Preparing)>);

/// The algorithms of webpki, with their names in messages. The third field is the hash, and the provider's algorithm for a key in its
/// form. The caller has already excluded RSA keys of fewer than 2048 bits.
pub(crate) static ALGORITHMS: &[Algorithm] = &[
    ("ecdsa-with-SHA256", webpki_algorithms::ECDSA_P256_SHA256, Some((Hash::Sha256, &aws::ECDSA_P256_SHA256_ASN1))),
    ("ecdsa-with-SHA256", webpki_algorithms::ECDSA_P384_SHA256, Some((Hash::Sha256, &aws::ECDSA_P384_SHA256_ASN1))),
    ("ecdsa-with-SHA256", webpki_algorithms::ECDSA_P521_SHA256, Some((Hash::Sha256, &aws::ECDSA_P521_SHA256_ASN1))),
    ("ecdsa-with-SHA384", webpki_algorithms::ECDSA_P256_SHA384, Some((Hash::Sha384, &aws::ECDSA_P256_SHA384_ASN1))),
    ("ecdsa-with-SHA384", webpki_algorithms::ECDSA_P384_SHA384, Some((Hash::Sha384, &aws::ECDSA_P384_SHA384_ASN1))),
    ("ecdsa-with-SHA384", webpki_algorithms::ECDSA_P521_SHA384, Some((Hash::Sha384, &aws::ECDSA_P521_SHA384_ASN1))),
    ("ecdsa-with-SHA512", webpki_algorithms::ECDSA_P256_SHA512, Some((Hash::Sha512, &aws::ECDSA_P256_SHA512_ASN1))),
    ("ecdsa-with-SHA512", webpki_algorithms::ECDSA_P384_SHA512, Some((Hash::Sha512, &aws::ECDSA_P384_SHA512_ASN1))),
    ("ecdsa-with-SHA512", webpki_algorithms::ECDSA_P521_SHA512, Some((Hash::Sha512, &aws::ECDSA_P521_SHA512_ASN1))),
    (
        "sha256WithRSAEncryption",
        webpki_algorithms::RSA_PKCS1_2048_8192_SHA256,
        Some((Hash::Sha256, &aws::RSA_PKCS1_2048_8192_SHA256)),
    ),
    (
        "sha384WithRSAEncryption",
        webpki_algorithms::RSA_PKCS1_2048_8192_SHA384,
        Some((Hash::Sha384, &aws::RSA_PKCS1_2048_8192_SHA384)),
    ),
    (
        "sha512WithRSAEncryption",
        webpki_algorithms::RSA_PKCS1_2048_8192_SHA512,
        Some((Hash::Sha512, &aws::RSA_PKCS1_2048_8192_SHA512)),
    ),
    (
        "sha256WithRSAEncryption",
        webpki_algorithms::RSA_PKCS1_2048_8192_SHA256_ABSENT_PARAMS,
        Some((Hash::Sha256, &aws::RSA_PKCS1_2048_8192_SHA256)),
    ),
    (
        "sha384WithRSAEncryption",
        webpki_algorithms::RSA_PKCS1_2048_8192_SHA384_ABSENT_PARAMS,
        Some((Hash::Sha384, &aws::RSA_PKCS1_2048_8192_SHA384)),
    ),
    (
        "sha512WithRSAEncryption",
        webpki_algorithms::RSA_PKCS1_2048_8192_SHA512_ABSENT_PARAMS,
        Some((Hash::Sha512, &aws::RSA_PKCS1_2048_8192_SHA512)),
    ),
    ("Ed25519", webpki_algorithms::ED25519, None),
];

/// A public key in the provider's form, for one algorithm. To make it takes a quarter of a signature check for RSA, a twentieth for
/// ECDSA, and next to nothing for Ed25519.
#[derive(Debug)]
pub(crate) struct PreparedKey(ParsedPublicKey);

/// A key in the provider's form never changes.
impl UnwindSafe for PreparedKey {}
impl RefUnwindSafe for PreparedKey {}

impl PreparedKey {
    /// `None`: the bits are no key of this algorithm.
    pub(crate) fn new(algorithm: Preparing, bits: &[u8]) -> Option<Self> {
        ParsedPublicKey::new(algorithm, bits).ok().map(PreparedKey)
    }

    /// Verifies a signature with the algorithm of this key.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> Check {
        Check::of(&self.0.verify_sig(message, signature))
    }
}

/// SHA-224 of these parts.
pub(crate) fn sha224(parts: &[&[u8]]) -> Option<Digest> {
    Some(hashed(Context::new(&digest::SHA224), parts))
}

/// Verifies a signature with an algorithm that webpki does not have.
pub(crate) fn verify_legacy(legacy: Legacy, key: &[u8], message: &[u8], signature: &[u8]) -> Check {
    let algorithm: &'static dyn aws::VerificationAlgorithm = match legacy {
        Legacy::RsaPkcs1(Hash::Sha1) => &aws::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
        Legacy::RsaPkcs1(Hash::Sha256) => &aws::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
        Legacy::RsaPkcs1(Hash::Sha512) => &aws::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
        Legacy::RsaPkcs1(_) => return Check::Unsupported,
        Legacy::EcdsaP256Sha1 => &aws::ECDSA_P256_SHA1_ASN1,
        Legacy::EcdsaP521Sha1 => &aws::ECDSA_P521_SHA1_ASN1,
        Legacy::EcdsaP384Sha1 => return Check::of(&p384_with_sha1(key, message, signature)),
    };
    Check::of(&aws::UnparsedPublicKey::new(algorithm, key).verify(message, signature))
}

/// Verifies ECDSA by a P-384 key with SHA-1. The provider has no such algorithm, but ECDSA treats a hash as a number
/// (FIPS 186-5 §6.4.2). So the SHA-1 hash is passed as a SHA-256 hash with zeros in front.
fn p384_with_sha1(key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), Unspecified> {
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, message);
    let mut number = [0; 32];
    number.iter_mut().rev().zip(hash.as_ref().iter().rev()).for_each(|(to, from)| *to = *from);
    let hash = Digest::import_less_safe(&number, &digest::SHA256)?;
    aws::UnparsedPublicKey::new(&aws::ECDSA_P384_SHA256_ASN1, key).verify_digest(&hash, signature)
}

/// Verifies an RSASSA-PSS signature with the same hash for message and mask, by a key of 2048 bits or more.
pub(crate) fn verify_pss(hash: Hash, salt: usize, key: &[u8], message: &[u8], signature: &[u8]) -> Check {
    match pss(hash, salt) {
        Some(pss) => Check::of(&aws::UnparsedPublicKey::new(pss, key).verify(message, signature)),
        None => Check::Unsupported,
    }
}

/// The provider's parameters for this hash and length of the salt. They are made once and kept, because the provider
/// takes them as `'static`.
fn pss(hash: Hash, salt: usize) -> Option<&'static RsaParameters> {
    type Salted = [OnceLock<RsaParameters>; LONGEST_SALT];
    static SHA256: Salted = [const { OnceLock::new() }; LONGEST_SALT];
    static SHA384: Salted = [const { OnceLock::new() }; LONGEST_SALT];
    static SHA512: Salted = [const { OnceLock::new() }; LONGEST_SALT];
    let length = RsaPssSaltLength::Custom(u16::try_from(salt).ok()?);
    let (salted, make): (_, fn(RsaPssSaltLength) -> RsaParameters) = match hash {
        Hash::Sha256 => (&SHA256, |salt| aws::RSA_PSS_2048_8192_SHA256.with_pss_salt_length(salt)),
        Hash::Sha384 => (&SHA384, |salt| aws::RSA_PSS_2048_8192_SHA384.with_pss_salt_length(salt)),
        Hash::Sha512 => (&SHA512, |salt| aws::RSA_PSS_2048_8192_SHA512.with_pss_salt_length(salt)),
        Hash::Sha1 => return None,
    };
    Some(salted.get(salt)?.get_or_init(|| make(length)))
}
