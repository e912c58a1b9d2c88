//! The facts of a judged answer that sharing needs.

use std::time::Duration;

use bytes::Bytes;
use stapled_core::chain::CertChain;
use stapled_core::ocsp::CertStatus;
use stapled_core::staple::{Judge, JudgePolicy};
use stapled_core::time::Timestamp;

/// How long a revocation without nextUpdate is shared.
const WITHOUT_END: Duration = Duration::from_secs(3600);

/// The facts of an answer that was judged good or revoked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Believed {
    is_revoked: bool,
    this_update: Timestamp,
    /// The end of its use.
    pub(super) until: Timestamp,
}

impl Believed {
    /// The facts of a response about the end-entity certificate of a chain. `None`: it is refused, over, or says nothing that
    /// others can use.
    pub(super) fn of(chain: &CertChain, response: Bytes, policy: &JudgePolicy, now: Timestamp) -> Option<Self> {
        let judgement = Judge::new(chain).at(now).policy(policy).judge(response).ok()?;
        let until = match (judgement.status, judgement.staple()) {
            (CertStatus::Good, Some(staple)) => staple.expires(),
            (CertStatus::Revoked { .. }, _) => judgement.facts.next_update.unwrap_or(now + WITHOUT_END),
            _ => return None,
        };
        let is_revoked = judgement.status != CertStatus::Good;
        (until > now).then_some(Believed { is_revoked, this_update: judgement.facts.this_update, until })
    }

    /// Whether this answer counts and not the other one: it is newer, or it says revoked at the same time.
    pub(super) fn outdates(&self, other: &Believed) -> bool {
        (self.this_update, self.is_revoked) > (other.this_update, other.is_revoked)
    }
}
