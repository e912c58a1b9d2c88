//! Key types, and the errors of keys.

use std::fmt;
use std::str::FromStr;

use crate::scheme::SignatureScheme;

/// The names of the key types.
const NAMES: &[(&str, KeyType)] = &[
    ("p256", KeyType::EcdsaP256),
    ("p384", KeyType::EcdsaP384),
    ("p521", KeyType::EcdsaP521),
    ("ed25519", KeyType::Ed25519),
    ("rsa2048", KeyType::Rsa2048),
    ("rsa3072", KeyType::Rsa3072),
    ("rsa4096", KeyType::Rsa4096),
    ("rsa1024", KeyType::Rsa1024),
];

/// The type of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyType {
    /// RSA with a modulus of 1024 bits: for tests that it is refused. Slow to make, and its signatures are not
    /// protected against timing.
    Rsa1024,
    /// RSA, 2048 bits.
    Rsa2048,
    /// RSA, 3072 bits.
    Rsa3072,
    /// RSA, 4096 bits.
    Rsa4096,
    /// ECDSA on P-256.
    #[default]
    EcdsaP256,
    /// ECDSA on P-384.
    EcdsaP384,
    /// ECDSA on P-521.
    EcdsaP521,
    /// Ed25519.
    Ed25519,
}

/// Why a key cannot be made, read or used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The cryptographic library cannot make a key.
    #[error("cannot make a {key_type} key")]
    Generation {
        /// The type of the key.
        key_type: KeyType,
    },
    /// No private key of a supported type.
    #[error("found no private key of type RSA, ECDSA on P-256, P-384 or P-521, or Ed25519")]
    Unreadable,
    /// A name that is not a key type.
    #[error("{name:?} is not a key type; choose one of {}", KeyType::names().join(", "))]
    UnknownType {
        /// The name.
        name: String,
    },
    /// The key's type does not fit the scheme.
    #[error("a {key_type} key cannot sign with {scheme:?}")]
    SchemeMismatch {
        /// The type of the key.
        key_type: KeyType,
        /// The scheme.
        scheme: SignatureScheme,
    },
    /// The cryptographic library refused to sign.
    #[error("cannot sign with a {key_type} key: the cryptographic library refuses")]
    Signing {
        /// The type of the key.
        key_type: KeyType,
    },
}

impl KeyType {
    /// Whether keys of this type are RSA keys.
    pub(crate) fn is_rsa(self) -> bool {
        matches!(self, Self::Rsa1024 | Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096)
    }

    /// The names of all types, as [`FromStr`] reads them.
    #[must_use]
    pub fn names() -> Vec<&'static str> {
        NAMES.iter().map(|(name, _)| *name).collect()
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(_, key_type)| key_type == self).map_or("unnamed", |(name, _)| name);
        f.write_str(name)
    }
}

impl FromStr for KeyType {
    type Err = KeyError;

    fn from_str(name: &str) -> Result<Self, KeyError> {
        let wanted = name.to_ascii_lowercase().replace('-', "");
        NAMES
            .iter()
            .find(|(known, _)| *known == wanted)
            .map(|(_, key_type)| *key_type)
            .ok_or_else(|| KeyError::UnknownType { name: name.to_owned() })
    }
}
