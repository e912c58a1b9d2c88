//! How signatures are made and named.

use crate::der;

/// How a signature is made and named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignatureScheme {
    /// RSA PKCS#1 v1.5 with SHA-1: to prove that it is refused.
    RsaPkcs1Sha1,
    /// RSA PKCS#1 v1.5 with SHA-256.
    RsaPkcs1Sha256,
    /// The same, its AlgorithmIdentifier without the NULL that RFC 4055, 5
    /// requires of signers and asks verifiers not to insist on.
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
    /// The AlgorithmIdentifier that names this scheme in DER.
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
            Self::RsaPssSha256 => pss(1, 32),
            Self::RsaPssSha384 => pss(2, 48),
            Self::RsaPssSha512 => pss(3, 64),
            Self::EcdsaSha256 => bare(&[1, 2, 840, 10_045, 4, 3, 2]),
            Self::EcdsaSha384 => bare(&[1, 2, 840, 10_045, 4, 3, 3]),
            Self::EcdsaSha512 => bare(&[1, 2, 840, 10_045, 4, 3, 4]),
            Self::Ed25519 => bare(&[1, 3, 101, 112]),
        }
    }
}

/// id-RSASSA-PSS with its parameters (RFC 4055, 3.1): hash, MGF1 with the same
/// hash, salt as long as the hash; the trailer field has its default.
fn pss(hash_arc: u64, salt: u8) -> Vec<u8> {
    let hash = der::sequence(&[der::oid(&[2, 16, 840, 1, 101, 3, 4, 2, hash_arc]), der::NULL.to_vec()]);
    let mask = der::sequence(&[der::oid(&[1, 2, 840, 113_549, 1, 1, 8]), hash.clone()]);
    let parameters =
        der::sequence(&[der::explicit(0, &hash), der::explicit(1, &mask), der::explicit(2, &der::unsigned(&[salt]))]);
    der::sequence(&[der::oid(&[1, 2, 840, 113_549, 1, 1, 10]), parameters])
}
