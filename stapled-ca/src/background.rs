//! Servers on threads of their own, which stop when they are dropped.
//!
//! A server has its own threads for two reasons. Synchronous code can use it, and a test that blocks its own runtime
//! does not block its responder.

use std::future::Future;
use std::io;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// The signal to stop: the value becomes true, or the sender is dropped.
pub(crate) type Stop = watch::Receiver<bool>;

/// A running server. Dropping it stops the server and waits for its thread.
#[derive(Debug)]
pub(crate) struct Background {
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// Runs the future of `serve` on new threads until it ends. The argument of `serve` is the signal to stop. With
    /// one thread the runtime has no worker threads.
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
        // The server may have ended before: then the signal has no receiver.
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            // A panic was reported by the thread itself.
            let _ = thread.join();
        }
    }
}

/// A thread that repeats its work. Dropping it ends the thread after the work that it is doing.
#[derive(Debug)]
pub(crate) struct Repeating {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Repeating {
    /// Runs `work` on a new thread, again and again. Its result is the pause until the next time; `None` ends the thread.
    pub(crate) fn start(name: &str, mut work: impl FnMut() -> Option<Duration> + Send + 'static) -> io::Result<Self> {
        let (stop, told) = mpsc::channel();
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            while let Some(pause) = work() {
                if told.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                    break;
                }
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Repeating {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic was reported by the thread itself.
            let _ = thread.join();
        }
    }
}

/// Ends at the signal to stop.
pub(crate) async fn stopped(mut stop: Stop) {
    // An error means that the sender was dropped, which is a signal to stop, too.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// A future that ends at SIGINT or SIGTERM. The signals are caught as soon as the function is called.
///
/// # Errors
/// When the system refuses to catch signals. Call it within a tokio runtime.
pub fn interrupted() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
