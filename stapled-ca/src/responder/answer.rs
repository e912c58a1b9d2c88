//! Answers an OCSP request with a signed response.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;

use crate::authority::Authority;
use crate::clock::seconds;
use crate::hash::{HashAlgorithm, etag};
use crate::ledger::Status;
use crate::ocsp::{CertId, OcspRequest, ResponseBuilder, ResponseStatus};
use crate::responder::access::{AccessObserver, Outcome, Tally};
use crate::responder::policy::{Clock, Policy, UnknownSerial};
use crate::responder::prepared::Prepared;
use crate::responder::presigned::{Presigned, renewal};
use crate::responder::served::Served;
use crate::serial::Serial;

/// The most prepared responses that are kept. A certificate has eight CertIDs, with four hash algorithms with and without NULL
/// parameters, so the responses to a client that sends them all must not fill the memory.
const MOST_PREPARED: usize = 200_000;

/// An OCSP responder, which answers for its authorities. [`Responder::builder`] builds one.
pub struct Responder {
    served: Vec<Served>,
    by_issuer: ByIssuer,
    pub(crate) policy: Policy,
    prepared: RwLock<HashMap<Vec<u8>, Arc<Prepared>>>,
    pub(crate) presigned: Presigned,
    tally: Tally,
    pub(crate) observer: Option<Arc<dyn AccessObserver>>,
    pub(crate) clock: Clock,
}

/// The position of an authority in the list, by the hashes of its name and key.
pub(crate) type ByIssuer = HashMap<(HashAlgorithm, Vec<u8>, Vec<u8>), usize>;

/// The answer to a request.
pub(crate) enum Reply {
    Signed(Arc<Prepared>, Outcome),
    Refused(ResponseStatus),
}

impl Responder {
    pub(crate) fn assemble(
        served: Vec<Served>,
        by_issuer: ByIssuer,
        policy: Policy,
        observer: Option<Arc<dyn AccessObserver>>,
        clock: Clock,
    ) -> Self {
        let (prepared, presigned, tally) = (RwLock::default(), Presigned::default(), Tally::default());
        Self { served, by_issuer, policy, prepared, presigned, tally, observer, clock }
    }

    /// The authorities, in the order of the builder.
    pub fn authorities(&self) -> impl Iterator<Item = &Authority> {
        self.served.iter().map(|served| &served.authority)
    }

    /// The authorities with their signers, in the order of the builder.
    pub(crate) fn served(&self) -> &[Served] {
        &self.served
    }

    /// The counts of the questions so far.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Drops all prepared responses.
    pub fn forget(&self) {
        self.presigned.clear();
        self.prepared.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Changes the time from signing to nextUpdate, in whole seconds. Prepared responses are dropped.
    pub fn set_validity(&self, validity: Duration) {
        self.policy.validity.store(validity.as_secs(), Ordering::Relaxed);
        self.forget();
    }

    /// The OCSPResponse to an OCSP request, both DER.
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

    /// The time from signing to nextUpdate, in seconds.
    pub(crate) fn validity_seconds(&self) -> i64 {
        seconds(Duration::from_secs(self.policy.validity.load(Ordering::Relaxed)))
    }

    /// The authority whose certificate this CertID names, with its signer.
    pub(crate) fn issuer_of(&self, cert_id: &CertId) -> Option<&Served> {
        self.served.get(self.position_of(cert_id)?)
    }

    /// The answer to a request at `now`.
    pub(crate) fn reply(&self, request: &OcspRequest, now: i64) -> Reply {
        self.tally.count();
        let is_kept = self.policy.prepare || self.policy.presign > 0;
        let single = match request.cert_ids.as_slice() {
            [only] if is_kept && (request.nonce.is_none() || !self.policy.echo_nonce) => Some(only),
            _ => None,
        };
        if let Some(cert_id) = single
            && let Some(prepared) = self.find_prepared(cert_id, now)
        {
            if let Some(served) = self.served.get(prepared.served) {
                self.note(served, cert_id.serial(), now);
            }
            return Reply::Signed(prepared, Outcome::Prepared);
        }
        match self.sign(request, now, |served, serial| self.note(served, serial, now)) {
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

    /// A prepared response that is fresh and has the present status.
    fn find_prepared(&self, cert_id: &CertId, now: i64) -> Option<Arc<Prepared>> {
        let is_fresh = |found: &Arc<Prepared>| (found.this_update..found.usable_until).contains(&now);
        let presigned = self.presigned.find(cert_id.as_der()).filter(is_fresh);
        let found = presigned.or_else(|| self.kept(cert_id).filter(is_fresh))?;
        let status = self.served.get(found.served)?.authority.status(cert_id.serial()).ok()?;
        if status != found.status {
            return self.kept(cert_id).filter(|kept| is_fresh(kept) && kept.status == status);
        }
        Some(found)
    }

    /// The response that was kept after a question about this CertID.
    fn kept(&self, cert_id: &CertId) -> Option<Arc<Prepared>> {
        self.prepared.read().unwrap_or_else(PoisonError::into_inner).get(cert_id.as_der()).cloned()
    }

    fn keep(&self, cert_id: &CertId, prepared: &Arc<Prepared>) {
        let mut all = self.prepared.write().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST_PREPARED {
            all.clear();
        }
        all.insert(cert_id.as_der().to_vec(), Arc::clone(prepared));
    }

    /// Counts a question about an issued certificate.
    fn note(&self, served: &Served, serial: &Serial, now: i64) {
        self.tally.count_serial(serial);
        if self.policy.record_first_questions
            && let Some(ledger) = served.authority.ledger_file()
        {
            served.first_questions.note(ledger, serial, now);
        }
    }

    /// A response about one certificate of the authority at this position, signed in advance.
    ///
    /// # Errors
    /// When it cannot be signed. The reason is logged.
    pub(crate) fn presign(&self, cert_id: &CertId, now: i64) -> Result<Prepared, ResponseStatus> {
        let request = OcspRequest::for_certificate(cert_id.clone());
        let prepared = self.sign(&request, now, |_, _| ())?;
        let validity = prepared.next_update - now;
        Ok(Prepared {
            renew_at: renewal(cert_id.serial(), now, prepared.next_update),
            // The upkeep thread signs the next one in time. If it is late, this one is still good.
            usable_until: now + (validity / 4 * 3).max(1),
            ..prepared
        })
    }

    /// A new response about all certificates of a request. They must have the same issuer. `known` is called with each of
    /// them that was issued.
    fn sign(
        &self,
        request: &OcspRequest,
        now: i64,
        known: impl Fn(&Served, &Serial),
    ) -> Result<Prepared, ResponseStatus> {
        let position = request
            .cert_ids
            .first()
            .and_then(|cert_id| self.position_of(cert_id))
            .ok_or(ResponseStatus::Unauthorized)?;
        let served = self.served.get(position).ok_or(ResponseStatus::Unauthorized)?;
        let this_update = now - seconds(self.policy.backdate);
        // Clients do not trust a signer after the end of its certificate.
        let signer = served.signer();
        let next_update = (now + self.validity_seconds()).min(signer.not_after);
        if next_update <= now {
            tracing::error!(
                authority = served.authority.name(),
                "cannot sign: the certificate of the OCSP signer has expired"
            );
            return Err(ResponseStatus::InternalError);
        }

        let mut builder = ResponseBuilder::shared(Arc::clone(&signer))
            .this_update(this_update)
            .next_update(next_update)
            .produced_at(now);
        if self.policy.responder_by_name {
            builder = builder.responder_by_name();
        }
        let (mut first_status, mut is_unknown) = (None, false);
        for (place, cert_id) in request.cert_ids.iter().enumerate() {
            if self.position_of(cert_id) != Some(position) {
                return Err(ResponseStatus::Unauthorized);
            }
            let status = self.status(&served.authority, cert_id.serial())?;
            match status {
                Some(_) => known(served, cert_id.serial()),
                None => is_unknown = true,
            }
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
            tracing::error!(authority = served.authority.name(), %error, "cannot sign");
            ResponseStatus::InternalError
        })?;
        let etag = etag(&body);
        let renew_at = now + ((next_update - now) / 2).max(1);
        Ok(Prepared {
            body: body.into(),
            this_update,
            next_update,
            renew_at,
            usable_until: renew_at,
            etag,
            status: first_status,
            is_unknown,
            served: position,
        })
    }

    /// The status of a certificate, or the error to answer with.
    fn status(&self, authority: &Authority, serial: &Serial) -> Result<Option<Status>, ResponseStatus> {
        let status = authority.status(serial).map_err(|error| {
            tracing::error!(authority = authority.name(), %serial, %error, "cannot read the ledger");
            ResponseStatus::InternalError
        })?;
        match status {
            None if self.policy.unknown_serial == UnknownSerial::Unauthorized => Err(ResponseStatus::Unauthorized),
            status => Ok(status),
        }
    }
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responder").field("served", &self.served).field("policy", &self.policy).finish()
    }
}
