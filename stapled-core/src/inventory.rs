//! What is known: every place, every certificate, and how it stands. The only state that the stages share.

mod asked;
mod disowned;
mod inherited;
mod issuers;
mod standing;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::bundle::certificates_only;
use crate::certificate::Certificate;
use crate::chain::CertChain;
use crate::event::About;
use crate::ocsp::CertStatus;
use crate::sink::Site;
use crate::source::{Material, Sighting, SourceProblem, Version};
use crate::staple::Staple;
use crate::task::Subject;
use crate::time::Timestamp;

use disowned::{Disowned, DisownedAndGone};
use inherited::Inherited;
use issuers::IssuerPool;
pub use standing::{
    CertificateStatus, DeliveryState, DeliveryStatus, PlaceState, PlaceStatus, ProblemStatus, Standing,
};

/// Which sink, by its number in the stapler.
pub(crate) type SinkNumber = usize;
/// Which source, by its number in the stapler.
pub(crate) type SourceNumber = usize;

/// Everything the stapler knows of its certificates.
#[derive(Debug)]
pub struct Inventory {
    /// The sinks that serve the certificates of each source.
    sinks_of: Vec<BTreeSet<SinkNumber>>,
    sink_names: Vec<Arc<str>>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// By location: what the task *parse* is about.
    places: BTreeMap<Subject, Place>,
    /// By the hash of certificate and issuer's key: what the tasks *renew* and *add* are about.
    certificates: HashMap<Subject, Entry>,
    /// What another stapler knew of certificates that were not found again yet.
    inherited: HashMap<Subject, Inherited>,
    /// What CAs have said of certificates that are forgotten otherwise.
    disowned: DisownedAndGone,
    issuers: IssuerPool,
    problems: BTreeMap<SourceNumber, Vec<ProblemStatus>>,
    /// How many times each sink has lost something.
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
    /// When it is looked at again, if not only when it changes.
    again: Option<Timestamp>,
    /// The certificate that lies here; it stays while the place's new contents cannot be made out.
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
    deliveries: BTreeMap<SinkNumber, Delivery>,
    /// The sinks that are being brought in line: what they have in the end is not known yet.
    in_hand: BTreeSet<SinkNumber>,
    about: Arc<About>,
}

/// What the renewer remembers of the last answer about a certificate.
#[derive(Clone, Debug, Default)]
pub(crate) struct RenewalMemory {
    /// The URL that answered.
    pub(crate) url: Option<String>,
    /// The validator of its answer.
    pub(crate) etag: Option<String>,
}

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

/// Deliveries that may have succeeded although nobody said so.
#[derive(Clone, Debug)]
pub(crate) struct Begun {
    pub(crate) sites: Vec<Site>,
    /// The earliest end of their staples.
    pub(crate) ends: Timestamp,
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
    pub(crate) memory: RenewalMemory,
    pub(crate) sinks: BTreeSet<SinkNumber>,
    /// Whether it lies nowhere any more.
    pub(crate) retired: bool,
}

/// A certificate as one sink is to have it.
#[derive(Clone, Debug)]
pub(crate) struct DeliveryView {
    pub(crate) chain: Arc<CertChain>,
    pub(crate) about: Arc<About>,
    pub(crate) staple: Option<Arc<Staple>>,
    pub(crate) standing: Standing,
    pub(crate) since: Timestamp,
    /// Where it lies, as far as this sink is bound to it; empty when it does no more.
    pub(crate) sites: Vec<Site>,
    pub(crate) delivery: Delivery,
    /// How many times the sink had lost something when this was seen.
    pub(crate) losses: u64,
}

/// What a scan changed.
#[derive(Debug, Default)]
pub(crate) struct Difference {
    /// New or changed places, with the generation to parse them for.
    pub(crate) changed: Vec<(Subject, u64)>,
    /// Places that are no more.
    pub(crate) gone: Vec<Subject>,
    /// How many places the source has now.
    pub(crate) places: usize,
}

/// A certificate that has just come to a place.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) about: Arc<About>,
    pub(crate) generation: u64,
    pub(crate) sinks: BTreeSet<SinkNumber>,
    pub(crate) staple: Option<Arc<Staple>>,
    /// What another stapler knew of it.
    pub(crate) inherited: Option<Inherited>,
    /// When its CA is asked next, as far as that was planned.
    pub(crate) next: Option<Timestamp>,
    /// Whether nothing was known of the certificate before.
    pub(crate) new: bool,
    /// Whether it lay nowhere before: its renewals may have ended.
    pub(crate) revived: bool,
    /// The certificate that lay in this place before: its sinks have something to take back.
    pub(crate) displaced: Option<Displaced>,
}

/// A certificate that has lost a place.
#[derive(Clone, Debug)]
pub(crate) struct Displaced {
    pub(crate) subject: Subject,
    pub(crate) generation: u64,
    pub(crate) about: Arc<About>,
    pub(crate) sinks: BTreeSet<SinkNumber>,
    /// Whether that was its last place.
    pub(crate) retired: bool,
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
    /// An empty inventory; for each source, the sinks that serve its certificates.
    pub(crate) fn new(sinks_of: Vec<BTreeSet<SinkNumber>>, sink_names: Vec<Arc<str>>) -> Self {
        Inventory { sinks_of, sink_names, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Every change below is complete before anything can panic, so a poisoned lock guards sound data.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn sink_name(&self, sink: SinkNumber) -> Arc<str> {
        self.sink_names.get(sink).cloned().unwrap_or_else(|| "sink".into())
    }

    // ---- the finder

    /// Takes a scan over: what is new, what changed, what is gone. `hidden` says of a place that is not among the
    /// sightings whether it is only out of sight.
    pub(crate) fn compare(
        &self,
        source: SourceNumber,
        sightings: Vec<Sighting>,
        hidden: impl Fn(&str) -> bool,
        now: Timestamp,
    ) -> Difference {
        let mut known = self.known();
        let mut difference = Difference { places: sightings.len(), ..Difference::default() };
        let mut present = BTreeSet::new();
        for mut sighting in sightings {
            let location = location(source, &sighting.name);
            present.insert(location.clone());
            let unchanged = known.places.get(&location).is_some_and(|place| place.sighting.version == sighting.version);
            if unchanged {
                continue;
            }
            if let Material::Bytes(bytes) = &sighting.material {
                // Whatever private key is among them is not kept.
                sighting.material = Material::Bytes(certificates_only(bytes).into());
            }
            known.generation += 1;
            let generation = known.generation;
            match known.places.get_mut(&location) {
                Some(place) => {
                    place.sighting = sighting;
                    place.generation = generation;
                }
                None => {
                    let state = PlaceState::Pending;
                    let place = Place { source, sighting, generation, state, since: now, again: None, holds: None };
                    known.places.insert(location.clone(), place);
                }
            }
            difference.changed.push((location, generation));
        }
        difference.gone = known
            .places
            .iter()
            .filter(|(location, place)| {
                place.source == source && !present.contains(location) && !hidden(&place.sighting.name)
            })
            .map(|(location, _)| location.clone())
            .collect();
        difference
    }

    /// Forgets which versions of a source's places were seen: the next scan finds all of them changed.
    pub(crate) fn forget_versions(&self, source: SourceNumber) {
        for place in self.known().places.values_mut().filter(|place| place.source == source) {
            place.sighting.version = Version::new([]);
        }
    }

    /// Notes what of a source cannot be looked at; returns what is new among it.
    pub(crate) fn set_problems(
        &self,
        source: SourceNumber,
        problems: Vec<SourceProblem>,
        now: Timestamp,
    ) -> Vec<SourceProblem> {
        let mut known = self.known();
        let before = known.problems.remove(&source).unwrap_or_default();
        let key = |problem: &SourceProblem| (problem.place.clone(), problem.error.what.clone());
        let before: HashMap<_, Timestamp> = before.iter().map(|old| (key(&old.problem), old.since)).collect();
        let mut new = Vec::new();
        let with_since = |problem: SourceProblem| {
            let since = before.get(&key(&problem)).copied();
            if since.is_none() {
                new.push(problem.clone());
            }
            ProblemStatus { problem, since: since.unwrap_or(now) }
        };
        let problems = problems.into_iter().map(with_since).collect();
        known.problems.insert(source, problems);
        new
    }

    /// Forgets a place; returns the certificate that lay there.
    pub(crate) fn forget_place(&self, location: &Subject, now: Timestamp) -> Option<Displaced> {
        let mut known = self.known();
        known.issuers.forget_place(location);
        let held = known.places.remove(location).and_then(|place| place.holds);
        held.and_then(|held| self.displace(&mut known, location, &held, now))
    }

    // ---- the parser

    /// What is in a place, if the task was made for its present state.
    pub(crate) fn place(&self, location: &Subject, generation: u64) -> Option<Sighting> {
        let known = self.known();
        let place = known.places.get(location).filter(|place| place.generation == generation)?;
        Some(place.sighting.clone())
    }

    /// Adds certificates of CAs that lie in a place. Returns the places, with their generations, that wait for one of
    /// these issuers.
    pub(crate) fn add_issuers(&self, location: &Subject, issuers: &[Arc<Certificate>]) -> Vec<(Subject, u64)> {
        let mut known = self.known();
        let waiting = known.issuers.add(location, issuers);
        let generation = |waiting: Subject| {
            let generation = known.places.get(&waiting)?.generation;
            Some((waiting, generation))
        };
        waiting.into_iter().filter_map(generation).collect()
    }

    /// The known certificates whose subject is this issuer name.
    pub(crate) fn issuers_named(&self, name: &[u8]) -> Vec<Arc<Certificate>> {
        self.known().issuers.named(name)
    }

    /// Notes that a place is to be parsed again when an issuer of this name turns up.
    pub(crate) fn wait_for_issuer(&self, location: &Subject, certificate: &Arc<Certificate>) {
        self.known().issuers.wait(location, certificate);
    }

    /// Those of these certificates that issued one that waits for its issuer.
    pub(crate) fn confirmed_issuers(&self, candidates: &[Arc<Certificate>]) -> Vec<Arc<Certificate>> {
        let waiting = candidates.iter().map(|issuer| self.known().issuers.waiting_for(issuer.subject()));
        let pairs = candidates.iter().zip(waiting.collect::<Vec<_>>());
        let issued = |(issuer, waiting): &(&Arc<Certificate>, Vec<Arc<Certificate>>)| {
            waiting.iter().any(|certificate| certificate.is_issued_by(issuer))
        };
        pairs.filter(issued).map(|(issuer, _)| Arc::clone(issuer)).collect()
    }

    /// Notes how a place stands that holds no certificate to be stapled. Returns what lay there before; but a
    /// certificate keeps its place while there is only a problem with what came after it, since servers go on with the
    /// old one.
    pub(crate) fn settle_without(
        &self,
        location: &Subject,
        generation: u64,
        state: PlaceState,
        again: Option<Timestamp>,
        now: Timestamp,
    ) -> Option<Displaced> {
        let mut known = self.known();
        let place = known.places.get_mut(location).filter(|place| place.generation == generation)?;
        if place.state != state {
            place.since = now;
        }
        let keeps = matches!(state, PlaceState::Problem { .. } | PlaceState::Pending);
        place.state = state;
        place.again = again;
        let held = if keeps { None } else { place.holds.take() };
        held.and_then(|held| self.displace(&mut known, location, &held, now))
    }

    /// Notes that this certificate lies in a place.
    pub(crate) fn settle(
        &self,
        location: &Subject,
        generation: u64,
        chain: Arc<CertChain>,
        site: Site,
        now: Timestamp,
    ) -> Option<Settled> {
        let mut known = self.known();
        let subject = chain.subject().clone();
        let place = known.places.get_mut(location).filter(|place| place.generation == generation)?;
        let source = place.source;
        let state = PlaceState::Holds(subject.clone());
        if place.state != state {
            place.since = now;
        }
        place.state = state;
        place.again = None;
        let held = place.holds.replace(subject.clone()).filter(|held| *held != subject);
        let displaced = held.and_then(|held| self.displace(&mut known, location, &held, now));
        known.generation += 1;
        let generation = known.generation;
        let new = !known.certificates.contains_key(&subject);
        // It stays until there is something better to hand on: this stapler may end in the next moment.
        let inherited = known.inherited.get(&subject).cloned();
        let disowned = known.disowned.take(&subject);
        let entry = known.certificates.entry(subject).or_insert_with(|| Entry {
            about: Arc::new(about(&chain, &BTreeMap::new())),
            chain,
            generation,
            places: BTreeMap::new(),
            first_seen: inherited.as_ref().map_or(now, |inherited| inherited.first_seen),
            staple: None,
            standing: match (disowned, &inherited) {
                (Some(disowned), _) => disowned.standing().unwrap_or(Standing::Waiting),
                (None, Some(inherited)) => inherited.standing(),
                (None, None) => Standing::Waiting,
            },
            since: inherited.as_ref().map_or(now, |inherited| inherited.since),
            next: None,
            memory: RenewalMemory::default(),
            disowned: disowned.or(inherited.as_ref().and_then(|inherited| inherited.disowned)),
            deliveries: BTreeMap::new(),
            in_hand: BTreeSet::new(),
        });
        let revived = entry.places.is_empty();
        entry.places.insert(location.clone(), (source, site));
        if matches!(entry.standing, Standing::Expired | Standing::Retired) {
            // It is back, or the clock was wrong before: only certificates within their validity are settled.
            let is_good = entry.staple.as_ref().is_some_and(|staple| staple.expires() > now);
            let standing = if is_good { Standing::Good } else { Standing::Waiting };
            // A revocation outlives a stay elsewhere: what the sinks have is taken back until the CA says otherwise.
            let disowned = entry.disowned.and_then(Disowned::standing);
            entry.set_standing(disowned.unwrap_or(standing), now);
        }
        entry.about = Arc::new(about(&entry.chain, &entry.places));
        Some(Settled {
            about: Arc::clone(&entry.about),
            generation: entry.generation,
            sinks: self.sinks_of_entry(entry),
            staple: entry.staple.clone(),
            inherited: inherited.filter(|_| new),
            next: entry.next,
            new,
            revived,
            displaced,
        })
    }

    /// Takes a place from the certificate that lies there.
    fn displace(&self, known: &mut Known, location: &Subject, subject: &Subject, now: Timestamp) -> Option<Displaced> {
        let entry = known.certificates.get_mut(subject)?;
        let sinks = self.sinks_of_entry(entry);
        entry.places.remove(location);
        let retired = entry.places.is_empty();
        let about = Arc::clone(&entry.about);
        entry.about = Arc::new(self::about(&entry.chain, &entry.places));
        if retired {
            entry.set_standing(Standing::Retired, now);
        }
        Some(Displaced { subject: subject.clone(), generation: entry.generation, about, sinks, retired })
    }

    // ---- the renewer

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
            memory: entry.memory.clone(),
            sinks: self.sinks_of_entry(entry),
            retired: entry.places.is_empty(),
        })
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
        let mut known = self.known();
        let Some(entry) = known.certificates.get_mut(staple.chain().subject()) else { return Default::default() };
        let changed = entry.staple.as_ref() != Some(&staple);
        if changed {
            entry.staple = Some(staple);
        }
        entry.memory = memory;
        entry.disowned = entry.disowned.map(Disowned::undone);
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
        }
        drop(known);
        self.set_standing(subject, Standing::Revoked { status }, Some(next), now)
    }

    /// How a certificate stands without a new staple: the one held stays, unless the CA has disowned it.
    pub(crate) fn set_standing(
        &self,
        subject: &Subject,
        standing: Standing,
        next: Option<Timestamp>,
        now: Timestamp,
    ) -> BTreeSet<SinkNumber> {
        let mut known = self.known();
        let Some(entry) = known.certificates.get_mut(subject) else { return BTreeSet::new() };
        if matches!(standing, Standing::Revoked { .. } | Standing::Expired) {
            entry.staple = None;
            entry.memory = RenewalMemory::default();
        }
        entry.next = next;
        entry.set_standing(standing, now);
        let sinks = self.sinks_of_entry(entry);
        known.inherited.remove(subject);
        sinks
    }

    // ---- the adder

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
            sites,
            delivery: entry.deliveries.get(&sink).cloned().unwrap_or_default(),
            losses,
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
            let disowned = entry.disowned.map(|disowned| (disowned, entry.chain.end_entity().not_after()));
            known.certificates.remove(subject);
            if let Some((disowned, not_after)) = disowned {
                known.disowned.put(subject.clone(), disowned, not_after, now);
            }
        }
        false
    }

    /// Notes that a server has lost what it had: of all certificates, or of those that it knows by these names.
    /// Returns the certificates, with their generations, that it gets again.
    pub(crate) fn set_lost(&self, sink: SinkNumber, names: Option<&[Arc<str>]>, now: Timestamp) -> Vec<(Subject, u64)> {
        let mut lost = Vec::new();
        let mut known = self.known();
        *known.losses.entry(sink).or_default() += 1;
        for (subject, entry) in &mut known.certificates {
            let Some(delivery) = entry.deliveries.get_mut(&sink) else { continue };
            if names.is_none() && matches!(entry.standing, Standing::Revoked { .. }) {
                // The server may have read again what was withdrawn from it.
                *delivery = Delivery { since: Some(now), ..Delivery::default() };
                lost.push((subject.clone(), entry.generation));
                continue;
            }
            if !delivery.may_serve() {
                continue;
            }
            let named = |names: &[Arc<str>]| delivery.sites().iter().any(|site| names.contains(&site.served_as));
            if names.is_none_or(named) {
                let may_serve = if names.is_none() { None } else { delivery.in_doubt().begun };
                *delivery = Delivery { begun: may_serve, since: Some(now), ..Delivery::default() };
                lost.push((subject.clone(), entry.generation));
            }
        }
        // In the order of their first sight, so that a run can be repeated.
        lost.sort_unstable_by_key(|(_, generation)| *generation);
        lost
    }

    fn sinks_of_entry(&self, entry: &Entry) -> BTreeSet<SinkNumber> {
        // Also those that have something to take back.
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
    fn set_standing(&mut self, standing: Standing, now: Timestamp) {
        // Whatever an answer says that was on its way when it went.
        let standing = if self.places.is_empty() { Standing::Retired } else { standing };
        if std::mem::discriminant(&self.standing) != std::mem::discriminant(&standing) {
            self.since = now;
        }
        self.standing = standing;
    }
}

/// The subject of the task *parse*: a place of a source.
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
