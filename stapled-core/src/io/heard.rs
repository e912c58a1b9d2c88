//! Scans on a thread of their own, whose results must reach a caller.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinError;

/// Runs a scan. If its future is dropped, no caller receives the changes that the scan has accounted for. Then
/// `unheard` is called, so that the source can report them again.
pub(crate) async fn heard<T: Send + 'static>(
    scan: impl FnOnce() -> T + Send + 'static,
    unheard: impl Fn() + Send + Sync + 'static,
) -> Result<T, JoinError> {
    let waiting = Waiting { unheard: Arc::new(unheard), is_over: Arc::default(), is_heard: false };
    let (unheard, is_over) = (Arc::clone(&waiting.unheard), Arc::clone(&waiting.is_over));
    let scanned = tokio::task::spawn_blocking(move || {
        let scanned = scan();
        // The future was dropped during the scan: the changes that the scan accounted for after that are lost, too.
        if is_over.load(Ordering::SeqCst) {
            unheard();
        }
        scanned
    });
    let scanned = scanned.await;
    let mut waiting = waiting;
    waiting.is_heard = true;
    scanned
}

struct Waiting<F: Fn()> {
    unheard: Arc<F>,
    is_over: Arc<AtomicBool>,
    is_heard: bool,
}

impl<F: Fn()> Drop for Waiting<F> {
    fn drop(&mut self) {
        if !self.is_heard {
            self.is_over.store(true, Ordering::SeqCst);
            (self.unheard)();
        }
    }
}
