//! SIGTERM, SIGINT and SIGHUP.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The request of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Stop. With the number of the signal.
    Stop(u8),
    /// Read the configuration again.
    Reload,
}

pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// The next signal. After a signal to stop, a second one ends the process at once.
    pub(crate) async fn next(&mut self) -> Asked {
        let number = tokio::select! {
            biased;
            _ = self.terminate.recv() => 15,
            _ = self.interrupt.recv() => 2,
            _ = self.hang_up.recv() => return Asked::Reload,
        };
        second_ends();
        Asked::Stop(number)
    }

    /// Waits for a signal to stop. One to reload stays for [`Self::next`]. A second signal ends the process at once.
    pub(crate) async fn stop_only(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        second_ends();
    }

    /// The number of the next signal to stop.
    pub(crate) async fn stop(&mut self) -> u8 {
        loop {
            match self.next().await {
                Asked::Stop(number) => return number,
                Asked::Reload => {
                    tracing::info!(
                        event = "hang_up",
                        "SIGHUP is ignored: a single pass does not read its configuration again"
                    )
                }
            }
        }
    }
}

/// Lets the next signal to stop end the process at once.
fn second_ends() {
    match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(terminate), Ok(interrupt)) => {
            tokio::spawn(second(terminate, interrupt));
        }
        (Err(error), _) | (_, Err(error)) => tracing::debug!(%error, "a second signal will not be noticed"),
    }
}

async fn second(mut terminate: Signal, mut interrupt: Signal) {
    let number = tokio::select! {
        _ = terminate.recv() => 15,
        _ = interrupt.recv() => 2,
    };
    std::process::exit(128 + number);
}
