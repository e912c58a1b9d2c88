//! The certificates that a server is known to use, and their staples.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use stapled_core::certificate::Certificate;
use stapled_core::clock::Clock;
use stapled_core::hash::Sha256;
use stapled_core::hexadecimal::Hexadecimal;
use stapled_core::sink::Withdrawal;
use stapled_core::source::Sighting;
use stapled_core::staple::Staple;
use stapled_core::time::Timestamp;
use tokio::sync::Notify;

/// The number of maps over which the certificates are spread. A new certificate copies one of them.
const SHARDS: usize = 1024;
/// How many certificates are stapled at most. Further ones are served without a staple.
const MAX_CERTIFICATES: usize = 1_000_000;
/// How long a certificate that was not announced is kept without a handshake.
const IDLE: Duration = Duration::from_secs(7 * 86_400);

type Shard = ArcSwap<HashMap<Box<[u8]>, Arc<Slot>>>;

/// All certificates that are known. Readers take no lock.
pub(crate) struct Known {
    shards: Vec<Shard>,
    count: AtomicUsize,
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
pub(crate) struct Served {
    response: Vec<u8>,
    /// Its end by the wall clock, and by the steady clock.
    ends: (Timestamp, Duration),
    /// A key of the resolver, and the same with the staple.
    made: Option<(Arc<CertifiedKey>, Arc<CertifiedKey>)>,
}

impl Served {
    pub(crate) fn new(staple: &Staple, clock: &dyn Clock) -> Self {
        let left = staple.expires().since(clock.now());
        Served { response: staple.response().to_vec(), ends: (staple.expires(), clock.steady() + left), made: None }
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

    pub(crate) fn serve(&self, served: Option<Served>) {
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
        let made = Arc::new(with_staple(key, Some(served.response.clone())));
        let made_of = Some((Arc::clone(key), Arc::clone(&made)));
        let next = Served { response: served.response.clone(), ends: served.ends, made: made_of };
        // If there is another staple by now, that one stays.
        self.served.compare_and_swap(&served, Some(Arc::new(next)));
        Some(made)
    }

    /// Whether the stapler has no reason to ask for its staple any more.
    fn is_done(&self, clock: &dyn Clock) -> bool {
        let idle = clock.steady().as_secs().saturating_sub(self.used.load(Ordering::Relaxed));
        let is_kept = self.must_staple || self.is_announced.load(Ordering::SeqCst);
        let is_idle = !is_kept && idle > IDLE.as_secs();
        self.not_after < clock.now() || is_idle
    }
}

/// The key with this staple, or without one.
pub(crate) fn with_staple(key: &CertifiedKey, ocsp: Option<Vec<u8>>) -> CertifiedKey {
    CertifiedKey { cert: key.cert.clone(), key: Arc::clone(&key.key), ocsp }
}

impl Known {
    pub(crate) fn new() -> Self {
        Known {
            shards: std::iter::repeat_with(Shard::default).take(SHARDS).collect(),
            count: AtomicUsize::new(0),
            news: Notify::new(),
            has_news: AtomicBool::new(false),
        }
    }

    /// The shard of a certificate. Its last bytes are those of a signature, which are as good as random.
    fn shard(&self, der: &[u8]) -> Option<&Shard> {
        let number = der.iter().rev().take(2).fold(0, |number, byte| number << 8 | usize::from(*byte));
        self.shards.get(number % SHARDS)
    }

    pub(crate) fn get(&self, der: &[u8]) -> Option<Arc<Slot>> {
        self.shard(der)?.load().get(der).cloned()
    }

    /// Adds a certificate of the server. What cannot be parsed is served as it is.
    pub(crate) fn learn(&self, chain: &[CertificateDer<'_>], is_announced: bool, clock: &dyn Clock) {
        let Some(leaf) = chain.first() else { return };
        let slot = match self.get(leaf) {
            Some(slot) => slot,
            None => match Certificate::from_der(leaf) {
                Ok(certificate) => match self.found(&certificate, clock) {
                    Some(slot) => slot,
                    None => return,
                },
                Err(_) => return,
            },
        };
        if is_announced {
            slot.is_announced.store(true, Ordering::SeqCst);
        }
        if slot.sighting.load().is_none() {
            // The name is unique: two certificates may have the same host name and, of two authorities, the same serial number.
            let name = format!("{} {:x}", slot.name, Hexadecimal::of(&Sha256::of(leaf)));
            slot.sighting.store(Some(Arc::new(Sighting::chain(name, chain))));
            self.tell();
        }
    }

    fn tell(&self) {
        self.has_news.store(true, Ordering::SeqCst);
        self.news.notify_waiters();
    }

    /// The slot of this certificate, a new one if need be; none beyond the limit.
    pub(crate) fn found(&self, certificate: &Certificate, clock: &dyn Clock) -> Option<Arc<Slot>> {
        let der = certificate.as_der();
        if let Some(slot) = self.get(der) {
            return Some(slot);
        }
        let new = Arc::new(Slot::new(certificate, clock.steady()));
        let before = self.shard(der)?.rcu(|slots| {
            let mut slots = HashMap::clone(slots);
            if self.count.load(Ordering::SeqCst) < MAX_CERTIFICATES {
                slots.entry(der.into()).or_insert_with(|| Arc::clone(&new));
            }
            slots
        });
        let slot = self.get(der);
        if slot.is_some() && !before.contains_key(der) {
            self.count.fetch_add(1, Ordering::SeqCst);
        }
        slot
    }

    pub(crate) fn forget(&self, der: &[u8]) {
        let Some(shard) = self.shard(der) else { return };
        let before = shard.rcu(|slots| {
            let mut slots = HashMap::clone(slots);
            slots.remove(der);
            slots
        });
        if before.contains_key(der) {
            self.count.fetch_sub(1, Ordering::SeqCst);
            self.tell();
        }
    }

    /// Takes a staple out of service. A certificate that only another source knew, and no longer has, is forgotten.
    pub(crate) fn withdraw(&self, der: &[u8], why: Withdrawal) {
        let Some(slot) = self.get(der) else { return };
        slot.serve(None);
        if why == Withdrawal::Retired && slot.sighting.load().is_none() {
            self.forget(der);
        }
    }

    /// Forgets what is expired or idle, and lists the others for the stapler.
    pub(crate) fn list(&self, clock: &dyn Clock) -> Vec<Sighting> {
        self.has_news.store(false, Ordering::SeqCst);
        let mut sightings = Vec::new();
        for shard in &self.shards {
            for (der, slot) in shard.load_full().iter() {
                match slot.sighting.load().as_deref() {
                    Some(_) if slot.is_done(clock) => self.forget(der),
                    Some(sighting) => sightings.push(sighting.clone()),
                    None => {}
                }
            }
        }
        sightings
    }

    /// Every certificate.
    pub(crate) fn slots(&self) -> impl Iterator<Item = Arc<Slot>> {
        self.shards.iter().flat_map(|shard| shard.load_full().values().cloned().collect::<Vec<_>>())
    }
}
