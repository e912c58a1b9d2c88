//! Reads responses (OCSPResponse, RFC 6960 §4.2.1). Nothing is verified.

use std::fmt;

use super::cert_id::CertId;
use crate::certificate::name_in_full;
use crate::der::{
    self, DerError, ENUMERATED, Element, GENERALIZED_TIME, Header, Numbers, OCTET_STRING, OID, Reader, SEQUENCE, at,
    context, item,
};
use crate::hexadecimal::hex_upper;
use crate::shape;
use crate::signature;
use crate::time::Timestamp;

/// The most SingleResponses in one response.
const MAX_RESPONSES: usize = 1024;
/// The most extensions in one list.
const MAX_EXTENSIONS: usize = 64;

/// id-pkix-ocsp-nonce, 1.3.6.1.5.5.7.48.1.2.
pub(crate) const NONCE: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x02];
/// id-pkix-ocsp-basic, 1.3.6.1.5.5.7.48.1.1.
const BASIC: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01];

/// A response, as slices of its bytes. It is not verified.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum OcspResponse<'a> {
    /// An answer of the type `id-pkix-ocsp-basic`.
    Basic(BasicResponse<'a>),
    /// An answer of another type.
    OtherType {
        /// The contents bytes of the type's object identifier.
        oid: &'a [u8],
    },
    /// An error status without an answer. It is not signed.
    Error(ResponseStatus),
}

/// OCSPResponseStatus (RFC 6960 §4.2.1), except `successful`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResponseStatus {
    /// The responder cannot read the request.
    MalformedRequest,
    /// The responder failed.
    InternalError,
    /// The responder cannot answer now.
    TryLater,
    /// The responder wants signed requests.
    SigRequired,
    /// The responder does not answer for this certificate, or not to this client (RFC 9919 §3.2.3).
    Unauthorized,
}

/// BasicOCSPResponse (RFC 6960 §4.2.1), as slices of its bytes. It is not verified.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BasicResponse<'a> {
    /// The signed bytes: all of `tbsResponseData`, as received.
    pub tbs_response_data: &'a [u8],
    /// The contents of the signature's AlgorithmIdentifier.
    pub signature_algorithm: &'a [u8],
    /// The bits of the signature.
    pub signature: &'a [u8],
    /// The embedded certificates, each as its DER.
    pub certificates: Vec<&'a [u8]>,
    /// The signer that the response names.
    pub responder_id: ResponderId<'a>,
    /// The `version` field; 0 is v1.
    pub version: u8,
    /// The time at which the response was signed.
    pub produced_at: Timestamp,
    /// The answers, one for each certificate.
    pub responses: Vec<SingleResponse<'a>>,
    /// The extensions of the whole response.
    pub extensions: Vec<Extension<'a>>,
}

/// ResponderID (RFC 6960 §4.2.1): the name or the key of the signer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResponderId<'a> {
    /// The DER of the signer's name.
    ByName(&'a [u8]),
    /// The SHA-1 hash of the signer's public key.
    ByKey(&'a [u8]),
}

/// SingleResponse (RFC 6960 §4.2.1): the answer about one certificate.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SingleResponse<'a> {
    /// The certificate that the answer is about.
    pub cert_id: CertId,
    /// The status of the certificate.
    pub status: CertStatus,
    /// The time at which the status was known to be correct.
    pub this_update: Timestamp,
    /// The time at or before which newer information will be available.
    pub next_update: Option<Timestamp>,
    /// The extensions of this answer.
    pub extensions: Vec<Extension<'a>>,
}

/// CertStatus (RFC 6960 §4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertStatus {
    /// The certificate is not revoked.
    Good,
    /// The certificate is revoked, permanently or on hold.
    Revoked {
        /// The time of the revocation.
        at: Timestamp,
        /// The number of the CRLReason (RFC 5280 §5.3.1), if the response gives one.
        reason: Option<u8>,
    },
    /// The responder does not know the certificate.
    Unknown,
}

impl CertStatus {
    /// The status in one word: `good`, `revoked` or `unknown`.
    pub fn name(self) -> &'static str {
        match self {
            CertStatus::Good => "good",
            CertStatus::Revoked { .. } => "revoked",
            CertStatus::Unknown => "unknown",
        }
    }

    /// The name of a CRLReason (RFC 5280 §5.3.1), such as `keyCompromise`. `None` for numbers without a meaning.
    pub fn reason_name(number: u8) -> Option<&'static str> {
        Some(match number {
            0 => "unspecified",
            1 => "keyCompromise",
            2 => "cACompromise",
            3 => "affiliationChanged",
            4 => "superseded",
            5 => "cessationOfOperation",
            6 => "certificateHold",
            8 => "removeFromCRL",
            9 => "privilegeWithdrawn",
            10 => "aACompromise",
            _ => return None,
        })
    }
}

/// An extension of a request or a response.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Extension<'a> {
    /// The contents bytes of the object identifier.
    pub oid: &'a [u8],
    /// Whether a reader must understand the extension.
    pub critical: bool,
    /// The value of the extension.
    pub value: &'a [u8],
}

/// Why bytes are not an OCSPResponse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an OCSP response: {0}")]
pub struct ResponseError(#[from] DerError);

impl<'a> OcspResponse<'a> {
    /// Reads a response. The bytes must be exactly one strict DER value.
    pub fn from_der(bytes: &'a [u8]) -> Result<Self, ResponseError> {
        // `cut` names the field of an error. The second check covers the parts that `cut` does not read.
        let response = Self::cut(bytes)?;
        der::check_framing(bytes, Numbers::Shortest)?;
        Ok(response)
    }

    fn cut(bytes: &'a [u8]) -> Result<Self, DerError> {
        let mut whole = Reader::new(bytes);
        let mut outer = whole.inside(SEQUENCE)?;
        whole.end()?;
        let status = outer.expect(ENUMERATED).map_err(at("responseStatus"))?;
        let body = outer.optional(context(0)).map_err(at("responseBytes"))?;
        outer.end().map_err(at("responseBytes"))?;
        if let Some(error) = ResponseStatus::read(status).map_err(at("responseStatus"))? {
            return Ok(OcspResponse::Error(error));
        }
        let missing = || at("responseBytes")(DerError::new("a successful response without a body"));
        Self::read_body(body.ok_or_else(missing)?)
    }

    fn read_body(body: Element<'a>) -> Result<Self, DerError> {
        let mut explicit = Reader::new(body.contents);
        let mut body = explicit.inside(SEQUENCE).map_err(at("responseBytes"))?;
        explicit.end().map_err(at("responseBytes"))?;
        let oid = body.expect(OID).map_err(at("responseType"))?.contents;
        let response = body.expect(OCTET_STRING).map_err(at("response"))?.contents;
        body.end().map_err(at("responseBytes"))?;
        if oid != BASIC {
            return Ok(OcspResponse::OtherType { oid });
        }
        Ok(OcspResponse::Basic(BasicResponse::from_der(response)?))
    }
}

impl ResponseStatus {
    /// The name in RFC 6960 §4.2.1: `tryLater`, ….
    pub fn name(self) -> &'static str {
        match self {
            ResponseStatus::MalformedRequest => "malformedRequest",
            ResponseStatus::InternalError => "internalError",
            ResponseStatus::TryLater => "tryLater",
            ResponseStatus::SigRequired => "sigRequired",
            ResponseStatus::Unauthorized => "unauthorized",
        }
    }

    fn read(status: Element<'_>) -> Result<Option<Self>, DerError> {
        der::check_shortest(status)?;
        Ok(Some(match status.contents {
            [0] => return Ok(None),
            [1] => ResponseStatus::MalformedRequest,
            [2] => ResponseStatus::InternalError,
            [3] => ResponseStatus::TryLater,
            [5] => ResponseStatus::SigRequired,
            [6] => ResponseStatus::Unauthorized,
            _ => return Err(DerError::new("an undefined responseStatus").of(status)),
        }))
    }
}

impl<'a> BasicResponse<'a> {
    fn from_der(bytes: &'a [u8]) -> Result<Self, DerError> {
        let response = Self::cut(bytes)?;
        match der::check_framing(bytes, Numbers::Shortest) {
            Ok(()) => Ok(response),
            Err(error) => Err(response.misframed().unwrap_or(error)),
        }
    }

    /// Finds the error in a part that `cut` does not read: the first such part that is not strict DER.
    fn misframed(&self) -> Option<DerError> {
        let check = |part: &[u8]| der::check_framing(part, Numbers::Shortest);
        let algorithm = check(&der::element(SEQUENCE, self.signature_algorithm)).map_err(at("signatureAlgorithm"));
        let responder = match self.responder_id {
            ResponderId::ByName(name) => check(name).map_err(at("responderID")),
            ResponderId::ByKey(_) => Ok(()),
        };
        let mut certificates = self.certificates.iter().enumerate();
        let certificate = certificates.find_map(|(index, part)| check(part).map_err(item("certs[]", index)).err());
        algorithm.and(responder).err().or(certificate)
    }

    fn cut(bytes: &'a [u8]) -> Result<Self, DerError> {
        let mut whole = Reader::new(bytes);
        let mut basic = whole.inside(SEQUENCE).map_err(at("response"))?;
        whole.end().map_err(at("response"))?;
        let tbs = basic.expect(SEQUENCE).map_err(at("tbsResponseData"))?;
        let signature_algorithm = basic.expect(SEQUENCE).map_err(at("signatureAlgorithm"))?.contents;
        let signature = basic.expect(der::BIT_STRING).and_then(der::whole_bytes).map_err(at("signature"))?;
        let certificates = basic.optional(context(0)).and_then(read_certificates).map_err(at("certs"))?;
        for (index, certificate) in certificates.iter().enumerate() {
            shape::check_certificate(*certificate).map_err(item("certs[]", index))?;
        }
        let certificates = certificates.into_iter().map(|certificate| certificate.raw).collect();
        basic.end().map_err(at("certs"))?;

        let mut fields = Reader::new(tbs.contents);
        let version = der::version(&mut fields).map_err(at("version"))?;
        let responder_id = fields.any().and_then(ResponderId::read).map_err(at("responderID"))?;
        let produced_at = fields.expect(GENERALIZED_TIME).and_then(time).map_err(at("producedAt"))?;
        let mut list = fields.inside(SEQUENCE).map_err(at("responses"))?;
        let mut responses = Vec::new();
        while !list.is_empty() {
            if responses.len() == MAX_RESPONSES {
                return Err(at("responses")(DerError::new("too many single responses")));
            }
            let single = list.expect(SEQUENCE).and_then(SingleResponse::read);
            responses.push(single.map_err(item("responses[]", responses.len()))?);
        }
        let extensions = fields.optional(context(1)).and_then(Extension::read_explicit);
        let extensions = extensions.map_err(at("responseExtensions"))?;
        fields.end().map_err(at("responseExtensions"))?;
        Ok(BasicResponse {
            tbs_response_data: tbs.raw,
            signature_algorithm,
            signature,
            certificates,
            responder_id,
            version,
            produced_at,
            responses,
            extensions,
        })
    }
}

impl<'a> BasicResponse<'a> {
    /// The nonce, if the response has one: the contents of its OCTET STRING, or the bare value of an older responder.
    pub fn nonce(&self) -> Option<&'a [u8]> {
        nonce(&self.extensions)
    }

    /// The whole OCSPResponse with this certificate embedded and no other, or without certificates. All bytes outside
    /// of `certs` stay the same, because strict DER has only one encoding.
    pub(crate) fn with_certificate_alone(&self, certificate: Option<&[u8]>) -> Vec<u8> {
        // A header has the length of what it contains, so the lengths are found from the innermost element outwards.
        let certificates = certificate.map(|certificate| {
            let list = Header::new(SEQUENCE, certificate.len());
            (Header::new(context(0), list.len() + certificate.len()), list, certificate)
        });
        let certificates = certificates
            .as_ref()
            .map(|(explicit, list, certificate)| [explicit.as_bytes(), list.as_bytes(), certificate])
            .unwrap_or_default();
        let algorithm = Header::new(SEQUENCE, self.signature_algorithm.len());
        let signature = Header::new(der::BIT_STRING, 1 + self.signature.len());
        let basic = [
            [self.tbs_response_data, algorithm.as_bytes(), self.signature_algorithm],
            [signature.as_bytes(), &[0], self.signature],
            certificates,
        ];
        let mut length = basic.as_flattened().iter().map(|part| part.len()).sum::<usize>();
        let mut header = |tag, before: usize| {
            let header = Header::new(tag, before + length);
            length += before + header.len();
            header
        };
        let (status, kind) = (Header::new(ENUMERATED, 1), Header::new(OID, BASIC.len()));
        let of_basic = header(SEQUENCE, 0);
        let response = header(OCTET_STRING, 0);
        let bytes = header(SEQUENCE, kind.len() + BASIC.len());
        let explicit = header(context(0), 0);
        let whole = header(SEQUENCE, status.len() + 1);
        let around = [
            [whole.as_bytes(), status.as_bytes(), &[0]],
            [explicit.as_bytes(), bytes.as_bytes(), kind.as_bytes()],
            [BASIC, response.as_bytes(), of_basic.as_bytes()],
        ];
        let mut out = Vec::with_capacity(length);
        around.as_flattened().iter().chain(basic.as_flattened()).for_each(|part| out.extend_from_slice(part));
        out
    }

    /// The name of the signature's algorithm, such as `ecdsa-with-SHA256`, or its object identifier in dotted form.
    pub fn signature_algorithm_name(&self) -> String {
        signature::name(self.signature_algorithm)
    }
}

/// Formats the responderID as `byName CN=…`, or as `byKey` with the hash in hexadecimal.
impl fmt::Display for ResponderId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ResponderId::ByName(name) => write!(f, "byName {}", name_in_full(name)),
            ResponderId::ByKey(hash) => write!(f, "byKey {}", hex_upper(hash)),
        }
    }
}

impl<'a> ResponderId<'a> {
    fn read(element: Element<'a>) -> Result<Self, DerError> {
        let mut explicit = Reader::new(element.contents);
        let id = match element.tag {
            tag if tag == context(1) => {
                let name = explicit.expect(SEQUENCE)?;
                shape::check_name(name)?;
                ResponderId::ByName(name.raw)
            }
            tag if tag == context(2) => ResponderId::ByKey(explicit.expect(OCTET_STRING)?.contents),
            _ => return Err(DerError::new("a responderID that is neither byName nor byKey").of(element)),
        };
        explicit.end()?;
        Ok(id)
    }
}

impl<'a> SingleResponse<'a> {
    fn read(element: Element<'a>) -> Result<Self, DerError> {
        let mut fields = Reader::new(element.contents);
        let cert_id = fields.expect(SEQUENCE).and_then(CertId::read).map_err(at("certID"))?;
        let status = fields.any().and_then(CertStatus::read).map_err(at("certStatus"))?;
        let this_update = fields.expect(GENERALIZED_TIME).and_then(time).map_err(at("thisUpdate"))?;
        let next_update = fields.optional(context(0)).and_then(explicit_time).map_err(at("nextUpdate"))?;
        let extensions = fields.optional(context(1)).and_then(Extension::read_explicit);
        let extensions = extensions.map_err(at("singleExtensions"))?;
        fields.end().map_err(at("singleExtensions"))?;
        Ok(SingleResponse { cert_id, status, this_update, next_update, extensions })
    }
}

impl CertStatus {
    fn read(element: Element<'_>) -> Result<Self, DerError> {
        // [0] IMPLICIT NULL, [1] IMPLICIT RevokedInfo, [2] IMPLICIT NULL.
        match (element.tag, element.contents) {
            (0x80, []) => Ok(CertStatus::Good),
            (0x82, []) => Ok(CertStatus::Unknown),
            (tag, contents) if tag == context(1) => {
                let mut info = Reader::new(contents);
                let time = info.expect(GENERALIZED_TIME).and_then(time).map_err(at("revocationTime"))?;
                let reason = info.optional(context(0)).and_then(read_reason).map_err(at("revocationReason"))?;
                info.end()?;
                Ok(CertStatus::Revoked { at: time, reason })
            }
            _ => Err(DerError::new("an undefined CertStatus").of(element)),
        }
    }
}

impl<'a> Extension<'a> {
    /// Reads `[n] EXPLICIT Extensions OPTIONAL`. An empty list is accepted, although RFC 5280 requires SIZE (1..MAX):
    /// such lists occur and are harmless.
    pub(super) fn read_explicit(explicit: Option<Element<'a>>) -> Result<Vec<Self>, DerError> {
        let Some(explicit) = explicit else { return Ok(Vec::new()) };
        let mut explicit = Reader::new(explicit.contents);
        let mut list = explicit.inside(SEQUENCE)?;
        explicit.end()?;
        let mut extensions = Vec::new();
        while !list.is_empty() {
            if extensions.len() == MAX_EXTENSIONS {
                return Err(DerError::new("too many extensions"));
            }
            let mut fields = list.inside(SEQUENCE)?;
            let id = fields.expect(OID).map_err(at("extnID"))?;
            // An encoded DEFAULT FALSE is not DER, but it occurs and means the same.
            let critical = fields.optional(der::BOOLEAN).map_err(at("critical"))?;
            let critical = critical.is_some_and(|critical| critical.contents == [0xff]);
            let value = fields.expect(OCTET_STRING).map_err(at("extnValue"))?.contents;
            fields.end()?;
            if extensions.iter().any(|known: &Extension<'_>| known.oid == id.contents) {
                return Err(at("extnID")(DerError::new("an extension that occurs twice").of(id)));
            }
            extensions.push(Extension { oid: id.contents, critical, value });
        }
        Ok(extensions)
    }
}

/// The nonce among these extensions. By RFC 9654 §2.1, its value is an OCTET STRING. Peers older than RFC 6960 send the
/// bare bytes.
pub(super) fn nonce<'a>(extensions: &[Extension<'a>]) -> Option<&'a [u8]> {
    let value = extensions.iter().find(|extension| extension.oid == NONCE)?.value;
    let mut reader = Reader::new(value);
    let wrapped = reader.expect(OCTET_STRING).ok().filter(|_| reader.is_empty());
    Some(wrapped.map_or(value, |element| element.contents))
}

/// Reads `[0] EXPLICIT SEQUENCE OF Certificate OPTIONAL`, each certificate as one element.
pub(super) fn read_certificates(explicit: Option<Element<'_>>) -> Result<Vec<Element<'_>>, DerError> {
    let Some(explicit) = explicit else { return Ok(Vec::new()) };
    let mut explicit = Reader::new(explicit.contents);
    let mut list = explicit.inside(SEQUENCE)?;
    explicit.end()?;
    let mut certificates = Vec::new();
    while !list.is_empty() {
        certificates.push(list.expect(SEQUENCE)?);
    }
    Ok(certificates)
}

/// Reads a GeneralizedTime in the form of RFC 5280 §4.1.2.5.2: `YYYYMMDDHHMMSSZ`, without fractions and offsets.
fn time(element: Element<'_>) -> Result<Timestamp, DerError> {
    let digits = element.contents.strip_suffix(b"Z").and_then(|digits| digits.try_into().ok());
    digits.and_then(Timestamp::from_digits).ok_or(DerError::new("a time that is not YYYYMMDDHHMMSSZ").of(element))
}

/// Reads `[0] EXPLICIT GeneralizedTime OPTIONAL`.
fn explicit_time(explicit: Option<Element<'_>>) -> Result<Option<Timestamp>, DerError> {
    let Some(explicit) = explicit else { return Ok(None) };
    let mut explicit = Reader::new(explicit.contents);
    let at = explicit.expect(GENERALIZED_TIME).and_then(time)?;
    explicit.end()?;
    Ok(Some(at))
}

/// Reads `[0] EXPLICIT CRLReason OPTIONAL`.
fn read_reason(explicit: Option<Element<'_>>) -> Result<Option<u8>, DerError> {
    let Some(explicit) = explicit else { return Ok(None) };
    let mut explicit = Reader::new(explicit.contents);
    let reason = explicit.expect(ENUMERATED)?;
    explicit.end()?;
    match reason.contents {
        [reason] => Ok(Some(*reason)),
        _ => Err(DerError::new("a CRLReason of several bytes").of(reason)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::der::element;

    #[test]
    fn statuses_and_reasons_have_the_names_of_the_rfcs() {
        let names: Vec<&str> = (0..=7)
            .filter_map(|number| {
                let bytes = element(ENUMERATED, &[number]);
                ResponseStatus::read(Reader::new(&bytes).any().unwrap()).ok().flatten()
            })
            .map(ResponseStatus::name)
            .collect();
        assert_eq!(names, ["malformedRequest", "internalError", "tryLater", "sigRequired", "unauthorized"]);
        let reasons: Vec<(u8, &str)> = (0..=255).filter_map(|n| Some((n, CertStatus::reason_name(n)?))).collect();
        let expected = [
            (0, "unspecified"),
            (1, "keyCompromise"),
            (2, "cACompromise"),
            (3, "affiliationChanged"),
            (4, "superseded"),
            (5, "cessationOfOperation"),
            (6, "certificateHold"),
            (8, "removeFromCRL"),
            (9, "privilegeWithdrawn"),
            (10, "aACompromise"),
        ];
        assert_eq!(reasons, expected);
    }

    #[test]
    fn responder_ids_are_described_in_words() {
        assert_eq!(ResponderId::ByKey(&[0xab, 1]).to_string(), "byKey AB01");
        assert!(
            ResponderId::ByName(b"\x30\x0d\x31\x0b\x30\x09\x06\x03\x55\x04\x03\x0c\x02CA")
                .to_string()
                .contains("CN=CA")
        );
    }

    #[test]
    fn lists_are_bounded() {
        let extension = |number: usize| {
            let oid = element(OID, &[0x2b, 1 + (number / 100) as u8, 1 + (number % 100) as u8]);
            element(SEQUENCE, &[oid, element(OCTET_STRING, &[])].concat())
        };
        let extensions = |count: usize| {
            let list: Vec<u8> = (0..count).flat_map(extension).collect();
            let explicit = element(context(1), &element(SEQUENCE, &list));
            Extension::read_explicit(Some(Reader::new(&explicit).any().unwrap())).map(|read| read.len())
        };
        assert_eq!((extensions(0), extensions(MAX_EXTENSIONS)), (Ok(0), Ok(MAX_EXTENSIONS)));
        assert!(extensions(MAX_EXTENSIONS + 1).is_err());
    }

    #[test]
    fn extensions_are_critical_only_if_they_say_so() {
        let critical = |field: &[u8]| {
            let fields = [b"\x06\x01\x2a", field, b"\x04\x00"].concat();
            let list = element(context(1), &element(SEQUENCE, &element(SEQUENCE, &fields)));
            let read = Extension::read_explicit(Some(Reader::new(&list).any().unwrap())).unwrap();
            read.iter().any(|extension| extension.critical)
        };
        assert!(critical(b"\x01\x01\xff"));
        assert!(!critical(b"\x01\x01\x00"), "an encoded DEFAULT FALSE");
        assert!(!critical(b""));
    }

    #[test]
    fn times_are_read_digit_by_digit() {
        let read = |text: &[u8]| {
            let bytes = element(GENERALIZED_TIME, text);
            time(Reader::new(&bytes).any().unwrap()).map(Timestamp::unix)
        };
        assert_eq!(read(b"19700101000000Z"), Ok(0));
        assert_eq!(read(b"20231114221320Z"), Ok(1_700_000_000));
        assert_eq!(read(b"99991231235959Z"), Ok(253_402_300_799));
        assert_eq!(read(b"00010203040506Z"), Ok(-62_132_730_894));
        assert!(read(b"20161231235960Z").is_err(), "a leap second");
        assert!(read(b"20161231235961Z").is_err());
    }
}
