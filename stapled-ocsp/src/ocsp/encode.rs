//! Writes requests (OCSPRequest, RFC 6960 §4.1.1, RFC 9919 §3.1): one unsigned question about one certificate.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rasn::types::{Integer, ObjectIdentifier, OctetString};
use rasn_ocsp::{Request, TbsRequest};

use super::cert_id::CertId;
use crate::der::{Header, SEQUENCE};

/// An encoded request. Requests with the same CertID and nonce have the same bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OcspRequest {
    der: Vec<u8>,
    nonce: Option<Vec<u8>>,
}

/// id-pkix-ocsp-nonce, in the form that rasn takes.
const NONCE: &[u32] = &[1, 3, 6, 1, 5, 5, 7, 48, 1, 2];

impl OcspRequest {
    /// Makes a request about one certificate. `nonce` is optional: responders that sign their answers in advance do not
    /// support it.
    ///
    /// # Errors
    ///
    /// The request cannot be encoded.
    pub fn new(cert_id: &CertId, nonce: Option<&[u8]>) -> Result<Self, EncodeError> {
        let der = match nonce {
            None => plain(&cert_id.to_der()),
            Some(nonce) => with_nonce(&cert_id.to_der(), nonce)?,
        };
        Ok(OcspRequest { der, nonce: nonce.map(<[u8]>::to_vec) })
    }

    /// The DER of the request.
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// The URL of a GET with this request (RFC 6960 appendix A.1, RFC 9919 §6): the responder's own URL, a slash, and the
    /// request in percent-encoded base64. Responders and caches accept up to 255 bytes of it, and the caller compares the
    /// length. A fragment is left out.
    ///
    /// `None` if the responder's URL has a query: the request would become a part of the query, so a POST is needed.
    ///
    /// ```
    /// use stapled_ocsp::ocsp::{CertId, CertIdHash, OcspRequest};
    ///
    /// let request = OcspRequest::new(&CertId::new(CertIdHash::Sha1, b"name", b"key", &[1]), None)?;
    /// let url = request.get_url("http://ocsp.example/ca1").unwrap_or_default();
    /// assert!(url.starts_with("http://ocsp.example/ca1/ME"));
    /// assert_eq!(request.get_url("http://ocsp.example/?ca=1"), None);
    /// # Ok::<(), stapled_ocsp::ocsp::request::EncodeError>(())
    /// ```
    pub fn get_url(&self, url: &str) -> Option<String> {
        get_url(url, &self.der)
    }

    /// Whether [`get_url`](Self::get_url) has a URL of at most `most` bytes. No URL is made for the answer.
    pub(crate) fn has_get_url_of(&self, url: &str, most: usize) -> bool {
        let Some(url) = base(url) else { return false };
        let mut room = [0; 512];
        let Ok(length) = STANDARD.encode_slice(&self.der, &mut room) else {
            return self.get_url(url).is_some_and(|url| url.len() <= most);
        };
        let escaped = room.iter().take(length).filter(|byte| escape(**byte).is_some()).count();
        url.len() + usize::from(!url.ends_with('/')) + length + 2 * escaped <= most
    }

    /// The nonce of the request, if it has one.
    pub fn nonce(&self) -> Option<&[u8]> {
        self.nonce.as_deref()
    }
}

/// The request about this CertID: four sequences around it, since everything else is optional. Most requests are of this form, and
/// each renewal makes one.
fn plain(cert_id: &[u8]) -> Vec<u8> {
    let mut length = cert_id.len();
    let headers: [Header; 4] = std::array::from_fn(|_| {
        let header = Header::new(SEQUENCE, length);
        length += header.len();
        header
    });
    let mut der = Vec::with_capacity(length);
    headers.iter().rev().for_each(|header| der.extend_from_slice(header.as_bytes()));
    der.extend_from_slice(cert_id);
    der
}

/// The request about this CertID with a nonce.
fn with_nonce(cert_id: &[u8], nonce: &[u8]) -> Result<Vec<u8>, EncodeError> {
    // RFC 9654 §2.1: the value of the extension is itself an OCTET STRING.
    let value = rasn::der::encode(&OctetString::from(nonce.to_vec())).map_err(failed)?;
    let extn_id = ObjectIdentifier::new(NONCE).ok_or_else(|| failed("the nonce's identifier"))?;
    let extension = rasn_pkix::Extension { extn_id, critical: false, extn_value: OctetString::from(value) };
    let req_cert = rasn::der::decode(cert_id).map_err(failed)?;
    encoded(req_cert, Some(vec![extension].into()))
}

/// The DER of a request with these parts.
fn encoded(
    req_cert: rasn_ocsp::CertId,
    request_extensions: Option<rasn_pkix::Extensions>,
) -> Result<Vec<u8>, EncodeError> {
    let request = rasn_ocsp::OcspRequest {
        tbs_request: TbsRequest {
            version: Integer::from(0),
            requestor_name: None,
            request_list: vec![Request { req_cert, single_request_extensions: None }],
            request_extensions,
        },
        optional_signature: None,
    };
    rasn::der::encode(&request).map_err(failed)
}

fn failed(error: impl std::fmt::Display) -> EncodeError {
    EncodeError { what: error.to_string() }
}

/// The part of a responder's URL before the request of a GET, if there can be one.
fn base(url: &str) -> Option<&str> {
    let url = url.trim();
    let url = url.split_once('#').map_or(url, |(url, _)| url);
    (!url.contains('?')).then_some(url)
}

fn get_url(url: &str, request: &[u8]) -> Option<String> {
    let url = base(url)?;
    let encoded = STANDARD.encode(request);
    let escaped = encoded.bytes().filter(|byte| escape(*byte).is_some()).count();
    let mut text = Vec::with_capacity(url.len() + 1 + encoded.len() + 2 * escaped);
    text.extend_from_slice(url.as_bytes());
    if !url.ends_with('/') {
        text.push(b'/');
    }
    for byte in encoded.bytes() {
        match escape(byte) {
            None => text.push(byte),
            Some(escaped) => text.extend_from_slice(escaped),
        }
    }
    String::from_utf8(text).ok()
}

/// How a character of base64 is written in a path, if not as itself.
fn escape(byte: u8) -> Option<&'static [u8; 3]> {
    match byte {
        b'+' => Some(b"%2B"),
        b'/' => Some(b"%2F"),
        b'=' => Some(b"%3D"),
        _ => None,
    }
}

/// Why a request cannot be encoded.
#[derive(Debug, thiserror::Error)]
#[error("cannot encode the OCSP request: {what}")]
pub struct EncodeError {
    what: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ocsp::CertIdHash;

    #[test]
    fn the_url_of_a_get_request_keeps_the_responders_path() {
        let request = [0x30, 0x03, 0xff];
        for (url, expected) in [
            ("http://ocsp.example", Some("http://ocsp.example/MAP%2F")),
            ("http://ocsp.example/", Some("http://ocsp.example/MAP%2F")),
            ("http://ocsp.example/a/b", Some("http://ocsp.example/a/b/MAP%2F")),
            ("http://ocsp.example/a/b/", Some("http://ocsp.example/a/b/MAP%2F")),
            (" https://ocsp.example:8443/a%20b#part ", Some("https://ocsp.example:8443/a%20b/MAP%2F")),
            ("http://ocsp.example/a?b=c", None),
        ] {
            assert_eq!(get_url(url, &request).as_deref(), expected, "{url}");
        }
        let all = get_url("http://ocsp.example/ca1/", &[0xfb, 0xff, 0x01, 0x02]);
        assert_eq!(all.as_deref(), Some("http://ocsp.example/ca1/%2B%2F8BAg%3D%3D"));
    }

    #[test]
    fn a_plain_request_is_what_an_encoder_of_the_whole_structure_writes() {
        for serial in [vec![1], vec![0x7f; 20], vec![0x5a; 100], vec![0x11; 300]] {
            for hash in [CertIdHash::Sha1, CertIdHash::Sha256, CertIdHash::Sha384, CertIdHash::Sha512] {
                let cert_id = CertId::new(hash, b"name", b"key", &serial).to_der();
                let expected = encoded(rasn::der::decode(&cert_id).unwrap(), None).unwrap();
                assert_eq!(plain(&cert_id), expected, "{hash:?} {}", serial.len());
            }
        }
    }

    #[test]
    fn the_length_of_the_url_is_known_without_the_url() {
        for length in (0..600).step_by(7) {
            let der: Vec<u8> = (0..length).map(|byte| byte as u8 ^ 0xfb).collect();
            let request = OcspRequest { der, nonce: None };
            for url in ["http://a", "http://a/", " http://a/b#c ", "http://a/?b"] {
                let made = request.get_url(url).map(|url| url.len());
                for most in [0, 255, made.unwrap_or(9), made.unwrap_or(9).saturating_sub(1), 2048] {
                    let expected = made.is_some_and(|made| made <= most);
                    assert_eq!(request.has_get_url_of(url, most), expected, "{length} {url} {most}");
                }
            }
        }
    }
}
