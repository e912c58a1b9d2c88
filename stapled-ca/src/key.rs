//! Private keys.

use std::fmt;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RsaEncoding, RsaKeyPair,
};
use rcgen::PublicKeyData as _;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;

use crate::key_type::{KeyError, KeyType};
use crate::legacy::WeakRsaKey;
use crate::scheme::SignatureScheme;

const P256: &EcdsaSigningAlgorithm = &signature::ECDSA_P256_SHA256_ASN1_SIGNING;
const P384: &EcdsaSigningAlgorithm = &signature::ECDSA_P384_SHA384_ASN1_SIGNING;
const P521: &EcdsaSigningAlgorithm = &signature::ECDSA_P521_SHA512_ASN1_SIGNING;

/// A private key with its public key.
pub struct Key {
    kind: Kind,
    key_type: KeyType,
    pkcs8: Vec<u8>,
}

impl Key {
    /// Makes a new key.
    ///
    /// # Errors
    /// When the cryptographic library fails.
    pub fn generate(key_type: KeyType) -> Result<Self, KeyError> {
        let failed = |_| KeyError::Generation { key_type };
        let pkcs8 = match key_type {
            KeyType::Rsa1024 => WeakRsaKey::generate().ok_or(KeyError::Generation { key_type })?.to_pkcs8(),
            KeyType::Rsa2048 => rsa_pkcs8(KeySize::Rsa2048).map_err(failed)?,
            KeyType::Rsa3072 => rsa_pkcs8(KeySize::Rsa3072).map_err(failed)?,
            KeyType::Rsa4096 => rsa_pkcs8(KeySize::Rsa4096).map_err(failed)?,
            KeyType::EcdsaP256 => ecdsa_pkcs8(P256).map_err(failed)?,
            KeyType::EcdsaP384 => ecdsa_pkcs8(P384).map_err(failed)?,
            KeyType::EcdsaP521 => ecdsa_pkcs8(P521).map_err(failed)?,
            // PKCS#8 version 1: OpenSSL 3.0 does not read version 2, which includes the public key.
            KeyType::Ed25519 => {
                Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).map_err(failed)?.as_ref().to_vec()
            }
        };
        Self::from_pkcs8(&pkcs8)
    }

    /// Reads the first private key in a PEM text: `PRIVATE KEY`, `RSA PRIVATE KEY` or `EC PRIVATE KEY`.
    ///
    /// # Errors
    /// When the text has no private key, or its type is not supported.
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        Self::from_der(PrivateKeyDer::from_pem_slice(pem).map_err(|_| KeyError::Unreadable)?)
    }

    fn from_der(key: PrivateKeyDer<'_>) -> Result<Self, KeyError> {
        match key {
            PrivateKeyDer::Pkcs8(key) => Self::from_pkcs8(key.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(key) => {
                let pair = RsaKeyPair::from_der(key.secret_pkcs1_der()).map_err(|_| KeyError::Unreadable)?;
                Self::from_rsa(pair)
            }
            PrivateKeyDer::Sec1(key) => [P256, P384, P521]
                .into_iter()
                .find_map(|curve| {
                    let pair = EcdsaKeyPair::from_private_key_der(curve, key.secret_sec1_der()).ok()?;
                    Self::from_pkcs8(pair.to_pkcs8v1().ok()?.as_ref()).ok()
                })
                .ok_or(KeyError::Unreadable),
            _ => Err(KeyError::Unreadable),
        }
    }

    /// Reads all private keys in a PEM text, like [`Key::from_pem`].
    ///
    /// # Errors
    /// When one of them cannot be read, or the text has none.
    pub(crate) fn all_from_pem(pem: &[u8]) -> Result<Vec<Self>, KeyError> {
        let keys: Vec<Self> = PrivateKeyDer::pem_slice_iter(pem)
            .map(|key| Self::from_der(key.map_err(|_| KeyError::Unreadable)?))
            .collect::<Result<_, _>>()?;
        if keys.is_empty() { Err(KeyError::Unreadable) } else { Ok(keys) }
    }

    /// Reads a private key in PKCS#8, DER.
    ///
    /// # Errors
    /// When its type is not supported.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, KeyError> {
        let curves = [(P256, KeyType::EcdsaP256), (P384, KeyType::EcdsaP384), (P521, KeyType::EcdsaP521)];
        for (curve, key_type) in curves {
            if let Ok(pair) = EcdsaKeyPair::from_pkcs8(curve, pkcs8) {
                return Ok(Self { kind: Kind::Ecdsa(pair), key_type, pkcs8: pkcs8.to_vec() });
            }
        }
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8) {
            return Ok(Self { kind: Kind::Ed25519(pair), key_type: KeyType::Ed25519, pkcs8: pkcs8.to_vec() });
        }
        if let Ok(pair) = RsaKeyPair::from_pkcs8(pkcs8) {
            return Self::from_rsa(pair);
        }
        let weak = WeakRsaKey::from_pkcs8(pkcs8).ok_or(KeyError::Unreadable)?;
        Ok(Self { kind: Kind::WeakRsa(weak), key_type: KeyType::Rsa1024, pkcs8: pkcs8.to_vec() })
    }

    /// The type of this key.
    #[must_use]
    pub fn key_type(&self) -> KeyType {
        self.key_type
    }

    /// The private key in PKCS#8, DER.
    #[must_use]
    pub fn to_pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The private key in PKCS#8, PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        crate::pem::encode("PRIVATE KEY", &self.pkcs8)
    }

    /// The contents of the subjectPublicKey `BIT STRING`, which CertIDs and ResponderIDs hash.
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        self.der_bytes()
    }

    /// The scheme that this key uses by default.
    #[must_use]
    pub fn default_scheme(&self) -> SignatureScheme {
        match self.kind {
            Kind::Rsa(_) | Kind::WeakRsa(_) => SignatureScheme::RsaPkcs1Sha256,
            Kind::Ed25519(_) => SignatureScheme::Ed25519,
            Kind::Ecdsa(_) => match self.key_type {
                KeyType::EcdsaP384 => SignatureScheme::EcdsaSha384,
                KeyType::EcdsaP521 => SignatureScheme::EcdsaSha512,
                _ => SignatureScheme::EcdsaSha256,
            },
        }
    }

    /// The signature of `message` by this scheme.
    ///
    /// # Errors
    /// When the scheme does not fit the key, or the cryptographic library fails.
    pub fn sign_with(&self, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let mismatch = KeyError::SchemeMismatch { key_type: self.key_type, scheme };
        let failed = |_| KeyError::Signing { key_type: self.key_type };
        match &self.kind {
            Kind::Ed25519(pair) if scheme == SignatureScheme::Ed25519 => {
                Ok(pair.try_sign(message).map_err(failed)?.as_ref().to_vec())
            }
            Kind::Ecdsa(pair) => {
                let algorithm = ecdsa_algorithm(self.key_type, scheme).ok_or(mismatch)?;
                let sign = |pair: &EcdsaKeyPair| {
                    Ok(pair.sign(&SystemRandom::new(), message).map_err(failed)?.as_ref().to_vec())
                };
                if algorithm == pair.algorithm() {
                    return sign(pair);
                }
                sign(&EcdsaKeyPair::from_pkcs8(algorithm, &self.pkcs8).map_err(|_| KeyError::Unreadable)?)
            }
            Kind::Rsa(_) if scheme == SignatureScheme::RsaPkcs1Sha1 => {
                WeakRsaKey::from_pkcs8(&self.pkcs8).and_then(|key| key.sign_pkcs1(scheme, message)).ok_or(mismatch)
            }
            Kind::Rsa(pair) => {
                let encoding = rsa_encoding(scheme).ok_or(mismatch)?;
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &SystemRandom::new(), message, &mut signature).map_err(failed)?;
                Ok(signature)
            }
            Kind::WeakRsa(key) => key.sign_pkcs1(scheme, message).ok_or(mismatch),
            Kind::Ed25519(_) => Err(mismatch),
        }
    }

    fn from_rsa(pair: RsaKeyPair) -> Result<Self, KeyError> {
        let key_type = match pair.public_modulus_len() * 8 {
            0..=2048 => KeyType::Rsa2048,
            2049..=3072 => KeyType::Rsa3072,
            _ => KeyType::Rsa4096,
        };
        let pkcs8 = pair.as_der().map_err(|_| KeyError::Unreadable)?.as_ref().to_vec();
        Ok(Self { kind: Kind::Rsa(pair), key_type, pkcs8 })
    }
}

/// Shows the type only, never the key.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.key_type)
    }
}

impl rcgen::PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        match &self.kind {
            Kind::Rsa(pair) => pair.public_key().as_ref(),
            Kind::WeakRsa(key) => key.public_key(),
            Kind::Ecdsa(pair) => pair.public_key().as_ref(),
            Kind::Ed25519(pair) => pair.public_key().as_ref(),
        }
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        match self.key_type {
            KeyType::EcdsaP256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            KeyType::EcdsaP384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            KeyType::EcdsaP521 => &rcgen::PKCS_ECDSA_P521_SHA512,
            KeyType::Ed25519 => &rcgen::PKCS_ED25519,
            _ => &rcgen::PKCS_RSA_SHA256,
        }
    }
}

impl rcgen::SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.sign_with(self.default_scheme(), message).map_err(|_| rcgen::Error::RemoteKeyError)
    }
}

enum Kind {
    Rsa(RsaKeyPair),
    WeakRsa(WeakRsaKey),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

fn rsa_pkcs8(size: KeySize) -> Result<Vec<u8>, aws_lc_rs::error::Unspecified> {
    Ok(RsaKeyPair::generate(size)?.as_der()?.as_ref().to_vec())
}

fn ecdsa_pkcs8(curve: &'static EcdsaSigningAlgorithm) -> Result<Vec<u8>, aws_lc_rs::error::Unspecified> {
    Ok(EcdsaKeyPair::generate(curve)?.to_pkcs8v1()?.as_ref().to_vec())
}

fn ecdsa_algorithm(key_type: KeyType, scheme: SignatureScheme) -> Option<&'static EcdsaSigningAlgorithm> {
    match (key_type, scheme) {
        (KeyType::EcdsaP256, SignatureScheme::EcdsaSha256) => Some(P256),
        (KeyType::EcdsaP384, SignatureScheme::EcdsaSha384) => Some(P384),
        (KeyType::EcdsaP521, SignatureScheme::EcdsaSha256) => Some(&signature::ECDSA_P521_SHA256_ASN1_SIGNING),
        (KeyType::EcdsaP521, SignatureScheme::EcdsaSha384) => Some(&signature::ECDSA_P521_SHA384_ASN1_SIGNING),
        (KeyType::EcdsaP521, SignatureScheme::EcdsaSha512) => Some(P521),
        _ => None,
    }
}

fn rsa_encoding(scheme: SignatureScheme) -> Option<&'static dyn RsaEncoding> {
    match scheme {
        SignatureScheme::RsaPkcs1Sha256 | SignatureScheme::RsaPkcs1Sha256WithoutNull => {
            Some(&signature::RSA_PKCS1_SHA256)
        }
        SignatureScheme::RsaPkcs1Sha384 => Some(&signature::RSA_PKCS1_SHA384),
        SignatureScheme::RsaPkcs1Sha512 => Some(&signature::RSA_PKCS1_SHA512),
        SignatureScheme::RsaPssSha256 => Some(&signature::RSA_PSS_SHA256),
        SignatureScheme::RsaPssSha384 => Some(&signature::RSA_PSS_SHA384),
        SignatureScheme::RsaPssSha512 => Some(&signature::RSA_PSS_SHA512),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_read_back_from_pkcs8_and_pem() {
        for name in KeyType::names() {
            let key_type: KeyType = name.parse().unwrap();
            let key = Key::generate(key_type).unwrap();
            assert_eq!(key.key_type(), key_type, "{name}");
            let again = Key::from_pem(key.to_pem().as_bytes()).unwrap();
            assert_eq!((again.key_type(), again.public_key()), (key_type, key.public_key()));
            assert_eq!(key_type.to_string(), name);
            key.sign_with(key.default_scheme(), b"message").unwrap();
        }
    }

    #[test]
    fn rsa_signatures_of_strong_and_weak_keys_verify() {
        let message = b"message";
        let strong = Key::generate(KeyType::Rsa2048).unwrap();
        let weak = Key::generate(KeyType::Rsa1024).unwrap();
        let cases = [
            (&strong, SignatureScheme::RsaPkcs1Sha1, &signature::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY),
            (&strong, SignatureScheme::RsaPkcs1Sha256, &signature::RSA_PKCS1_2048_8192_SHA256),
            (&strong, SignatureScheme::RsaPssSha256, &signature::RSA_PSS_2048_8192_SHA256),
            (&weak, SignatureScheme::RsaPkcs1Sha1, &signature::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY),
            (&weak, SignatureScheme::RsaPkcs1Sha256, &signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY),
        ];
        for (key, scheme, algorithm) in cases {
            let signed = key.sign_with(scheme, message).unwrap();
            signature::UnparsedPublicKey::new(algorithm, key.public_key())
                .verify(message, &signed)
                .unwrap_or_else(|_| panic!("{scheme:?} with {key:?}"));
        }
    }

    #[test]
    fn a_key_refuses_a_scheme_of_another_type() {
        let key = Key::generate(KeyType::EcdsaP256).unwrap();
        assert_eq!(
            key.sign_with(SignatureScheme::Ed25519, b""),
            Err(KeyError::SchemeMismatch { key_type: KeyType::EcdsaP256, scheme: SignatureScheme::Ed25519 }),
        );
    }
}
