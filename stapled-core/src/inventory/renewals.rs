//! The renewer's part of the inventory: staples and the standing of certificates.

use std::sync::Arc;

use super::certificate_record::CertificateRecord;
use super::disowned::Disowned;
use super::renewal_memory::RenewalMemory;
use super::sink_set::SinkSet;
use super::standing::Standing;
use super::state::Inventory;
use crate::chain::CertChain;
use crate::ocsp::CertStatus;
use crate::staple::Staple;
use crate::task::Subject;
use crate::time::Timestamp;

/// A staple from an earlier run.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) staple: Arc<Staple>,
    pub(crate) memory: RenewalMemory,
    /// When it is renewed.
    pub(crate) renew_at: Timestamp,
    /// Since when the certificate has been good, if known.
    pub(crate) since: Option<Timestamp>,
}

/// The renewer's view of a certificate.
#[derive(Clone, Debug)]
pub(crate) struct CertificateView {
    pub(crate) chain: Arc<CertChain>,
    pub(crate) first_seen: Timestamp,
    pub(crate) staple: Option<Arc<Staple>>,
    pub(crate) standing: Standing,
    /// When its CA is asked next, if that is planned.
    pub(crate) next: Option<Timestamp>,
    /// thisUpdate of the newest response by which the CA disowned the certificate. No older response makes it good
    /// again.
    pub(crate) disowned: Option<Timestamp>,
    /// Whether the request must bypass caches, because a client asked for the CA's present answer.
    pub(crate) wants_fresh: bool,
    /// How many times the renewal was put off since the last request, each time because the clock was set.
    pub(crate) put_off: u8,
    pub(crate) memory: RenewalMemory,
    pub(crate) sinks: SinkSet,
    /// Whether no place holds the certificate any more.
    pub(crate) retired: bool,
}

/// The certificates to check after the clock was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recheck {
    /// All certificates: a long jump may have spoilt judgements and plans.
    All,
    /// The certificates that seem to have expired.
    Expired,
}

impl Inventory {
    /// The view of a certificate, if the task was made for its present generation.
    pub(crate) fn certificate(&self, subject: &Subject, generation: u64) -> Option<CertificateView> {
        let known = self.known();
        let entry = known.certificates.get(subject).filter(|entry| entry.generation == generation)?;
        Some(CertificateView {
            chain: Arc::clone(&entry.chain),
            first_seen: entry.first_seen,
            staple: entry.staple.clone(),
            standing: Standing::clone(&entry.standing),
            next: entry.next,
            disowned: entry.disowned.map(Disowned::this_update),
            put_off: entry.put_off,
            wants_fresh: entry.unconfirmed || entry.questions().is_open(),
            memory: entry.memory.clone(),
            sinks: self.sinks_of_entry(entry),
            retired: entry.places.is_empty(),
        })
    }

    /// The certificates to check after the clock was set. Each comes with its generation and whether a client waits for
    /// its CA's answer.
    pub(crate) fn rechecks(&self, which: Recheck) -> Vec<(Arc<CertChain>, u64, bool)> {
        let known = self.known();
        let is_concerned = |entry: &CertificateRecord| match which {
            Recheck::All => true,
            Recheck::Expired => *entry.standing == Standing::Expired,
        };
        let with_urgency = known.certificates.values().filter(|entry| is_concerned(entry)).map(|entry| {
            let is_urgent = entry.unconfirmed || entry.questions().is_open();
            (Arc::clone(&entry.chain), entry.generation, is_urgent)
        });
        let mut certificates: Vec<_> = with_urgency.collect();
        drop(known);
        // In the order of first sight, so that a run can be repeated.
        certificates.sort_unstable_by_key(|(_, generation, _)| *generation);
        certificates
    }

    // Methods that change a certificate's standing return the sinks to bring up to date. The set is read after the
    // change, since the certificate may have come to another place, with other sinks, while its CA was asked.

    /// Stores a certificate's staple and the time of its renewal. Also returns whether the staple differs from the
    /// former one.
    pub(crate) fn set_staple(
        &self,
        staple: Arc<Staple>,
        memory: RenewalMemory,
        next: Timestamp,
        now: Timestamp,
    ) -> (bool, SinkSet) {
        let mut known = self.change();
        let Some(entry) = known.certificates.get_mut(staple.chain().subject()) else { return Default::default() };
        let changed = entry.staple.as_ref() != Some(&staple);
        if changed {
            entry.staple = Some(staple);
        }
        entry.renewed = memory.asked_at.or(Some(now));
        entry.memory = memory;
        entry.disowned = entry.disowned.map(Disowned::undone);
        entry.unconfirmed = false;
        entry.change_questions(|questions| questions.in_vain = false);
        entry.put_off = 0;
        entry.next = Some(next);
        entry.set_standing(Standing::Good, now);
        if let Some(past) = &mut entry.past {
            past.is_over();
        }
        let subject = entry.chain.subject().clone();
        let sinks = self.sinks_of_entry(entry);
        known.inherited.remove(&subject);
        (changed, sinks)
    }

    /// Stores a staple that a sink has kept, if the certificate still needs one. Returns `None` otherwise.
    pub(crate) fn adopt(&self, kept: Kept, now: Timestamp) -> Option<SinkSet> {
        let mut known = self.known();
        let entry = known.certificates.get_mut(kept.staple.chain().subject())?;
        if entry.staple.is_some() || entry.disowned.is_some_and(|disowned| disowned.forbids(&kept.staple)) {
            return None;
        }
        // Another process asked for the staple, at a time that is not known.
        entry.renewed = entry.renewed.or(Some(kept.staple.this_update()));
        entry.staple = Some(kept.staple);
        entry.memory = kept.memory;
        entry.next = Some(kept.renew_at);
        entry.set_standing(Standing::Good, now);
        entry.since = kept.since.unwrap_or(entry.since).min(now);
        let subject = entry.chain.subject().clone();
        let sinks = self.sinks_of_entry(entry);
        known.inherited.remove(&subject);
        Some(sinks)
    }

    /// Records when the responder was asked for the newest answer about a certificate.
    pub(crate) fn set_asked_at(&self, subject: &Subject, asked_at: Timestamp) {
        if let Some(entry) = self.known().certificates.get_mut(subject) {
            entry.memory.asked_at = Some(asked_at);
        }
    }

    /// Records that the renewal of a certificate was put off because the clock was set.
    pub(crate) fn put_off(&self, subject: &Subject) {
        if let Some(entry) = self.known().certificates.get_mut(subject) {
            entry.put_off = entry.put_off.saturating_add(1);
        }
    }

    /// Records that the CA has disowned a certificate in a response with this thisUpdate. Drops the staple.
    pub(crate) fn disown(
        &self,
        subject: &Subject,
        status: CertStatus,
        this_update: Timestamp,
        next: Timestamp,
        now: Timestamp,
    ) -> SinkSet {
        let mut known = self.known();
        if let Some(entry) = known.certificates.get_mut(subject) {
            entry.disowned = Some(Disowned::by_answer_of(this_update, entry.disowned));
            entry.unconfirmed = false;
        }
        drop(known);
        self.set_standing(subject, Standing::Revoked { status }, Some(next), now)
    }

    /// Restores a certificate that seemed to have expired while the clock was wrong. If its staple has not ended, the
    /// staple is good again.
    pub(crate) fn revive(&self, subject: &Subject, now: Timestamp) -> SinkSet {
        let mut known = self.known();
        let Some(entry) = known.certificates.get_mut(subject) else { return SinkSet::default() };
        entry.set_standing(entry.standing_within_validity(now), now);
        self.sinks_of_entry(entry)
    }

    /// Records a certificate's standing without a new staple. The present staple stays, unless the CA has disowned the
    /// certificate.
    pub(crate) fn set_standing(
        &self,
        subject: &Subject,
        standing: Standing,
        next: Option<Timestamp>,
        now: Timestamp,
    ) -> SinkSet {
        let mut known = self.change();
        let Some(entry) = known.certificates.get_mut(subject) else { return SinkSet::default() };
        // An expired certificate keeps its staple: the clock may be wrong.
        if matches!(standing, Standing::Revoked { .. }) {
            entry.staple = None;
            entry.memory = RenewalMemory { asked_at: entry.memory.asked_at, ..RenewalMemory::default() };
        }
        // The renewer sets this again if the request brought no believed answer.
        entry.change_questions(|questions| questions.in_vain = false);
        entry.next = next;
        entry.set_standing(standing, now);
        let sinks = self.sinks_of_entry(entry);
        known.inherited.remove(subject);
        sinks
    }
}
