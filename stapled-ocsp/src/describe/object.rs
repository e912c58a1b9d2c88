//! A response, a request or a certificate as text.

use crate::certificate;
use crate::chain::CertChain;
use crate::hexadecimal::hex_upper;
use crate::ocsp::request::RequestContents;
use crate::ocsp::response::{BasicResponse, ResponderId};
use crate::ocsp::{self, CertId, CertIdHash, CertStatus, OcspResponse};
use crate::oid;
use crate::time::Timestamp;

/// The name of the response type that RFC 6960 defines.
const BASIC: &str = "id-pkix-ocsp-basic";

/// One object in a file.
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(tag = "kind", rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Object {
    /// A response.
    OcspResponse(Box<Response>),
    /// A request.
    OcspRequest(Box<Request>),
    /// A certificate.
    Certificate(Box<Certificate>),
    /// A PEM section with any other label.
    PassedOver {
        /// Its label.
        label: String,
    },
    /// An object that cannot be read as its label says, or as any kind.
    Malformed {
        /// The label of the PEM section, if the object comes from one.
        label: Option<String>,
        /// Why the object cannot be read.
        detail: String,
    },
}

/// OCSPResponse (RFC 6960 §4.2.1).
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Response {
    /// The size in bytes.
    pub size: usize,
    /// The name of the responseStatus.
    pub status: &'static str,
    /// The name of the responseType, or its object identifier.
    pub response_type: Option<String>,
    /// The contents of a response of the basic type.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub basic: Option<Basic>,
}

/// BasicOCSPResponse (RFC 6960 §4.2.1).
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Basic {
    /// The version as it is encoded: 0 is v1.
    pub version: u8,
    /// The signer.
    pub responder_id: Responder,
    /// When it was signed.
    pub produced_at: Timestamp,
    /// The name of the signature algorithm.
    pub signature_algorithm: String,
    /// The answers about certificates.
    pub responses: Vec<Single>,
    /// The nonce in hexadecimal.
    pub nonce: Option<String>,
    /// All extensions.
    pub extensions: Vec<Extension>,
    /// The embedded certificates.
    pub certificates: Vec<Embedded>,
}

/// ResponderID (RFC 6960 §4.2.1).
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Responder {
    /// The signer's name.
    ByName(String),
    /// The SHA-1 hash of the signer's key, in hexadecimal.
    ByKey(String),
}

/// SingleResponse (RFC 6960 §4.2.1).
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Single {
    /// The certificate that the answer is about.
    pub cert_id: Id,
    /// `good`, `revoked` or `unknown`.
    pub status: &'static str,
    /// When the certificate was revoked.
    pub revoked_at: Option<Timestamp>,
    /// The name of the revocation reason, or its number.
    pub revocation_reason: Option<String>,
    /// The time at which the status was known to be correct.
    pub this_update: Timestamp,
    /// The time at which newer information will be available.
    pub next_update: Option<Timestamp>,
    /// All extensions.
    pub extensions: Vec<Extension>,
}

/// CertID (RFC 6960 §4.1.1).
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Id {
    /// The name of the hash.
    pub hash: String,
    /// Whether the parameters of the hash's AlgorithmIdentifier are NULL; otherwise they are absent.
    pub null_parameters: bool,
    /// The hash of the issuer's name, in hexadecimal.
    pub issuer_name_hash: String,
    /// The hash of the issuer's key, in hexadecimal.
    pub issuer_key_hash: String,
    /// The serial number, in hexadecimal.
    pub serial: String,
}

/// An extension.
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Extension {
    /// The object identifier.
    pub oid: String,
    /// The name, if this crate knows it.
    pub name: Option<&'static str>,
    /// Whether a reader must understand it.
    pub critical: bool,
    /// The contents, in hexadecimal.
    pub value: String,
}

/// A certificate that is embedded in a response or a request.
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(untagged))]
#[non_exhaustive]
pub enum Embedded {
    /// A certificate.
    Certificate(Box<Certificate>),
    /// Bytes that cannot be read as a certificate.
    Malformed {
        /// Why the certificate cannot be read.
        detail: String,
    },
}

/// OCSPRequest (RFC 6960 §4.1.1).
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Request {
    /// The size in bytes.
    pub size: usize,
    /// The version as it is encoded: 0 is v1.
    pub version: u8,
    /// The name of the client, if the request has one.
    pub requestor_name: Option<String>,
    /// The certificates that the request asks about.
    pub requests: Vec<Question>,
    /// The nonce in hexadecimal.
    pub nonce: Option<String>,
    /// All extensions.
    pub extensions: Vec<Extension>,
    /// The name of the signature algorithm, if the request is signed.
    pub signature_algorithm: Option<String>,
    /// The certificates beside the signature.
    pub certificates: Vec<Embedded>,
}

/// The question about one certificate: Request (RFC 6960 §4.1.1).
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Question {
    /// The certificate that the question is about.
    pub cert_id: Id,
    /// All extensions.
    pub extensions: Vec<Extension>,
}

/// A certificate (RFC 5280 §4.1).
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Certificate {
    /// The size in bytes.
    pub size: usize,
    /// The version as it is encoded: 2 is v3.
    pub version: u32,
    /// The subject's name.
    pub subject: String,
    /// The names of subjectAltName.
    pub names: Vec<String>,
    /// The issuer's name.
    pub issuer: String,
    /// The serial number, in hexadecimal.
    pub serial: String,
    /// The beginning of the validity.
    pub not_before: Timestamp,
    /// The end of the validity.
    pub not_after: Timestamp,
    /// Kind and size of the key.
    pub public_key: String,
    /// The name of the signature algorithm.
    pub signature_algorithm: String,
    /// Whether it may issue certificates.
    pub is_ca: bool,
    /// The purposes of keyUsage; `None` if the certificate has no such extension.
    pub key_usage: Option<Vec<&'static str>>,
    /// The purposes of extendedKeyUsage; `None` if the certificate has no such extension.
    pub extended_key_usage: Option<Vec<String>>,
    /// The OCSP URLs.
    pub ocsp_urls: Vec<String>,
    /// The caIssuers URLs: the places of the issuer's certificate.
    pub ca_issuers_urls: Vec<String>,
    /// Whether clients refuse the certificate without a staple (RFC 7633).
    pub must_staple: bool,
    /// Whether the certificate has id-pkix-ocsp-nocheck (RFC 6960 §4.2.2.2.1).
    pub ocsp_no_check: bool,
    /// Critical extensions that this crate does not know.
    pub unknown_critical_extensions: Vec<String>,
    /// The SHA-256 hash of the certificate, in hexadecimal.
    pub sha256_fingerprint: String,
    /// The CertIDs of the certificate; empty if its issuer is not known.
    pub cert_ids: Vec<Id>,
}

impl Object {
    /// Describes a response of this size in bytes.
    pub fn response(response: &OcspResponse<'_>, size: usize) -> Self {
        let (status, response_type, basic) = match response {
            OcspResponse::Basic(basic) => ("successful", Some(BASIC.to_owned()), Some(Basic::of(basic))),
            OcspResponse::OtherType { oid } => ("successful", Some(oid::dotted(oid)), None),
            OcspResponse::Error(status) => (status.name(), None, None),
        };
        Object::OcspResponse(Box::new(Response { size, status, response_type, basic }))
    }

    /// Describes a request of this size in bytes.
    pub fn request(request: &RequestContents<'_>, size: usize) -> Self {
        let questions = request.requests.iter().map(|request| Question {
            cert_id: Id::of(&request.cert_id),
            extensions: Extension::all(&request.extensions),
        });
        let signature = request.signature.as_ref();
        Object::OcspRequest(Box::new(Request {
            size,
            version: request.version,
            requestor_name: request.requestor_name_in_words(),
            requests: questions.collect(),
            nonce: request.nonce().map(hex_upper),
            extensions: Extension::all(&request.extensions),
            signature_algorithm: signature.map(|signature| signature.algorithm_name()),
            certificates: Embedded::all(
                signature.map(|signature| signature.certificates.as_slice()).unwrap_or_default(),
            ),
        }))
    }

    /// Describes a certificate, with its CertIDs if its chain is given.
    pub fn certificate(certificate: &certificate::Certificate, chain: Option<&CertChain>) -> Self {
        let mut shown = Certificate::of(certificate);
        let ids = chain.map(|chain| [CertIdHash::Sha1, CertIdHash::Sha256].map(|hash| Id::of(&chain.cert_id(hash))));
        shown.cert_ids = ids.into_iter().flatten().collect();
        Object::Certificate(Box::new(shown))
    }

    /// Describes a file that is none of these.
    pub fn malformed(detail: String) -> Self {
        Object::Malformed { label: None, detail }
    }

    /// Describes a PEM section whose contents do not fit its label.
    pub fn malformed_section(label: &str, detail: String) -> Self {
        Object::Malformed { label: Some(label.to_owned()), detail }
    }
}

impl Basic {
    fn of(basic: &BasicResponse<'_>) -> Self {
        Basic {
            version: basic.version,
            responder_id: match basic.responder_id {
                ResponderId::ByName(name) => Responder::ByName(certificate::name_in_full(name)),
                ResponderId::ByKey(hash) => Responder::ByKey(hex_upper(hash)),
            },
            produced_at: basic.produced_at,
            signature_algorithm: basic.signature_algorithm_name(),
            responses: basic.responses.iter().map(Single::of).collect(),
            nonce: basic.nonce().map(hex_upper),
            extensions: Extension::all(&basic.extensions),
            certificates: Embedded::all(&basic.certificates),
        }
    }
}

impl Single {
    fn of(single: &ocsp::response::SingleResponse<'_>) -> Self {
        let (revoked_at, reason) = match single.status {
            CertStatus::Revoked { at, reason } => (Some(at), reason),
            CertStatus::Good | CertStatus::Unknown => (None, None),
        };
        let name = |reason| CertStatus::reason_name(reason).map_or_else(|| reason.to_string(), str::to_owned);
        Single {
            cert_id: Id::of(&single.cert_id),
            status: single.status.name(),
            revoked_at,
            revocation_reason: reason.map(name),
            this_update: single.this_update,
            next_update: single.next_update,
            extensions: Extension::all(&single.extensions),
        }
    }
}

impl Id {
    fn of(id: &CertId) -> Self {
        Id {
            hash: id.hash_name(),
            null_parameters: id.has_null_parameters(),
            issuer_name_hash: hex_upper(id.issuer_name_hash()),
            issuer_key_hash: hex_upper(id.issuer_key_hash()),
            serial: id.serial_hex(),
        }
    }
}

impl Extension {
    fn all(extensions: &[ocsp::response::Extension<'_>]) -> Vec<Self> {
        let shown = extensions.iter().map(|extension| Extension {
            oid: oid::dotted(extension.oid),
            name: oid::name(extension.oid),
            critical: extension.critical,
            value: hex_upper(extension.value),
        });
        shown.collect()
    }
}

impl Embedded {
    fn all(certificates: &[&[u8]]) -> Vec<Self> {
        let shown = certificates.iter().map(|der| match certificate::Certificate::from_der(der) {
            Ok(certificate) => Embedded::Certificate(Box::new(Certificate::of(&certificate))),
            Err(error) => Embedded::Malformed { detail: error.to_string() },
        });
        shown.collect()
    }
}

impl Certificate {
    fn of(certificate: &certificate::Certificate) -> Self {
        let description = certificate.describe();
        Certificate {
            size: certificate.as_der().len(),
            version: description.version,
            subject: description.subject,
            names: description.names,
            issuer: description.issuer,
            serial: certificate.serial_hex(),
            not_before: certificate.not_before(),
            not_after: certificate.not_after(),
            public_key: description.public_key,
            signature_algorithm: description.signature_algorithm,
            is_ca: certificate.is_ca(),
            key_usage: description.key_usage,
            extended_key_usage: description.extended_key_usage,
            ocsp_urls: certificate.ocsp_urls().to_vec(),
            ca_issuers_urls: certificate.ca_issuers_urls().to_vec(),
            must_staple: certificate.must_staple(),
            ocsp_no_check: certificate.has_ocsp_no_check(),
            unknown_critical_extensions: description.unknown_critical_extensions,
            sha256_fingerprint: hex_upper(&certificate.fingerprint()),
            cert_ids: Vec::new(),
        }
    }
}
