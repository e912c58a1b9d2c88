//! Scans on a thread of their own, whose results somebody must hear.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinError;

/// Does a scan. When its future is dropped, nobody hears of what it has seen and taken account of: then `unheard` is called
/// after that, so that a source can hint at it again.
pub(crate) async fn heard<T: Send + 'static>(
    scan: impl FnOnce() -> T + Send + 'static,
    unheard: impl Fn() + Send + Sync + 'static,
) -> Result<T, JoinError> {
    let waiting = Waiting { unheard: Arc::new(unheard), is_over: Arc::default(), is_heard: false };
    let (unheard, is_over) = (Arc::clone(&waiting.unheard), Arc::clone(&waiting.is_over));
    let scanned = tokio::task::spawn_blocking(move || {
        let scanned = scan();
        // It was dropped in the midst of the scan: what that has taken account of since is unheard, too.
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
