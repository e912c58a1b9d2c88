//! The issuers that may be asked, and the certificates of the stapler. Made anew when a question needs it and the stapler's
//! certificates have changed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::Instant;

use super::allowed::AllowedIssuer;
use super::key::Key;
use crate::certificate::Certificate;
use crate::chain::CertChain;
use crate::ocsp::{CertId, CertIdHash};
use crate::stapler::Handle;
use crate::task::Subject;

/// The shortest time between two indexes: a change of many certificates makes few. It is longer if an index takes long: this many
/// times as long.
const PAUSE: Duration = Duration::from_millis(100);
const SHARE: u32 = 4;
/// How many responders of one issuer are asked at most, and in how many of its certificates they are looked for.
const MAX_URLS: usize = 4;
const MAX_LOOKS: usize = 64;
pub(super) const HASHES: [CertIdHash; 4] =
    [CertIdHash::Sha1, CertIdHash::Sha256, CertIdHash::Sha384, CertIdHash::Sha512];

/// The numbers of issuers by name and key, and how many of their certificates were looked at.
type Numbers = HashMap<(Box<[u8]>, Box<[u8]>), (usize, usize)>;

/// The issuers that may be asked, and the certificates of the stapler.
#[derive(Debug, Default)]
pub(super) struct Index {
    issuers: Vec<AllowedIssuer>,
    by_id: HashMap<Box<[u8]>, usize>,
    known: HashMap<(usize, Box<[u8]>), Subject>,
    /// The revision of the inventory.
    revision: u64,
}

impl Index {
    /// The index of these issuers, and of the certificates of a stapler with their issuers.
    fn of(configured: &[AllowedIssuer], handle: &Handle) -> Self {
        let mut index = Index::default();
        let mut numbers = Numbers::new();
        for AllowedIssuer { certificate, urls } in configured {
            index.issuer_of(certificate, certificate.subject(), || urls.clone(), &mut numbers);
        }
        let (chains, revision) = handle.inventory().chains();
        index.revision = revision;
        for chain in chains {
            let (name, serial) = (chain.end_entity().issuer(), chain.end_entity().serial());
            let issuer = index.issuer_of(chain.issuer(), name, || handle.urls_of(&chain), &mut numbers);
            index.known.insert((issuer, serial.into()), chain.subject().clone());
        }
        index
    }

    /// The number of the issuer of this name and key, which is new or gets further responders.
    fn issuer_of(
        &mut self,
        certificate: &Arc<Certificate>,
        name: &[u8],
        urls: impl FnOnce() -> Vec<String>,
        numbers: &mut Numbers,
    ) -> usize {
        let key = certificate.public_key();
        let (number, looks) = numbers.entry((name.into(), key.into())).or_insert_with(|| {
            let number = self.issuers.len();
            self.issuers.push(AllowedIssuer { certificate: Arc::clone(certificate), urls: Vec::new() });
            let keys = HASHES.iter().filter_map(|hash| Key::of(&CertId::new(*hash, name, key, &[1])));
            self.by_id.extend(keys.map(|key| (key.issuer().into(), number)));
            (number, 0)
        });
        let number = *number;
        *looks += 1;
        if *looks > MAX_LOOKS {
            return number;
        }
        if let Some(issuer) = self.issuers.get_mut(number).filter(|issuer| issuer.urls.len() < MAX_URLS) {
            for url in urls() {
                if issuer.urls.len() < MAX_URLS && !issuer.urls.contains(&url) {
                    issuer.urls.push(url);
                }
            }
        }
        number
    }

    /// The issuer of the certificate in question, if it may be asked.
    pub(super) fn issuer(&self, key: &Key) -> Option<&AllowedIssuer> {
        self.issuers.get(*self.by_id.get(key.issuer())?)
    }

    /// The certificate of the stapler that the question is about.
    pub(super) fn known(&self, key: &Key) -> Option<&Subject> {
        self.known.get(&(*self.by_id.get(key.issuer())?, key.serial().into()))
    }
}

/// The present index.
pub(super) struct Indexes {
    configured: Mutex<Arc<Vec<AllowedIssuer>>>,
    current: ArcSwap<Index>,
    made: tokio::sync::Mutex<Option<Made>>,
}

/// The stapler and the configured issuers of the present index.
struct Made {
    handle: Handle,
    configured: Arc<Vec<AllowedIssuer>>,
    /// When the next one may be made.
    next: Instant,
}

impl Indexes {
    pub(super) fn new() -> Self {
        Indexes { configured: Mutex::default(), current: ArcSwap::default(), made: tokio::sync::Mutex::default() }
    }

    /// Sets the issuers that may be asked whether the stapler has certificates of them or not.
    pub(super) fn allow(&self, issuers: Vec<AllowedIssuer>) {
        *self.configured.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(issuers);
    }

    /// The index of this stapler's certificates as they are now.
    pub(super) async fn current(&self, handle: &Handle) -> Arc<Index> {
        let mut made = self.made.lock().await;
        let configured = Arc::clone(&self.configured.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(before) = &*made {
            let is_current = before.handle.is_same(handle)
                && Arc::ptr_eq(&before.configured, &configured)
                && self.current.load().revision == handle.inventory().revision();
            if is_current {
                return self.current.load_full();
            }
            tokio::time::sleep_until(before.next).await;
        }
        let (of, issuers, began) = (handle.clone(), Arc::clone(&configured), Instant::now());
        if let Ok(index) = tokio::task::spawn_blocking(move || Index::of(&issuers, &of)).await {
            self.current.store(Arc::new(index));
            let next = Instant::now() + PAUSE.max(began.elapsed() * SHARE);
            *made = Some(Made { handle: handle.clone(), configured, next });
        }
        self.current.load_full()
    }
}

/// Whether the stapler knows all certificates that its sources have: before, an unknown certificate may be one of them.
pub(super) fn is_complete(handle: &Handle) -> bool {
    handle.has_scanned() && handle.inventory().is_parsed()
}

/// The keys of a certificate, one for each hash.
pub(super) fn keys_of(chain: &CertChain) -> impl Iterator<Item = Key> {
    HASHES.iter().filter_map(|hash| Key::of(&chain.cert_id(*hash)))
}
