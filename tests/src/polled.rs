//! Drops futures before they are ready, as `select!`, time-outs and the end of a program do.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// Polls a future whenever it wakes, at most `times` times, and then drops it. Returns the output if the future became
/// ready.
///
/// Calls with 1, 2, 3 … until it is ready drop the future at each point where it waits.
pub async fn polled<F: Future>(future: F, times: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = times;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_future_is_dropped_after_the_given_polls() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let work = || async {
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
            7
        };
        let outcomes = [0, 1, 2, 3, 4].map(|times| runtime.block_on(polled(work(), times)));
        assert_eq!(outcomes, [None, None, None, Some(7), Some(7)]);
    }
}
