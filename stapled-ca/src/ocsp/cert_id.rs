//! CertID: the name of a certificate in OCSP.

use crate::der;
use crate::hash::{HashAlgorithm, NullParameters};
use crate::identity::IssuerIdentity;
use crate::serial::Serial;

/// A CertID (RFC 6960, 4.1.1) with its original bytes. A client finds its answer by comparing these bytes, so a
/// responder sends them back unchanged.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CertId {
    der: Vec<u8>,
    hash: Option<HashAlgorithm>,
    issuer_name_hash: Vec<u8>,
    issuer_key_hash: Vec<u8>,
    serial: Serial,
}

impl CertId {
    /// The CertID of the certificate with this serial number of this issuer.
    #[must_use]
    pub fn new(issuer: &IssuerIdentity, serial: &Serial, hash: HashAlgorithm) -> Self {
        Self::with_parameters(issuer, serial, hash, NullParameters::Present)
    }

    /// Like [`CertId::new`], with or without NULL parameters of the hash algorithm.
    #[must_use]
    pub fn with_parameters(
        issuer: &IssuerIdentity,
        serial: &Serial,
        hash: HashAlgorithm,
        parameters: NullParameters,
    ) -> Self {
        let issuer_name_hash = hash.digest(&issuer.name);
        let issuer_key_hash = hash.digest(&issuer.public_key);
        let der = der::sequence(&[
            hash.identifier(parameters),
            der::value(der::OCTET_STRING, &issuer_name_hash),
            der::value(der::OCTET_STRING, &issuer_key_hash),
            der::unsigned(serial.as_bytes()),
        ]);
        Self { der, hash: Some(hash), issuer_name_hash, issuer_key_hash, serial: serial.clone() }
    }

    /// Reads a CertID; `None` when the bytes are not one, or its hash algorithm has parameters other than NULL.
    #[must_use]
    pub fn from_der(bytes: &[u8]) -> Option<Self> {
        let mut fields = der::only(bytes, der::SEQUENCE)?.contents;
        let mut algorithm = der::expect(&mut fields, der::SEQUENCE)?.contents;
        let oid = der::expect(&mut algorithm, der::OBJECT_IDENTIFIER)?;
        // Other parameters have no meaning. Each of them would be a further CertID of the same certificate.
        if !algorithm.is_empty() && algorithm != der::NULL {
            return None;
        }
        let name = der::expect(&mut fields, der::OCTET_STRING)?;
        let key = der::expect(&mut fields, der::OCTET_STRING)?;
        let serial = der::expect(&mut fields, der::INTEGER)?;
        let number = Serial::from_bytes(serial.contents);
        // A negative number, or one with superfluous zeros, was never issued, though its magnitude may have been.
        if !fields.is_empty() || number.integer_contents() != serial.contents {
            return None;
        }
        Some(Self {
            der: bytes.to_vec(),
            hash: HashAlgorithm::from_oid(oid.whole),
            issuer_name_hash: name.contents.to_vec(),
            issuer_key_hash: key.contents.to_vec(),
            serial: number,
        })
    }

    /// The CertID, DER.
    #[must_use]
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// The hash algorithm; `None` when it is not supported.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_undoes_writing() {
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
    fn a_hash_algorithm_has_null_parameters_or_none() {
        let issuer = IssuerIdentity { name: vec![0x30, 0], public_key: vec![4] };
        let id = CertId::with_parameters(&issuer, &Serial::from(5), HashAlgorithm::Sha256, NullParameters::Absent);
        let fields = der::only(id.as_der(), der::SEQUENCE).unwrap().contents;
        let mut rest = fields;
        let oid = der::expect(&mut rest, der::SEQUENCE).unwrap().contents;
        let with = |parameters: &[u8]| {
            CertId::from_der(&der::sequence(&[&der::sequence(&[oid, parameters]), rest])).map(|id| id.hash())
        };
        assert_eq!(
            (with(&[]), with(der::NULL)),
            (Some(Some(HashAlgorithm::Sha256)), Some(Some(HashAlgorithm::Sha256)))
        );
        let others: [&[u8]; 6] =
            [&[5, 1, 0], &[5, 0, 5, 0], &[4, 0], &[2, 1, 7], &[0x30, 0], &der::value(der::OCTET_STRING, &[7; 300])];
        for parameters in others {
            assert_eq!(with(parameters), None, "{parameters:?}");
        }
    }

    #[test]
    fn fragments_are_refused() {
        let issuer = IssuerIdentity { name: vec![0x30, 0], public_key: vec![4] };
        let id = CertId::new(&issuer, &Serial::from(5), HashAlgorithm::Sha256);
        for length in 0..id.as_der().len() {
            assert_eq!(CertId::from_der(&id.as_der()[..length]), None);
        }
    }
}
