//! Work that waits for disks, on a thread of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::codes;
use crate::sink::SinkError;

/// Whether nobody waits for some work any more. Its future was dropped, and what is asked for next must not be undone: so
/// it begins nothing new. To be looked at under the lock of a file, which whoever comes next waits for.
#[derive(Clone, Debug, Default)]
pub(super) struct Abandoned(Arc<AtomicBool>);

impl Abandoned {
    pub(super) fn is_so(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Sets that when it is dropped.
struct Waiting(Abandoned);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::SeqCst);
    }
}

/// Runs such work.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce(&Abandoned) -> Result<T, SinkError> + Send + 'static,
) -> Result<T, SinkError> {
    let abandoned = Abandoned::default();
    let _waiting = Waiting(abandoned.clone());
    tokio::task::spawn_blocking(move || work(&abandoned)).await.unwrap_or_else(|error| {
        Err(SinkError::Unreachable { code: codes::UNWRITABLE, what: format!("the write broke off: {error}") })
    })
}
