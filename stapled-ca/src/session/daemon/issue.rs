//! Signs the certificate of a session.

use std::sync::Arc;

use async_trait::async_trait;
use stapled_core::task::{Queue, Task};

use super::work::{Daemon, Failure, Work};
use crate::authority::Authority;
use crate::clock::DAY;
use crate::pem;
use crate::profile::{NameAttribute, Profile};
use crate::session::contents::Session;
use crate::session::fields::Damaged;
use crate::session::hook::Stage;
use crate::session::intake::{Sessions, dead, expecting, expiry};
use crate::session::policy::NotAllowed;
use crate::session::request::{CertificateRequest, RequestKey};
use crate::session::state::{End, State};

/// What certificates have besides names and key.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CertificateSettings {
    /// The validity in days.
    pub days: u32,
    /// The URLs of the OCSP responder.
    pub ocsp_urls: Vec<String>,
    /// The URLs of the issuer's certificate.
    pub ca_issuers_urls: Vec<String>,
    /// The URLs of the issuer's certificate revocation list.
    pub crl_urls: Vec<String>,
}

impl Default for CertificateSettings {
    fn default() -> Self {
        CertificateSettings { days: 90, ocsp_urls: Vec::new(), ca_issuers_urls: Vec::new(), crl_urls: Vec::new() }
    }
}

/// Signs the certificate of a session whose names are all satisfied.
///
/// Serial number and validity were recorded with the order, so however often this runs, it makes one certificate. Nobody gets it
/// before it is in the ledger.
#[derive(Debug)]
pub struct Issue {
    sessions: Sessions,
    authority: Authority,
    settings: Arc<CertificateSettings>,
}

impl Issue {
    /// The daemon of these sessions, whose certificates this authority signs.
    #[must_use]
    pub fn new(sessions: Sessions, authority: Authority, settings: CertificateSettings) -> Self {
        Issue { sessions, authority, settings: Arc::new(settings) }
    }

    fn profile(&self, request: &CertificateRequest, session: &Session) -> Result<Profile, Damaged> {
        let serial = session.serial.clone().ok_or_else(|| Damaged::new("serial", "missing"))?;
        let ordered_at = session.ordered_at.ok_or_else(|| Damaged::new("ordered", "missing"))?;
        let settings = &self.settings;
        // Valid from a minute before the order, for clients with a slow clock, and never longer than the issuer.
        let end = (ordered_at + i64::from(settings.days) * DAY - 1).min(self.authority.not_after());
        let common_name = session.names.first().filter(|name| name.len() <= 64).cloned();
        let mut profile = Profile::server("")
            .subject(common_name.map(|name| (NameAttribute::CommonName, name)))
            .names(request.names.iter().cloned())
            .serial(serial)
            .valid_between(ordered_at - 60, end)
            .must_staple(request.must_staple);
        for url in &settings.ocsp_urls {
            profile = profile.ocsp_url(url);
        }
        for url in &settings.ca_issuers_urls {
            profile = profile.ca_issuers_url(url);
        }
        for url in &settings.crl_urls {
            profile = profile.crl_url(url);
        }
        Ok(profile)
    }
}

#[async_trait]
impl Daemon for Issue {
    fn queue(&self) -> Queue {
        Queue::from(State::Issue.as_str())
    }

    async fn work(&self, session: &Session) -> Result<Option<Work>, Failure> {
        if session.state != State::Issue {
            return Ok(None);
        }
        let request = CertificateRequest::read(session.csr.as_bytes(), usize::MAX);
        let request = request.map_err(|_| Damaged::new("csr", "no certificate request"))?;
        // The policy may have changed since the session was made, and what is in the store is not trusted blindly.
        let is_proved = session.is_satisfied() && request.name_texts() == session.names;
        let refusal = if is_proved {
            let (id, client) = (Some(session.id.as_str()), session.client.as_str());
            match self.sessions.policy.decide(Stage::Issue, &request, id, client).await {
                Ok(()) => None,
                Err(NotAllowed::Refused(refusal)) => Some(refusal.to_string()),
                Err(NotAllowed::NoAnswer(error)) => return Err(error.into()),
            }
        } else {
            Some("a name is not proved".to_owned())
        };
        if let Some(reason) = refusal {
            let keep = expiry(&session.id, self.sessions.limits.keep_dead);
            return Ok(Some(Work::new(dead(session, End::Failed, &reason)).put(keep)));
        }
        let is_rsa = matches!(request.key, RequestKey::Rsa { .. });
        let profile = self.profile(&request, session)?;
        let certificate = self.authority.sign_request(&profile, &request.public_key, is_rsa)?;
        let record = expecting(session, State::Done).field("cert", pem::certificate(&certificate));
        let done = Task::new(State::Done.as_str().into(), session.id.subject());
        Ok(Some(Work::new(record).put(done).put(expiry(&session.id, self.sessions.limits.keep))))
    }
}
