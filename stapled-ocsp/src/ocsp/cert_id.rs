//! CertID: which certificate a request or a response is about (RFC 6960 §4.1.1).

use crate::der::{self, DerError, Element, NULL, OCTET_STRING, OID, Reader, SEQUENCE, at};
use crate::oid;
use crate::provider::{self, Digest, Hash};

/// The hash algorithm of a CertID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CertIdHash {
    /// SHA-1: what every responder understands, and the only one by which some servers find a staple. Here it names a
    /// certificate; nothing's authenticity hangs on it.
    Sha1,
    /// SHA-256: what RFC 9919 clients send.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl CertIdHash {
    const ALL: [CertIdHash; 4] = [CertIdHash::Sha1, CertIdHash::Sha256, CertIdHash::Sha384, CertIdHash::Sha512];

    fn oid(self) -> &'static [u8] {
        match self {
            CertIdHash::Sha1 => &[0x2b, 0x0e, 0x03, 0x02, 0x1a],
            CertIdHash::Sha256 => &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01],
            CertIdHash::Sha384 => &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02],
            CertIdHash::Sha512 => &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03],
        }
    }

    /// The name as the registries write it: `SHA-1`, `SHA-256`, ….
    pub fn name(self) -> &'static str {
        match self {
            CertIdHash::Sha1 => "SHA-1",
            CertIdHash::Sha256 => "SHA-256",
            CertIdHash::Sha384 => "SHA-384",
            CertIdHash::Sha512 => "SHA-512",
        }
    }

    pub(crate) fn digest(self, data: &[u8]) -> Digest {
        let hash = match self {
            CertIdHash::Sha1 => Hash::Sha1,
            CertIdHash::Sha256 => Hash::Sha256,
            CertIdHash::Sha384 => Hash::Sha384,
            CertIdHash::Sha512 => Hash::Sha512,
        };
        provider::digest(hash, &[data])
    }
}

/// A CertID as it stands in a request or a response.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CertId {
    algorithm: Vec<u8>,
    null_parameters: bool,
    /// Hash of the DER of the issuer's name, as it stands in the certificate in question.
    pub issuer_name_hash: Vec<u8>,
    /// Hash of the issuer's public key: of the bits alone, without tag, length and unused-bits byte.
    pub issuer_key_hash: Vec<u8>,
    /// The serial number's contents bytes, in their shortest form.
    pub serial_number: Vec<u8>,
}

impl CertId {
    /// The CertID of the certificate with this serial number, whose issuer has this name (its DER, as it stands in the
    /// certificate) and this public key (the bits of its `subjectPublicKey`). Its AlgorithmIdentifier has the NULL
    /// parameters that OpenSSL writes.
    pub fn new(hash: CertIdHash, issuer_name: &[u8], issuer_key: &[u8], serial_number: &[u8]) -> Self {
        CertId {
            algorithm: hash.oid().to_vec(),
            null_parameters: true,
            issuer_name_hash: hash.digest(issuer_name).as_ref().to_vec(),
            issuer_key_hash: hash.digest(issuer_key).as_ref().to_vec(),
            serial_number: der::shortest_integer(serial_number).to_vec(),
        }
    }

    /// The hash algorithm, if it is one that is known here.
    pub fn hash(&self) -> Option<CertIdHash> {
        CertIdHash::ALL.into_iter().find(|hash| hash.oid() == self.algorithm)
    }

    /// The name of the hash algorithm, such as `SHA-1`, or its object identifier in dotted form.
    pub fn hash_name(&self) -> String {
        oid::in_words(&self.algorithm)
    }

    /// Whether the AlgorithmIdentifier spells out its NULL parameters (`30 09 … 05 00`) rather than omitting them.
    pub fn has_null_parameters(&self) -> bool {
        self.null_parameters
    }

    /// The serial number in hexadecimal, as `openssl x509 -serial` prints it.
    pub fn serial_hex(&self) -> String {
        der::integer_hex(&self.serial_number)
    }

    /// Whether both name the same certificate by the same hash, however their parameters are spelled.
    pub fn names_same(&self, other: &CertId) -> bool {
        self.algorithm == other.algorithm
            && self.serial_number == other.serial_number
            && self.issuer_name_hash == other.issuer_name_hash
            && self.issuer_key_hash == other.issuer_key_hash
    }

    /// The DER of this CertID.
    pub fn to_der(&self) -> Vec<u8> {
        let mut algorithm = der::element(OID, &self.algorithm);
        if self.null_parameters {
            algorithm.extend(der::element(NULL, &[]));
        }
        let mut contents = der::element(SEQUENCE, &algorithm);
        contents.extend(der::element(OCTET_STRING, &self.issuer_name_hash));
        contents.extend(der::element(OCTET_STRING, &self.issuer_key_hash));
        contents.extend(der::element(der::INTEGER, &self.serial_number));
        der::element(SEQUENCE, &contents)
    }

    pub(super) fn read(element: Element<'_>) -> Result<Self, DerError> {
        let mut fields = Reader::new(element.contents);
        let (oid, null_parameters) = read_hash(&mut fields).map_err(at("hashAlgorithm"))?;
        let issuer_name_hash = fields.expect(OCTET_STRING).map_err(at("issuerNameHash"))?.contents.to_vec();
        let issuer_key_hash = fields.expect(OCTET_STRING).map_err(at("issuerKeyHash"))?.contents.to_vec();
        let serial_number = fields.expect(der::INTEGER).map_err(at("serialNumber"))?;
        fields.end()?;
        // Certificates are taken with a padded number, since some were issued; whoever writes a CertID writes DER.
        der::check_shortest(serial_number).map_err(at("serialNumber"))?;
        let serial_number = serial_number.contents.to_vec();
        let cert_id = CertId { algorithm: oid, null_parameters, issuer_name_hash, issuer_key_hash, serial_number };
        Ok(cert_id)
    }
}

/// The identifier of the hash algorithm, and whether its NULL parameters are spelled out.
fn read_hash(fields: &mut Reader<'_>) -> Result<(Vec<u8>, bool), DerError> {
    let mut algorithm = fields.inside(SEQUENCE)?;
    let oid = algorithm.expect(OID)?.contents.to_vec();
    let null_parameters = algorithm.optional(NULL)?.is_some();
    match algorithm.end() {
        Ok(()) => Ok((oid, null_parameters)),
        Err(_) => Err(DerError::new("a CertID hash algorithm with parameters other than NULL")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cert_id(hash: CertIdHash) -> CertId {
        CertId::new(hash, b"name", b"key", &[0, 0x80, 1])
    }

    #[test]
    fn hashes_have_their_names() {
        for (hash, name, length) in [
            (CertIdHash::Sha1, "SHA-1", 20),
            (CertIdHash::Sha256, "SHA-256", 32),
            (CertIdHash::Sha384, "SHA-384", 48),
            (CertIdHash::Sha512, "SHA-512", 64),
        ] {
            let id = cert_id(hash);
            assert_eq!((hash.name(), id.hash_name().as_str(), id.hash()), (name, name, Some(hash)));
            assert_eq!((id.issuer_name_hash.len(), id.issuer_key_hash.len()), (length, length));
            assert_eq!(id.serial_hex(), "8001");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut bare = cert_id(CertIdHash::Sha1);
        bare.null_parameters = false;
        for id in [cert_id(CertIdHash::Sha1), cert_id(CertIdHash::Sha512), bare] {
            let der = id.to_der();
            let read = CertId::read(Reader::new(&der).any().unwrap()).unwrap();
            assert_eq!((read.has_null_parameters(), &read), (id.null_parameters, &id));
        }
        assert!(cert_id(CertIdHash::Sha1).has_null_parameters());
    }

    #[test]
    fn one_part_that_differs_names_another_certificate() {
        let id = cert_id(CertIdHash::Sha1);
        let mut bare = id.clone();
        bare.null_parameters = false;
        assert!(id.names_same(&bare), "parameters are spelling");
        let changed = |change: fn(&mut CertId)| {
            let mut other = id.clone();
            change(&mut other);
            other
        };
        for other in [
            changed(|id| id.algorithm.push(1)),
            changed(|id| id.serial_number.push(1)),
            changed(|id| id.issuer_name_hash.push(1)),
            changed(|id| id.issuer_key_hash.push(1)),
        ] {
            assert!(!id.names_same(&other) && !other.names_same(&id));
        }
    }
}
