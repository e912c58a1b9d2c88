//! Verifies signatures over received bytes, with the algorithms that responders use (RFC 6960, RFC 9919).

mod key;
mod pss;

use key::{NULL_PARAMETERS, SHORTEST_PROVIDED, is_pss};
pub(crate) use key::{Prepared, PublicKey, SignatureError};

use crate::der::{self, Reader};
use crate::oid;
use crate::provider::{self, ALGORITHMS, Check, Hash, PreparedKey};

/// Whether a weak feature of a response, such as SHA-1, is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Weak {
    /// The response is refused.
    #[default]
    Deny,
    /// The response is accepted.
    Allow,
}

/// A signature that was verified, with its weaknesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verified {
    /// The algorithm's name, such as `ecdsa-with-SHA256`.
    pub(crate) algorithm: &'static str,
    /// Whether the signature is made with SHA-1.
    pub(crate) sha1: bool,
    /// Whether the key is an RSA key of fewer than 2048 bits.
    pub(crate) short_rsa: bool,
}

const SHA1_WITH_RSA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05];
const SHA256_WITH_RSA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];
const SHA512_WITH_RSA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d];
const ECDSA_WITH_SHA1: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01];
const P256: &[u8] =
    &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
const P521: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23];

/// The sizes of RSA keys that are supported, in bits.
const SHORTEST_RSA: usize = 1024;
const LONGEST_RSA: usize = 8192;

/// The name of the algorithm of an AlgorithmIdentifier with these contents: the same name as from [`verify`], or else
/// the name of the object identifier, or else its dotted form.
pub(crate) fn name(algorithm: &[u8]) -> String {
    let known = ALGORITHMS.iter().find(|(_, known, _)| known.signature_alg_id().as_ref() == algorithm);
    if let Some((name, ..)) = known {
        return (*name).to_owned();
    }
    if is_pss(algorithm)
        && let Ok(parameters) = pss::Parameters::of_signature(algorithm)
    {
        return parameters.name().to_owned();
    }
    match Reader::new(algorithm).expect(der::OID) {
        Ok(oid) => oid::in_words(oid.contents),
        Err(_) => "an algorithm without a name".to_owned(),
    }
}

/// Verifies `signature` over `message`. `algorithm` is the contents of the signature's AlgorithmIdentifier. The caller
/// decides whether a weak algorithm or key is acceptable.
pub(crate) fn verify(
    algorithm: &[u8],
    key: PublicKey<'_>,
    message: &[u8],
    signature: &[u8],
) -> Result<Verified, SignatureError> {
    let rsa_bits = key.rsa_bits();
    let short_rsa = rsa_bits.is_some_and(|bits| bits < SHORTEST_PROVIDED);
    let is_odd_size = rsa_bits.is_some_and(|bits| !(SHORTEST_RSA..=LONGEST_RSA).contains(&bits));
    if is_pss(algorithm) {
        let parameters = pss::Parameters::of_signature(algorithm)?;
        parameters.check_key(key)?;
        if rsa_bits.is_none() || is_odd_size {
            return Err(SignatureError::UnsupportedAlgorithm);
        }
        parameters.verify(key, message, signature)?;
        return Ok(Verified { algorithm: parameters.name(), sha1: parameters.is_sha1(), short_rsa });
    }
    if let Some(legacy) = Legacy::named(algorithm, key)
        && (legacy.sha1 || short_rsa)
    {
        if is_odd_size {
            return Err(SignatureError::UnsupportedAlgorithm);
        }
        match provider::verify_legacy(legacy.algorithm, key.bits, message, signature) {
            Check::Holds => {}
            Check::Broken => return Err(SignatureError::BadSignature),
            Check::Unsupported => return Err(SignatureError::UnsupportedAlgorithm),
        }
        return Ok(Verified { algorithm: legacy.name, sha1: legacy.sha1, short_rsa });
    }
    if short_rsa || is_odd_size {
        // The provider does not support this algorithm with a key of this size.
        return Err(SignatureError::UnsupportedAlgorithm);
    }
    let mut named = ALGORITHMS.iter().filter(|(_, known, _)| known.signature_alg_id().as_ref() == algorithm).peekable();
    let wanted = named.peek().map(|(_, known, _)| known.public_key_alg_id());
    let (name, known, form) = named
        .find(|(_, known, _)| known.public_key_alg_id().as_ref() == key.algorithm)
        .ok_or_else(|| key.misfit(wanted.as_ref().map(|wanted| wanted.as_ref())))?;
    let place = form.zip(key.prepared).and_then(|((hash, form), prepared)| Some((form, prepared.with(hash)?)));
    let check = match place.and_then(|(_, place)| place.get()) {
        Some(prepared) => prepared.verify(message, signature),
        None => Check::of(&known.verify_signature(key.bits, message, signature)),
    };
    match check {
        Check::Holds => {}
        Check::Broken | Check::Unsupported => return Err(SignatureError::BadSignature),
    }
    if let Some((form, place)) = place
        && place.get().is_none()
        && let Some(prepared) = PreparedKey::new(form, key.bits)
    {
        // Another thread may have been faster.
        let _ = place.set(prepared);
    }
    Ok(Verified { algorithm: name, sha1: false, short_rsa })
}

/// An algorithm that webpki does not have, with its name in messages.
#[derive(Clone, Copy)]
struct Legacy {
    name: &'static str,
    algorithm: provider::Legacy,
    sha1: bool,
}

impl Legacy {
    /// The legacy algorithm for this AlgorithmIdentifier and key. `None` if webpki has the algorithm, or if it is
    /// unknown.
    fn named(algorithm: &[u8], key: PublicKey<'_>) -> Option<Self> {
        if algorithm == ECDSA_WITH_SHA1 {
            let algorithm = match key.algorithm {
                P256 => provider::Legacy::EcdsaP256Sha1,
                P384 => provider::Legacy::EcdsaP384Sha1,
                P521 => provider::Legacy::EcdsaP521Sha1,
                _ => return None,
            };
            return Some(Legacy { name: "ecdsa-with-SHA1", algorithm, sha1: true });
        }
        // RFC 4055 §5: the parameters are NULL, and absent parameters must be accepted.
        let bare = algorithm.strip_suffix(NULL_PARAMETERS).unwrap_or(algorithm);
        let (name, hash) = match bare {
            SHA1_WITH_RSA => ("sha1WithRSAEncryption", Hash::Sha1),
            SHA256_WITH_RSA => ("sha256WithRSAEncryption", Hash::Sha256),
            SHA512_WITH_RSA => ("sha512WithRSAEncryption", Hash::Sha512),
            _ => return None,
        };
        let algorithm = provider::Legacy::RsaPkcs1(hash);
        key.is_rsa().then_some(Legacy { name, algorithm, sha1: hash == Hash::Sha1 })
    }
}
