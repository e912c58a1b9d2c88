//! The adder's part of the inventory: the delivery of each certificate's staple to each sink.

use std::collections::HashSet;
use std::sync::Arc;

use super::certificate_record::CertificateRecord;
use super::delivery::{Begun, Delivery, SinkNumber};
use super::place::SourceNumber;
use super::sites::Sites;
use super::standing::{DeliveryState, Standing};
use super::state::{Inventory, Known};
use super::ticket::Ticket;
use crate::chain::CertChain;
use crate::staple::Staple;
use crate::task::Subject;
use crate::time::Timestamp;

/// The target state of a certificate at one sink.
#[derive(Clone, Debug)]
pub(crate) struct DeliveryView {
    pub(crate) chain: Arc<CertChain>,
    pub(crate) staple: Option<Arc<Staple>>,
    pub(crate) standing: Standing,
    pub(crate) since: Timestamp,
    /// When its CA is asked next.
    pub(crate) next: Option<Timestamp>,
    /// The sites of the certificate that this sink serves; empty when it serves none of them any more.
    pub(crate) sites: Sites,
    pub(crate) delivery: Delivery,
    /// Whether clients notice now if this sink lacks the staple.
    pub(crate) is_felt: bool,
    /// How many times the sink had lost staples when this view was made.
    pub(crate) losses: u64,
    /// Whether no staple may be delivered to a server that lacks it until the CA has answered: another client took the
    /// staple out of service.
    pub(crate) unconfirmed: bool,
    /// The newest answered request about the certificate.
    pub(crate) answered: Ticket,
}

impl DeliveryView {
    /// Whether the server is known to serve exactly this staple for all of its sites.
    pub(crate) fn has(&self, staple: &Arc<Staple>) -> bool {
        let served = self.delivery.served.as_ref().filter(|_| self.delivery.begun.is_none());
        served.is_some_and(|(served, sites)| served == staple && *sites == self.sites)
    }
}

impl Inventory {
    /// The target state of a certificate at one sink now, regardless of the generation of the task: it is always
    /// correct to bring a sink up to date.
    pub(crate) fn delivery(&self, subject: &Subject, sink: SinkNumber) -> Option<DeliveryView> {
        let mut known = self.known();
        let losses = known.losses.get(&sink).copied().unwrap_or_default();
        known.certificates.get_mut(subject)?.in_hand.insert(sink, ());
        let entry = known.certificates.get(subject)?;
        let sites = self.sites_at(entry, sink);
        Some(DeliveryView {
            is_felt: self.is_felt(&known, entry, sink),
            chain: Arc::clone(&entry.chain),
            staple: entry.staple.clone(),
            standing: Standing::clone(&entry.standing),
            since: entry.since,
            next: entry.next,
            sites,
            delivery: entry.deliveries.get(&sink).cloned().unwrap_or_default(),
            losses,
            unconfirmed: entry.unconfirmed,
            answered: entry.questions().answered,
        })
    }

    /// Records what a server may serve from now on. The record holds even if the worker that delivers or withdraws is
    /// lost.
    pub(crate) fn begin_delivery(&self, subject: &Subject, sink: SinkNumber, delivery: Delivery) {
        if let Some(entry) = self.known().certificates.get_mut(subject) {
            entry.deliveries.insert(sink, delivery);
        }
    }

    /// Records the state of a delivery. `losses` is the value in the view with which the work began. Returns whether
    /// the sink has lost staples since then, so that it may lack this one. Forgets a retired certificate when no sink
    /// has its staple and no delivery of it is under way.
    pub(crate) fn set_delivery(
        &self,
        subject: &Subject,
        sink: SinkNumber,
        losses: u64,
        delivery: Delivery,
        now: Timestamp,
    ) -> bool {
        let mut known = self.change();
        self.set_in(&mut known, subject, sink, losses, delivery, now)
    }

    /// Records the delivery of a staple that a sink has since before. Returns false, and records nothing, unless the sink should have just
    /// that staple at just these sites, and no delivery was recorded or has begun.
    pub(crate) fn set_first_delivery(
        &self,
        subject: &Subject,
        sink: SinkNumber,
        losses: u64,
        delivery: Delivery,
        now: Timestamp,
    ) -> bool {
        let mut known = self.change();
        let is_right = known.certificates.get(subject).is_some_and(|entry| {
            let is_first = !entry.deliveries.contains_key(&sink);
            let is_good = *entry.standing == Standing::Good && !entry.unconfirmed;
            let has_sites = delivery.served.as_ref().is_some_and(|(_, sites)| *sites == self.sites_at(entry, sink));
            is_first && is_good && has_sites && delivery.has(entry.staple.as_ref())
        });
        is_right && !self.set_in(&mut known, subject, sink, losses, delivery, now)
    }

    /// The sites of a certificate that a sink serves.
    fn sites_at(&self, entry: &CertificateRecord, sink: SinkNumber) -> Sites {
        let serves = |source: &SourceNumber| self.sinks_of.get(*source).is_some_and(|sinks| sinks.contains(&sink));
        entry.places.values().filter(|(source, _)| serves(source)).map(|(_, site)| Arc::clone(site)).collect()
    }

    fn set_in(
        &self,
        known: &mut Known,
        subject: &Subject,
        sink: SinkNumber,
        losses: u64,
        mut delivery: Delivery,
        now: Timestamp,
    ) -> bool {
        let lost = known.losses.get(&sink).copied().unwrap_or_default() != losses;
        let Some(entry) = known.certificates.get_mut(subject) else { return false };
        entry.in_hand.remove(&sink);
        let before = entry.deliveries.get(&sink);
        delivery.delivered = before.and_then(|before| before.delivered);
        if lost && delivery.may_serve() {
            entry.deliveries.insert(sink, Delivery { since: Some(now), ..delivery.in_doubt() });
            return true;
        }
        let is_new = !before.is_some_and(|before| before.has(delivery.served.as_ref().map(|(staple, _)| staple)));
        if is_new && delivery.served.is_some() {
            delivery.delivered = Some(now);
        }
        let is_same = |state: &DeliveryState| std::mem::discriminant(state) == std::mem::discriminant(&*delivery.state);
        let since = before.filter(|before| is_same(&before.state)).and_then(|before| before.since);
        delivery.since = since.or(Some(now));
        // A delivery that began inserted a record already, without a time.
        let is_first = before.is_none_or(|before| before.since.is_none());
        if let Some(past) = entry.past.as_mut().filter(|_| is_first) {
            past.complete(&self.sink_name(sink), &mut delivery);
        }
        entry.deliveries.insert(sink, delivery);
        let no_sink_has_it = !entry.deliveries.values().any(Delivery::may_serve);
        if entry.places.is_empty() && no_sink_has_it && entry.in_hand.is_empty() {
            let departed = entry.departed(|sink| self.sink_name(sink));
            let disowned = entry.disowned.map(|disowned| (disowned, entry.chain.end_entity().not_after()));
            known.certificates.remove(subject);
            if let Some(departed) = departed {
                known.departed.put(subject.clone(), departed, now);
            }
            if let Some((disowned, not_after)) = disowned {
                known.disowned.put(subject.clone(), disowned, not_after, now);
            }
        }
        false
    }

    /// Distrusts withdrawals recorded at a time later than `now`, after the clock was set back. Servers were given the end
    /// of each staple, so such a staple may still be in service. Returns the certificates to deliver again, with their
    /// sinks and generations.
    pub(crate) fn doubt_withdrawals_after(&self, now: Timestamp) -> Vec<(SinkNumber, Subject, u64)> {
        let mut doubtful = Vec::new();
        let mut known = self.known();
        for (subject, entry) in &mut known.certificates {
            for (sink, delivery) in entry.deliveries.iter_mut() {
                let is_withdrawn = matches!(*delivery.state, DeliveryState::Withdrawn | DeliveryState::Failed { .. });
                if !is_withdrawn || delivery.may_serve() || delivery.since.is_none_or(|since| since <= now) {
                    continue;
                }
                let serves = |source: &usize| self.sinks_of.get(*source).is_some_and(|sinks| sinks.contains(sink));
                let sites =
                    entry.places.values().filter(|(source, _)| serves(source)).map(|(_, site)| Arc::clone(site));
                let begun = Begun { sites: sites.collect(), ends: Timestamp::MIN };
                let delivered = delivery.delivered;
                *delivery =
                    Delivery { begun: Some(Box::new(begun)), since: Some(now), delivered, ..Delivery::default() };
                doubtful.push((*sink, subject.clone(), entry.generation));
            }
        }
        doubtful.sort_unstable_by_key(|(sink, _, generation)| (*sink, *generation));
        doubtful
    }

    /// Has deliveries that are recorded later doubt what the sink had until now.
    pub(crate) fn note_change(&self, sink: SinkNumber) {
        *self.known().losses.entry(sink).or_default() += 1;
    }

    /// Records that a server has lost its staples: of all certificates, or of these. Returns the certificates to
    /// deliver again, with their generations.
    pub(crate) fn set_lost(
        &self,
        sink: SinkNumber,
        subjects: Option<&[Subject]>,
        now: Timestamp,
    ) -> Vec<(Subject, u64)> {
        let subjects: Option<HashSet<&Subject>> = subjects.map(|subjects| subjects.iter().collect());
        let mut lost = Vec::new();
        let mut known = self.known();
        *known.losses.entry(sink).or_default() += 1;
        for (subject, entry) in &mut known.certificates {
            let Some(delivery) = entry.deliveries.get_mut(&sink) else { continue };
            if subjects.is_none() && matches!(*entry.standing, Standing::Revoked { .. }) {
                // The server may have reloaded a staple that was withdrawn from it.
                *delivery = Delivery { since: Some(now), delivered: delivery.delivered, ..Delivery::default() };
                lost.push((subject.clone(), entry.generation));
                continue;
            }
            if !delivery.may_serve() {
                continue;
            }
            if subjects.as_ref().is_none_or(|subjects| subjects.contains(subject)) {
                let may_serve = if subjects.is_none() { None } else { delivery.in_doubt().begun };
                let delivered = delivery.delivered;
                *delivery = Delivery { begun: may_serve, since: Some(now), delivered, ..Delivery::default() };
                lost.push((subject.clone(), entry.generation));
            }
        }
        // In the order of first sight, so that a run can be repeated.
        lost.sort_unstable_by_key(|(_, generation)| *generation);
        lost
    }
}
