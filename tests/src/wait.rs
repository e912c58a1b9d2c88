//! Waits for conditions, with deadlines.

use std::time::{Duration, Instant};

/// The deadline for an event that happens at once: long, since the machine may be busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The deadline for an event that waits for a first retry, which comes after 24 to 36 seconds.
pub const LONG: Duration = Duration::from_secs(60);

/// Waits until `look` finds a value, at most [`PATIENCE`].
pub fn wait_for<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    wait_for_within(PATIENCE, what, look)
}

/// Waits until `look` finds a value, at most `patience`.
pub fn wait_for_within<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let mut found = None;
    until(patience, || {
        found = look();
        found.is_some()
    });
    found.unwrap_or_else(|| panic!("within {patience:?} it did not come true: {what}"))
}

/// Waits until `is_so` is true, at most [`PATIENCE`].
pub fn wait_until(what: &str, is_so: impl FnMut() -> bool) {
    wait_until_within(PATIENCE, what, is_so);
}

/// Waits until `is_so` is true, at most `patience`.
pub fn wait_until_within(patience: Duration, what: &str, mut is_so: impl FnMut() -> bool) {
    wait_for_within(patience, what, || is_so().then_some(()));
}

/// Whether a condition comes true within this time.
pub fn until(patience: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        // One more check after the deadline: the machine may have delayed this thread.
        let is_late = Instant::now() >= deadline;
        if is_so() {
            return true;
        }
        if is_late {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
