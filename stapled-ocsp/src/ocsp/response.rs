//! OCSPResponse (RFC 6960 §4.2.1), cut from its bytes and not vouched for.

use std::fmt;

use super::cert_id::CertId;
use crate::certificate::{hex_upper, name_in_full};
use crate::der::{
    self, DerError, ENUMERATED, Element, GENERALIZED_TIME, Numbers, OCTET_STRING, OID, Reader, SEQUENCE, at, context,
    item,
};
use crate::shape;
use crate::signature;
use crate::time::Timestamp;

/// How many SingleResponses one response may have.
const MAX_RESPONSES: usize = 1024;
/// How many extensions one list may have.
const MAX_EXTENSIONS: usize = 64;

/// id-pkix-ocsp-nonce, 1.3.6.1.5.5.7.48.1.2.
pub(crate) const NONCE: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x02];
/// id-pkix-ocsp-basic, 1.3.6.1.5.5.7.48.1.1.
const BASIC: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01];

/// What a responder sent, opened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum OcspResponse<'a> {
    /// An answer of the basic type.
    Basic(BasicResponse<'a>),
    /// An answer of a type that is not `id-pkix-ocsp-basic`.
    OtherType {
        /// The contents bytes of its object identifier.
        oid: &'a [u8],
    },
    /// No answer: the responder says why. Nobody signed that.
    Error(ResponseStatus),
}

/// OCSPResponseStatus, less `successful`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResponseStatus {
    /// The responder could not read the request.
    MalformedRequest,
    /// The responder failed.
    InternalError,
    /// The responder asks for patience.
    TryLater,
    /// The responder wants signed requests.
    SigRequired,
    /// The responder does not speak for this certificate, or not to this client (RFC 9919 §3.2.3).
    Unauthorized,
}

/// BasicOCSPResponse.
#[derive(Clone, Debug)]
pub struct BasicResponse<'a> {
    /// The signed bytes: all of `tbsResponseData`, as they came.
    pub tbs_response_data: &'a [u8],
    /// The contents of the signature's AlgorithmIdentifier.
    pub signature_algorithm: &'a [u8],
    /// The signature.
    pub signature: &'a [u8],
    /// The embedded certificates, each as it came.
    pub certificates: Vec<&'a [u8]>,
    /// Who says to have signed.
    pub responder_id: ResponderId<'a>,
    /// The `version` field; 0 is v1.
    pub version: u8,
    /// When the response was signed.
    pub produced_at: Timestamp,
    /// What it says, certificate by certificate.
    pub responses: Vec<SingleResponse<'a>>,
    /// The extensions of the whole response.
    pub extensions: Vec<Extension<'a>>,
}

/// ResponderID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResponderId<'a> {
    /// The DER of the signer's name.
    ByName(&'a [u8]),
    /// The SHA-1 hash of the signer's public key.
    ByKey(&'a [u8]),
}

/// SingleResponse: what is said about one certificate.
#[derive(Clone, Debug)]
pub struct SingleResponse<'a> {
    /// Which certificate.
    pub cert_id: CertId,
    /// Its status.
    pub status: CertStatus,
    /// The status is known to be right at this time.
    pub this_update: Timestamp,
    /// Newer information will be there at or before this time.
    pub next_update: Option<Timestamp>,
    /// The extensions of this answer.
    pub extensions: Vec<Extension<'a>>,
}

/// CertStatus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertStatus {
    /// Not revoked.
    Good,
    /// Revoked, for good or on hold.
    Revoked {
        /// Since when.
        at: Timestamp,
        /// The CRLReason's number, where one is given (RFC 5280 §5.3.1).
        reason: Option<u8>,
    },
    /// The responder does not know the certificate.
    Unknown,
}

/// The name of a CRLReason (RFC 5280 §5.3.1), such as `keyCompromise`; none for numbers without a meaning.
pub fn revocation_reason(number: u8) -> Option<&'static str> {
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

/// One extension.
#[derive(Clone, Copy, Debug)]
pub struct Extension<'a> {
    /// The contents bytes of its object identifier.
    pub oid: &'a [u8],
    /// Whether it must be understood.
    pub critical: bool,
    /// Its value.
    pub value: &'a [u8],
}

/// Bytes that are no OCSPResponse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an OCSP response: {0}")]
pub struct ResponseError(#[from] DerError);

impl<'a> OcspResponse<'a> {
    /// Cuts up a response. The bytes must be exactly one strict DER value.
    pub fn from_der(bytes: &'a [u8]) -> Result<Self, ResponseError> {
        // What is read has its field told where it is wrong; the rest must be as strict.
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

    /// Which of the parts that are not taken apart is no strict DER.
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
    /// The nonce, where there is one, without the OCTET STRING round it.
    pub fn nonce(&self) -> Option<&'a [u8]> {
        nonce(&self.extensions)
    }

    /// The whole OCSPResponse with this certificate embedded and no other, or with none. What is signed, and all else
    /// outside of `certs`, is as it came: strict DER has one form only.
    pub(crate) fn with_certificate_alone(&self, certificate: Option<&[u8]>) -> Vec<u8> {
        let signature = [&[0], self.signature].concat();
        let algorithm = der::element(SEQUENCE, self.signature_algorithm);
        let mut basic = [self.tbs_response_data, &algorithm, &der::element(der::BIT_STRING, &signature)].concat();
        if let Some(certificate) = certificate {
            basic.extend(der::element(context(0), &der::element(SEQUENCE, certificate)));
        }
        let basic = der::element(OCTET_STRING, &der::element(SEQUENCE, &basic));
        let body = der::element(SEQUENCE, &[der::element(OID, BASIC), basic].concat());
        der::element(SEQUENCE, &[der::element(ENUMERATED, &[0]), der::element(context(0), &body)].concat())
    }

    /// The name of the signature's algorithm, such as `ecdsa-with-SHA256`, or its object identifier in dotted form.
    pub fn signature_algorithm_name(&self) -> String {
        signature::name(self.signature_algorithm)
    }
}

/// `byName CN=…`, or `byKey` and the hash in hexadecimal.
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
    /// `[n] EXPLICIT Extensions OPTIONAL`. An empty list breaks RFC 5280's SIZE (1..MAX), but it occurs and harms
    /// nobody.
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
            // DEFAULT FALSE spelled out is not DER, but it occurs; it means the same.
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

/// The nonce among these extensions. RFC 9654 §2.1 has its value as an OCTET STRING; before RFC 6960 some gave the bare
/// bytes.
pub(super) fn nonce<'a>(extensions: &[Extension<'a>]) -> Option<&'a [u8]> {
    let value = extensions.iter().find(|extension| extension.oid == NONCE)?.value;
    let mut reader = Reader::new(value);
    let wrapped = reader.expect(OCTET_STRING).ok().filter(|_| reader.is_empty());
    Some(wrapped.map_or(value, |element| element.contents))
}

/// `[0] EXPLICIT SEQUENCE OF Certificate OPTIONAL`: each as it came.
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

/// GeneralizedTime as RFC 5280 §4.1.2.5.2 wants it: `YYYYMMDDHHMMSSZ`, no fractions, no offsets.
fn time(element: Element<'_>) -> Result<Timestamp, DerError> {
    let digits = element.contents.strip_suffix(b"Z").and_then(|digits| digits.try_into().ok());
    digits.and_then(Timestamp::from_digits).ok_or(DerError::new("a time that is not YYYYMMDDHHMMSSZ").of(element))
}

/// `[0] EXPLICIT GeneralizedTime OPTIONAL`.
fn explicit_time(explicit: Option<Element<'_>>) -> Result<Option<Timestamp>, DerError> {
    let Some(explicit) = explicit else { return Ok(None) };
    let mut explicit = Reader::new(explicit.contents);
    let at = explicit.expect(GENERALIZED_TIME).and_then(time)?;
    explicit.end()?;
    Ok(Some(at))
}

/// `[0] EXPLICIT CRLReason OPTIONAL`.
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
        let reasons: Vec<(u8, &str)> = (0..=255).filter_map(|n| Some((n, revocation_reason(n)?))).collect();
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
    fn a_responder_in_words() {
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
    fn critical_is_what_says_so() {
        let critical = |field: &[u8]| {
            let fields = [b"\x06\x01\x2a", field, b"\x04\x00"].concat();
            let list = element(context(1), &element(SEQUENCE, &element(SEQUENCE, &fields)));
            let read = Extension::read_explicit(Some(Reader::new(&list).any().unwrap())).unwrap();
            read.iter().any(|extension| extension.critical)
        };
        assert!(critical(b"\x01\x01\xff"));
        assert!(!critical(b"\x01\x01\x00"), "DEFAULT FALSE spelled out");
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
