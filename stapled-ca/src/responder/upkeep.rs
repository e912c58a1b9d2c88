//! The work of a responder that no question waits for.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::responder::answer::Responder;

/// The time between two rounds. What another process changes is noticed after this time at the latest.
const PAUSE: Duration = Duration::from_millis(200);

/// A thread that does the work of a responder that no question waits for: it writes first questions into the ledger. Dropping it
/// ends the thread after a last round.
#[derive(Debug)]
pub struct Upkeep {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Responder {
    /// Starts the thread for the work that the settings ask for. [`crate::responder::ResponderBuilder::start`] does so by itself.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn upkeep(self: &Arc<Self>) -> io::Result<Upkeep> {
        let (stop, told) = mpsc::channel();
        let responder = Arc::clone(self);
        let thread = std::thread::Builder::new().name("ocsp upkeep".to_owned()).spawn(move || {
            while told.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
                responder.write_first_questions();
            }
            responder.write_first_questions();
        })?;
        Ok(Upkeep { stop: Some(stop), thread: Some(thread) })
    }

    fn write_first_questions(&self) {
        for served in self.served() {
            if let Some(ledger) = served.authority.ledger_file()
                && let Err(error) = served.first_questions.write(ledger)
            {
                tracing::error!(authority = served.authority.name(), %error, "cannot record first questions");
            }
        }
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic was reported by the thread itself.
            let _ = thread.join();
        }
    }
}
