//! Submissions: certificate requests that become sessions.

use stapled_core::scheduler::{Expect, SchedulerError, Step};
use stapled_core::task::Task;

use super::contents::{Session, SessionId};
use super::hook::Stage;
use super::intake::{SessionError, Sessions, expiry};
use super::policy::{TooMany, counted_client};
use super::request::{CertificateRequest, RequestError};
use super::state::State;
use super::submit_key::SubmitKey;
use crate::clock;

/// The group of all active sessions. The ones of single clients are `client:CLIENT`.
const ACTIVE: &str = "active";

impl Sessions {
    /// Makes a session for a certificate request, PEM or DER. `client` is the IP address that asked, with or without a port, or
    /// another name of the client: by it the sessions of one client are counted.
    ///
    /// # Errors
    /// When the request is malformed or not allowed, there are too many sessions, or the store fails.
    pub async fn submit(&self, request: &[u8], client: &str) -> Result<SessionId, SessionError> {
        let id = SessionId::random().map_err(|_| SessionError::Randomness)?;
        self.check_length(request)?;
        self.make(&id, request, client).await?.map_or(Ok(id), |taken| Err(SessionError::Store(taken)))
    }

    /// The same with a key of the client's choice. A submission that is repeated with its key leads to the same session, as long
    /// as the session is on record or its certificate is in the ledger. So a client whose answer was lost submits again.
    ///
    /// # Errors
    /// As for [`submit`](Self::submit), and when the key was used for another certificate request.
    pub async fn submit_with_key(
        &self,
        request: &[u8],
        client: &str,
        key: &SubmitKey,
    ) -> Result<SessionId, SessionError> {
        let id = key.session();
        self.check_length(request)?;
        // If the name is taken all the same, another submission with this key was faster.
        let is_made = self.is_made_for(&id, request).await?
            || self.make(&id, request, client).await?.is_none()
            || self.is_made_for(&id, request).await?;
        if is_made { Ok(id) } else { Err(SessionError::Unknown(id)) }
    }

    fn check_length(&self, request: &[u8]) -> Result<(), RequestError> {
        let (length, limit) = (request.len(), self.limits.csr);
        if length > limit { Err(RequestError::TooLong { length, limit }) } else { Ok(()) }
    }

    /// Makes the session, unless its name is taken: then it returns that error of the store. The limits come first, and the hook
    /// last, so that a client at its limit costs little.
    async fn make(&self, id: &SessionId, request: &[u8], client: &str) -> Result<Option<SchedulerError>, SessionError> {
        let (counted, limits) = (counted_client(client), &self.limits);
        let group = format!("client:{counted}");
        let too_many = |limit| TooMany::OfClient { client: counted.clone(), limit };
        if self.store.members(ACTIVE).await? >= limits.active {
            return Err(TooMany::Active { limit: limits.active }.into());
        }
        let sessions = self.store.members(&group).await?;
        let _pending = self.pending.enter(&counted, sessions, limits.per_client).ok_or(too_many(limits.per_client))?;
        let request = CertificateRequest::read(request, limits.csr)?;
        self.policy.decide(Stage::Submit, &request, None, client).await?;
        let record = Session::first_record(id, &request.to_pem(), client, &request.name_texts(), clock::now());
        // The session leaves both groups in the step that settles, forgets or cancels it.
        let record = record.in_group(group, limits.per_client).in_group(ACTIVE, limits.active);
        let step = Step::intake().record(record.expecting(Expect::Nothing));
        let work = Task::new(State::MakeChallenge.as_str().into(), id.subject());
        match self.store.commit(step.put(work).put(expiry(id, limits.make))).await {
            Ok(()) => {
                tracing::info!(session = id.as_str(), client, "submitted");
                Ok(None)
            }
            Err(error @ SchedulerError::Unexpected { .. }) => Ok(Some(error)),
            Err(SchedulerError::GroupFull { group, at_most }) if group == ACTIVE => {
                Err(TooMany::Active { limit: at_most }.into())
            }
            Err(SchedulerError::GroupFull { at_most, .. }) => Err(too_many(at_most).into()),
            Err(SchedulerError::QueueFull { capacity, .. }) => Err(TooMany::Waiting { limit: capacity }.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether there is a session of this name for this request: on record, or in the ledger.
    async fn is_made_for(&self, id: &SessionId, request: &[u8]) -> Result<bool, SessionError> {
        let (session, entry) = (self.session(id).await?, self.entered(id).await?);
        let certificate = entry.and_then(|entry| entry.certificate);
        if session.is_none() && certificate.is_none() {
            return Ok(false);
        }
        let request = CertificateRequest::read(request, self.limits.csr)?;
        // The session may be forgotten. Its certificate has the key of the request.
        let is_same = session.is_none_or(|session| session.csr == request.to_pem())
            && certificate.is_none_or(|certificate| has_key(&certificate, &request.public_key));
        if is_same { Ok(true) } else { Err(SessionError::KeyUsed) }
    }
}

/// Whether a certificate is for this public key (SubjectPublicKeyInfo, DER).
fn has_key(certificate: &[u8], public_key: &[u8]) -> bool {
    let parsed = x509_parser::parse_x509_certificate(certificate);
    parsed.is_ok_and(|(_, parsed)| parsed.public_key().raw == public_key)
}
