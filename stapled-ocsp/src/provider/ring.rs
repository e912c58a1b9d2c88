//! The provider ring. It has no P-521, no SHA-224 and no ECDSA with SHA-1.

use std::convert::Infallible;

use ring::signature::{self, RsaParameters, UnparsedPublicKey};
use rustls_pki_types::SignatureVerificationAlgorithm;
use webpki::ring as webpki_algorithms;

use super::algorithm::{Check, Hash, Legacy};
use super::hashing::Digest;

/// An algorithm for [`PreparedKey`]: there is none.
pub(crate) type Preparing = Infallible;

type Algorithm = (&'static str, &'static dyn SignatureVerificationAlgorithm, Option<(Hash, Preparing)>);

/// The algorithms of webpki, with their names in messages. The third field is for keys in a form of the provider, which ring does not
/// have. The caller has already excluded RSA keys of fewer than 2048 bits.
pub(crate) static ALGORITHMS: &[Algorithm] = &[
    ("ecdsa-with-SHA256", webpki_algorithms::ECDSA_P256_SHA256, None),
    ("ecdsa-with-SHA256", webpki_algorithms::ECDSA_P384_SHA256, None),
    ("ecdsa-with-SHA384", webpki_algorithms::ECDSA_P256_SHA384, None),
    ("ecdsa-with-SHA384", webpki_algorithms::ECDSA_P384_SHA384, None),
    ("sha256WithRSAEncryption", webpki_algorithms::RSA_PKCS1_2048_8192_SHA256, None),
    ("sha384WithRSAEncryption", webpki_algorithms::RSA_PKCS1_2048_8192_SHA384, None),
    ("sha512WithRSAEncryption", webpki_algorithms::RSA_PKCS1_2048_8192_SHA512, None),
    ("sha256WithRSAEncryption", webpki_algorithms::RSA_PKCS1_2048_8192_SHA256_ABSENT_PARAMS, None),
    ("sha384WithRSAEncryption", webpki_algorithms::RSA_PKCS1_2048_8192_SHA384_ABSENT_PARAMS, None),
    ("sha512WithRSAEncryption", webpki_algorithms::RSA_PKCS1_2048_8192_SHA512_ABSENT_PARAMS, None),
    ("Ed25519", webpki_algorithms::ED25519, None),
];

/// ring has no keys in a form of its own, so there is no such key.
#[derive(Debug)]
pub(crate) struct PreparedKey(Infallible);

impl PreparedKey {
    pub(crate) fn new(algorithm: Preparing, _bits: &[u8]) -> Option<Self> {
        match algorithm {}
    }

    pub(crate) fn verify(&self, _message: &[u8], _signature: &[u8]) -> Check {
        match self.0 {}
    }
}

/// `None`: this provider has no SHA-224.
pub(crate) fn sha224(_parts: &[&[u8]]) -> Option<Digest> {
    None
}

/// Verifies a signature with an algorithm that webpki does not have.
pub(crate) fn verify_legacy(legacy: Legacy, key: &[u8], message: &[u8], signature: &[u8]) -> Check {
    let algorithm: &'static RsaParameters = match legacy {
        Legacy::RsaPkcs1(Hash::Sha1) => &signature::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
        Legacy::RsaPkcs1(Hash::Sha256) => &signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
        Legacy::RsaPkcs1(Hash::Sha512) => &signature::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
        Legacy::RsaPkcs1(_) | Legacy::EcdsaP256Sha1 | Legacy::EcdsaP384Sha1 | Legacy::EcdsaP521Sha1 => {
            return Check::Unsupported;
        }
    };
    Check::of(&UnparsedPublicKey::new(algorithm, key).verify(message, signature))
}

/// Verifies an RSASSA-PSS signature with the same hash for message and mask, by a key of 2048 bits or more. ring
/// supports only salts with the length of the hash.
pub(crate) fn verify_pss(hash: Hash, salt: usize, key: &[u8], message: &[u8], signature: &[u8]) -> Check {
    let (algorithm, length) = match hash {
        Hash::Sha256 => (&signature::RSA_PSS_2048_8192_SHA256, 32),
        Hash::Sha384 => (&signature::RSA_PSS_2048_8192_SHA384, 48),
        Hash::Sha512 => (&signature::RSA_PSS_2048_8192_SHA512, 64),
        Hash::Sha1 => return Check::Unsupported,
    };
    if salt != length {
        return Check::Unsupported;
    }
    Check::of(&UnparsedPublicKey::new(algorithm, key).verify(message, signature))
}
