//! The certificates that a server is known to use, and their staples.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use stapled_core::certificate::Certificate;
use stapled_core::clock::Clock;
use stapled_core::hash::Sha256;
use stapled_core::hexadecimal::Hexadecimal;
use stapled_core::sink::{Site, Withdrawal};
use stapled_core::source::Sighting;
use stapled_core::staple::Staple;
use stapled_core::time::Timestamp;
use tokio::sync::Notify;

use crate::shards::Shards;

/// How many certificates are stapled at most. Further ones are served without a staple.
pub(crate) const MAX_CERTIFICATES: usize = 1_000_000;
/// How long a certificate is kept without a handshake if it was not announced, or has expired.
const IDLE: Duration = Duration::from_secs(7 * 86_400);

/// The name of a certificate in the table: the SHA-256 hash of its DER.
pub(crate) type Id = [u8; 32];

/// All certificates that are known. Readers take no lock.
pub(crate) struct Known {
    slots: Shards<Id, Arc<Slot>>,
    /// How many slots there are, or are about to be, and how many there may be.
    count: AtomicUsize,
    limit: usize,
    /// Notified when a staple is delivered.
    pub(crate) delivered: Notify,
    /// Notified when there is a certificate that no scan has listed.
    pub(crate) news: Notify,
    pub(crate) has_news: AtomicBool,
}

/// One certificate.
pub(crate) struct Slot {
    pub(crate) name: String,
    pub(crate) must_staple: bool,
    not_after: Timestamp,
    /// Its entry in the list for the stapler; none for a certificate that another source found.
    sighting: ArcSwapOption<Sighting>,
    /// Whether the program said that it uses the certificate.
    is_announced: AtomicBool,
    /// The time of the last handshake, in seconds of the steady clock.
    used: AtomicU64,
    served: ArcSwapOption<Served>,
}

/// A staple in service.
#[derive(Clone)]
pub(crate) struct Served {
    response: Bytes,
    /// Its end by the wall clock, and by the steady clock.
    ends: (Timestamp, Duration),
    /// The names of the sites that have the certificate.
    sites: Arc<[Arc<str>]>,
    /// A key of the resolver, and the same with the staple.
    made: Option<(Arc<CertifiedKey>, Arc<CertifiedKey>)>,
}

impl Served {
    fn new(staple: &Staple, sites: &[Site], clock: &dyn Clock) -> Self {
        let left = staple.expires().since(clock.now());
        Served {
            response: staple.response().clone(),
            ends: (staple.expires(), clock.steady() + left),
            sites: sites.iter().map(|site| Arc::clone(&site.served_as)).collect(),
            made: None,
        }
    }

    /// The same without these sites. `None` if no site is left.
    fn without(&self, sites: &[Site]) -> Option<Self> {
        let is_left = |name: &&Arc<str>| sites.iter().all(|site| site.served_as != **name);
        let left: Arc<[Arc<str>]> = self.sites.iter().filter(is_left).cloned().collect();
        (!left.is_empty()).then(|| Served { sites: left, ..self.clone() })
    }

    /// Whether one of the clocks says so: the wall clock may have been set back.
    pub(crate) fn is_over(&self, clock: &dyn Clock) -> bool {
        self.ends.0 <= clock.now() || self.ends.1 <= clock.steady()
    }
}

impl Slot {
    fn new(certificate: &Certificate, now: Duration) -> Self {
        Slot {
            name: certificate.name().to_owned(),
            must_staple: certificate.must_staple(),
            not_after: certificate.not_after(),
            sighting: ArcSwapOption::empty(),
            is_announced: AtomicBool::new(false),
            used: AtomicU64::new(now.as_secs()),
            served: ArcSwapOption::empty(),
        }
    }

    pub(crate) fn has_staple(&self, clock: &dyn Clock) -> bool {
        self.served.load().as_ref().is_some_and(|served| !served.is_over(clock))
    }

    fn serve(&self, served: Option<Served>) {
        self.served.store(served.map(Arc::new));
    }

    /// The key with its staple, if there is one that is not over.
    pub(crate) fn staple(&self, key: &Arc<CertifiedKey>, clock: &dyn Clock) -> Option<Arc<CertifiedKey>> {
        let now = clock.steady().as_secs();
        if self.used.load(Ordering::Relaxed) != now {
            self.used.store(now, Ordering::Relaxed);
        }
        let served = self.served.load_full()?;
        if served.is_over(clock) {
            return None;
        }
        if let Some((from, made)) = &served.made
            && Arc::ptr_eq(from, key)
        {
            return Some(Arc::clone(made));
        }
        let made = Arc::new(with_staple(key, Some(served.response.to_vec())));
        let next = Served { made: Some((Arc::clone(key), Arc::clone(&made))), ..Served::clone(&served) };
        // If there is another staple by now, that one stays.
        self.served.compare_and_swap(&served, Some(Arc::new(next)));
        Some(made)
    }

    /// Whether the stapler has no reason to ask for its staple any more. The clock that is never set decides, since the wall
    /// clock may be wrong.
    fn is_done(&self, clock: &dyn Clock) -> bool {
        let idle = clock.steady().as_secs().saturating_sub(self.used.load(Ordering::Relaxed));
        let is_kept = self.must_staple || self.is_announced.load(Ordering::SeqCst);
        idle > IDLE.as_secs() && (!is_kept || self.not_after < clock.now())
    }

    /// Whether there is neither an entry for the stapler nor a staple.
    fn is_empty(&self) -> bool {
        self.sighting.load().is_none() && self.served.load().is_none()
    }
}

/// The name of a certificate in the table.
pub(crate) fn id_of(leaf: &[u8]) -> Id {
    Sha256::of(leaf)
}

/// The key with this staple, or without one.
pub(crate) fn with_staple(key: &CertifiedKey, ocsp: Option<Vec<u8>>) -> CertifiedKey {
    CertifiedKey { cert: key.cert.clone(), key: Arc::clone(&key.key), ocsp }
}

impl Known {
    pub(crate) fn new() -> Self {
        Known {
            slots: Shards::new(),
            count: AtomicUsize::new(0),
            limit: MAX_CERTIFICATES,
            delivered: Notify::new(),
            news: Notify::new(),
            has_news: AtomicBool::new(false),
        }
    }

    pub(crate) fn get(&self, leaf: &[u8]) -> Option<Arc<Slot>> {
        self.slots.get(&id_of(leaf))
    }

    /// Adds a certificate of the server. What cannot be parsed is served as it is.
    pub(crate) fn learn(&self, chain: &[CertificateDer<'_>], is_announced: bool, clock: &dyn Clock) {
        let Some(leaf) = chain.first() else { return };
        let id = id_of(leaf);
        let mut is_new = false;
        let learn = |slot: &Slot| {
            if is_announced {
                slot.is_announced.store(true, Ordering::SeqCst);
            }
            if slot.sighting.load().is_none() {
                // The name is unique: two certificates may have the same host name and, of two authorities, the same serial
                // number.
                let name = format!("{} {:x}", slot.name, Hexadecimal::of(&id));
                slot.sighting.store(Some(Arc::new(Sighting::chain(name, chain))));
                is_new = true;
            }
        };
        self.change(id, || Certificate::from_der(leaf).ok().map(|leaf| Slot::new(&leaf, clock.steady())), learn);
        if is_new {
            self.tell();
        }
    }

    fn tell(&self) {
        self.has_news.store(true, Ordering::SeqCst);
        self.news.notify_waiters();
    }

    /// Puts a staple into service. Returns whether the table has room for its certificate.
    pub(crate) fn deliver(&self, staple: &Staple, sites: &[Site], clock: &dyn Clock) -> bool {
        let certificate = staple.chain().end_entity();
        let new = || Some(Slot::new(certificate, clock.steady()));
        let serve = |slot: &Slot| slot.serve(Some(Served::new(staple, sites, clock)));
        let has_room = self.change(id_of(certificate.as_der()), new, serve);
        self.delivered.notify_waiters();
        has_room
    }

    /// Changes the slot of a certificate, a new one if need be. Returns whether there is one: beyond the limit there is none.
    fn change(&self, id: Id, new: impl Fn() -> Option<Slot>, mut work: impl FnMut(&Slot)) -> bool {
        loop {
            let slot = match self.slots.get(&id) {
                Some(slot) => slot,
                None if self.count.fetch_add(1, Ordering::SeqCst) < self.limit
                    && let Some(new) = new() =>
                {
                    let (slot, is_new) = self.slots.get_or_insert(id, &Arc::new(new));
                    if !is_new {
                        self.count.fetch_sub(1, Ordering::SeqCst);
                    }
                    slot
                }
                None => {
                    self.count.fetch_sub(1, Ordering::SeqCst);
                    return false;
                }
            };
            work(&slot);
            // The slot was perhaps empty, and removed meanwhile.
            if self.slots.get(&id).is_some_and(|present| Arc::ptr_eq(&present, &slot)) {
                return true;
            }
        }
    }

    /// Removes the certificate from the list for the stapler. Its staple stays until the stapler withdraws it: another source
    /// may have the certificate, too.
    pub(crate) fn forget(&self, leaf: &[u8]) {
        let id = id_of(leaf);
        let Some(slot) = self.slots.get(&id) else { return };
        self.remove_from_list(&id, &slot);
        self.tell();
    }

    fn remove_from_list(&self, id: &Id, slot: &Slot) {
        slot.is_announced.store(false, Ordering::SeqCst);
        slot.sighting.store(None);
        self.remove_if_empty(id);
    }

    fn remove_if_empty(&self, id: &Id) {
        let Some(slot) = self.slots.remove_if(id, |slot| slot.is_empty()) else { return };
        // It was perhaps filled between the look and the removal.
        if slot.is_empty() || !self.slots.get_or_insert(*id, &slot).1 {
            self.count.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Takes a staple out of service. If the certificate is gone from these sites, its staple stays while other sites have it.
    /// A certificate that only another source knew, and no longer has, is forgotten.
    pub(crate) fn withdraw(&self, leaf: &[u8], sites: &[Site], why: Withdrawal) {
        let id = id_of(leaf);
        let Some(slot) = self.slots.get(&id) else { return };
        if why != Withdrawal::Retired {
            return slot.serve(None);
        }
        slot.served.rcu(|served| served.as_deref().and_then(|served| served.without(sites)).map(Arc::new));
        self.remove_if_empty(&id);
    }

    /// Lists the certificates for the stapler, without those that are not used any more.
    pub(crate) fn list(&self, clock: &dyn Clock) -> Vec<Sighting> {
        self.has_news.store(false, Ordering::SeqCst);
        let mut sightings = Vec::new();
        for (id, slot) in self.slots.entries() {
            match slot.sighting.load().as_deref() {
                Some(_) if slot.is_done(clock) => self.remove_from_list(&id, &slot),
                Some(sighting) => sightings.push(sighting.clone()),
                None => {}
            }
        }
        sightings
    }

    /// Every certificate.
    pub(crate) fn slots(&self) -> impl Iterator<Item = Arc<Slot>> {
        self.slots.entries().map(|(_, slot)| slot)
    }
}

#[cfg(test)]
mod tests {
    use stapled_ca::{Authority, Profile};
    use stapled_core::clock::SystemClock;
    use stapled_tests::World;

    use super::*;

    #[test]
    fn certificates_that_come_and_go_at_once_are_counted() {
        let ca = Authority::root("CA").create().unwrap();
        let issued = ca.issue(&Profile::server("a.test").ocsp_url("http://ocsp.test/")).unwrap();
        let chain = [CertificateDer::from(issued.der().to_vec())];
        let known = Known::new();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| (0..20_000).for_each(|_| known.learn(&chain, true, &SystemClock)));
                scope.spawn(|| (0..20_000).for_each(|_| known.forget(&chain[0])));
            }
        });
        known.forget(&chain[0]);
        assert_eq!((known.slots().count(), known.count.load(Ordering::SeqCst)), (0, 0));
        known.learn(&chain, true, &SystemClock);
        assert_eq!((known.slots().count(), known.list(&SystemClock).len()), (1, 1));
    }

    #[test]
    fn beyond_the_limit_no_certificate_is_stapled() {
        let world = World::new();
        let known = Known { limit: 1, ..Known::new() };
        let [first, second] = ["a.test", "b.test"].map(|name| world.cert(name, "http://ocsp.test/"));
        assert!(known.deliver(&world.staple(&first, 3600), &[], &SystemClock));
        assert!(!known.deliver(&world.staple(&second, 3600), &[], &SystemClock));
        known.withdraw(first.issued.der(), &[], Withdrawal::Retired);
        assert!(known.deliver(&world.staple(&second, 3600), &[], &SystemClock));
    }
}
