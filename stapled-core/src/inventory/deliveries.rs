//! What the sinks have of each certificate: the adder's part of the inventory.

use std::collections::HashSet;
use std::sync::Arc;

use super::inherited::Inherited;
use super::{DeliveryState, Inventory, SinkNumber, Standing, Ticket};
use crate::chain::CertChain;
use crate::event::About;
use crate::sink::Site;
use crate::staple::Staple;
use crate::task::Subject;
use crate::time::Timestamp;

/// What a sink has of a certificate.
#[derive(Clone, Debug, Default)]
pub(crate) struct Delivery {
    /// What the server is known to serve, and for which sites.
    pub(crate) served: Option<(Arc<Staple>, Vec<Site>)>,
    /// What it may serve besides: deliveries that were begun, and of which nobody knows how they ended.
    pub(crate) begun: Option<Begun>,
    pub(crate) state: DeliveryState,
    /// When it is tried again.
    pub(crate) again: Option<Timestamp>,
    /// Since when it stands so; the inventory's to say.
    pub(crate) since: Option<Timestamp>,
    /// The question to the CA whose answer the server was last brought in line with.
    pub(crate) follows: Ticket,
}

/// Deliveries that may have succeeded although nobody said so.
#[derive(Clone, Debug)]
pub(crate) struct Begun {
    pub(crate) sites: Vec<Site>,
    /// The earliest end of their staples.
    pub(crate) ends: Timestamp,
}

/// A certificate as one sink is to have it.
#[derive(Clone, Debug)]
pub(crate) struct DeliveryView {
    pub(crate) chain: Arc<CertChain>,
    pub(crate) about: Arc<About>,
    pub(crate) staple: Option<Arc<Staple>>,
    pub(crate) standing: Standing,
    pub(crate) since: Timestamp,
    /// When its CA is asked next.
    pub(crate) next: Option<Timestamp>,
    /// Where it lies, as far as this sink is bound to it; empty when it does no more.
    pub(crate) sites: Vec<Site>,
    pub(crate) delivery: Delivery,
    /// How many times the sink had lost something when this was seen.
    pub(crate) losses: u64,
    /// Whether nothing is to be brought back until the CA was heard: somebody took the staple out of service.
    pub(crate) unconfirmed: bool,
    /// The question about the certificate that was answered last.
    pub(crate) answered: Ticket,
}

impl DeliveryView {
    /// Whether the server is known to serve just this, for all of its sites.
    pub(crate) fn has(&self, staple: &Arc<Staple>) -> bool {
        let served = self.delivery.served.as_ref().filter(|_| self.delivery.begun.is_none());
        served.is_some_and(|(served, sites)| served == staple && *sites == self.sites)
    }
}

impl Delivery {
    /// A server that is known to serve this.
    pub(crate) fn new(served: Option<(Arc<Staple>, Vec<Site>)>, state: DeliveryState) -> Self {
        Delivery { served, state, ..Delivery::default() }
    }

    /// The same, tried again at this time.
    pub(crate) fn again(self, at: Timestamp) -> Self {
        Delivery { again: Some(at), ..self }
    }

    /// A server that serves nothing, as far as is known.
    pub(crate) fn of_nothing(state: DeliveryState) -> Self {
        Delivery { state, ..Delivery::default() }
    }

    /// Whether the server is known to serve this staple.
    pub(crate) fn has(&self, staple: Option<&Arc<Staple>>) -> bool {
        self.served.as_ref().is_some_and(|(served, _)| Some(served) == staple)
    }

    /// Whether the server may serve something.
    pub(crate) fn may_serve(&self) -> bool {
        self.served.is_some() || self.begun.is_some()
    }

    /// The earliest end of what it may serve.
    pub(crate) fn ends(&self) -> Option<Timestamp> {
        let served = self.served.iter().map(|(staple, _)| staple.expires());
        served.chain(self.begun.iter().map(|begun| begun.ends)).min()
    }

    /// All sites for which it may serve something.
    pub(crate) fn sites(&self) -> Vec<Site> {
        let served = self.served.iter().flat_map(|(_, sites)| sites);
        union(served.chain(self.begun.iter().flat_map(|begun| &begun.sites)))
    }

    /// The same, when it is not known any more whether what was served still is.
    pub(crate) fn in_doubt(&self) -> Delivery {
        let begun = match &self.served {
            Some((staple, sites)) => Some(self.begin(staple, sites)),
            None => self.begun.clone(),
        };
        Delivery { served: None, begun, ..self.clone() }
    }

    /// What may be served besides once another delivery has begun.
    pub(crate) fn begin(&self, staple: &Staple, sites: &[Site]) -> Begun {
        match &self.begun {
            Some(begun) => {
                Begun { sites: union(begun.sites.iter().chain(sites)), ends: begun.ends.min(staple.expires()) }
            }
            None => Begun { sites: sites.to_vec(), ends: staple.expires() },
        }
    }
}

fn union<'a>(sites: impl Iterator<Item = &'a Site>) -> Vec<Site> {
    let mut all: Vec<Site> = Vec::new();
    for site in sites {
        if !all.contains(site) {
            all.push(site.clone());
        }
    }
    all
}

impl Inventory {
    /// A certificate as one sink is to have it now, whichever of its states the task was made for: bringing a sink in
    /// line is right at any time.
    pub(crate) fn delivery(&self, subject: &Subject, sink: SinkNumber) -> Option<DeliveryView> {
        let mut known = self.known();
        let losses = known.losses.get(&sink).copied().unwrap_or_default();
        let entry = known.certificates.get_mut(subject)?;
        entry.in_hand.insert(sink);
        let sites = entry
            .places
            .values()
            .filter(|(source, _)| self.sinks_of.get(*source).is_some_and(|sinks| sinks.contains(&sink)))
            .map(|(_, site)| site.clone())
            .collect();
        Some(DeliveryView {
            chain: Arc::clone(&entry.chain),
            about: Arc::clone(&entry.about),
            staple: entry.staple.clone(),
            standing: entry.standing.clone(),
            since: entry.since,
            next: entry.next,
            sites,
            delivery: entry.deliveries.get(&sink).cloned().unwrap_or_default(),
            losses,
            unconfirmed: entry.unconfirmed,
            answered: entry.questions.answered,
        })
    }

    /// Notes what a server may have from now on, whatever becomes of whoever delivers or withdraws.
    pub(crate) fn begin_delivery(&self, subject: &Subject, sink: SinkNumber, delivery: Delivery) {
        if let Some(entry) = self.known().certificates.get_mut(subject) {
            entry.deliveries.insert(sink, delivery);
        }
    }

    /// Notes what a sink has now; `losses` is what the view said with which the work began. Returns whether the sink has
    /// lost something since, so that it may not have it after all. A retired certificate of which no sink has anything,
    /// or may be getting something now, is forgotten.
    pub(crate) fn set_delivery(
        &self,
        subject: &Subject,
        sink: SinkNumber,
        losses: u64,
        mut delivery: Delivery,
        now: Timestamp,
    ) -> bool {
        let _told = self.tell_when_done();
        let mut known = self.known();
        let lost = known.losses.get(&sink).copied().unwrap_or_default() != losses;
        let Some(entry) = known.certificates.get_mut(subject) else { return false };
        entry.in_hand.remove(&sink);
        if lost && delivery.may_serve() {
            entry.deliveries.insert(sink, Delivery { since: Some(now), ..delivery.in_doubt() });
            return true;
        }
        let before = entry.deliveries.get(&sink);
        let is_same = |state: &DeliveryState| std::mem::discriminant(state) == std::mem::discriminant(&delivery.state);
        let since = before.filter(|before| is_same(&before.state)).and_then(|before| before.since);
        delivery.since = since.or(Some(now));
        entry.deliveries.insert(sink, delivery);
        let nobody_has_it = !entry.deliveries.values().any(Delivery::may_serve);
        if entry.places.is_empty() && nobody_has_it && entry.in_hand.is_empty() {
            let departed = Inherited::of_departed(entry);
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

    /// The clock was set, and now is this. What was withdrawn at a later time, by the clock as it was then, may be in
    /// service all the same: servers were told until when. Returns the certificates, with their generations, that the
    /// sinks are to look at.
    pub(crate) fn doubt_withdrawals_after(&self, now: Timestamp) -> Vec<(SinkNumber, Subject, u64)> {
        let mut doubtful = Vec::new();
        let mut known = self.known();
        for (subject, entry) in &mut known.certificates {
            for (sink, delivery) in &mut entry.deliveries {
                let is_withdrawn = matches!(delivery.state, DeliveryState::Withdrawn | DeliveryState::Failed { .. });
                if !is_withdrawn || delivery.may_serve() || delivery.since.is_none_or(|since| since <= now) {
                    continue;
                }
                let serves = |source: &usize| self.sinks_of.get(*source).is_some_and(|sinks| sinks.contains(sink));
                let sites = entry.places.values().filter(|(source, _)| serves(source)).map(|(_, site)| site.clone());
                let begun = Begun { sites: sites.collect(), ends: Timestamp::MIN };
                *delivery = Delivery { begun: Some(begun), since: Some(now), ..Delivery::default() };
                doubtful.push((*sink, subject.clone(), entry.generation));
            }
        }
        doubtful.sort_unstable_by_key(|(sink, _, generation)| (*sink, *generation));
        doubtful
    }

    /// Notes that a server has lost its staples: of all certificates, or of these. Returns the certificates, with their
    /// generations, that it gets again.
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
            if subjects.is_none() && matches!(entry.standing, Standing::Revoked { .. }) {
                // The server may have read again what was withdrawn from it.
                *delivery = Delivery { since: Some(now), ..Delivery::default() };
                lost.push((subject.clone(), entry.generation));
                continue;
            }
            if !delivery.may_serve() {
                continue;
            }
            if subjects.as_ref().is_none_or(|subjects| subjects.contains(subject)) {
                let may_serve = if subjects.is_none() { None } else { delivery.in_doubt().begun };
                *delivery = Delivery { begun: may_serve, since: Some(now), ..Delivery::default() };
                lost.push((subject.clone(), entry.generation));
            }
        }
        // In the order of their first sight, so that a run can be repeated.
        lost.sort_unstable_by_key(|(_, generation)| *generation);
        lost
    }
}
