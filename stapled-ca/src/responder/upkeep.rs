//! The work of a responder that no question waits for.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::ledger::StoreError;
use crate::responder::answer::Responder;
use crate::responder::published_crl::CrlUpkeep;
use crate::responder::served::Served;

/// The time between two rounds. What another process changes is noticed after this time at the latest.
const PAUSE: Duration = Duration::from_millis(200);

/// The number of changed records that are read at once.
const CHANGES: usize = 1000;

/// A thread that does the work of a responder that no question waits for: it writes first questions into the ledger and signs
/// certificate revocation lists. Dropping it ends the thread after a last round.
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
            let mut rounds = Rounds::new(&responder);
            loop {
                rounds.next();
                if told.recv_timeout(PAUSE) != Err(RecvTimeoutError::Timeout) {
                    break;
                }
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

/// What one round has to know of the rounds before.
struct Rounds<'a> {
    responder: &'a Responder,
    authorities: Vec<Progress>,
}

/// The state of one authority.
#[derive(Default)]
struct Progress {
    /// The changes of the ledger up to this position are done.
    position: usize,
    crl: CrlUpkeep,
}

impl<'a> Rounds<'a> {
    fn new(responder: &'a Responder) -> Self {
        let authorities = responder.served().iter().map(|_| Progress::default()).collect();
        Self { responder, authorities }
    }

    fn next(&mut self) {
        let (policy, now) = (&self.responder.policy, (self.responder.clock)());
        self.responder.write_first_questions();
        for (served, progress) in self.responder.served().iter().zip(&mut self.authorities) {
            if let Err(error) = progress.read_changes(served) {
                tracing::error!(authority = served.authority.name(), %error, "cannot read the ledger");
            }
            if let Some(validity) = policy.crl_validity
                && let Err(error) = progress.crl.renew(&served.crl, &served.authority, validity, policy.backdate, now)
            {
                tracing::error!(authority = served.authority.name(), %error, "cannot renew the revocation list");
            }
        }
    }
}

impl Progress {
    /// Reads the records that changed since the last round.
    fn read_changes(&mut self, served: &Served) -> Result<(), StoreError> {
        loop {
            let changes = served.authority.changes(self.position, CHANGES)?;
            if changes.position == self.position {
                return Ok(());
            }
            for record in &changes.records {
                self.crl.changed(&served.crl, record);
            }
            self.position = changes.position;
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
