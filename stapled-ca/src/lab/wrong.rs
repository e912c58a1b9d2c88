//! Wrong OCSP responses.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::authority::Authority;
use crate::clock::{self, DAY};
use crate::error::AuthorityError;
use crate::hash::HashAlgorithm;
use crate::lab::fault::Fault;
use crate::ledger::Reason;
use crate::ocsp::{CertId, OcspRequest, ResponseBuilder, ResponseError, ResponseStatus, Signer};
use crate::profile::Profile;
use crate::responder::{Responder, Served};
use crate::serial::Serial;

/// Signers without the right to sign. They are made when they are first needed.
#[derive(Debug, Default)]
pub(crate) struct WrongSigners {
    /// The delegate of another authority.
    foreign: Mutex<Option<Signer>>,
    /// A server's certificate of each authority, by the authority's public key.
    siblings: Mutex<HashMap<Vec<u8>, Signer>>,
}

/// Why a wrong response cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WrongError {
    #[error(transparent)]
    Response(#[from] ResponseError),
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

/// The OCSPResponse of a fault, DER; `None` when the fault does not change the OCSPResponse, or the request is not
/// about a certificate of the responder's authorities.
pub(crate) fn response(
    responder: &Responder,
    wrong_signers: &WrongSigners,
    fault: &Fault,
    request: &OcspRequest,
) -> Result<Option<Vec<u8>>, WrongError> {
    let status = match fault {
        Fault::TryLater => Some(ResponseStatus::TryLater),
        Fault::InternalError => Some(ResponseStatus::InternalError),
        Fault::Unauthorized => Some(ResponseStatus::Unauthorized),
        Fault::SigRequired => Some(ResponseStatus::SigRequired),
        Fault::Malformed => Some(ResponseStatus::MalformedRequest),
        Fault::OnlyHash(hash) if request.cert_ids.iter().any(|id| id.hash() != Some(*hash)) => {
            Some(ResponseStatus::Unauthorized)
        }
        _ => None,
    };
    if let Some(status) = status {
        return Ok(Some(ResponseBuilder::error(status)));
    }
    let Some(cert_id) = request.cert_ids.first() else { return Ok(None) };
    let Some(served) = responder.issuer_of(cert_id) else { return Ok(None) };

    let now = clock::now();
    let base = ResponseBuilder::signed_by((*served.signer()).clone())
        .produced_at(now)
        .this_update(now)
        .next_update(now + responder.validity_seconds());
    let good = |base: ResponseBuilder| echo(base.good(cert_id), request);
    let builder = match fault {
        Fault::Expired => good(base.this_update(now - 8 * DAY).next_update(now - DAY).produced_at(now - 8 * DAY)),
        Fault::NotYetValid => good(base.this_update(now + DAY).next_update(now + 8 * DAY)),
        Fault::NoNextUpdate => good(base.no_next_update()),
        Fault::WrongCertificate => echo(base.good(&another(served, cert_id)), request),
        Fault::WrongSigner => good(base.sign_with(&wrong_signers.foreign()?)),
        Fault::SiblingSigner => good(base.sign_with(&wrong_signers.sibling(&served.authority)?)),
        Fault::BadSignature => good(base.corrupt_signature()),
        Fault::Revoked => echo(base.revoked(cert_id, now - 3600, Some(Reason::KeyCompromise)), request),
        Fault::Unknown => echo(base.unknown(cert_id), request),
        Fault::WrongNonce => base.good(cert_id).nonce(&wrong_nonce(request)),
        Fault::Embedding { before, after } => {
            let own = served.signer().certificate().map(<[u8]>::to_vec);
            let all: Vec<&[u8]> = before.iter().chain(&own).chain(after).map(Vec::as_slice).collect();
            good(base.responder_by_name().certificates(&all))
        }
        Fault::Multiple => echo(base.good(cert_id).good(&another(served, cert_id)), request),
        _ => return Ok(None),
    };
    Ok(Some(builder.build()?))
}

impl WrongSigners {
    fn foreign(&self) -> Result<Signer, AuthorityError> {
        let mut foreign = self.foreign.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(signer) = &*foreign {
            return Ok(signer.clone());
        }
        let elsewhere = Authority::root("Another CA").create()?;
        let signer = Signer::delegate(&elsewhere.issue(&Profile::ocsp_responder("Another CA's Responder"))?);
        Ok(foreign.insert(signer).clone())
    }

    fn sibling(&self, authority: &Authority) -> Result<Signer, AuthorityError> {
        let mut siblings = self.siblings.lock().unwrap_or_else(PoisonError::into_inner);
        let key = authority.identity().public_key.clone();
        if let Some(signer) = siblings.get(&key) {
            return Ok(signer.clone());
        }
        let signer = Signer::delegate(&authority.issue(&Profile::server("sibling.example"))?);
        siblings.insert(key, signer.clone());
        Ok(signer)
    }
}

/// Echoes the nonce of a request, because a fault breaks one rule only.
fn echo(builder: ResponseBuilder, request: &OcspRequest) -> ResponseBuilder {
    match &request.nonce {
        Some(nonce) => builder.nonce(nonce),
        None => builder,
    }
}

/// The CertID of another serial number of the same issuer.
fn another(served: &Served, cert_id: &CertId) -> CertId {
    let mut number = cert_id.serial().as_bytes().to_vec();
    if let Some(last) = number.last_mut() {
        *last ^= 0x55;
    }
    let hash = cert_id.hash().unwrap_or(HashAlgorithm::Sha1);
    CertId::new(served.authority.identity(), &Serial::from_bytes(&number), hash)
}

/// Another nonce than the request's.
fn wrong_nonce(request: &OcspRequest) -> Vec<u8> {
    match &request.nonce {
        Some(nonce) => nonce.iter().map(|octet| !octet).collect(),
        None => vec![0x5a; 32],
    }
}
