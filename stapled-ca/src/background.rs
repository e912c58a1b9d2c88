//! A server on threads of its own, stopped when its owner lets go of it.
//!
//! Own threads, so that it can be used from code that is not asynchronous, and
//! so that a test which blocks its runtime does not block its responder.

use std::future::Future;
use std::io;
use std::thread::JoinHandle;

use tokio::sync::watch;

/// Becomes true, or loses its sender, when it is time to stop.
pub(crate) type Stop = watch::Receiver<bool>;

#[derive(Debug)]
pub(crate) struct Background {
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// Runs what `serve` makes until it ends; it is told by its argument when
    /// to end. One thread means a runtime without any others.
    pub(crate) fn start<F, S>(name: &str, threads: usize, serve: S) -> io::Result<Self>
    where
        F: Future<Output = ()>,
        S: FnOnce(Stop) -> F + Send + 'static,
    {
        let runtime = if threads <= 1 {
            tokio::runtime::Builder::new_current_thread().enable_all().build()?
        } else {
            tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?
        };
        let (stop, told) = watch::channel(false);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            runtime.block_on(serve(told));
            runtime.shutdown_background();
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // Nobody listens any more if it ended by itself.
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            // A panic over there was reported there.
            let _ = thread.join();
        }
    }
}

/// Ends when it is time to stop.
pub(crate) async fn stopped(mut stop: Stop) {
    // An error means that the owner is gone, which is the same.
    let _ = stop.wait_for(|stop| *stop).await;
}
