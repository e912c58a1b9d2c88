//! Writes requests (OCSPRequest, RFC 6960 §4.1.1, RFC 9919 §3.1): one unsigned question about one certificate.

use rasn::types::{Integer, ObjectIdentifier, OctetString};
use rasn_ocsp::{Request, TbsRequest};

use super::cert_id::CertId;

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
        let failed = |error: &dyn std::fmt::Display| EncodeError { what: error.to_string() };
        let req_cert = rasn::der::decode(&cert_id.to_der()).map_err(|error| failed(&error))?;
        let request_extensions = match nonce {
            None => None,
            Some(nonce) => {
                // RFC 9654 §2.1: the value of the extension is itself an OCTET STRING.
                let value = rasn::der::encode(&OctetString::from(nonce.to_vec())).map_err(|error| failed(&error))?;
                let extn_id = ObjectIdentifier::new(NONCE).ok_or_else(|| failed(&"the nonce's identifier"))?;
                let extn_value = OctetString::from(value);
                Some(vec![rasn_pkix::Extension { extn_id, critical: false, extn_value }].into())
            }
        };
        let request = rasn_ocsp::OcspRequest {
            tbs_request: TbsRequest {
                version: Integer::from(0),
                requestor_name: None,
                request_list: vec![Request { req_cert, single_request_extensions: None }],
                request_extensions,
            },
            optional_signature: None,
        };
        let der = rasn::der::encode(&request).map_err(|error| failed(&error))?;
        Ok(OcspRequest { der, nonce: nonce.map(<[u8]>::to_vec) })
    }

    /// The DER of the request.
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// The nonce of the request, if it has one.
    pub fn nonce(&self) -> Option<&[u8]> {
        self.nonce.as_deref()
    }
}

/// Why a request cannot be encoded.
#[derive(Debug, thiserror::Error)]
#[error("cannot encode the OCSP request: {what}")]
pub struct EncodeError {
    what: String,
}
