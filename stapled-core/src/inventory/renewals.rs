//! Staples, and how certificates stand: the renewer's part of the inventory.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use super::disowned::Disowned;
use super::{Inventory, SinkNumber, Standing};
use crate::chain::CertChain;
use crate::event::About;
use crate::ocsp::CertStatus;
use crate::staple::Staple;
use crate::task::Subject;
use crate::time::Timestamp;

/// What the renewer remembers of the last answer about a certificate.
#[derive(Clone, Debug, Default)]
pub(crate) struct RenewalMemory {
    /// The URL that answered.
    pub(crate) url: Option<String>,
    /// The validator of its answer.
    pub(crate) validator: Option<Validator>,
}

/// A validator (RFC 9110 §8.8.3), and what it is of: one answer to one question.
#[derive(Clone, Debug)]
pub(crate) struct Validator {
    pub(crate) etag: String,
    /// The URL that was asked by GET.
    pub(crate) url: String,
    /// The request in it.
    pub(crate) request: Bytes,
    /// The response that was answered, as the staple of it has it.
    pub(crate) response: Bytes,
}

impl Validator {
    /// Whether it is of the answer that is held, if the same URL is asked the same.
    pub(crate) fn is_of(&self, url: &str, request: &[u8], held: &Staple) -> bool {
        self.url == url && self.request == request && self.response == held.response()
    }
}

/// A staple from before.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) staple: Arc<Staple>,
    pub(crate) memory: RenewalMemory,
    /// When it is renewed.
    pub(crate) renew_at: Timestamp,
    /// Since when all is well with the certificate, where that is known.
    pub(crate) since: Option<Timestamp>,
}

/// A certificate, for the renewer.
#[derive(Clone, Debug)]
pub(crate) struct CertificateView {
    pub(crate) chain: Arc<CertChain>,
    pub(crate) about: Arc<About>,
    pub(crate) first_seen: Timestamp,
    pub(crate) staple: Option<Arc<Staple>>,
    pub(crate) standing: Standing,
    /// When its CA is asked next, as far as that was planned.
    pub(crate) next: Option<Timestamp>,
    /// thisUpdate of the newest answer by which the CA disowned it: nothing older makes it good again.
    pub(crate) disowned: Option<Timestamp>,
    /// Whether the CA is to be asked past every cache: somebody wants to know what it says now.
    pub(crate) wants_fresh: bool,
    /// How often its renewal was put off since it was asked for last, each time since the clock was set.
    pub(crate) put_off: u8,
    pub(crate) memory: RenewalMemory,
    pub(crate) sinks: BTreeSet<SinkNumber>,
    /// Whether it lies nowhere any more.
    pub(crate) retired: bool,
}

impl Inventory {
    /// A certificate, if the task was made for its present state.
    pub(crate) fn certificate(&self, subject: &Subject, generation: u64) -> Option<CertificateView> {
        let known = self.known();
        let entry = known.certificates.get(subject).filter(|entry| entry.generation == generation)?;
        Some(CertificateView {
            chain: Arc::clone(&entry.chain),
            about: Arc::clone(&entry.about),
            first_seen: entry.first_seen,
            staple: entry.staple.clone(),
            standing: entry.standing.clone(),
            next: entry.next,
            disowned: entry.disowned.map(Disowned::this_update),
            put_off: entry.put_off,
            wants_fresh: entry.unconfirmed || entry.questions.is_open(),
            memory: entry.memory.clone(),
            sinks: self.sinks_of_entry(entry),
            retired: entry.places.is_empty(),
        })
    }

    /// The certificates that are to be looked at after the clock was set, with their generations, and whether somebody
    /// waits for their CA's word: all, or those that seem to have expired.
    pub(crate) fn after_the_clock_was_set(&self, all: bool) -> Vec<(Arc<CertChain>, u64, bool)> {
        let known = self.known();
        let concerned = known.certificates.values().filter(|entry| all || entry.standing == Standing::Expired);
        let with_urgency = concerned.map(|entry| {
            let is_urgent = entry.unconfirmed || entry.questions.asked > entry.questions.answered;
            (Arc::clone(&entry.chain), entry.generation, is_urgent)
        });
        let mut certificates: Vec<_> = with_urgency.collect();
        drop(known);
        // In the order of their first sight, so that a run can be repeated.
        certificates.sort_unstable_by_key(|(_, generation, _)| *generation);
        certificates
    }

    // What changes how a certificate stands returns the sinks to bring in line: those that it has at that moment, since
    // it may have come to another place, with other sinks, while its CA was asked.

    /// A staple for a certificate, and when it is renewed. Returns whether it differs from the one held before, too.
    pub(crate) fn set_staple(
        &self,
        staple: Arc<Staple>,
        memory: RenewalMemory,
        next: Timestamp,
        now: Timestamp,
    ) -> (bool, BTreeSet<SinkNumber>) {
        let _told = self.tell_when_done();
        let mut known = self.known();
        let Some(entry) = known.certificates.get_mut(staple.chain().subject()) else { return Default::default() };
        let changed = entry.staple.as_ref() != Some(&staple);
        if changed {
            entry.staple = Some(staple);
        }
        entry.memory = memory;
        entry.disowned = entry.disowned.map(Disowned::undone);
        entry.unconfirmed = false;
        entry.questions.in_vain = false;
        entry.put_off = 0;
        entry.next = Some(next);
        entry.set_standing(Standing::Good, now);
        let subject = entry.chain.subject().clone();
        let sinks = self.sinks_of_entry(entry);
        known.inherited.remove(&subject);
        (changed, sinks)
    }

    /// A staple that was kept from before, if there is still need of one; otherwise nothing is returned.
    pub(crate) fn adopt(&self, kept: Kept, now: Timestamp) -> Option<BTreeSet<SinkNumber>> {
        let mut known = self.known();
        let entry = known.certificates.get_mut(kept.staple.chain().subject())?;
        if entry.staple.is_some() || entry.disowned.is_some_and(|disowned| disowned.forbids(&kept.staple)) {
            return None;
        }
        entry.staple = Some(kept.staple);
        entry.memory = kept.memory;
        entry.next = Some(kept.renew_at);
        entry.set_standing(Standing::Good, now);
        entry.since = kept.since.unwrap_or(entry.since);
        let subject = entry.chain.subject().clone();
        let sinks = self.sinks_of_entry(entry);
        known.inherited.remove(&subject);
        Some(sinks)
    }

    /// Notes that the renewal of a certificate was put off since the clock was set.
    pub(crate) fn put_off(&self, subject: &Subject) {
        if let Some(entry) = self.known().certificates.get_mut(subject) {
            entry.put_off = entry.put_off.saturating_add(1);
        }
    }

    /// Notes that the CA has disowned a certificate, by an answer of this thisUpdate. The staple is dropped.
    pub(crate) fn disown(
        &self,
        subject: &Subject,
        status: CertStatus,
        this_update: Timestamp,
        next: Timestamp,
        now: Timestamp,
    ) -> BTreeSet<SinkNumber> {
        let mut known = self.known();
        if let Some(entry) = known.certificates.get_mut(subject) {
            entry.disowned = Some(Disowned::by_answer_of(this_update, entry.disowned));
            entry.unconfirmed = false;
        }
        drop(known);
        self.set_standing(subject, Standing::Revoked { status }, Some(next), now)
    }

    /// A certificate seemed to have expired and has not: the clock was wrong. Its staple is good again, if it has one that
    /// is not over.
    pub(crate) fn revive(&self, subject: &Subject, now: Timestamp) -> BTreeSet<SinkNumber> {
        let mut known = self.known();
        let Some(entry) = known.certificates.get_mut(subject) else { return BTreeSet::new() };
        entry.set_standing(entry.standing_within_validity(now), now);
        self.sinks_of_entry(entry)
    }

    /// How a certificate stands without a new staple: the one held stays, unless the CA has disowned it.
    pub(crate) fn set_standing(
        &self,
        subject: &Subject,
        standing: Standing,
        next: Option<Timestamp>,
        now: Timestamp,
    ) -> BTreeSet<SinkNumber> {
        let _told = self.tell_when_done();
        let mut known = self.known();
        let Some(entry) = known.certificates.get_mut(subject) else { return BTreeSet::new() };
        // That of one that has expired stays: the clock may be wrong.
        if matches!(standing, Standing::Revoked { .. }) {
            entry.staple = None;
            entry.memory = RenewalMemory::default();
        }
        // Unless the renewer says so after this.
        entry.questions.in_vain = false;
        entry.next = next;
        entry.set_standing(standing, now);
        let sinks = self.sinks_of_entry(entry);
        known.inherited.remove(subject);
        sinks
    }
}
