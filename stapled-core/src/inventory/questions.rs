//! Requested renewals, and changes that other clients made at servers.
//!
//! Each request has a ticket. The renewer records the newest ticket that its answer covers. The adder records the
//! ticket that each server has followed. A handle can wait for both.

use std::sync::Arc;
use std::time::Duration;

use super::certificate_record::CertificateRecord;
use super::delivery::{Delivery, SinkNumber};
use super::standing::{CertificateStatus, DeliveryState, Standing};
use super::state::Inventory;
use super::ticket::Ticket;
use crate::chain::CertChain;
use crate::event::About;
use crate::staple::Staple;
use crate::task::Subject;
use crate::time::Timestamp;

/// A selected certificate.
pub(crate) struct Selected {
    pub(crate) chain: Arc<CertChain>,
    pub(crate) generation: u64,
    pub(crate) about: Arc<About>,
    pub(crate) staple: Option<Arc<Staple>>,
}

/// A change of a staple by another client of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Foreign {
    /// The client took the staple out of service.
    Withdrawn,
    /// The client put another response in its place.
    Replaced,
}

/// The progress of a request.
#[derive(Debug)]
pub(crate) enum Progress {
    /// The CA has not answered yet, or a delivery has not finished yet.
    Open,
    /// The CA was asked, and every delivery has finished or failed.
    Done(Box<CertificateStatus>),
    /// The CA was asked, and no answer is believed.
    InVain(Box<CertificateStatus>),
    /// The certificate is gone.
    Gone,
}

impl Inventory {
    /// Opens a request about a certificate and returns its ticket; none if its CA must not be asked.
    pub(crate) fn ask(&self, subject: &Subject) -> Option<Ticket> {
        let mut known = self.known();
        let entry = known.certificates.get_mut(subject)?;
        if matches!(*entry.standing, Standing::Retired) {
            return None;
        }
        entry.change_questions(|questions| questions.asked = questions.asked.next());
        Some(entry.questions().asked)
    }

    /// The certificates that want a staple and match `fits`, in the order of their names.
    pub(crate) fn selected(&self, fits: impl Fn(&About, &CertChain) -> bool) -> Vec<Selected> {
        let known = self.known();
        let fitting = known
            .certificates
            .values()
            .filter(|entry| !matches!(*entry.standing, Standing::Retired) && fits(&entry.about(), &entry.chain));
        let select = |entry: &CertificateRecord| Selected {
            chain: Arc::clone(&entry.chain),
            generation: entry.generation,
            about: entry.about(),
            staple: entry.staple.clone(),
        };
        let mut selected: Vec<Selected> = fitting.map(|entry| select(entry)).collect();
        drop(known);
        selected.sort_by(|a, b| (&a.about.name, &a.about.places).cmp(&(&b.about.name, &b.about.places)));
        selected
    }

    /// The ticket of the newest request about a certificate.
    pub(crate) fn asked(&self, subject: &Subject) -> Ticket {
        self.known().certificates.get(subject).map(|entry| entry.questions().asked).unwrap_or_default()
    }

    /// Records that the CA was asked after this request, regardless of the result.
    pub(crate) fn set_answered(&self, subject: &Subject, ticket: Ticket) {
        if let Some(entry) = self.change().certificates.get_mut(subject) {
            entry.change_questions(|questions| questions.answered = questions.answered.max(ticket));
        }
    }

    /// Records that a request about a certificate brought no believed answer.
    pub(crate) fn set_in_vain(&self, subject: &Subject) {
        if let Some(entry) = self.known().certificates.get_mut(subject) {
            entry.change_questions(|questions| questions.in_vain = true);
        }
    }

    /// The progress of a request.
    pub(crate) fn progress(&self, subject: &Subject, ticket: Ticket) -> Progress {
        let known = self.known();
        let Some(entry) = known.certificates.get(subject) else { return Progress::Gone };
        if matches!(*entry.standing, Standing::Retired) {
            return Progress::Gone;
        }
        let is_in_line = |sink: &SinkNumber| {
            let Some(delivery) = entry.deliveries.get(sink) else { return false };
            delivery.follows >= ticket
                || *delivery.state == DeliveryState::Confirmed && delivery.has(entry.staple.as_ref())
        };
        let are_in_line = || self.sinks_of_entry(entry).iter().all(|sink| is_in_line(&sink));
        match entry.questions().answered >= ticket {
            // Without a believed answer, servers receive nothing new.
            true if entry.questions().in_vain => Progress::InVain(Box::new(self.status(&known, entry))),
            true if are_in_line() => Progress::Done(Box::new(self.status(&known, entry))),
            _ => Progress::Open,
        }
    }

    /// Whether everything that was found was tried once: no place and no certificate waits for its first result, and every
    /// delivery was tried.
    pub(crate) fn is_settled(&self) -> bool {
        let known = self.known();
        known.places.values().all(|place| !place.is_pending())
            && known.certificates.values().all(|entry| self.is_tried(entry))
    }

    /// How many certificates were tried once, and how many there are.
    pub(crate) fn tried(&self) -> (usize, usize) {
        let known = self.known();
        (known.certificates.values().filter(|entry| self.is_tried(entry)).count(), known.certificates.len())
    }

    fn is_tried(&self, entry: &CertificateRecord) -> bool {
        let is_tried =
            |delivery: Option<&Delivery>| delivery.is_some_and(|delivery| *delivery.state != DeliveryState::Pending);
        match *entry.standing {
            Standing::Waiting => false,
            Standing::Good => self.sinks_of_entry(entry).iter().all(|sink| is_tried(entry.deliveries.get(&sink))),
            _ => true,
        }
    }

    /// The certificates among these that were delivered to a sink, or were to be delivered, with their generations.
    pub(crate) fn delivered_to<'a>(
        &self,
        sink: SinkNumber,
        subjects: impl Iterator<Item = &'a Subject>,
    ) -> Vec<(Subject, u64)> {
        let known = self.known();
        let entry = |subject: &'a Subject| known.certificates.get(subject).map(|entry| (subject, entry));
        let delivered = subjects.filter_map(entry).filter(|(_, entry)| entry.deliveries.contains_key(&sink));
        let mut delivered: Vec<_> = delivered.map(|(subject, entry)| (subject.clone(), entry.generation)).collect();
        delivered.sort_unstable_by_key(|(_, generation)| *generation);
        delivered
    }

    /// Records that another client changed the staple of a certificate at a sink. A withdrawn staple is delivered to no
    /// server that lacks it until the CA has answered.
    pub(crate) fn set_changed(&self, subject: &Subject, sink: SinkNumber, change: Foreign, now: Timestamp) {
        let mut known = self.known();
        *known.losses.entry(sink).or_default() += 1;
        let Some(entry) = known.certificates.get_mut(subject) else { return };
        entry.unconfirmed |= change == Foreign::Withdrawn;
        entry.deliveries.insert(sink, Delivery { since: Some(now), ..Delivery::default() });
    }

    /// The pause before the CA is asked about a certificate again because of a change: at most one request in this interval.
    pub(crate) fn doubt(&self, subject: &Subject, interval: Duration, now: Timestamp) -> Option<Duration> {
        let mut known = self.known();
        let entry = known.certificates.get_mut(subject)?;
        // A later time was recorded by a clock that was wrong.
        let last = entry.questions().doubted.filter(|last| *last <= now + interval);
        let next = match last {
            Some(planned) if planned > now => planned,
            Some(last) => now.max(last + interval),
            None => now,
        };
        entry.change_questions(|questions| questions.doubted = Some(next));
        Some(next.since(now))
    }
}
