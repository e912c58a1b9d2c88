//! Reads requests of any client (OCSPRequest, RFC 6960 §4.1.1).

#[cfg(feature = "request")]
pub use super::encode::EncodeError;

use base64::Engine;

use super::cert_id::CertId;
use super::encoding::BASE64;
use super::response::{Extension, read_certificates};
use crate::certificate::general_name_in_words;
use crate::der::{self, BIT_STRING, DerError, Numbers, Reader, SEQUENCE, context};
use crate::signature;

/// The most questions in one request.
const MAX_REQUESTS: usize = 1024;
/// The most certificates beside the signature of a request.
const MAX_CERTIFICATES: usize = 16;
/// The most slashes in the path of a GET after which a request is searched.
const MAX_SLASHES: usize = 64;

/// The contents of a request, as slices of its bytes. Nothing is verified; the signature of a signed request is not
/// checked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RequestContents<'a> {
    /// The `version` field; 0 is v1.
    pub version: u8,
    /// The client's name (requestorName), as the DER of a GeneralName, if the request has one.
    pub requestor_name: Option<&'a [u8]>,
    /// The questions, one for each certificate.
    pub requests: Vec<SingleRequest<'a>>,
    /// The extensions of the whole request.
    pub extensions: Vec<Extension<'a>>,
    /// The signature of a signed request.
    pub signature: Option<RequestSignature<'a>>,
}

/// The question about one certificate (Request, RFC 6960 §4.1.1).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SingleRequest<'a> {
    /// The certificate that the question is about.
    pub cert_id: CertId,
    /// The extensions of this question.
    pub extensions: Vec<Extension<'a>>,
}

/// The signature of a signed request. It is not verified.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RequestSignature<'a> {
    /// The contents of the signature's AlgorithmIdentifier.
    pub algorithm: &'a [u8],
    /// The bits of the signature.
    pub signature: &'a [u8],
    /// The certificates beside the signature, each as its DER.
    pub certificates: Vec<&'a [u8]>,
}

/// Why bytes are not an OCSPRequest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an OCSP request: {0}")]
pub struct RequestError(#[from] DerError);

impl<'a> RequestContents<'a> {
    /// Reads a request. The bytes must be exactly one strict DER value, with one exception: DEFAULT values may be
    /// encoded, because some clients encode them.
    pub fn from_der(bytes: &'a [u8]) -> Result<Self, RequestError> {
        der::check_framing(bytes, Numbers::Shortest)?;
        let mut outer = Reader::new(bytes).inside(SEQUENCE)?;
        let mut fields = outer.inside(SEQUENCE)?;
        let signature = RequestSignature::read(&mut outer)?;
        outer.end()?;

        let version = der::version(&mut fields)?;
        let requestor_name = match fields.optional(context(1))? {
            None => None,
            Some(explicit) => {
                let mut explicit = Reader::new(explicit.contents);
                let name = explicit.any()?;
                explicit.end()?;
                // GeneralName is a CHOICE of [0] to [8].
                if name.tag & 0xc0 != 0x80 || name.tag & 0x1f > 8 {
                    return Err(DerError::new("a requestorName that is no GeneralName").into());
                }
                Some(name.raw)
            }
        };
        let mut list = fields.inside(SEQUENCE)?;
        let mut requests = Vec::new();
        while !list.is_empty() {
            if requests.len() == MAX_REQUESTS {
                return Err(DerError::new("too many single requests").into());
            }
            let mut request = list.inside(SEQUENCE)?;
            let cert_id = CertId::read(request.expect(SEQUENCE)?)?;
            let extensions = Extension::read_explicit(request.optional(context(0))?)?;
            request.end()?;
            requests.push(SingleRequest { cert_id, extensions });
        }
        let extensions = Extension::read_explicit(fields.optional(context(2))?)?;
        fields.end()?;
        Ok(RequestContents { version, requestor_name, requests, extensions, signature })
    }

    /// The bytes of the request in the path of a GET (RFC 6960 appendix A.1, RFC 9919 §6): percent-encoded base64 after the
    /// responder's own path. They are not read yet. `None`: the path has no base64 of a request.
    ///
    /// Some clients leave out the percent-encoding, so the base64 may contain slashes, and the responder's URL may have a
    /// path. So the text after each slash is decoded, the longest text first; the first text that is one DER value counts,
    /// and without any, the longest one that is base64.
    ///
    /// ```
    /// use stapled_ocsp::ocsp::request::RequestContents;
    ///
    /// assert_eq!(RequestContents::in_path("/ca1/MAP%2F"), Some(vec![0x30, 3, 0xff]));
    /// assert_eq!(RequestContents::in_path("/favicon.ico"), None);
    /// ```
    pub fn in_path(path: &str) -> Option<Vec<u8>> {
        let text = percent_decoded(path.as_bytes())?;
        let slashes = text.iter().enumerate().filter(|(_, octet)| **octet == b'/').take(MAX_SLASHES);
        let mut longest = None;
        for (at, _) in slashes {
            // In base64, 0x30, the tag of a SEQUENCE, begins with `M`.
            let Some(base64) = text.get(at + 1..).filter(|text| text.first() == Some(&b'M')) else { continue };
            let Ok(der) = BASE64.decode(base64) else { continue };
            if der::check_framing(&der, Numbers::Shortest).is_ok() {
                return Some(der);
            }
            longest.get_or_insert(der);
        }
        longest
    }

    /// The requestorName in words, such as `DirName:CN=somebody`.
    pub fn requestor_name_in_words(&self) -> Option<String> {
        self.requestor_name.map(general_name_in_words)
    }

    /// The nonce, if the request has one: the contents of the OCTET STRING that RFC 9654 §2.1 requires, or the bare
    /// value if the client left the OCTET STRING out.
    pub fn nonce(&self) -> Option<&'a [u8]> {
        super::response::nonce(&self.extensions)
    }
}

impl<'a> RequestSignature<'a> {
    /// The name of the signature's algorithm, or its object identifier in dotted form.
    pub fn algorithm_name(&self) -> String {
        signature::name(self.algorithm)
    }

    /// Reads `[0] EXPLICIT Signature OPTIONAL`.
    fn read(outer: &mut Reader<'a>) -> Result<Option<Self>, DerError> {
        let Some(explicit) = outer.optional(context(0))? else { return Ok(None) };
        let mut explicit = Reader::new(explicit.contents);
        let mut fields = explicit.inside(SEQUENCE)?;
        explicit.end()?;
        let algorithm = fields.expect(SEQUENCE)?.contents;
        let signature = der::whole_bytes(fields.expect(BIT_STRING)?)?;
        let certificates = read_certificates(fields.optional(context(0))?)?;
        fields.end()?;
        if certificates.len() > MAX_CERTIFICATES {
            return Err(DerError::new("too many embedded certificates"));
        }
        let certificates = certificates.into_iter().map(|certificate| certificate.raw).collect();
        Ok(Some(RequestSignature { algorithm, signature, certificates }))
    }
}

/// The octets of a percent-encoded text. `None`: two hexadecimal digits do not follow a `%`.
fn percent_decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut parts = text.split(|octet| *octet == b'%');
    let mut decoded = parts.next()?.to_vec();
    for part in parts {
        let (high, low) = (part.first().copied().and_then(digit)?, part.get(1).copied().and_then(digit)?);
        decoded.push(high << 4 | low);
        decoded.extend(part.get(2..)?);
    }
    Some(decoded)
}

/// The value of a hexadecimal digit.
fn digit(octet: u8) -> Option<u8> {
    char::from(octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(all(test, feature = "request"))]
mod tests {
    use rasn::types::{Any, Integer, ObjectIdentifier, OctetString};
    use rasn_ocsp::{Request, TbsRequest};

    use super::*;
    use crate::ocsp::{CertIdHash, OcspRequest};

    /// id-pkix-ocsp-nonce, in the form that rasn takes.
    const NONCE: &[u32] = &[1, 3, 6, 1, 5, 5, 7, 48, 1, 2];

    fn cert_id(hash: CertIdHash) -> CertId {
        CertId::new(hash, b"\x30\x00", b"key", &[0x7f, 1, 2])
    }

    /// `[n] EXPLICIT`.
    fn explicit(n: u8, contents: &[u8]) -> Vec<u8> {
        der::element(context(n), contents)
    }

    /// A request with these fields in its tbsRequest, and these bytes after the tbsRequest.
    fn request(fields: &[&[u8]], after: &[u8]) -> Vec<u8> {
        let tbs = der::element(SEQUENCE, &fields.concat());
        der::element(SEQUENCE, &[&tbs, after].concat())
    }

    /// A requestList with this number of questions.
    fn list(count: usize) -> Vec<u8> {
        let question = der::element(SEQUENCE, &cert_id(CertIdHash::Sha1).to_der());
        der::element(SEQUENCE, &question.repeat(count))
    }

    #[test]
    fn a_written_request_reads_back_the_same() {
        for hash in [CertIdHash::Sha1, CertIdHash::Sha256, CertIdHash::Sha384, CertIdHash::Sha512] {
            for nonce in [None, Some(&[4, 5][..]), Some(&[9; 32])] {
                let asked = OcspRequest::new(&cert_id(hash), nonce).unwrap();
                let read = RequestContents::from_der(asked.as_der()).unwrap();
                assert_eq!((read.version, read.requestor_name), (0, None));
                assert!(read.signature.is_none());
                let [single] = read.requests.as_slice() else { panic!("{read:?}") };
                assert_eq!(single.cert_id, cert_id(hash));
                assert!(single.extensions.is_empty());
                assert_eq!(read.nonce(), nonce);
                assert_eq!(read.extensions.len(), usize::from(nonce.is_some()));
            }
        }
    }

    /// Fields that only other clients send: a name, several questions, extensions in all places, a signature.
    #[test]
    fn all_fields_of_a_request_are_read() {
        let extension = |critical| rasn_pkix::Extension {
            extn_id: ObjectIdentifier::new(NONCE).unwrap(),
            critical,
            extn_value: OctetString::from_static(b"bare"),
        };
        let question = |hash: CertIdHash, extended: bool| Request {
            req_cert: rasn::der::decode(&cert_id(hash).to_der()).unwrap(),
            single_request_extensions: extended.then(|| vec![extension(true)].into()),
        };
        let tbs_request = TbsRequest {
            version: Integer::from(0),
            requestor_name: Some(rasn_pkix::GeneralName::Uri("http://who.test/".to_owned().try_into().unwrap())),
            request_list: vec![question(CertIdHash::Sha1, false), question(CertIdHash::Sha256, true)],
            request_extensions: Some(vec![extension(false)].into()),
        };
        let algorithm = rasn_pkix::AlgorithmIdentifier {
            algorithm: ObjectIdentifier::new(&[1, 3, 101, 112]).unwrap(),
            parameters: None::<Any>,
        };
        let signature = rasn_ocsp::Signature {
            signature_algorithm: algorithm,
            signature: rasn::types::BitString::from_slice(&[1, 2, 3]),
            certs: None,
        };
        let bytes =
            rasn::der::encode(&rasn_ocsp::OcspRequest { tbs_request, optional_signature: Some(signature) }).unwrap();
        let read = RequestContents::from_der(&bytes).unwrap();
        assert_eq!(read.requestor_name, Some(&b"\x86\x10http://who.test/"[..]));
        let ids: Vec<CertId> = read.requests.iter().map(|single| single.cert_id.clone()).collect();
        assert_eq!(ids, [cert_id(CertIdHash::Sha1), cert_id(CertIdHash::Sha256)]);
        let extensions: Vec<(usize, bool)> = read
            .requests
            .iter()
            .map(|single| (single.extensions.len(), single.extensions.iter().any(|extension| extension.critical)))
            .collect();
        assert_eq!(extensions, [(0, false), (1, true)]);
        assert_eq!(read.nonce(), Some(&b"bare"[..]));
        let signature = read.signature.unwrap();
        assert_eq!((signature.algorithm, signature.signature), (&b"\x06\x03\x2b\x65\x70"[..], &[1, 2, 3][..]));
        assert!(signature.certificates.is_empty());
    }

    #[test]
    fn the_request_in_a_path_is_found_after_any_path_of_the_responder() {
        // The base64 of this request has many slashes and pluses.
        let serial = [[0x3f; 1].as_slice(), &[0xff; 17], &[0xfb, 0xef, 0xbe]].concat();
        let asked = OcspRequest::new(&CertId::new(CertIdHash::Sha1, b"name", b"key", &serial), None).unwrap();
        let bare = base64::engine::general_purpose::STANDARD.encode(asked.as_der());
        assert!(bare.contains('/'), "{bare}");
        let lower = asked.get_url("").unwrap().replace("%2B", "%2b").replace("%2F", "%2f");
        for path in [
            asked.get_url("").unwrap(),
            asked.get_url("/ocsp/v1").unwrap(),
            asked.get_url("/MAIN/M/").unwrap(),
            lower,
            format!("/{bare}"),
            format!("//{bare}"),
            format!("/ocsp/{}", bare.trim_end_matches('=')),
        ] {
            assert_eq!(RequestContents::in_path(&path).as_deref(), Some(asked.as_der()), "{path}");
        }
        for path in ["", "/", "*", "/favicon.ico", "/M%", "/M%zz", "/M%+1", "/ocsp/", "/MAI=/x"] {
            assert_eq!(RequestContents::in_path(path), None, "{path}");
        }
        // Base64 of something else is a malformed request rather than no request.
        assert_eq!(RequestContents::in_path("/MDAw"), Some(b"000".to_vec()));
    }

    #[test]
    fn versions() {
        let version = |number: &[u8]| {
            let bytes = request(&[&explicit(0, &der::element(der::INTEGER, number)), &list(1)], &[]);
            RequestContents::from_der(&bytes).map(|read| read.version)
        };
        assert_eq!(version(&[0]), Ok(0), "v1 spelled out");
        assert_eq!(version(&[1]), Ok(1));
        assert_eq!(version(&[1, 0]), Ok(255), "a version that does not fit a byte");
        assert!(version(&[]).is_err());
    }

    #[test]
    fn certificates_of_a_signature() {
        let signed = |certificates: usize| {
            let certificates = der::element(SEQUENCE, &der::element(SEQUENCE, &[]).repeat(certificates));
            let fields = [&b"\x30\x05\x06\x03\x2b\x65\x70\x03\x02\x00\x01"[..], &explicit(0, &certificates)].concat();
            request(&[&list(1)], &explicit(0, &der::element(SEQUENCE, &fields)))
        };
        let read = |bytes: &[u8]| {
            RequestContents::from_der(bytes).map(|read| read.signature.map(|signature| signature.certificates.len()))
        };
        assert_eq!(read(&signed(0)), Ok(Some(0)));
        assert_eq!(read(&signed(2)), Ok(Some(2)));
        assert!(read(&signed(17)).is_err());
    }

    #[test]
    fn bytes_that_are_not_a_request_are_refused() {
        let good = request(&[&list(2)], &[]);
        assert_eq!(RequestContents::from_der(&good).map(|read| read.requests.len()), Ok(2));
        assert_eq!(RequestContents::from_der(&request(&[&list(0)], &[])).map(|read| read.requests.len()), Ok(0));
        let refused = |bytes: &[u8], what: &str| assert!(RequestContents::from_der(bytes).is_err(), "{what}");
        for length in 0..good.len() {
            refused(good.get(..length).unwrap(), "a fragment");
        }
        refused(&[&good[..], b"\0"].concat(), "trailing bytes");
        refused(&request(&[], &[]), "no list");
        refused(&request(&[&list(1), &list(1)], &[]), "two lists");
        refused(&request(&[&list(1)], &list(1)), "a list in place of the signature");
        refused(&request(&[&list(1)], &explicit(1, &[])), "a signature of another tag");
        refused(&request(&[&explicit(1, b"\x0c\x01a"), &list(1)], &[]), "a requestorName that is no GeneralName");
        refused(&request(&[&explicit(1, b"\x82\x01a\x82\x01b"), &list(1)], &[]), "two names");
        refused(&request(&[&list(MAX_REQUESTS + 1)], &[]), "too many questions");
        assert!(RequestContents::from_der(&request(&[&list(MAX_REQUESTS)], &[])).is_ok());
        let response = b"\x30\x03\x0a\x01\x06";
        refused(response, "a response");
    }
}
