//! A sink that counts certificates.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use async_trait::async_trait;
use stapled_core::sink::{Delivered, SinkError, Site, StapleSink};
use stapled_core::staple::Staple;
use tokio::sync::watch;

/// Counts the certificates that have got a staple, and notes when the first and the last expected one came. Clones share the count.
#[derive(Clone, Debug, Default)]
pub struct CountingSink(Arc<Counted>);

#[derive(Debug, Default)]
struct Counted {
    /// The hashes of the certificates' names, which are small.
    stapled: Mutex<HashSet<u64>>,
    bytes: AtomicUsize,
    first: watch::Sender<Option<Instant>>,
    wanted: AtomicUsize,
    reached: watch::Sender<Option<Instant>>,
}

impl CountingSink {
    /// A sink that expects this number of certificates.
    pub fn expecting(wanted: usize) -> Self {
        let sink = CountingSink::default();
        sink.0.wanted.store(wanted, Ordering::SeqCst);
        sink
    }

    /// The size of the first response of each certificate together, in bytes.
    pub fn bytes(&self) -> usize {
        self.0.bytes.load(Ordering::SeqCst)
    }

    /// The time of the first delivery, once there is one.
    pub async fn first(&self) -> Instant {
        reached(&self.0.first).await
    }

    /// The time at which the last expected certificate got a staple.
    pub async fn all(&self) -> Instant {
        reached(&self.0.reached).await
    }
}

async fn reached(at: &watch::Sender<Option<Instant>>) -> Instant {
    let mut at = at.subscribe();
    let at = at.wait_for(Option::is_some).await.unwrap();
    at.unwrap()
}

#[async_trait]
impl StapleSink for CountingSink {
    async fn deliver(&self, staple: &Staple, _: &[Site]) -> Result<Delivered, SinkError> {
        let mut hasher = DefaultHasher::new();
        staple.chain().subject().hash(&mut hasher);
        let stapled = {
            let mut stapled = self.0.stapled.lock().unwrap();
            stapled.insert(hasher.finish()).then(|| stapled.len())
        };
        if let Some(stapled) = stapled {
            self.0.bytes.fetch_add(staple.response().len(), Ordering::SeqCst);
            if stapled == 1 {
                self.0.first.send_replace(Some(Instant::now()));
            }
            if stapled == self.0.wanted.load(Ordering::SeqCst) {
                self.0.reached.send_replace(Some(Instant::now()));
            }
        }
        Ok(Delivered::Confirmed)
    }
}
