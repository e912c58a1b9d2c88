//! The arguments that `serve` and `work` share.

use std::io;
use std::path::Path;
use std::sync::Arc;

use clap::Args;
use stapled_ca::{Authority, LedgerFile};

use crate::authorities::LEDGER;
use crate::failure::Failure;
use crate::metrics::MetricsPlace;
use crate::session_arguments::{CertificateArguments, PolicyArguments, ProbeArguments};
use crate::store_arguments::StoreArguments;

#[derive(Debug, Args)]
pub(crate) struct SharedArguments {
    /// Answer GET /metrics (OpenMetrics) at this loopback address and port, or at this unix socket
    #[arg(long, value_name = "ADDRESS:PORT|PATH")]
    pub(crate) metrics: Option<MetricsPlace>,
    #[command(flatten)]
    pub(crate) store: StoreArguments,
    #[command(flatten)]
    pub(crate) policy: PolicyArguments,
    #[command(flatten)]
    pub(crate) probe: ProbeArguments,
    #[command(flatten)]
    pub(crate) certificate: CertificateArguments,
}

/// The ledger of an authority.
pub(crate) fn ledger(authority: &Authority, dir: &Path) -> Result<Arc<LedgerFile>, Failure> {
    authority.ledger_file().cloned().ok_or_else(|| Failure::NoLedger { path: dir.join(LEDGER) })
}

/// A runtime with this many threads.
pub(crate) fn runtime(threads: usize) -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(threads.max(1)).enable_all().build()
}
