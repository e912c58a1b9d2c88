//! The algorithms and results of a provider.

/// A hash function that every provider has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

/// A signature algorithm that webpki does not have: with SHA-1, or with RSA keys of 1024 to 2047 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Legacy {
    RsaPkcs1(Hash),
    EcdsaP256Sha1,
    EcdsaP384Sha1,
    EcdsaP521Sha1,
}

/// A provider's verdict on a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// The key made the signature.
    Holds,
    /// The key did not make the signature.
    Broken,
    /// The provider does not have this algorithm.
    Unsupported,
}

impl Check {
    pub(crate) fn of<E>(result: &Result<(), E>) -> Self {
        if result.is_ok() { Check::Holds } else { Check::Broken }
    }
}
