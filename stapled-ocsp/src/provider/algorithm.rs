//! What a provider is asked for, and what it says.

/// A hash function that every provider has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

/// Signature algorithms that webpki leaves out: with SHA-1, and with RSA keys of 1024 to 2047 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Legacy {
    RsaPkcs1(Hash),
    EcdsaP256Sha1,
    EcdsaP384Sha1,
    EcdsaP521Sha1,
}

/// What a provider says of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    Holds,
    Broken,
    /// The provider does not have this algorithm.
    Unsupported,
}

impl Check {
    pub(crate) fn of<E>(result: &Result<(), E>) -> Self {
        if result.is_ok() { Check::Holds } else { Check::Broken }
    }
}
