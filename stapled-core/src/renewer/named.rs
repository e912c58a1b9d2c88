//! Asks about a certificate of which only the issuer and the serial number are known, within the same limits of responders and
//! with the same judgement as renewals.

use crate::asking::attempt::Attempt;
use crate::asking::{Asking, Caches};
use crate::chain::named::NamedCertificate;
use crate::ocsp::{CertIdHash, CertStatus};
use crate::refresh::inputs::{Received, Spread, Usable};
use crate::staple::Judgement;
use crate::staple::named::NamedStaple;
use crate::time::Timestamp;

use super::ask::Refused;
use super::parts::Renewer;

/// The result of asking about such a certificate.
#[derive(Debug)]
pub(crate) enum NamedAnswer {
    /// The certificate is good.
    Good {
        /// The response.
        staple: Box<NamedStaple>,
        /// When to ask again.
        renew_at: Timestamp,
        /// When the responder was asked.
        asked_at: Timestamp,
    },
    /// The certificate was revoked, by a response of this thisUpdate.
    Revoked { this_update: Timestamp },
    /// The responder says that it does not know the certificate.
    NotKnown,
    /// No responder gave an answer that is believed.
    NoAnswer,
}

impl Renewer {
    /// Asks these responders, in their order, until an answer is believed.
    pub(crate) async fn ask_named(
        &self,
        certificate: &NamedCertificate,
        hash: CertIdHash,
        urls: &[String],
    ) -> NamedAnswer {
        let asking = Asking::of_named(certificate, hash)
            .clock(self.journal.clock.as_ref())
            .judge_policy(self.judging)
            .nonces(self.nonces)
            .caches(Caches::Allowed);
        let mut is_not_known = false;
        for url in urls {
            match self.ask_responder(&asking, url, None).await {
                Ok((attempt, _)) => return self.named_answer(attempt),
                Err(Refused { not_known, .. }) => is_not_known |= not_known,
            }
        }
        if is_not_known { NamedAnswer::NotKnown } else { NamedAnswer::NoAnswer }
    }

    fn named_answer(&self, attempt: Attempt) -> NamedAnswer {
        let now = attempt.at;
        let Some((answer, Ok(judgement))) = attempt.answer else { return NamedAnswer::NoAnswer };
        let Judgement { status, ref facts, .. } = judgement;
        let usable = Usable { from: facts.this_update, until: facts.expires() };
        if let CertStatus::Revoked { .. } = status {
            return NamedAnswer::Revoked { this_update: usable.from };
        }
        let Some(staple) = judgement.into_named_staple() else { return NamedAnswer::NoAnswer };
        let cached_until = answer.max_age.map(|max_age| now + max_age).or(answer.expires);
        let received = Received::at(now).age(answer.age).cached_until(cached_until);
        let renew_at = self.refresh.renew_at(usable, received, Spread::Jitter, self.chance.draw());
        NamedAnswer::Good { staple: Box::new(staple), renew_at, asked_at: received.asked_at() }
    }
}
