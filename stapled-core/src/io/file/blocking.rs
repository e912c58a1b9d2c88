//! Blocking file operations, on a thread of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::codes;
use crate::sink::SinkError;

/// Whether the caller has dropped the future of an operation. Such an operation starts nothing new, because it would
/// undo a later one. The flag must be read under the lock of the file, which the next operation waits for.
#[derive(Clone, Debug, Default)]
pub(super) struct Abandoned(Arc<AtomicBool>);

impl Abandoned {
    pub(super) fn is_so(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Marks an operation as abandoned when it is dropped.
struct Waiting(Abandoned);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::SeqCst);
    }
}

/// Runs a blocking operation on a thread of tokio's pool.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce(&Abandoned) -> Result<T, SinkError> + Send + 'static,
) -> Result<T, SinkError> {
    let abandoned = Abandoned::default();
    let _waiting = Waiting(abandoned.clone());
    tokio::task::spawn_blocking(move || work(&abandoned)).await.unwrap_or_else(|error| {
        Err(SinkError::Unreachable { code: codes::UNWRITABLE, what: format!("the write broke off: {error}") })
    })
}
