//! Which certificate is meant.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use x509_parser::prelude::FromDer as _;

use crate::der;
use crate::serial::Serial;

/// CertID (RFC 6960, 4.1.1), with the very bytes it came in: a client finds its
/// answer by comparing them, so they are echoed, not made anew.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CertId {
    der: Vec<u8>,
    hash: Option<HashAlgorithm>,
    issuer_name_hash: Vec<u8>,
    issuer_key_hash: Vec<u8>,
    serial: Serial,
}

/// The hash algorithms of a CertID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HashAlgorithm {
    /// SHA-1
    Sha1,
    /// SHA-256
    Sha256,
    /// SHA-384
    Sha384,
    /// SHA-512
    Sha512,
}

/// Whether a hash algorithm's identifier has NULL for parameters or none. Both
/// are seen; RFC 5754 says none, OpenSSL writes NULL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NullParameters {
    /// `05 00`
    #[default]
    Present,
    /// Nothing.
    Absent,
}

/// What a CertID hashes of an issuer: its name and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerIdentity {
    /// The subject `Name`, DER, as it lies in the issuer's certificate.
    pub name: Vec<u8>,
    /// The contents of the subjectPublicKey `BIT STRING`, without the count of
    /// unused bits.
    pub public_key: Vec<u8>,
}

impl CertId {
    /// The CertID of the certificate with this serial number from this issuer.
    #[must_use]
    pub fn new(issuer: &IssuerIdentity, serial: &Serial, hash: HashAlgorithm) -> Self {
        Self::with_parameters(issuer, serial, hash, NullParameters::Present)
    }

    /// Like [`CertId::new`], with or without NULL parameters.
    #[must_use]
    pub fn with_parameters(
        issuer: &IssuerIdentity,
        serial: &Serial,
        hash: HashAlgorithm,
        parameters: NullParameters,
    ) -> Self {
        let issuer_name_hash = hash.digest(&issuer.name);
        let issuer_key_hash = hash.digest(&issuer.public_key);
        let algorithm = match parameters {
            NullParameters::Present => der::sequence(&[der::oid(hash.oid()), der::NULL.to_vec()]),
            NullParameters::Absent => der::sequence(&[der::oid(hash.oid())]),
        };
        let der = der::sequence(&[
            algorithm,
            der::value(der::OCTET_STRING, &issuer_name_hash),
            der::value(der::OCTET_STRING, &issuer_key_hash),
            der::unsigned(serial.as_bytes()),
        ]);
        Self { der, hash: Some(hash), issuer_name_hash, issuer_key_hash, serial: serial.clone() }
    }

    /// Reads a CertID; `None` when these bytes are not one.
    #[must_use]
    pub fn from_der(bytes: &[u8]) -> Option<Self> {
        let mut fields = der::only(bytes, der::SEQUENCE)?.contents;
        let mut algorithm = der::expect(&mut fields, der::SEQUENCE)?.contents;
        let oid = der::expect(&mut algorithm, der::OBJECT_IDENTIFIER)?;
        let name = der::expect(&mut fields, der::OCTET_STRING)?;
        let key = der::expect(&mut fields, der::OCTET_STRING)?;
        let serial = der::expect(&mut fields, der::INTEGER)?;
        let number = Serial::from_bytes(serial.contents);
        // Negative or with superfluous zeros: not a number that anybody issued,
        // though cut to its magnitude it would look like one.
        if !fields.is_empty() || number.integer_contents() != serial.contents {
            return None;
        }
        Some(Self {
            der: bytes.to_vec(),
            hash: HashAlgorithm::ALL.into_iter().find(|hash| der::oid(hash.oid()) == oid.whole),
            issuer_name_hash: name.contents.to_vec(),
            issuer_key_hash: key.contents.to_vec(),
            serial: number,
        })
    }

    /// The bytes.
    #[must_use]
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// The hash algorithm; `None` when it is not known here.
    #[must_use]
    pub fn hash(&self) -> Option<HashAlgorithm> {
        self.hash
    }

    /// issuerNameHash
    #[must_use]
    pub fn issuer_name_hash(&self) -> &[u8] {
        &self.issuer_name_hash
    }

    /// issuerKeyHash
    #[must_use]
    pub fn issuer_key_hash(&self) -> &[u8] {
        &self.issuer_key_hash
    }

    /// serialNumber
    #[must_use]
    pub fn serial(&self) -> &Serial {
        &self.serial
    }
}

impl HashAlgorithm {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    /// The hash of `message`.
    #[must_use]
    pub fn digest(self, message: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, message).as_ref().to_vec()
    }

    fn oid(self) -> &'static [u64] {
        match self {
            Self::Sha1 => &[1, 3, 14, 3, 2, 26],
            Self::Sha256 => &[2, 16, 840, 1, 101, 3, 4, 2, 1],
            Self::Sha384 => &[2, 16, 840, 1, 101, 3, 4, 2, 2],
            Self::Sha512 => &[2, 16, 840, 1, 101, 3, 4, 2, 3],
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }
}

impl fmt::Display for HashAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for HashAlgorithm {
    type Err = UnknownHash;

    fn from_str(name: &str) -> Result<Self, UnknownHash> {
        let wanted = name.to_ascii_lowercase().replace('-', "");
        let found = Self::ALL.into_iter().find(|hash| hash.name() == wanted);
        found.ok_or_else(|| UnknownHash { name: name.to_owned() })
    }
}

/// A name that is no hash algorithm.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not a hash algorithm; there are sha1, sha256, sha384 and sha512")]
pub struct UnknownHash {
    /// What was given.
    pub name: String,
}

impl IssuerIdentity {
    /// The identity that an issuer's certificate gives; `None` when the bytes
    /// are not one.
    #[must_use]
    pub fn from_certificate(certificate: &[u8]) -> Option<Self> {
        let (rest, parsed) = x509_parser::certificate::X509Certificate::from_der(certificate).ok()?;
        if !rest.is_empty() {
            return None;
        }
        Some(Self {
            name: parsed.subject().as_raw().to_vec(),
            public_key: parsed.public_key().subject_public_key.data.to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_read_again() {
        let issuer = IssuerIdentity { name: vec![0x30, 0], public_key: vec![4, 1, 2] };
        let serial = Serial::from_bytes(&[0xff; 20]);
        for hash in HashAlgorithm::ALL {
            for parameters in [NullParameters::Present, NullParameters::Absent] {
                let id = CertId::with_parameters(&issuer, &serial, hash, parameters);
                assert_eq!(CertId::from_der(id.as_der()), Some(id));
            }
        }
        let with = CertId::new(&issuer, &serial, HashAlgorithm::Sha1);
        let without = CertId::with_parameters(&issuer, &serial, HashAlgorithm::Sha1, NullParameters::Absent);
        assert_eq!(with.as_der().len(), without.as_der().len() + 2);
    }

    #[test]
    fn fragments_are_no_cert_id() {
        let issuer = IssuerIdentity { name: vec![0x30, 0], public_key: vec![4] };
        let id = CertId::new(&issuer, &Serial::from(5), HashAlgorithm::Sha256);
        for length in 0..id.as_der().len() {
            assert_eq!(CertId::from_der(&id.as_der()[..length]), None);
        }
    }
}
