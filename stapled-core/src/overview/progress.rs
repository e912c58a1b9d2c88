//! The progress of long work: how much is done, how fast it advances, and how long the rest takes.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::pace::Pace;
use crate::event::{Event, EventKind, Observer};
use crate::task::Subject;

/// The progress of long work. As an observer, it counts the certificates that passes find and process
/// ([`passes`](crate::stapler::passes::passes)).
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use stapled_core::overview::progress::Progress;
///
/// let progress = Arc::new(Progress::of("certificates"));
/// let shown = Arc::clone(&progress);
/// // Every five seconds, a line such as `1,200 of 5,000 certificates, 240/s, 15 s left`.
/// let lines = std::thread::spawn(move || shown.report(Duration::from_secs(5), |_, _, line| eprintln!("{line}")));
/// for done in 0..5000 {
///     progress.set(done, 5000);
/// }
/// progress.end();
/// # lines.join().unwrap();
/// ```
#[derive(Debug)]
pub struct Progress {
    what: &'static str,
    count: Mutex<Count>,
    has_ended: Mutex<bool>,
    end: Condvar,
}

#[derive(Debug, Default)]
struct Count {
    done: usize,
    /// How much there is; 0: that is not known.
    of: usize,
    /// The certificates that passes found, and whether each was counted as done.
    certificates: HashMap<Subject, bool>,
}

impl Progress {
    /// Work of which nothing is done yet. `what` is the plural of one piece of it.
    pub fn of(what: &'static str) -> Self {
        Progress { what, count: Mutex::default(), has_ended: Mutex::default(), end: Condvar::new() }
    }

    /// Sets how much is done, and how much there is; 0 if that is not known.
    pub fn set(&self, done: usize, of: usize) {
        let mut count = self.count();
        (count.done, count.of) = (done, of);
    }

    /// Calls `show` after each `pause` until the [end](Progress::end), on this thread: with how much is done, how much there is
    /// (0 if that is not known), and the progress in words, which have the rate and the remaining time. Nothing is shown before
    /// something is known.
    pub fn report(&self, pause: Duration, mut show: impl FnMut(usize, usize, &str)) {
        let (began, mut pace) = (Instant::now(), Pace::new());
        let mut has_ended = self.has_ended();
        loop {
            let waited = self.end.wait_timeout_while(has_ended, pause, |has_ended| !*has_ended);
            has_ended = waited.unwrap_or_else(PoisonError::into_inner).0;
            if *has_ended {
                return;
            }
            let Count { done, of, .. } = *self.count();
            if (done, of) != (0, 0) {
                pace.note(began.elapsed(), done);
                show(done, of, &pace.line(of, self.what));
            }
        }
    }

    /// Ends the work. Nothing is shown any more once this has returned.
    pub fn end(&self) {
        *self.has_ended() = true;
        self.end.notify_all();
    }

    fn count(&self) -> MutexGuard<'_, Count> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_ended(&self) -> MutexGuard<'_, bool> {
        self.has_ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Progress {
    fn observe(&self, event: &Event) {
        let Some(subject) = event.certificate.as_ref().and_then(|about| about.subject.as_ref()) else { return };
        let has_result = event.kind.is_result();
        if !has_result && !matches!(event.kind, EventKind::Accepted) {
            return;
        }
        let count = &mut *self.count();
        // A second pass finds the same certificates again.
        let is_done = count.certificates.entry(subject.clone()).or_default();
        count.done += usize::from(has_result && !*is_done);
        *is_done |= has_result;
        count.of = count.certificates.len();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    #[test]
    fn progress_is_shown_from_the_first_known_number_to_the_end() {
        let progress = Progress::of("steps");
        thread::scope(|scope| {
            let (shown, received) = mpsc::channel();
            let show = move |done, of, line: &str| shown.send((done, of, line.to_owned())).unwrap();
            let reporter = scope.spawn(|| progress.report(Duration::from_millis(1), show));
            assert!(received.recv_timeout(Duration::from_millis(50)).is_err(), "nothing is known");
            progress.set(3, 0);
            let (done, of, line) = received.recv().unwrap();
            assert!((done, of) == (3, 0) && line.starts_with("3 steps, ") && line.ends_with("/s"), "{line}");
            progress.set(4, 9);
            let (_, _, line) = received.iter().find(|(done, _, _)| *done == 4).unwrap();
            assert!(line.starts_with("4 of 9 steps, ") && line.ends_with(" left"), "{line}");
            progress.end();
            let _ = received.try_iter().count();
            assert!(received.recv().is_err(), "shown after the end");
            reporter.join().unwrap();
        });
    }
}
