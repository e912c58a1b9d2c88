//! Public keys, and the errors of signatures.

use std::sync::OnceLock;

use crate::der::{self, Reader, SEQUENCE};
use crate::oid;
use crate::provider::{Hash, PreparedKey};

pub(super) const RSA_ENCRYPTION: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
pub(super) const NULL_PARAMETERS: &[u8] = &[0x05, 0x00];
/// id-RSASSA-PSS, 1.2.840.113549.1.1.10.
pub(super) const RSASSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];
/// The shortest RSA key, in bits, that is not weak. With shorter keys, the provider supports only a few algorithms.
pub(super) const SHORTEST_PROVIDED: usize = 2048;

/// A public key: the parts of its SubjectPublicKeyInfo.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PublicKey<'a> {
    /// The contents of the AlgorithmIdentifier.
    pub(crate) algorithm: &'a [u8],
    /// The bits of the key.
    pub(crate) bits: &'a [u8],
    /// Where the key is kept in the provider's form. `None` for a key that is used once.
    pub(crate) prepared: Option<&'a Prepared>,
}

/// One key in the provider's form, for each hash. The form is made when the first signature with the hash has been verified, so that no
/// unverified response decides about it.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    sha256: OnceLock<PreparedKey>,
    sha384: OnceLock<PreparedKey>,
    sha512: OnceLock<PreparedKey>,
}

impl Prepared {
    /// The place of the form for this hash.
    pub(super) fn with(&self, hash: Hash) -> Option<&OnceLock<PreparedKey>> {
        match hash {
            Hash::Sha1 => None,
            Hash::Sha256 => Some(&self.sha256),
            Hash::Sha384 => Some(&self.sha384),
            Hash::Sha512 => Some(&self.sha512),
        }
    }
}

/// Why a signature is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignatureError {
    /// The algorithm, the curve or the size of the key is not supported, so the signature cannot be verified.
    UnsupportedAlgorithm,
    /// The algorithm needs another kind of key, so this key did not make the signature.
    OtherKey,
    /// The signature does not verify with the key.
    BadSignature,
}

impl PublicKey<'_> {
    /// The kind and size of the key, such as `RSA, 2048 bits` or `ECDSA, P-256`.
    pub(crate) fn in_words(self) -> String {
        if let Some(bits) = self.rsa_bits() {
            let pss = if self.is_rsa() { "" } else { "-PSS" };
            return format!("RSA{pss}, {bits} bits");
        }
        let mut fields = Reader::new(self.algorithm);
        let mut next = || fields.expect(der::OID).ok().map(|oid| oid::in_words(oid.contents));
        match (next(), next()) {
            (None, _) => "a key of an unknown kind".to_owned(),
            (Some(kind), Some(curve)) if kind == "id-ecPublicKey" => format!("ECDSA, {curve}"),
            (Some(kind), _) => kind,
        }
    }

    pub(super) fn is_rsa(self) -> bool {
        self.algorithm.starts_with(RSA_ENCRYPTION)
    }

    /// The size of an RSA key in bits. `None` for other keys.
    pub(super) fn rsa_bits(self) -> Option<usize> {
        if !self.is_rsa() && !is_pss(self.algorithm) {
            return None;
        }
        let mut fields = Reader::new(self.bits).inside(SEQUENCE).ok()?;
        let modulus = fields.expect(der::INTEGER).ok()?.contents;
        let significant = modulus.iter().skip_while(|&&byte| byte == 0);
        let first = significant.clone().next()?;
        Some(significant.count() * 8 - first.leading_zeros() as usize)
    }

    /// The error for a signature that cannot be verified with this key. `wanted` is the kind of key that the
    /// signature's algorithm needs, if the algorithm is known.
    pub(super) fn misfit(self, wanted: Option<&[u8]>) -> SignatureError {
        let kind = |algorithm: &[u8]| Reader::new(algorithm).expect(der::OID).ok().map(|oid| oid.contents.to_vec());
        match wanted.map(kind) {
            Some(wanted) if wanted != kind(self.algorithm) => SignatureError::OtherKey,
            _ => SignatureError::UnsupportedAlgorithm,
        }
    }
}

/// Whether these are the contents of an AlgorithmIdentifier of RSASSA-PSS, for a signature or for a key.
pub(super) fn is_pss(algorithm: &[u8]) -> bool {
    Reader::new(algorithm).expect(der::OID).is_ok_and(|oid| oid.contents == RSASSA_PSS)
}
