//! Certificate requests (PKCS#10, RFC 2986), read strictly.

use std::collections::HashSet;
use std::net::IpAddr;

use aws_lc_rs::signature;
use num_bigint::BigUint;
use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::error::X509Error;
use x509_parser::extensions::{GeneralName, ParsedExtension, X509Extension};
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::rsa;
use super::shown;
use crate::der;
use crate::key_type::KeyType;
use crate::pem;
use crate::profile::SubjectName;

/// The longest host name, in octets (RFC 1035, 2.3.4).
const LONGEST_NAME: usize = 253;
/// The longest label of a host name, in octets.
const LONGEST_LABEL: usize = 63;

/// A certificate request whose signature was verified: its sender has the private key.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CertificateRequest {
    /// The names asked for, without duplicates, host names in lower case: those of subjectAltName, or else the common name.
    pub names: Vec<SubjectName>,
    /// The SubjectPublicKeyInfo, DER.
    pub public_key: Vec<u8>,
    /// The kind of the key.
    pub key: RequestKey,
    /// Whether the certificate shall be must-staple (RFC 7633).
    pub must_staple: bool,
    der: Vec<u8>,
}

/// The kind of a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestKey {
    /// RSA.
    Rsa {
        /// The length of the modulus in bits.
        bits: usize,
        /// Whether the exponent is odd and at least 65,537.
        has_sound_exponent: bool,
        /// Whether the modulus is odd, has no small factor, and does not have the form of CVE-2017-15361 (ROCA).
        has_sound_modulus: bool,
    },
    /// ECDSA or EdDSA on a curve that this authority knows.
    Curve(KeyType),
}

/// Why a certificate request is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The request is too long.
    #[error("the certificate request has {length} octets; at most {limit} are allowed")]
    TooLong {
        /// Its length.
        length: usize,
        /// The most octets.
        limit: usize,
    },
    /// The bytes are no certificate request.
    #[error("the bytes are no certificate request in PEM or DER")]
    Malformed,
    /// The signature of the request is wrong.
    #[error("the signature of the certificate request does not verify: its sender must have the private key")]
    Signature,
    /// The key is of a type that this authority does not certify.
    #[error(
        "the key is of a type or size that is not supported; use RSA of 2048 to 8192 bits, P-256, P-384, P-521 or Ed25519"
    )]
    KeyType,
    /// The signature of the request is of an algorithm that is not supported.
    #[error(
        "the request is signed with an algorithm that is not supported; sign with SHA-256, or with SHA-384 for a key on P-384"
    )]
    Algorithm,
    /// A name is no host name and no IP address.
    #[error("{name:?} is no host name or IP address that can be certified")]
    Name {
        /// The name.
        name: String,
    },
    /// There is no name.
    #[error("the certificate request has no name")]
    NoName,
}

impl CertificateRequest {
    /// Reads a request in PEM or DER of at most `limit` octets, and verifies its signature.
    ///
    /// # Errors
    /// When it is too long, malformed, not signed by its own key, or has a name or a key that cannot be certified.
    pub fn read(bytes: &[u8], limit: usize) -> Result<Self, RequestError> {
        if bytes.len() > limit {
            return Err(RequestError::TooLong { length: bytes.len(), limit });
        }
        let der = match CertificateSigningRequestDer::from_pem_slice(bytes) {
            Ok(der) => der.to_vec(),
            Err(_) => bytes.to_vec(),
        };
        let (rest, request) = X509CertificationRequest::from_der(&der).map_err(|_| RequestError::Malformed)?;
        if !rest.is_empty() {
            return Err(RequestError::Malformed);
        }
        let info = &request.certification_request_info;
        let public_key = info.subject_pki.raw.to_vec();
        let key = key_of(&request).ok_or(RequestError::KeyType)?;
        verify(&request, key)?;
        let (names, must_staple) = (names_of(&request)?, asks_must_staple(&request));
        Ok(CertificateRequest { names, public_key, key, must_staple, der })
    }

    /// The request, PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem::encode("CERTIFICATE REQUEST", &self.der)
    }

    /// The modulus of an RSA key.
    pub(super) fn rsa_modulus(&self) -> Option<Vec<u8>> {
        let (_, key) = SubjectPublicKeyInfo::from_der(&self.public_key).ok()?;
        match key.parsed().ok()? {
            PublicKey::RSA(key) => Some(key.modulus.to_vec()),
            _ => None,
        }
    }

    /// The names as texts.
    #[must_use]
    pub fn name_texts(&self) -> Vec<String> {
        self.names.iter().map(SubjectName::to_string).collect()
    }
}

/// Verifies that the sender of a request has its private key.
fn verify(request: &X509CertificationRequest<'_>, key: RequestKey) -> Result<(), RequestError> {
    if key != RequestKey::Curve(KeyType::EcdsaP521) {
        return request.verify_signature().map_err(|error| match error {
            X509Error::SignatureUnsupportedAlgorithm => RequestError::Algorithm,
            _ => RequestError::Signature,
        });
    }
    // x509-parser does not know this curve.
    let algorithm = match request.signature_algorithm.algorithm.to_id_string().as_str() {
        "1.2.840.10045.4.3.2" => &signature::ECDSA_P521_SHA256_ASN1,
        "1.2.840.10045.4.3.3" => &signature::ECDSA_P521_SHA384_ASN1,
        "1.2.840.10045.4.3.4" => &signature::ECDSA_P521_SHA512_ASN1,
        _ => return Err(RequestError::Algorithm),
    };
    let info = &request.certification_request_info;
    let key = signature::UnparsedPublicKey::new(algorithm, &info.subject_pki.subject_public_key.data);
    key.verify(info.raw, &request.signature_value.data).map_err(|_| RequestError::Signature)
}

/// The kind of the key; `None` when it is not supported.
fn key_of(request: &X509CertificationRequest<'_>) -> Option<RequestKey> {
    const P256: &str = "1.2.840.10045.3.1.7";
    const P384: &str = "1.3.132.0.34";
    const P521: &str = "1.3.132.0.35";
    const ED25519: &str = "1.3.101.112";
    let spki = &request.certification_request_info.subject_pki;
    if spki.algorithm.algorithm.to_id_string() == ED25519 {
        return Some(RequestKey::Curve(KeyType::Ed25519));
    }
    match spki.parsed().ok()? {
        PublicKey::RSA(key) => {
            let exponent = key.try_exponent().ok()?;
            let has_sound_exponent = exponent >= 65_537 && exponent % 2 == 1;
            let modulus = BigUint::from_bytes_be(key.modulus);
            let (bits, has_sound_modulus) = (usize::try_from(modulus.bits()).ok()?, rsa::is_sound(&modulus));
            // The library verifies no signatures of other keys.
            if !(2048..=8192).contains(&bits) {
                return None;
            }
            Some(RequestKey::Rsa { bits, has_sound_exponent, has_sound_modulus })
        }
        PublicKey::EC(_) => {
            let curve = spki.algorithm.parameters.as_ref()?.as_oid().ok()?.to_id_string();
            let curves = [(P256, KeyType::EcdsaP256), (P384, KeyType::EcdsaP384), (P521, KeyType::EcdsaP521)];
            curves.iter().find(|(oid, _)| *oid == curve).map(|(_, kind)| RequestKey::Curve(*kind))
        }
        _ => None,
    }
}

/// The names of the subjectAltName, or else the common name.
fn names_of(request: &X509CertificationRequest<'_>) -> Result<Vec<SubjectName>, RequestError> {
    let mut names = Vec::new();
    for extension in extensions_of(request)? {
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(alternatives) => {
                // x509-parser accepts octets behind the names.
                if der::only(extension.value, der::SEQUENCE).is_none() {
                    return Err(RequestError::Malformed);
                }
                for name in &alternatives.general_names {
                    names.push(subject_name(name)?);
                }
            }
            ParsedExtension::ParseError { .. } => return Err(RequestError::Malformed),
            _ => {}
        }
    }
    if names.is_empty() {
        let subject = &request.certification_request_info.subject;
        for name in subject.iter_common_name() {
            names.push(host_or_address(name.as_str().map_err(|_| RequestError::Malformed)?)?);
        }
    }
    let mut seen = HashSet::new();
    names.retain(|name| seen.insert(name.to_string()));
    if names.is_empty() { Err(RequestError::NoName) } else { Ok(names) }
}

/// The requested extensions. A request with two of the same kind, or with two attributes of them, is refused: its readers would
/// not agree on its names.
fn extensions_of<'r>(request: &'r X509CertificationRequest<'_>) -> Result<&'r [X509Extension<'r>], RequestError> {
    let attributes = request.certification_request_info.iter_attributes();
    let mut all = attributes.filter_map(|attribute| match attribute.parsed_attribute() {
        ParsedCriAttribute::ExtensionRequest(requested) => Some(requested.extensions.as_slice()),
        _ => None,
    });
    let extensions = all.next().unwrap_or_default();
    let mut seen = HashSet::new();
    let is_sound = all.next().is_none() && extensions.iter().all(|one| seen.insert(one.oid.to_id_string()));
    if is_sound { Ok(extensions) } else { Err(RequestError::Malformed) }
}

/// The error about a name, of which the beginning is kept.
fn no_name(name: &str) -> RequestError {
    RequestError::Name { name: name.chars().take(shown::LONGEST).collect() }
}

fn subject_name(name: &GeneralName<'_>) -> Result<SubjectName, RequestError> {
    match name {
        GeneralName::DNSName(name) => host(name),
        GeneralName::IPAddress(octets) => address(octets).ok_or_else(|| no_name(&format!("{octets:?}"))),
        other => Err(no_name(&format!("{other:?}"))),
    }
}

fn address(octets: &[u8]) -> Option<SubjectName> {
    let address =
        <[u8; 4]>::try_from(octets).map(IpAddr::from).or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from));
    address.ok().map(SubjectName::Ip)
}

fn host_or_address(name: &str) -> Result<SubjectName, RequestError> {
    name.parse().map(SubjectName::Ip).or_else(|_| host(name))
}

/// A host name. A wildcard cannot be proved by any challenge of this authority.
fn host(name: &str) -> Result<SubjectName, RequestError> {
    if !is_host_name(name) {
        return Err(no_name(name));
    }
    Ok(SubjectName::Dns(name.to_ascii_lowercase()))
}

/// Whether a text is a host name: labels of letters, digits and inner hyphens.
pub(super) fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let is_letter = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-';
        (1..=LONGEST_LABEL).contains(&label.len())
            && label.bytes().all(is_letter)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // A name that ends in a number looks like an IPv4 address to some clients.
    let ends_in_number = name.rsplit('.').next().is_some_and(|label| match label.get(..2) {
        Some("0x" | "0X") => label.bytes().skip(2).all(|octet| octet.is_ascii_hexdigit()),
        _ => label.bytes().all(|octet| octet.is_ascii_digit()),
    });
    name.len() <= LONGEST_NAME && name.split('.').all(is_label) && !ends_in_number
}

/// Whether the request has the TLS feature status_request.
fn asks_must_staple(request: &X509CertificationRequest<'_>) -> bool {
    const TLS_FEATURE: &str = "1.3.6.1.5.5.7.1.24";
    /// A sequence with the integer 5.
    const STATUS_REQUEST: [u8; 5] = [0x30, 3, 2, 1, 5];
    let extensions = extensions_of(request).unwrap_or_default();
    extensions.iter().any(|one| one.oid.to_id_string() == TLS_FEATURE && one.value == STATUS_REQUEST)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, CustomExtension, DnType, KeyPair};

    use super::*;

    const LIMIT: usize = 20_000;

    fn request(names: &[&str]) -> CertificateParams {
        let mut params = CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
    }

    fn der(params: &CertificateParams) -> Vec<u8> {
        params.serialize_request(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    fn read(params: &CertificateParams) -> Result<CertificateRequest, RequestError> {
        CertificateRequest::read(&der(params), LIMIT)
    }

    #[test]
    fn names_and_key_are_read() {
        let mut params = request(&["WWW.Example.org", "127.0.0.1", "::1", "www.example.org", "server"]);
        let tls_feature = CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 24], vec![0x30, 3, 2, 1, 5]);
        assert!(!read(&params).unwrap().must_staple);
        params.custom_extensions.push(tls_feature);
        let der = der(&params);
        let found = CertificateRequest::read(&der, LIMIT).unwrap();
        assert_eq!(found.name_texts(), ["www.example.org", "127.0.0.1", "::1", "server"]);
        assert_eq!((found.key, found.must_staple), (RequestKey::Curve(KeyType::EcdsaP256), true));
        let again = CertificateRequest::read(found.to_pem().as_bytes(), LIMIT).unwrap();
        assert_eq!((again.der, again.public_key), (der, found.public_key));
    }

    #[test]
    fn the_common_name_counts_only_without_other_names() {
        let mut params = request(&[]);
        assert_eq!(read(&params).unwrap_err(), RequestError::NoName);
        params.distinguished_name.push(DnType::CommonName, "Common.Example");
        assert_eq!(read(&params).unwrap().name_texts(), ["common.example"]);
        params.subject_alt_names.push(rcgen::SanType::DnsName("other.example".try_into().unwrap()));
        assert_eq!(read(&params).unwrap().name_texts(), ["other.example"]);
    }

    #[test]
    fn odd_names_are_refused() {
        let long = format!("{}.example", "a".repeat(64));
        let very_long = ["abcdefgh"; 30].join(".");
        for name in
            ["", ".", "a..b", "*.example", "a b", "a\0b", "-a", "a-", "a_b", "a.example.", "1.2.3", &long, &very_long]
        {
            assert_eq!(host(name), Err(RequestError::Name { name: name.to_owned() }), "{name}");
        }
        let mut params = request(&["a.example"]);
        params.subject_alt_names.push(rcgen::SanType::Rfc822Name("a@b.example".try_into().unwrap()));
        assert!(matches!(read(&params), Err(RequestError::Name { .. })));
    }

    #[test]
    fn malformed_requests_are_refused() {
        let whole = der(&request(&["a.example"]));
        for end in 0..whole.len() {
            assert_eq!(CertificateRequest::read(&whole[..end], LIMIT).unwrap_err(), RequestError::Malformed, "{end}");
        }
        let longer = [whole.clone(), vec![0]].concat();
        assert_eq!(CertificateRequest::read(&longer, LIMIT).unwrap_err(), RequestError::Malformed);
        let mut forged = whole.clone();
        let last = forged.len() - 1;
        forged[last] ^= 1;
        assert_eq!(CertificateRequest::read(&forged, LIMIT).unwrap_err(), RequestError::Signature);
        let length = whole.len();
        assert_eq!(
            CertificateRequest::read(&whole, length - 1).unwrap_err(),
            RequestError::TooLong { length, limit: length - 1 }
        );
    }
}
