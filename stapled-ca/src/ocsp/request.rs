//! OCSPRequest: reading and writing.

use crate::der;
use crate::ocsp::cert_id::CertId;

/// The most certificates in one request.
pub const MOST_REQUESTS: usize = 16;
/// id-pkix-ocsp-nonce
const NONCE: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 48, 1, 2];

/// The parts of an OCSPRequest (RFC 6960, 4.1.1) that a responder needs. A signature on the request is ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OcspRequest {
    /// The certificates that the request asks about, in order; at least one.
    pub cert_ids: Vec<CertId>,
    /// The octets of the nonce, without the `OCTET STRING` around them (RFC 9654).
    pub nonce: Option<Vec<u8>>,
}

/// Why a responder refuses bytes as a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The bytes are not an OCSPRequest in DER.
    #[error("the bytes are not an OCSPRequest in DER")]
    Malformed,
    /// The request asks about no certificate.
    #[error("the request asks about no certificate")]
    Empty,
    /// The request asks about more certificates than a responder answers at once.
    #[error("the request asks about more than {MOST_REQUESTS} certificates")]
    TooMany,
}

impl OcspRequest {
    /// A request about one certificate, without a nonce.
    #[must_use]
    pub fn for_certificate(cert_id: CertId) -> Self {
        Self { cert_ids: vec![cert_id], nonce: None }
    }

    /// Reads a request.
    ///
    /// # Errors
    /// When the bytes are not a request, or it asks about none or too many certificates.
    pub fn from_der(bytes: &[u8]) -> Result<Self, RequestError> {
        let (cert_ids, nonce) = read(bytes).ok_or(RequestError::Malformed)?;
        match cert_ids.len() {
            0 => Err(RequestError::Empty),
            1..=MOST_REQUESTS => Ok(Self { cert_ids, nonce }),
            _ => Err(RequestError::TooMany),
        }
    }

    /// The request, DER.
    #[must_use]
    pub fn to_der(&self) -> Vec<u8> {
        let requests: Vec<Vec<u8>> = self.cert_ids.iter().map(|id| der::sequence(&[id.as_der()])).collect();
        let mut fields = vec![der::sequence(&requests)];
        if let Some(nonce) = &self.nonce {
            fields.push(der::explicit(2, &der::sequence(&[nonce_extension(nonce)])));
        }
        der::sequence(&[der::sequence(&fields)])
    }
}

/// The nonce extension (RFC 9654, 2.1), DER.
pub(crate) fn nonce_extension(nonce: &[u8]) -> Vec<u8> {
    der::sequence(&[der::oid(NONCE), der::value(der::OCTET_STRING, &der::value(der::OCTET_STRING, nonce))])
}

fn read(bytes: &[u8]) -> Option<(Vec<CertId>, Option<Vec<u8>>)> {
    let mut outer = der::only(bytes, der::SEQUENCE)?.contents;
    let mut tbs = der::expect(&mut outer, der::SEQUENCE)?.contents;
    der::expect(&mut outer, 0xa0);
    if !outer.is_empty() {
        return None;
    }
    der::expect(&mut tbs, 0xa0);
    der::expect(&mut tbs, 0xa1);
    let mut list = der::expect(&mut tbs, der::SEQUENCE)?.contents;
    let extensions = der::expect(&mut tbs, 0xa2);
    if !tbs.is_empty() {
        return None;
    }
    let mut cert_ids = Vec::new();
    while !list.is_empty() && cert_ids.len() <= MOST_REQUESTS {
        let mut request = der::expect(&mut list, der::SEQUENCE)?.contents;
        cert_ids.push(CertId::from_der(der::expect(&mut request, der::SEQUENCE)?.whole)?);
        der::expect(&mut request, 0xa0);
        if !request.is_empty() {
            return None;
        }
    }
    let nonce = match extensions {
        Some(extensions) => find_nonce(extensions.contents)?,
        None => None,
    };
    Some((cert_ids, nonce))
}

fn find_nonce(extensions: &[u8]) -> Option<Option<Vec<u8>>> {
    let mut list = der::only(extensions, der::SEQUENCE)?.contents;
    let wanted = der::oid(NONCE);
    let mut nonce = None;
    while !list.is_empty() {
        let mut extension = der::expect(&mut list, der::SEQUENCE)?.contents;
        let oid = der::expect(&mut extension, der::OBJECT_IDENTIFIER)?;
        der::expect(&mut extension, der::BOOLEAN);
        let value = der::expect(&mut extension, der::OCTET_STRING)?;
        if oid.whole == wanted {
            nonce = Some(der::only(value.contents, der::OCTET_STRING)?.contents.to_vec());
        }
    }
    Some(nonce)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::HashAlgorithm;
    use crate::identity::IssuerIdentity;
    use crate::serial::Serial;

    fn request(count: usize, nonce: Option<Vec<u8>>) -> OcspRequest {
        let issuer = IssuerIdentity { name: vec![0x30, 0], public_key: vec![4] };
        let id = CertId::new(&issuer, &Serial::from(5), HashAlgorithm::Sha1);
        OcspRequest { cert_ids: vec![id; count], nonce }
    }

    #[test]
    fn reading_undoes_writing() {
        for wanted in [request(1, None), request(1, Some(vec![7; 32])), request(16, None)] {
            assert_eq!(OcspRequest::from_der(&wanted.to_der()), Ok(wanted));
        }
    }

    #[test]
    fn empty_and_too_long_requests_have_errors_of_their_own() {
        assert_eq!(OcspRequest::from_der(&request(0, None).to_der()), Err(RequestError::Empty));
        assert_eq!(OcspRequest::from_der(&request(17, None).to_der()), Err(RequestError::TooMany));
    }

    #[test]
    fn every_truncation_and_every_trailing_byte_is_malformed() {
        let whole = request(1, Some(vec![7; 16])).to_der();
        for length in 0..whole.len() {
            assert_eq!(OcspRequest::from_der(&whole[..length]), Err(RequestError::Malformed), "{length}");
        }
        let longer = [whole, vec![0]].concat();
        assert_eq!(OcspRequest::from_der(&longer), Err(RequestError::Malformed));
    }
}
