//! The deadline of each promise: a scheduler that never answers fails the test instead of holding it up for ever.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

/// How long one promise may take in real time, with a slow store on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(300);

/// Waits for a future; panics when that takes longer than `limit` in real time, however time passes for the runtime.
pub async fn within<F: Future>(limit: Duration, promise: &str, future: F) -> F::Output {
    let mut future = pin!(future);
    let watch = Watch::start(limit);
    poll_fn(|context| {
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return Poll::Ready(output);
        }
        assert!(!watch.is_over(context.waker()), "{promise}: the scheduler did not answer within {limit:?}");
        Poll::Pending
    })
    .await
}

/// A thread that wakes a task when the time is over; it ends as soon as this is dropped.
struct Watch {
    state: Arc<Mutex<State>>,
    _end: Sender<()>,
}

#[derive(Default)]
struct State {
    is_over: bool,
    waker: Option<Waker>,
}

impl Watch {
    fn start(limit: Duration) -> Self {
        let state = Arc::<Mutex<State>>::default();
        let (end, ended) = channel();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            if ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
                state.is_over = true;
                state.waker.take().into_iter().for_each(Waker::wake);
            }
        });
        Watch { state, _end: end }
    }

    /// Whether the time is over; if not, `waker` is called then.
    fn is_over(&self, waker: &Waker) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.waker = Some(waker.clone());
        state.is_over
    }
}
