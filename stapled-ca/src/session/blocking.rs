//! The ledger in asynchronous code. It waits for locks and disks, which must not keep a thread from other sessions.

use std::sync::Arc;

use crate::ledger_file::LedgerFile;

/// Runs `work` on a thread for blocking calls. If this future is dropped, `work` still runs to its end.
pub(crate) async fn with_ledger<T: Send + 'static>(
    ledger: &Arc<LedgerFile>,
    work: impl FnOnce(&LedgerFile) -> T + Send + 'static,
) -> T {
    let ledger = Arc::clone(ledger);
    match tokio::task::spawn_blocking(move || work(&ledger)).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends, and this task with it.
            Err(_) => std::future::pending().await,
        },
    }
}
