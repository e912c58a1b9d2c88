//! The inventory: every place, every certificate, and its state. The only state that the stages share.

mod asked;
mod deliveries;
mod departed;
mod disowned;
mod inherited;
mod issuers;
mod places;
mod questions;
mod renewals;
mod standing;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::chain::CertChain;
use crate::event::About;
use crate::sink::Site;
use crate::source::Sighting;
use crate::staple::Staple;
use crate::task::Subject;
use crate::time::Timestamp;

pub(crate) use deliveries::{Delivery, DeliveryView};
use departed::Departed;
use disowned::{Disowned, DisownedAndGone};
use inherited::Inherited;
use issuers::IssuerPool;
pub(crate) use places::{Displaced, Settled};
use questions::Questions;
pub(crate) use questions::{Progress, Selected, Ticket};
pub(crate) use renewals::{CertificateView, Kept, RenewalMemory, Validator};
pub use standing::{
    CertificateStatus, DeliveryState, DeliveryStatus, PlaceState, PlaceStatus, ProblemStatus, Standing,
};

/// The number of a sink in its stapler.
pub(crate) type SinkNumber = usize;
/// The number of a source in its stapler.
pub(crate) type SourceNumber = usize;

/// Everything that a stapler knows of its certificates.
#[derive(Debug)]
pub struct Inventory {
    /// The sinks that serve the certificates of each source.
    sinks_of: Vec<BTreeSet<SinkNumber>>,
    sink_names: Vec<Arc<str>>,
    known: Mutex<Known>,
    /// Counts the changes that handles wait for: parsed places, answered requests, finished deliveries.
    changes: watch::Sender<u64>,
}

/// Wakes the waiting handles when it is dropped, after the lock of the same scope.
struct Told<'a>(&'a watch::Sender<u64>);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|changes| *changes = changes.wrapping_add(1));
    }
}

#[derive(Debug, Default)]
struct Known {
    /// The places, by location: the subject of the task *parse*.
    places: BTreeMap<Subject, Place>,
    /// The certificates, by the hash of certificate and issuer's key: the subject of the tasks *renew* and *add*.
    certificates: HashMap<Subject, Entry>,
    /// The certificates of another stapler that this one has not found yet.
    inherited: HashMap<Subject, Inherited>,
    /// Certificates that recently left their last place.
    departed: Departed,
    /// Revocations of certificates that are forgotten otherwise.
    disowned: DisownedAndGone,
    issuers: IssuerPool,
    problems: BTreeMap<SourceNumber, Vec<ProblemStatus>>,
    /// How many times each sink has lost staples.
    losses: BTreeMap<SinkNumber, u64>,
    generation: u64,
}

#[derive(Debug)]
struct Place {
    source: SourceNumber,
    sighting: Sighting,
    generation: u64,
    state: PlaceState,
    since: Timestamp,
    /// When the place is read again, if it is read before it changes.
    again: Option<Timestamp>,
    /// The certificate in this place. It stays while the new contents of the place cannot be parsed.
    holds: Option<Subject>,
}

#[derive(Debug)]
struct Entry {
    chain: Arc<CertChain>,
    generation: u64,
    places: BTreeMap<Subject, (SourceNumber, Site)>,
    first_seen: Timestamp,
    staple: Option<Arc<Staple>>,
    standing: Standing,
    since: Timestamp,
    next: Option<Timestamp>,
    memory: RenewalMemory,
    disowned: Option<Disowned>,
    /// Whether another client took the certificate's staple out of service since the CA's last answer.
    unconfirmed: bool,
    /// How many times the renewal was put off since the last request, each time because the clock was set.
    put_off: u8,
    questions: Questions,
    deliveries: BTreeMap<SinkNumber, Delivery>,
    /// The sinks with a running delivery or withdrawal.
    in_hand: BTreeSet<SinkNumber>,
    about: Arc<About>,
}

impl Inventory {
    /// An empty inventory. `sinks_of` has, for each source, the sinks that serve its certificates.
    pub(crate) fn new(sinks_of: Vec<BTreeSet<SinkNumber>>, sink_names: Vec<Arc<str>>) -> Self {
        Inventory { sinks_of, sink_names, known: Mutex::default(), changes: watch::Sender::new(0) }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Every change below is complete before anything can panic, so a poisoned lock guards sound data.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A receiver of changes from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn tell_when_done(&self) -> Told<'_> {
        Told(&self.changes)
    }

    pub(crate) fn sink_name(&self, sink: SinkNumber) -> Arc<str> {
        self.sink_names.get(sink).cloned().unwrap_or_else(|| "sink".into())
    }

    fn sinks_of_entry(&self, entry: &Entry) -> BTreeSet<SinkNumber> {
        // The set includes sinks that may still serve a staple of the certificate.
        let had = entry.deliveries.iter().filter(|(_, delivery)| delivery.may_serve()).map(|(sink, _)| *sink);
        entry
            .places
            .values()
            .filter_map(|(source, _)| self.sinks_of.get(*source))
            .flatten()
            .copied()
            .chain(had)
            .collect()
    }
}

impl Entry {
    /// The standing of a certificate that has returned to a place, or whose validity has not ended after all.
    fn standing_within_validity(&self, now: Timestamp) -> Standing {
        let is_good = self.staple.as_ref().is_some_and(|staple| staple.expires() > now);
        let standing = if is_good { Standing::Good } else { Standing::Waiting };
        // A revocation outlives the absence of the certificate: its staple stays withdrawn until the CA answers
        // otherwise.
        self.disowned.and_then(Disowned::standing).unwrap_or(standing)
    }

    fn set_standing(&mut self, standing: Standing, now: Timestamp) {
        // An answer that arrives after the certificate left its last place does not change its standing.
        let standing = if self.places.is_empty() { Standing::Retired } else { standing };
        if std::mem::discriminant(&self.standing) != std::mem::discriminant(&standing) {
            self.since = now;
        }
        self.standing = standing;
    }
}

/// The location of a place of a source: the subject of its task *parse*.
pub(crate) fn location(source: SourceNumber, name: &str) -> Subject {
    Subject::new(format!("{source}:{name}"))
}

fn about(chain: &CertChain, places: &BTreeMap<Subject, (SourceNumber, Site)>) -> About {
    let certificate = chain.end_entity();
    About {
        subject: Some(chain.subject().clone()),
        name: certificate.name().to_owned(),
        serial: certificate.serial_hex(),
        places: places.values().map(|(_, site)| Arc::clone(&site.served_as)).collect(),
        must_staple: certificate.must_staple(),
    }
}
