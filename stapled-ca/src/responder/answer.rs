//! From a question to signed bytes.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;

use crate::authority::Authority;
use crate::ledger::Status;
use crate::ocsp::{CertId, HashAlgorithm, OcspRequest, ResponseBuilder, ResponseStatus};
use crate::responder::access::{AccessObserver, Outcome, Tally};
use crate::responder::{Clock, Policy, ResponderBuilder, Served};
use crate::serial::Serial;

/// Answers OCSP requests for its authorities. [`Responder::builder`] makes one.
pub struct Responder {
    pub(crate) served: Vec<Served>,
    by_issuer: ByIssuer,
    policy: Policy,
    prepared: RwLock<HashMap<Vec<u8>, Arc<Prepared>>>,
    tally: Tally,
    pub(crate) observer: Option<Arc<dyn AccessObserver>>,
    pub(crate) clock: Clock,
}

pub(crate) type ByIssuer = HashMap<(HashAlgorithm, Vec<u8>, Vec<u8>), usize>;

/// What is said of a serial number that was never issued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownSerial {
    /// A signed response with status `unknown`.
    #[default]
    Unknown,
    /// The unsigned error `unauthorized`, as RFC 9919 has it.
    Unauthorized,
}

/// A signed response with what its HTTP headers say of it.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) body: Bytes,
    pub(crate) this_update: i64,
    pub(crate) next_update: i64,
    /// From then on a newer one is signed.
    pub(crate) renew_at: i64,
    pub(crate) etag: String,
    status: Option<Status>,
    served: usize,
}

/// What the responder says to a request.
pub(crate) enum Reply {
    Signed(Arc<Prepared>, Outcome),
    Refused(ResponseStatus),
}

impl Responder {
    pub(crate) fn assemble(builder: ResponderBuilder, by_issuer: ByIssuer) -> Self {
        Self {
            served: builder.served,
            by_issuer,
            policy: builder.policy,
            prepared: RwLock::default(),
            tally: Tally::default(),
            observer: builder.observer,
            clock: builder.clock,
        }
    }

    /// The authorities, in the order in which they were given.
    pub fn authorities(&self) -> impl Iterator<Item = &Authority> {
        self.served.iter().map(|served| &served.authority)
    }

    /// How often what was asked.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Drops all prepared answers.
    pub fn forget(&self) {
        self.prepared.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// From now on nextUpdate lies so far in the future; whole seconds. What was
    /// prepared is dropped.
    pub fn set_validity(&self, validity: Duration) {
        self.policy.validity.store(validity.as_secs(), Ordering::Relaxed);
        self.forget();
    }

    /// Answers one OCSP request with the DER of an OCSPResponse.
    #[must_use]
    pub fn respond(&self, request: &[u8]) -> Bytes {
        let reply = match OcspRequest::from_der(request) {
            Ok(request) => self.reply(&request, (self.clock)()),
            Err(_) => Reply::Refused(ResponseStatus::MalformedRequest),
        };
        match reply {
            Reply::Signed(prepared, _) => prepared.body.clone(),
            Reply::Refused(status) => ResponseBuilder::error(status).into(),
        }
    }

    pub(crate) fn validity_seconds(&self) -> i64 {
        seconds(Duration::from_secs(self.policy.validity.load(Ordering::Relaxed)))
    }

    /// The authority (and its signer) that issued what this CertID names.
    pub(crate) fn issuer_of(&self, cert_id: &CertId) -> Option<&Served> {
        self.served.get(self.position_of(cert_id)?)
    }

    pub(crate) fn reply(&self, request: &OcspRequest, now: i64) -> Reply {
        self.tally.count();
        let single = match request.cert_ids.as_slice() {
            [only] if request.nonce.is_none() || !self.policy.echo_nonce => Some(only),
            _ => None,
        };
        if let Some(cert_id) = single
            && let Some(prepared) = self.find_prepared(cert_id, now)
        {
            self.tally.count_serial(cert_id.serial());
            return Reply::Signed(prepared, Outcome::Prepared);
        }
        match self.sign(request, now) {
            Ok(prepared) => {
                let prepared = Arc::new(prepared);
                if let Some(cert_id) = single
                    && prepared.status.is_some()
                    && self.policy.prepare
                {
                    self.keep(cert_id, &prepared);
                }
                Reply::Signed(prepared, Outcome::Signed)
            }
            Err(status) => Reply::Refused(status),
        }
    }

    fn position_of(&self, cert_id: &CertId) -> Option<usize> {
        let issuer = (cert_id.hash()?, cert_id.issuer_name_hash().to_vec(), cert_id.issuer_key_hash().to_vec());
        self.by_issuer.get(&issuer).copied()
    }

    fn find_prepared(&self, cert_id: &CertId, now: i64) -> Option<Arc<Prepared>> {
        let found = Arc::clone(self.prepared.read().unwrap_or_else(PoisonError::into_inner).get(cert_id.as_der())?);
        let fresh = (found.this_update..found.renew_at).contains(&now);
        let status = self.served.get(found.served)?.authority.status(cert_id.serial()).ok()?;
        (fresh && status == found.status).then_some(found)
    }

    fn keep(&self, cert_id: &CertId, prepared: &Arc<Prepared>) {
        let mut all = self.prepared.write().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST_PREPARED {
            all.clear();
        }
        all.insert(cert_id.as_der().to_vec(), Arc::clone(prepared));
    }

    fn sign(&self, request: &OcspRequest, now: i64) -> Result<Prepared, ResponseStatus> {
        let position = request
            .cert_ids
            .first()
            .and_then(|cert_id| self.position_of(cert_id))
            .ok_or(ResponseStatus::Unauthorized)?;
        let served = self.served.get(position).ok_or(ResponseStatus::Unauthorized)?;
        let this_update = now - seconds(self.policy.backdate);
        // Beyond its certificate's end nobody would believe the signer.
        let next_update = (now + self.validity_seconds()).min(served.signer.not_after);
        if next_update <= now {
            tracing::error!(
                authority = served.authority.name(),
                "the certificate of the OCSP signer has expired; nothing is signed"
            );
            return Err(ResponseStatus::InternalError);
        }

        let mut builder = ResponseBuilder::signed_by(served.signer.clone())
            .this_update(this_update)
            .next_update(next_update)
            .produced_at(now);
        if self.policy.responder_by_name {
            builder = builder.responder_by_name();
        }
        let mut first_status = None;
        for (place, cert_id) in request.cert_ids.iter().enumerate() {
            if self.position_of(cert_id) != Some(position) {
                return Err(ResponseStatus::Unauthorized);
            }
            let status = self.status(&served.authority, cert_id.serial())?;
            builder = match status {
                Some(Status::Good) => builder.good(cert_id),
                Some(Status::Revoked { at, reason }) => builder.revoked(cert_id, at, reason),
                None => builder.unknown(cert_id),
            };
            if place == 0 {
                first_status = status;
            }
        }
        if let Some(nonce) = request.nonce.as_ref().filter(|_| self.policy.echo_nonce) {
            builder = builder.nonce(nonce);
        }
        let body = builder.build().map_err(|error| {
            tracing::error!(authority = served.authority.name(), %error, "signing failed");
            ResponseStatus::InternalError
        })?;
        let digest = HashAlgorithm::Sha256.digest(&body);
        let etag = digest.iter().take(16).fold(String::from("\""), |tag, octet| format!("{tag}{octet:02x}")) + "\"";
        let renew_at = now + ((next_update - now) / 2).max(1);
        Ok(Prepared {
            body: body.into(),
            this_update,
            next_update,
            renew_at,
            etag,
            status: first_status,
            served: position,
        })
    }

    fn status(&self, authority: &Authority, serial: &Serial) -> Result<Option<Status>, ResponseStatus> {
        let status = authority.status(serial).map_err(|error| {
            tracing::error!(authority = authority.name(), %serial, %error, "the ledger cannot be read");
            ResponseStatus::InternalError
        })?;
        match status {
            None if self.policy.unknown_serial == UnknownSerial::Unauthorized => Err(ResponseStatus::Unauthorized),
            None => Ok(None),
            known => {
                self.tally.count_serial(serial);
                Ok(known)
            }
        }
    }
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responder").field("served", &self.served).field("policy", &self.policy).finish()
    }
}

impl FromStr for UnknownSerial {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "unknown" => Ok(Self::Unknown),
            "unauthorized" => Ok(Self::Unauthorized),
            _ => Err(format!("{name:?} is neither unknown nor unauthorized")),
        }
    }
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX / 4)
}

/// CertIDs come in many encodings; whoever tries them all must not fill the memory.
const MOST_PREPARED: usize = 200_000;
