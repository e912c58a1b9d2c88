//! OCSPResponse: a builder of right and of deliberately wrong responses.

use std::sync::Arc;

use crate::clock;
use crate::der;
use crate::extension::Extension;
use crate::key_type::KeyError;
use crate::ledger::Reason;
use crate::ocsp::cert_id::CertId;
use crate::ocsp::request::nonce_extension;
use crate::ocsp::signer::Signer;
use crate::ocsp::single_response::{NextUpdate, SingleResponse};
use crate::ocsp::status::ResponseStatus;
use crate::scheme::SignatureScheme;

/// id-pkix-ocsp-basic
const BASIC: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 48, 1, 1];

/// Builds an OCSPResponse. Every field has a right default, and every setter can make one field wrong without a
/// change of the others.
///
/// ```
/// use stapled_ca::ocsp::{CertId, HashAlgorithm, ResponseBuilder};
/// use stapled_ca::{Authority, Profile};
///
/// let ca = Authority::root("Example CA").create()?;
/// let issued = ca.issue(&Profile::server("example.org"))?;
/// let id = CertId::new(ca.identity(), issued.serial(), HashAlgorithm::Sha1);
/// let response = ResponseBuilder::new(&ca)
///     .good(&id)
///     .this_update(1_767_225_600)
///     .next_update(1_767_830_400)
///     .build()?;
/// assert_eq!(response[0], 0x30);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// `this_update`, `next_update`, `no_next_update` and `single_extension` apply to the SingleResponse that was added
/// last. Before the first one, they apply to all that follow.
#[derive(Clone, Debug)]
#[must_use]
pub struct ResponseBuilder {
    signer: Arc<Signer>,
    status: u8,
    response_type: Vec<u8>,
    version: Option<u8>,
    responder_id: Option<Vec<u8>>,
    produced_at: Option<Vec<u8>>,
    defaults: SingleResponse,
    singles: Vec<SingleResponse>,
    extensions: Vec<Vec<u8>>,
    scheme: Option<SignatureScheme>,
    algorithm_identifier: Option<Vec<u8>>,
    corrupt_signature: bool,
    certificates: Option<Vec<Vec<u8>>>,
    further_certificates: Vec<Vec<u8>>,
    trailing: Vec<u8>,
}

/// Why a response cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResponseError {
    /// The key cannot sign.
    #[error("cannot sign the OCSP response: {0}")]
    Key(#[from] KeyError),
}

impl ResponseBuilder {
    /// A response signed by an authority (`&Authority`) or another signer.
    pub fn new(signer: impl Into<Signer>) -> Self {
        Self::shared(Arc::new(signer.into()))
    }

    /// A response signed by `signer`.
    pub fn signed_by(signer: Signer) -> Self {
        Self::shared(Arc::new(signer))
    }

    /// A response signed by a signer that others use as well.
    pub(crate) fn shared(signer: Arc<Signer>) -> Self {
        Self {
            signer,
            status: ResponseStatus::Successful.code(),
            response_type: der::oid(BASIC),
            version: None,
            responder_id: None,
            produced_at: None,
            defaults: SingleResponse::default(),
            singles: Vec::new(),
            extensions: Vec::new(),
            scheme: None,
            algorithm_identifier: None,
            corrupt_signature: false,
            certificates: None,
            further_certificates: Vec::new(),
            trailing: Vec::new(),
        }
    }

    /// A complete response that is an error, DER: it has no responseBytes.
    #[must_use]
    pub fn error(status: ResponseStatus) -> Vec<u8> {
        Self::status_only(status.code())
    }

    /// A complete response with this number as status and without responseBytes, DER. 0 is *successful*, although the
    /// response has no answer; 4 and 7 are not defined.
    #[must_use]
    pub fn status_only(code: u8) -> Vec<u8> {
        der::sequence(&[der::value(der::ENUMERATED, &[code])])
    }

    /// Adds a SingleResponse: good.
    pub fn good(self, cert_id: &CertId) -> Self {
        self.single(cert_id, der::implicit(0, &[]))
    }

    /// Adds a SingleResponse: revoked, at this time in Unix seconds.
    pub fn revoked(self, cert_id: &CertId, at: i64, reason: Option<Reason>) -> Self {
        let mut info = vec![der::generalized_time(at)];
        if let Some(reason) = reason {
            info.push(der::explicit(0, &der::value(der::ENUMERATED, &[reason.code()])));
        }
        self.single(cert_id, der::value(0xa1, &der::concat(&info)))
    }

    /// Adds a SingleResponse: unknown.
    pub fn unknown(self, cert_id: &CertId) -> Self {
        self.single(cert_id, der::implicit(2, &[]))
    }

    /// Adds a SingleResponse with any bytes as certStatus.
    pub fn single(mut self, cert_id: &CertId, cert_status: Vec<u8>) -> Self {
        let single = SingleResponse { cert_id: cert_id.as_der().to_vec(), cert_status, ..self.defaults.clone() };
        self.singles.push(single);
        self
    }

    /// Replaces the CertID of the SingleResponse that was added last by any bytes.
    pub fn cert_id_der(mut self, bytes: Vec<u8>) -> Self {
        self.current().cert_id = bytes;
        self
    }

    /// Sets thisUpdate, in Unix seconds. Default: now.
    pub fn this_update(self, at: i64) -> Self {
        let mut builder = self.this_update_der(der::generalized_time(at));
        builder.current().this_update_seconds = Some(at);
        builder
    }

    /// Sets thisUpdate to any bytes, such as a time with a fraction of a second.
    pub fn this_update_der(mut self, bytes: Vec<u8>) -> Self {
        self.current().this_update = Some(bytes);
        self
    }

    /// Sets nextUpdate, in Unix seconds. Default: seven days after thisUpdate.
    pub fn next_update(self, at: i64) -> Self {
        self.next_update_der(der::generalized_time(at))
    }

    /// Sets nextUpdate to any bytes.
    pub fn next_update_der(mut self, bytes: Vec<u8>) -> Self {
        self.current().next_update = NextUpdate::At(bytes);
        self
    }

    /// Omits nextUpdate.
    pub fn no_next_update(mut self) -> Self {
        self.current().next_update = NextUpdate::Absent;
        self
    }

    /// Adds a singleExtension.
    pub fn single_extension(mut self, extension: &Extension) -> Self {
        self.current().extensions.push(extension.to_der());
        self
    }

    /// Sets producedAt, in Unix seconds. Default: thisUpdate of the first SingleResponse.
    pub fn produced_at(self, at: i64) -> Self {
        self.produced_at_der(der::generalized_time(at))
    }

    /// Sets producedAt to any bytes.
    pub fn produced_at_der(mut self, bytes: Vec<u8>) -> Self {
        self.produced_at = Some(bytes);
        self
    }

    /// Adds a nonce with these octets.
    pub fn nonce(mut self, nonce: &[u8]) -> Self {
        self.extensions.push(nonce_extension(nonce));
        self
    }

    /// Adds a responseExtension.
    pub fn response_extension(mut self, extension: &Extension) -> Self {
        self.extensions.push(extension.to_der());
        self
    }

    /// Replaces the signer, with its ResponderID and its embedded certificate.
    pub fn sign_with(mut self, signer: &Signer) -> Self {
        self.signer = Arc::new(signer.clone());
        self
    }

    /// Sets the ResponderID to byName, of the signer.
    pub fn responder_by_name(self) -> Self {
        let id = der::explicit(1, &self.signer.identity.name);
        self.responder_id_der(id)
    }

    /// Sets the ResponderID to byKey, of the signer. This is the default.
    pub fn responder_by_key(self) -> Self {
        let id = self.signer.by_key.clone();
        self.responder_id_der(id)
    }

    /// Sets the ResponderID to any bytes.
    pub fn responder_id_der(mut self, bytes: Vec<u8>) -> Self {
        self.responder_id = Some(bytes);
        self
    }

    /// Writes the version, `[0] EXPLICIT INTEGER`. By default it is omitted, as DER requires for v1 (0).
    pub fn explicit_version(mut self, version: u8) -> Self {
        self.version = Some(version);
        self
    }

    /// Signs by this scheme instead of the key's default.
    pub fn scheme(mut self, scheme: SignatureScheme) -> Self {
        self.scheme = Some(scheme);
        self
    }

    /// Sets signatureAlgorithm to any bytes. The signature does not change.
    pub fn algorithm_identifier(mut self, bytes: Vec<u8>) -> Self {
        self.algorithm_identifier = Some(bytes);
        self
    }

    /// Flips one bit of the signature.
    pub fn corrupt_signature(mut self) -> Self {
        self.corrupt_signature = true;
        self
    }

    /// Embeds these certificates (or any bytes) instead of the signer's.
    pub fn certificates<C: AsRef<[u8]>>(mut self, certificates: &[C]) -> Self {
        self.certificates = Some(certificates.iter().map(|c| c.as_ref().to_vec()).collect());
        self
    }

    /// Embeds a further certificate after the others.
    pub fn further_certificate(mut self, certificate: &[u8]) -> Self {
        self.further_certificates.push(certificate.to_vec());
        self
    }

    /// Sets responseType, by the arcs of its object identifier.
    pub fn response_type(mut self, arcs: &[u64]) -> Self {
        self.response_type = der::oid(arcs);
        self
    }

    /// Sets responseStatus. The responseBytes stay.
    pub fn response_status(mut self, code: u8) -> Self {
        self.status = code;
        self
    }

    /// Appends bytes to the OCSPResponse.
    pub fn trailing(mut self, bytes: &[u8]) -> Self {
        self.trailing.extend_from_slice(bytes);
        self
    }

    /// The OCSPResponse, DER.
    ///
    /// # Errors
    /// When the key cannot sign by the scheme.
    pub fn build(&self) -> Result<Vec<u8>, ResponseError> {
        let tbs = self.response_data();
        let scheme = self.scheme.unwrap_or_else(|| self.signer.key.default_scheme());
        let mut signature = self.signer.key.sign_with(scheme, &tbs)?;
        if self.corrupt_signature {
            // The last octet is part of the number, not of its encoding.
            if let Some(last) = signature.last_mut() {
                *last ^= 1;
            }
        }
        let algorithm = self.algorithm_identifier.clone().unwrap_or_else(|| scheme.algorithm_identifier());
        let mut fields = vec![tbs, algorithm, der::bit_string(&signature)];
        let own = self.signer.certificate.as_slice();
        let certificates = self.certificates.as_deref().unwrap_or(own).iter().chain(&self.further_certificates);
        let certificates: Vec<&Vec<u8>> = certificates.collect();
        if !certificates.is_empty() {
            fields.push(der::explicit(0, &der::sequence(&certificates)));
        }
        let basic = der::value(der::OCTET_STRING, &der::sequence(&fields));
        let bytes = der::explicit(0, &der::sequence(&[&self.response_type, &basic]));
        let mut response = der::sequence(&[der::value(der::ENUMERATED, &[self.status]), bytes]);
        response.extend_from_slice(&self.trailing);
        Ok(response)
    }

    /// The tbsResponseData, DER: the signed bytes.
    fn response_data(&self) -> Vec<u8> {
        let now = clock::now();
        let mut fields = Vec::new();
        if let Some(version) = self.version {
            fields.push(der::explicit(0, &der::unsigned(&[version])));
        }
        fields.push(self.responder_id.clone().unwrap_or_else(|| self.signer.by_key.clone()));
        let first = self.singles.first().and_then(|single| single.this_update.clone());
        let produced_at = self.produced_at.clone().or(first).unwrap_or_else(|| der::generalized_time(now));
        fields.push(produced_at);
        let singles: Vec<Vec<u8>> = self.singles.iter().map(|single| single.to_der(now)).collect();
        fields.push(der::sequence(&singles));
        if !self.extensions.is_empty() {
            fields.push(der::explicit(1, &der::sequence(&self.extensions)));
        }
        der::sequence(&fields)
    }

    fn current(&mut self) -> &mut SingleResponse {
        self.singles.last_mut().unwrap_or(&mut self.defaults)
    }
}
