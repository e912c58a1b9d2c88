//! Blocking file operations, on a thread of their own.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::codes;
use crate::io::blocking::{BlockedError, FILES};
use crate::sink::SinkError;

/// The deadline of an operation.
const PATIENCE: Duration = Duration::from_secs(30);

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

/// Runs a blocking operation on a staple file, whose thread may hang without harm to other directories.
pub(super) async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce(&Abandoned) -> Result<T, SinkError> + Send + 'static,
) -> Result<T, SinkError> {
    let abandoned = Abandoned::default();
    let _waiting = Waiting(abandoned.clone());
    let done = FILES.run_in_turn(&place(path), path, PATIENCE, move || work(&abandoned)).await;
    done.unwrap_or_else(|error| {
        let what = format!("{} cannot be written: {error}", path.display());
        match error {
            BlockedError::Busy => Err(SinkError::NotYet { code: codes::UNWRITABLE, what }),
            _ => Err(SinkError::Unreachable { code: codes::UNWRITABLE, what }),
        }
    })
}

/// The same for an operation that only looks. `None` if it does not end in time.
pub(super) async fn looking<T: Send + 'static>(path: &Path, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    FILES.run_in_turn(&place(path), path, PATIENCE, work).await.ok()
}

/// The directory that hangs or does not.
fn place(path: &Path) -> String {
    path.parent().unwrap_or(path).to_string_lossy().into_owned()
}
