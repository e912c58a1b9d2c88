//! CertID: the identifier of a certificate in requests and responses (RFC 6960 §4.1.1).

use crate::der::{self, DerError, Element, NULL, OCTET_STRING, OID, Reader, SEQUENCE, at};
use crate::oid;
use crate::provider::{self, Digest, Hash};

/// The hash algorithm of a CertID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CertIdHash {
    /// SHA-1. Every responder understands this hash, and some servers find a staple by no other. In a CertID, it only
    /// names a certificate; no authenticity depends on it.
    Sha1,
    /// SHA-256, which RFC 9919 clients send.
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

    /// The registered name of the hash: `SHA-1`, `SHA-256`, ….
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

/// A CertID, as a request or a response contains it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CertId {
    algorithm: Vec<u8>,
    null_parameters: bool,
    /// The hash of the issuer's name: of its DER, as the certificate in question contains it.
    pub issuer_name_hash: Vec<u8>,
    /// The hash of the issuer's public key: of its bits, without tag, length and the number of unused bits.
    pub issuer_key_hash: Vec<u8>,
    /// The serial number: the contents bytes of the INTEGER, in their shortest form.
    pub serial_number: Vec<u8>,
}

impl CertId {
    /// Makes the CertID of a certificate.
    ///
    /// `issuer_name` is the DER of the issuer's name, as the certificate contains it. `issuer_key` is the bits of the
    /// issuer's `subjectPublicKey`. The AlgorithmIdentifier gets NULL parameters, as OpenSSL writes them.
    pub fn new(hash: CertIdHash, issuer_name: &[u8], issuer_key: &[u8], serial_number: &[u8]) -> Self {
        CertId {
            algorithm: hash.oid().to_vec(),
            null_parameters: true,
            issuer_name_hash: hash.digest(issuer_name).as_ref().to_vec(),
            issuer_key_hash: hash.digest(issuer_key).as_ref().to_vec(),
            serial_number: der::shortest_integer(serial_number).to_vec(),
        }
    }

    /// The hash algorithm, if this crate supports it.
    pub fn hash(&self) -> Option<CertIdHash> {
        CertIdHash::ALL.into_iter().find(|hash| hash.oid() == self.algorithm)
    }

    /// The name of the hash algorithm, such as `SHA-1`, or its object identifier in dotted form.
    pub fn hash_name(&self) -> String {
        oid::in_words(&self.algorithm)
    }

    /// Whether the parameters of the AlgorithmIdentifier are NULL (`30 09 … 05 00`); otherwise they are absent.
    pub fn has_null_parameters(&self) -> bool {
        self.null_parameters
    }

    /// The serial number in hexadecimal, as `openssl x509 -serial` prints it.
    pub fn serial_hex(&self) -> String {
        der::integer_hex(&self.serial_number)
    }

    /// Whether both CertIDs name the same certificate by the same hash. The encoding of the parameters does not count.
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
        // A certificate's serial number may be padded, because such certificates exist. A CertID must be DER.
        der::check_shortest(serial_number).map_err(at("serialNumber"))?;
        let serial_number = serial_number.contents.to_vec();
        let cert_id = CertId { algorithm: oid, null_parameters, issuer_name_hash, issuer_key_hash, serial_number };
        Ok(cert_id)
    }
}

/// Reads the hash algorithm: its object identifier, and whether its parameters are NULL rather than absent.
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
    fn a_written_cert_id_reads_back_the_same() {
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
    fn cert_ids_that_differ_in_one_part_name_different_certificates() {
        let id = cert_id(CertIdHash::Sha1);
        let mut bare = id.clone();
        bare.null_parameters = false;
        assert!(id.names_same(&bare), "the encoding of the parameters does not count");
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
