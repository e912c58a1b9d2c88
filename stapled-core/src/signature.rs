//! Signatures over bytes as they came, with the algorithms that RFC 6960 and RFC 9919 responders use.

use aws_lc_rs::signature as aws;
use rustls_pki_types::SignatureVerificationAlgorithm;
use webpki::aws_lc_rs as webpki_algorithms;

use crate::der::{self, Reader, SEQUENCE};
use crate::oid;

/// What is refused by default for its age alone, and whether it is allowed here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Weak {
    /// Refused.
    #[default]
    Deny,
    /// Accepted.
    Allow,
}

/// A signature that holds, and what is weak about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verified {
    /// The algorithm's name, such as `ecdsa-with-SHA256`.
    pub(crate) algorithm: &'static str,
    pub(crate) sha1: bool,
    pub(crate) short_rsa: bool,
}

/// A public key, as its SubjectPublicKeyInfo has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PublicKey<'a> {
    /// The contents of its AlgorithmIdentifier.
    pub(crate) algorithm: &'a [u8],
    /// The bits of the key.
    pub(crate) bits: &'a [u8],
}

/// Why a signature was not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignatureError {
    UnsupportedAlgorithm,
    BadSignature,
}

const RSA_ENCRYPTION: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const SHA1_WITH_RSA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05];
const SHA256_WITH_RSA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];
const SHA512_WITH_RSA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d];
const ECDSA_WITH_SHA1: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01];
const P256: &[u8] =
    &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const NULL_PARAMETERS: &[u8] = &[0x05, 0x00];

/// What webpki verifies, with its name in messages. RSA keys below 2048 bits are told apart before.
static ALGORITHMS: &[(&str, &dyn SignatureVerificationAlgorithm)] = &[
    ("ecdsa-with-SHA256", webpki_algorithms::ECDSA_P256_SHA256),
    ("ecdsa-with-SHA256", webpki_algorithms::ECDSA_P384_SHA256),
    ("ecdsa-with-SHA256", webpki_algorithms::ECDSA_P521_SHA256),
    ("ecdsa-with-SHA384", webpki_algorithms::ECDSA_P256_SHA384),
    ("ecdsa-with-SHA384", webpki_algorithms::ECDSA_P384_SHA384),
    ("ecdsa-with-SHA384", webpki_algorithms::ECDSA_P521_SHA384),
    ("ecdsa-with-SHA512", webpki_algorithms::ECDSA_P256_SHA512),
    ("ecdsa-with-SHA512", webpki_algorithms::ECDSA_P384_SHA512),
    ("ecdsa-with-SHA512", webpki_algorithms::ECDSA_P521_SHA512),
    ("sha256WithRSAEncryption", webpki_algorithms::RSA_PKCS1_2048_8192_SHA256),
    ("sha384WithRSAEncryption", webpki_algorithms::RSA_PKCS1_2048_8192_SHA384),
    ("sha512WithRSAEncryption", webpki_algorithms::RSA_PKCS1_2048_8192_SHA512),
    ("sha256WithRSAEncryption", webpki_algorithms::RSA_PKCS1_2048_8192_SHA256_ABSENT_PARAMS),
    ("sha384WithRSAEncryption", webpki_algorithms::RSA_PKCS1_2048_8192_SHA384_ABSENT_PARAMS),
    ("sha512WithRSAEncryption", webpki_algorithms::RSA_PKCS1_2048_8192_SHA512_ABSENT_PARAMS),
    ("RSASSA-PSS-SHA256", webpki_algorithms::RSA_PSS_2048_8192_SHA256_LEGACY_KEY),
    ("RSASSA-PSS-SHA384", webpki_algorithms::RSA_PSS_2048_8192_SHA384_LEGACY_KEY),
    ("RSASSA-PSS-SHA512", webpki_algorithms::RSA_PSS_2048_8192_SHA512_LEGACY_KEY),
    ("Ed25519", webpki_algorithms::ED25519),
];

/// The name of the algorithm of an AlgorithmIdentifier with these contents: the one that [`verify`] tells, or that of its
/// object identifier, or that in dotted form.
pub(crate) fn name(algorithm: &[u8]) -> String {
    let known = ALGORITHMS.iter().find(|(_, known)| known.signature_alg_id().as_ref() == algorithm);
    if let Some((name, _)) = known {
        return (*name).to_owned();
    }
    match Reader::new(algorithm).expect(der::OID) {
        Ok(oid) => oid::in_words(oid.contents),
        Err(_) => "an algorithm without a name".to_owned(),
    }
}

/// Checks `signature` over `message`. `algorithm` is the contents of the signature's AlgorithmIdentifier. Whether a weak
/// algorithm or key is good enough is for the caller to say.
pub(crate) fn verify(
    algorithm: &[u8],
    key: PublicKey<'_>,
    message: &[u8],
    signature: &[u8],
) -> Result<Verified, SignatureError> {
    let short_rsa = is_short_rsa(key);
    if let Some(legacy) = Legacy::named(algorithm)
        && (legacy.sha1 || short_rsa)
    {
        if !legacy.fits(key) {
            return Err(SignatureError::UnsupportedAlgorithm);
        }
        aws::UnparsedPublicKey::new(legacy.algorithm, key.bits)
            .verify(message, signature)
            .map_err(|_| SignatureError::BadSignature)?;
        return Ok(Verified { algorithm: legacy.name, sha1: legacy.sha1, short_rsa });
    }
    let mut same_algorithm = ALGORITHMS
        .iter()
        .filter(|(_, known)| known.signature_alg_id().as_ref() == algorithm)
        .filter(|(_, known)| known.public_key_alg_id().as_ref() == key.algorithm);
    let (name, known) = same_algorithm.next().ok_or(SignatureError::UnsupportedAlgorithm)?;
    known.verify_signature(key.bits, message, signature).map_err(|_| SignatureError::BadSignature)?;
    Ok(Verified { algorithm: name, sha1: false, short_rsa })
}

/// Algorithms that webpki leaves out: SHA-1, and RSA keys below 2048 bits.
#[derive(Clone, Copy)]
struct Legacy {
    name: &'static str,
    algorithm: &'static dyn aws::VerificationAlgorithm,
    sha1: bool,
    rsa: bool,
}

impl Legacy {
    fn named(algorithm: &[u8]) -> Option<Self> {
        // RFC 4055 §5: the parameters are NULL; their absence is to be accepted.
        let bare = algorithm.strip_suffix(NULL_PARAMETERS).unwrap_or(algorithm);
        let (name, algorithm, sha1): (_, &'static dyn aws::VerificationAlgorithm, _) = match bare {
            SHA1_WITH_RSA => ("sha1WithRSAEncryption", &aws::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY, true),
            SHA256_WITH_RSA => ("sha256WithRSAEncryption", &aws::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, false),
            SHA512_WITH_RSA => ("sha512WithRSAEncryption", &aws::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY, false),
            ECDSA_WITH_SHA1 => {
                return Some(Legacy {
                    name: "ecdsa-with-SHA1",
                    algorithm: &aws::ECDSA_P256_SHA1_ASN1,
                    sha1: true,
                    rsa: false,
                });
            }
            _ => return None,
        };
        Some(Legacy { name, algorithm, sha1, rsa: true })
    }

    fn fits(&self, key: PublicKey<'_>) -> bool {
        if self.rsa { key.algorithm.starts_with(RSA_ENCRYPTION) } else { key.algorithm == P256 }
    }
}

/// Whether this is an RSA key of fewer than 2048 bits.
fn is_short_rsa(key: PublicKey<'_>) -> bool {
    key.algorithm.starts_with(RSA_ENCRYPTION) && rsa_bits(key.bits).is_some_and(|bits| bits < 2048)
}

fn rsa_bits(key: &[u8]) -> Option<usize> {
    let mut fields = Reader::new(key).inside(SEQUENCE).ok()?;
    let modulus = fields.expect(der::INTEGER).ok()?.contents;
    let significant = modulus.iter().skip_while(|&&byte| byte == 0);
    let first = significant.clone().next()?;
    Some(significant.count() * 8 - first.leading_zeros() as usize)
}
