//! CertID: the identifier of a certificate in requests and responses (RFC 6960 §4.1.1).

use std::fmt;

use crate::certificate::Certificate;
use crate::der::{self, DerError, Element, NULL, OCTET_STRING, OID, Reader, SEQUENCE, at};
use crate::hexadecimal::hex_upper;
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
        provider::digest(self.provided(), &[data])
    }

    fn provided(self) -> Hash {
        match self {
            CertIdHash::Sha1 => Hash::Sha1,
            CertIdHash::Sha256 => Hash::Sha256,
            CertIdHash::Sha384 => Hash::Sha384,
            CertIdHash::Sha512 => Hash::Sha512,
        }
    }
}

/// A CertID, as a request or a response contains it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CertId {
    /// The contents of its fields, one after the other: object identifier of the hash, issuerNameHash, issuerKeyHash,
    /// serialNumber. In one piece, because a stapler may hold a million CertIDs.
    contents: Box<[u8]>,
    /// Where the second, the third and the fourth field begin.
    bounds: [u32; 3],
    null_parameters: bool,
}

impl CertId {
    /// Makes the CertID of a certificate.
    ///
    /// `issuer_name` is the DER of the issuer's name, as the certificate contains it. `issuer_key` is the bits of the
    /// issuer's `subjectPublicKey`. The AlgorithmIdentifier gets NULL parameters, as OpenSSL writes them.
    pub fn new(hash: CertIdHash, issuer_name: &[u8], issuer_key: &[u8], serial_number: &[u8]) -> Self {
        let (name, key) = (hash.digest(issuer_name), hash.digest(issuer_key));
        Self::of(hash.oid(), true, name.as_ref(), key.as_ref(), der::shortest_integer(serial_number))
    }

    /// The CertID of a certificate of this issuer. `issuer_name` is the issuer's name as the certificate encodes it.
    pub(crate) fn of_issued(hash: CertIdHash, issuer: &Certificate, issuer_name: &[u8], serial_number: &[u8]) -> Self {
        let hashes = issuer.issuer_hashes(hash.provided());
        let name = if issuer_name == issuer.subject() { hashes.name } else { hash.digest(issuer_name) };
        Self::of(hash.oid(), true, name.as_ref(), hashes.key.as_ref(), der::shortest_integer(serial_number))
    }

    fn of(algorithm: &[u8], null_parameters: bool, name_hash: &[u8], key_hash: &[u8], serial_number: &[u8]) -> Self {
        let mut bounds = [0; 3];
        let mut end = 0;
        for (bound, field) in bounds.iter_mut().zip([algorithm, name_hash, key_hash]) {
            end += field.len();
            // What is read has a limit far below.
            *bound = u32::try_from(end).unwrap_or(u32::MAX);
        }
        CertId { contents: [algorithm, name_hash, key_hash, serial_number].concat().into(), bounds, null_parameters }
    }

    fn algorithm(&self) -> &[u8] {
        self.contents.get(..self.bounds[0] as usize).unwrap_or_default()
    }

    /// The hash of the issuer's name: of its DER, as the certificate in question contains it.
    pub fn issuer_name_hash(&self) -> &[u8] {
        self.contents.get(self.bounds[0] as usize..self.bounds[1] as usize).unwrap_or_default()
    }

    /// The hash of the issuer's public key: of its bits, without tag, length and the number of unused bits.
    pub fn issuer_key_hash(&self) -> &[u8] {
        self.contents.get(self.bounds[1] as usize..self.bounds[2] as usize).unwrap_or_default()
    }

    /// The serial number: the contents bytes of the INTEGER, in their shortest form.
    pub fn serial_number(&self) -> &[u8] {
        self.contents.get(self.bounds[2] as usize..).unwrap_or_default()
    }

    /// The hash algorithm, if this crate supports it.
    pub fn hash(&self) -> Option<CertIdHash> {
        CertIdHash::ALL.into_iter().find(|hash| hash.oid() == self.algorithm())
    }

    /// The name of the hash algorithm, such as `SHA-1`, or its object identifier in dotted form.
    pub fn hash_name(&self) -> String {
        oid::in_words(self.algorithm())
    }

    /// Whether the parameters of the AlgorithmIdentifier are NULL (`30 09 … 05 00`); otherwise they are absent.
    pub fn has_null_parameters(&self) -> bool {
        self.null_parameters
    }

    /// The serial number in hexadecimal, as `openssl x509 -serial` prints it.
    pub fn serial_hex(&self) -> String {
        der::integer_hex(self.serial_number())
    }

    /// Whether both CertIDs name the same certificate by the same hash. The encoding of the parameters does not count.
    pub fn names_same(&self, other: &CertId) -> bool {
        self.bounds == other.bounds && self.contents == other.contents
    }

    /// The DER of this CertID.
    pub fn to_der(&self) -> Vec<u8> {
        let mut algorithm = Vec::with_capacity(16);
        der::push_element(&mut algorithm, OID, &[self.algorithm()]);
        if self.null_parameters {
            der::push_element(&mut algorithm, NULL, &[]);
        }
        let mut contents = Vec::with_capacity(self.contents.len() + 32);
        der::push_element(&mut contents, SEQUENCE, &[&algorithm]);
        der::push_element(&mut contents, OCTET_STRING, &[self.issuer_name_hash()]);
        der::push_element(&mut contents, OCTET_STRING, &[self.issuer_key_hash()]);
        der::push_element(&mut contents, der::INTEGER, &[self.serial_number()]);
        der::element(SEQUENCE, &contents)
    }

    pub(super) fn read(element: Element<'_>) -> Result<Self, DerError> {
        let mut fields = Reader::new(element.contents);
        let (oid, null_parameters) = read_hash(&mut fields).map_err(at("hashAlgorithm"))?;
        let issuer_name_hash = fields.expect(OCTET_STRING).map_err(at("issuerNameHash"))?.contents;
        let issuer_key_hash = fields.expect(OCTET_STRING).map_err(at("issuerKeyHash"))?.contents;
        let serial_number = fields.expect(der::INTEGER).map_err(at("serialNumber"))?;
        fields.end()?;
        // A certificate's serial number may be padded, because such certificates exist. A CertID must be DER.
        der::check_shortest(serial_number).map_err(at("serialNumber"))?;
        Ok(Self::of(oid, null_parameters, issuer_name_hash, issuer_key_hash, serial_number.contents))
    }
}

impl fmt::Debug for CertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertId")
            .field("hash", &self.hash_name())
            .field("issuer_name_hash", &hex_upper(self.issuer_name_hash()))
            .field("issuer_key_hash", &hex_upper(self.issuer_key_hash()))
            .field("serial_number", &self.serial_hex())
            .finish_non_exhaustive()
    }
}

/// Reads the hash algorithm: its object identifier, and whether its parameters are NULL rather than absent.
fn read_hash<'a>(fields: &mut Reader<'a>) -> Result<(&'a [u8], bool), DerError> {
    let mut algorithm = fields.inside(SEQUENCE)?;
    let oid = algorithm.expect(OID)?.contents;
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
            assert_eq!((id.issuer_name_hash().len(), id.issuer_key_hash().len()), (length, length));
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
        let (name, key, serial) = (id.issuer_name_hash(), id.issuer_key_hash(), id.serial_number());
        let longer = |field: &[u8]| [field, &[1]].concat();
        let oid = CertIdHash::Sha1.oid();
        for other in [
            CertId::of(&longer(oid), true, name, key, serial),
            CertId::of(oid, true, &longer(name), key, serial),
            CertId::of(oid, true, name, &longer(key), serial),
            CertId::of(oid, true, name, key, &longer(serial)),
            // The same bytes with other bounds.
            CertId::of(oid, true, &[name, &key[..1]].concat(), &key[1..], serial),
            CertId::of(oid, true, name, key, &[5]),
        ] {
            assert!(!id.names_same(&other) && !other.names_same(&id));
        }
    }
}
