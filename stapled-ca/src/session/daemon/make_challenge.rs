//! Makes the challenges of a session.

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use stapled_core::task::Queue;

use super::work::{Daemon, Failure, Work};
use crate::clock;
use crate::session::challenge::{Challenge, ChallengeType};
use crate::session::contents::Session;
use crate::session::fields::Damaged;
use crate::session::intake::{Sessions, expecting, expiry};
use crate::session::request::CertificateRequest;
use crate::session::state::State;

/// Makes a challenge of each type for each name. The session then waits for its client: no task follows.
#[derive(Debug)]
pub struct MakeChallenge {
    sessions: Sessions,
}

impl MakeChallenge {
    /// The daemon of these sessions.
    #[must_use]
    pub fn new(sessions: Sessions) -> Self {
        MakeChallenge { sessions }
    }
}

#[async_trait]
impl Daemon for MakeChallenge {
    fn queue(&self) -> Queue {
        Queue::from(State::MakeChallenge.as_str())
    }

    async fn work(&self, session: &Session) -> Result<Option<Work>, Failure> {
        if session.state != State::MakeChallenge {
            return Ok(None);
        }
        let request = CertificateRequest::read(session.csr.as_bytes(), usize::MAX);
        let request = request.map_err(|_| Damaged::new("csr", "no certificate request"))?;
        let (mut record, mut count) = (expecting(session, State::TestChallenge), 0);
        for name in &session.names {
            for kind in [ChallengeType::Http01, ChallengeType::TlsAlpn01] {
                count += 1;
                let challenge = Challenge::new(kind, name, token()?, &request.public_key, clock::now());
                record = record.part(count.to_string(), challenge.fields());
            }
        }
        let record = record.field("challenges", count.to_string());
        Ok(Some(Work::new(record).put(expiry(&session.id, self.sessions.limits.test))))
    }
}

/// A random token: 128 bits in base64url (RFC 8555, 8.1).
fn token() -> Result<String, Failure> {
    let mut octets = [0; 16];
    aws_lc_rs::rand::fill(&mut octets).map_err(|_| Failure::Randomness)?;
    Ok(URL_SAFE_NO_PAD.encode(octets))
}
