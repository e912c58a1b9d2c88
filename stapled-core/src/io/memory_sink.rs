//! Staples in memory.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;

use crate::chain::CertChain;
use crate::sink::{Delivered, SinkError, Site, StapleSink, Withdrawal, Withdrawn};
use crate::staple::Staple;

/// Keeps the staples in memory, for programs that pick them up themselves. Clones have the same staples.
///
/// The stapler withdraws a staple five seconds before its end. For rustls, the crate `stapled-rustls` has a resolver that
/// staples.
///
/// ```
/// use stapled_core::io::memory_sink::MemorySink;
///
/// # fn example(end_entity: &[u8]) {
/// let sink = MemorySink::new();
/// let response = sink.get(end_entity).map(|staple| staple.response().clone()); // by the certificate, DER
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct MemorySink(Arc<RwLock<Staples>>);

/// The staples by the end-entity certificate, DER.
type Staples = HashMap<Box<[u8]>, Arc<Staple>>;

impl MemorySink {
    /// A sink without staples.
    pub fn new() -> Self {
        MemorySink::default()
    }

    /// The staple of this end-entity certificate (DER), if there is one.
    pub fn get(&self, end_entity: &[u8]) -> Option<Arc<Staple>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(end_entity).cloned()
    }

    /// The number of staples.
    pub fn len(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether there is no staple.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[async_trait]
impl StapleSink for MemorySink {
    async fn deliver(&self, staple: &Staple, _: &[Site]) -> Result<Delivered, SinkError> {
        let end_entity = staple.chain().end_entity().as_der().into();
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(end_entity, Arc::new(staple.clone()));
        Ok(Delivered::Confirmed)
    }

    async fn withdraw(&self, chain: &CertChain, _: &[Site], _: Withdrawal) -> Result<Withdrawn, SinkError> {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(chain.end_entity().as_der());
        Ok(Withdrawn::Confirmed)
    }

    fn name(&self) -> String {
        "memory".to_owned()
    }
}
