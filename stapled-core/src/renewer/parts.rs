//! The parts of a renewer.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::asking::Nonces;
use crate::chance::Chance;
use crate::event::Journal;
use crate::fetch::OcspFetcher;
use crate::inventory::Inventory;
use crate::ocsp::CertIdHash;
use crate::refresh::RefreshPolicy;
use crate::responders::Responders;
use crate::scheduler::Scheduler;
use crate::sink::StapleSink;
use crate::staple::JudgePolicy;

/// The renewer.
pub(crate) struct Renewer {
    pub(crate) inventory: Arc<Inventory>,
    pub(crate) scheduler: Arc<dyn Scheduler>,
    pub(crate) responders: Arc<Responders>,
    pub(crate) fetcher: Arc<dyn OcspFetcher>,
    pub(crate) sinks: Vec<Arc<dyn StapleSink>>,
    pub(crate) journal: Journal,
    pub(crate) refresh: RefreshPolicy,
    pub(crate) chance: Arc<dyn Chance>,
    pub(crate) judging: JudgePolicy,
    /// The CertID hash of requests where no sink requires one.
    pub(crate) hash: CertIdHash,
    /// Whether requests carry a nonce.
    pub(crate) nonces: Nonces,
    /// The requests that may run at once, over all responders.
    pub(crate) exchanges: Semaphore,
    /// The requests among them that may go to responders whose last request failed.
    pub(crate) doubtful_exchanges: Semaphore,
    /// How many renewals of one responder run at once.
    pub(crate) per_responder: usize,
}
