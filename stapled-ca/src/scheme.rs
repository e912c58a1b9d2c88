//! Signature schemes and their AlgorithmIdentifiers.

use crate::der;
use crate::hash::{HashAlgorithm, NullParameters};

/// A signature scheme: key type, padding, hash, and the AlgorithmIdentifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignatureScheme {
    /// RSA PKCS#1 v1.5 with SHA-1: for tests that it is refused.
    RsaPkcs1Sha1,
    /// RSA PKCS#1 v1.5 with SHA-256.
    RsaPkcs1Sha256,
    /// RSA PKCS#1 v1.5 with SHA-256, with an AlgorithmIdentifier that lacks the NULL parameters. RFC 4055, 5 requires
    /// them of signers, and asks verifiers to accept their absence.
    RsaPkcs1Sha256WithoutNull,
    /// RSA PKCS#1 v1.5 with SHA-384.
    RsaPkcs1Sha384,
    /// RSA PKCS#1 v1.5 with SHA-512.
    RsaPkcs1Sha512,
    /// RSA-PSS with SHA-256 and a salt of 32 octets.
    RsaPssSha256,
    /// RSA-PSS with SHA-384 and a salt of 48 octets.
    RsaPssSha384,
    /// RSA-PSS with SHA-512 and a salt of 64 octets.
    RsaPssSha512,
    /// ECDSA with SHA-256 (P-256, P-521).
    EcdsaSha256,
    /// ECDSA with SHA-384 (P-384, P-521).
    EcdsaSha384,
    /// ECDSA with SHA-512 (P-521).
    EcdsaSha512,
    /// Ed25519.
    Ed25519,
}

impl SignatureScheme {
    /// The AlgorithmIdentifier of this scheme, DER.
    #[must_use]
    pub fn algorithm_identifier(self) -> Vec<u8> {
        let with_null = |arc| der::sequence(&[der::oid(&[1, 2, 840, 113_549, 1, 1, arc]), der::NULL.to_vec()]);
        let bare = |arcs: &[u64]| der::sequence(&[der::oid(arcs)]);
        match self {
            Self::RsaPkcs1Sha1 => with_null(5),
            Self::RsaPkcs1Sha256 => with_null(11),
            Self::RsaPkcs1Sha256WithoutNull => bare(&[1, 2, 840, 113_549, 1, 1, 11]),
            Self::RsaPkcs1Sha384 => with_null(12),
            Self::RsaPkcs1Sha512 => with_null(13),
            Self::RsaPssSha256 => pss(HashAlgorithm::Sha256, 32),
            Self::RsaPssSha384 => pss(HashAlgorithm::Sha384, 48),
            Self::RsaPssSha512 => pss(HashAlgorithm::Sha512, 64),
            Self::EcdsaSha256 => bare(&[1, 2, 840, 10_045, 4, 3, 2]),
            Self::EcdsaSha384 => bare(&[1, 2, 840, 10_045, 4, 3, 3]),
            Self::EcdsaSha512 => bare(&[1, 2, 840, 10_045, 4, 3, 4]),
            Self::Ed25519 => bare(&[1, 3, 101, 112]),
        }
    }
}

/// id-RSASSA-PSS with its parameters (RFC 4055, 3.1): the hash, MGF1 with the same hash, the length of the salt in
/// octets. The trailer field has its default.
fn pss(hash: HashAlgorithm, salt: u8) -> Vec<u8> {
    let hash = hash.identifier(NullParameters::Present);
    let mask = der::sequence(&[der::oid(&[1, 2, 840, 113_549, 1, 1, 8]), hash.clone()]);
    let parameters =
        der::sequence(&[der::explicit(0, &hash), der::explicit(1, &mask), der::explicit(2, &der::unsigned(&[salt]))]);
    der::sequence(&[der::oid(&[1, 2, 840, 113_549, 1, 1, 10]), parameters])
}
