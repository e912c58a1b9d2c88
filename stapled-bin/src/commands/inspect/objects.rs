//! What is in responses, requests and certificates, as it is shown: as JSON by itself, in words by [`super::words`].

use serde::{Serialize, Serializer};
use stapled_core::certificate;
use stapled_core::chain::CertChain;
use stapled_core::ocsp::{
    BasicResponse, CertId, CertIdHash, CertStatus, OcspResponse, RequestContents, ResponderId, revocation_reason,
};
use stapled_core::time::Timestamp;
use stapled_core::{ocsp, oid};

use crate::text::hex;

/// The type of responses that RFC 6960 defines.
const BASIC: &str = "id-pkix-ocsp-basic";

/// One thing in a file.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Object {
    OcspResponse(Box<Response>),
    OcspRequest(Box<Request>),
    Certificate(Box<Certificate>),
    /// A PEM section that is none of these.
    PassedOver {
        label: String,
    },
    /// What should be one of these and is none.
    Malformed {
        label: Option<String>,
        detail: String,
    },
}

/// OCSPResponse (RFC 6960 §4.2.1).
#[derive(Debug, Serialize)]
pub(super) struct Response {
    /// In bytes.
    pub(super) size: usize,
    pub(super) status: &'static str,
    pub(super) response_type: Option<String>,
    /// What an answer of the basic type says.
    #[serde(flatten)]
    pub(super) basic: Option<Basic>,
}

/// BasicOCSPResponse.
#[derive(Debug, Serialize)]
pub(super) struct Basic {
    pub(super) version: u8,
    pub(super) responder_id: Responder,
    pub(super) produced_at: Instant,
    pub(super) signature_algorithm: String,
    pub(super) responses: Vec<Single>,
    pub(super) nonce: Option<String>,
    pub(super) extensions: Vec<Extension>,
    pub(super) certificates: Vec<Embedded>,
}

/// ResponderID.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Responder {
    ByName(String),
    ByKey(String),
}

/// SingleResponse.
#[derive(Debug, Serialize)]
pub(super) struct Single {
    pub(super) cert_id: Id,
    pub(super) status: &'static str,
    pub(super) revoked_at: Option<Instant>,
    pub(super) revocation_reason: Option<String>,
    pub(super) this_update: Instant,
    pub(super) next_update: Option<Instant>,
    pub(super) extensions: Vec<Extension>,
}

/// CertID.
#[derive(Debug, Serialize)]
pub(super) struct Id {
    pub(super) hash: String,
    /// Whether the parameters of the hash's AlgorithmIdentifier are NULL, or absent.
    pub(super) null_parameters: bool,
    pub(super) issuer_name_hash: String,
    pub(super) issuer_key_hash: String,
    pub(super) serial: String,
}

/// An extension.
#[derive(Debug, Serialize)]
pub(super) struct Extension {
    pub(super) oid: String,
    pub(super) name: Option<&'static str>,
    pub(super) critical: bool,
    pub(super) value: String,
}

/// A certificate in a response.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Embedded {
    Certificate(Box<Certificate>),
    Malformed { detail: String },
}

/// OCSPRequest (RFC 6960 §4.1.1).
#[derive(Debug, Serialize)]
pub(super) struct Request {
    /// In bytes.
    pub(super) size: usize,
    pub(super) version: u8,
    pub(super) requestor_name: Option<String>,
    pub(super) requests: Vec<Question>,
    pub(super) nonce: Option<String>,
    pub(super) extensions: Vec<Extension>,
    pub(super) signature_algorithm: Option<String>,
    pub(super) certificates: Vec<Embedded>,
}

/// The question about one certificate.
#[derive(Debug, Serialize)]
pub(super) struct Question {
    pub(super) cert_id: Id,
    pub(super) extensions: Vec<Extension>,
}

/// A certificate (RFC 5280).
#[derive(Debug, Serialize)]
pub(super) struct Certificate {
    /// In bytes.
    pub(super) size: usize,
    pub(super) version: u32,
    pub(super) subject: String,
    pub(super) names: Vec<String>,
    pub(super) issuer: String,
    pub(super) serial: String,
    pub(super) not_before: Instant,
    pub(super) not_after: Instant,
    pub(super) public_key: String,
    pub(super) signature_algorithm: String,
    pub(super) is_ca: bool,
    pub(super) key_usage: Option<Vec<&'static str>>,
    pub(super) extended_key_usage: Option<Vec<String>>,
    pub(super) ocsp_urls: Vec<String>,
    pub(super) ca_issuers_urls: Vec<String>,
    pub(super) must_staple: bool,
    pub(super) ocsp_no_check: bool,
    pub(super) unknown_critical_extensions: Vec<String>,
    pub(super) sha256_fingerprint: String,
    /// What it is asked for by, where its issuer is known.
    pub(super) cert_ids: Vec<Id>,
}

/// An instant, in JSON as RFC 3339.
#[derive(Clone, Copy, Debug)]
pub(super) struct Instant(pub(super) Timestamp);

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl Object {
    /// A response of this size in bytes.
    pub(super) fn response(response: &OcspResponse<'_>, size: usize) -> Self {
        let (status, response_type, basic) = match response {
            OcspResponse::Basic(basic) => ("successful", Some(BASIC.to_owned()), Some(Basic::of(basic))),
            OcspResponse::OtherType { oid } => ("successful", Some(oid::dotted(oid)), None),
            OcspResponse::Error(status) => (status.name(), None, None),
            _ => ("of an unknown kind", None, None),
        };
        Object::OcspResponse(Box::new(Response { size, status, response_type, basic }))
    }

    /// A request of this size in bytes.
    pub(super) fn request(request: &RequestContents<'_>, size: usize) -> Self {
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
            nonce: request.nonce().map(hex),
            extensions: Extension::all(&request.extensions),
            signature_algorithm: signature.map(|signature| signature.algorithm_name()),
            certificates: Embedded::all(
                signature.map(|signature| signature.certificates.as_slice()).unwrap_or_default(),
            ),
        }))
    }

    /// A certificate, and its chain, where its issuer is known.
    pub(super) fn certificate(certificate: &certificate::Certificate, chain: Option<&CertChain>) -> Self {
        let mut shown = Certificate::of(certificate);
        let ids = chain.map(|chain| [CertIdHash::Sha1, CertIdHash::Sha256].map(|hash| Id::of(&chain.cert_id(hash))));
        shown.cert_ids = ids.into_iter().flatten().collect();
        Object::Certificate(Box::new(shown))
    }

    /// A file that is none of these.
    pub(super) fn malformed(detail: String) -> Self {
        Object::Malformed { label: None, detail }
    }

    /// A PEM section that is not what its label says.
    pub(super) fn malformed_section(label: &str, detail: String) -> Self {
        Object::Malformed { label: Some(label.to_owned()), detail }
    }
}

impl Basic {
    fn of(basic: &BasicResponse<'_>) -> Self {
        Basic {
            version: basic.version,
            responder_id: match basic.responder_id {
                ResponderId::ByName(name) => Responder::ByName(certificate::name_in_full(name)),
                ResponderId::ByKey(hash) => Responder::ByKey(hex(hash)),
                other => Responder::ByName(other.to_string()),
            },
            produced_at: Instant(basic.produced_at),
            signature_algorithm: basic.signature_algorithm_name(),
            responses: basic.responses.iter().map(Single::of).collect(),
            nonce: basic.nonce().map(hex),
            extensions: Extension::all(&basic.extensions),
            certificates: Embedded::all(&basic.certificates),
        }
    }
}

impl Single {
    fn of(single: &ocsp::SingleResponse<'_>) -> Self {
        let (status, revoked_at, reason) = match single.status {
            CertStatus::Good => ("good", None, None),
            CertStatus::Revoked { at, reason } => ("revoked", Some(Instant(at)), reason),
            _ => ("unknown", None, None),
        };
        let name = |reason| revocation_reason(reason).map_or_else(|| reason.to_string(), str::to_owned);
        Single {
            cert_id: Id::of(&single.cert_id),
            status,
            revoked_at,
            revocation_reason: reason.map(name),
            this_update: Instant(single.this_update),
            next_update: single.next_update.map(Instant),
            extensions: Extension::all(&single.extensions),
        }
    }
}

impl Id {
    fn of(id: &CertId) -> Self {
        Id {
            hash: id.hash_name(),
            null_parameters: id.has_null_parameters(),
            issuer_name_hash: hex(&id.issuer_name_hash),
            issuer_key_hash: hex(&id.issuer_key_hash),
            serial: id.serial_hex(),
        }
    }
}

impl Extension {
    fn all(extensions: &[ocsp::Extension<'_>]) -> Vec<Self> {
        let shown = extensions.iter().map(|extension| Extension {
            oid: oid::dotted(extension.oid),
            name: oid::name(extension.oid),
            critical: extension.critical,
            value: hex(extension.value),
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
            not_before: Instant(certificate.not_before()),
            not_after: Instant(certificate.not_after()),
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
            sha256_fingerprint: hex(&certificate.fingerprint()),
            cert_ids: Vec::new(),
        }
    }
}
