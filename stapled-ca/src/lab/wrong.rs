//! OCSP responses that are wrong.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::authority::Authority;
use crate::clock;
use crate::error::AuthorityError;
use crate::lab::fault::Fault;
use crate::ledger::Reason;
use crate::ocsp::{CertId, HashAlgorithm, OcspRequest, ResponseBuilder, ResponseError, ResponseStatus, Signer};
use crate::profile::Profile;
use crate::responder::{Responder, Served};
use crate::serial::Serial;

/// Those who sign though they may not; made when first needed.
#[derive(Debug, Default)]
pub(crate) struct Impostors {
    stranger: Mutex<Option<Signer>>,
    siblings: Mutex<HashMap<Vec<u8>, Signer>>,
}

/// Why a wrong response could not be made either.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WrongError {
    #[error(transparent)]
    Response(#[from] ResponseError),
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

/// The OCSPResponse that this fault puts in place of the right one; `None` when
/// the fault is none of OCSP, or it is not for our certificates.
pub(crate) fn response(
    responder: &Responder,
    impostors: &Impostors,
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
    let base = ResponseBuilder::signed_by(served.signer.clone())
        .produced_at(now)
        .this_update(now)
        .next_update(now + responder.validity_seconds());
    let good = |base: ResponseBuilder| echo(base.good(cert_id), request);
    let builder = match fault {
        Fault::Expired => good(base.this_update(now - 8 * DAY).next_update(now - DAY).produced_at(now - 8 * DAY)),
        Fault::NotYetValid => good(base.this_update(now + DAY).next_update(now + 8 * DAY)),
        Fault::NoNextUpdate => good(base.no_next_update()),
        Fault::WrongCertificate => echo(base.good(&another(served, cert_id)), request),
        Fault::WrongSigner => good(base.sign_with(&impostors.stranger()?)),
        Fault::SiblingSigner => good(base.sign_with(&impostors.sibling(&served.authority)?)),
        Fault::BadSignature => good(base.corrupt_signature()),
        Fault::Revoked => echo(base.revoked(cert_id, now - 3600, Some(Reason::KeyCompromise)), request),
        Fault::Unknown => echo(base.unknown(cert_id), request),
        Fault::WrongNonce => base.good(cert_id).nonce(&wrong_nonce(request)),
        Fault::Embedding { before, after } => {
            let own = served.signer.certificate().map(<[u8]>::to_vec);
            let all: Vec<&[u8]> = before.iter().chain(&own).chain(after).map(Vec::as_slice).collect();
            good(base.responder_by_name().certificates(&all))
        }
        Fault::Multiple => echo(base.good(cert_id).good(&another(served, cert_id)), request),
        _ => return Ok(None),
    };
    Ok(Some(builder.build()?))
}

impl Impostors {
    fn stranger(&self) -> Result<Signer, AuthorityError> {
        let mut stranger = self.stranger.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(signer) = &*stranger {
            return Ok(signer.clone());
        }
        let elsewhere = Authority::root("Somebody Else").create()?;
        let signer = Signer::delegate(&elsewhere.issue(&Profile::ocsp_responder("Somebody Else's Responder"))?);
        Ok(stranger.insert(signer).clone())
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

/// A fault breaks one rule only, so a nonce that was asked with comes back.
fn echo(builder: ResponseBuilder, request: &OcspRequest) -> ResponseBuilder {
    match &request.nonce {
        Some(nonce) => builder.nonce(nonce),
        None => builder,
    }
}

/// The CertID of a certificate that does not exist, of the same issuer.
fn another(served: &Served, cert_id: &CertId) -> CertId {
    let mut number = cert_id.serial().as_bytes().to_vec();
    if let Some(last) = number.last_mut() {
        *last ^= 0x55;
    }
    let hash = cert_id.hash().unwrap_or(HashAlgorithm::Sha1);
    CertId::new(served.authority.identity(), &Serial::from_bytes(&number), hash)
}

fn wrong_nonce(request: &OcspRequest) -> Vec<u8> {
    match &request.nonce {
        Some(nonce) => nonce.iter().map(|octet| !octet).collect(),
        None => vec![0x5a; 32],
    }
}

const DAY: i64 = 86_400;
