//! The deadline of each guarantee: a scheduler that never answers fails the test instead of blocking it forever.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

/// The limit for one test in real time, with a slow store on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(300);

/// Waits for a future. Panics if that takes longer than `limit` in real time, whatever the runtime's time is.
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

/// A thread that wakes a task when the time is over. The thread ends when this value is dropped.
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

    /// Whether the time is over. If not, the thread calls `waker` at its end.
    fn is_over(&self, waker: &Waker) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.waker = Some(waker.clone());
        state.is_over
    }
}
