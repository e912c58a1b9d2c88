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
        let Signals { terminate, interrupt, hang_up } = self;
        tokio::select! {
            biased;
            number = stopping(terminate, interrupt) => Asked::Stop(number),
            _ = hang_up.recv() => Asked::Reload,
        }
    }

    /// Waits for a signal to stop. One to reload stays for [`Self::next`]. A second signal ends the process at once.
    pub(crate) async fn stop_only(&mut self) {
        stopping(&mut self.terminate, &mut self.interrupt).await;
    }

    /// The number of the next signal to stop.
    pub(crate) async fn stop(&mut self) -> u8 {
        loop {
            if let Asked::Stop(number) = self.next().await {
                return number;
            }
            tracing::info!(event = "hang_up", "SIGHUP is ignored: a single pass does not read its configuration again");
        }
    }
}

/// The number of the next signal to stop. The one after it ends the process at once.
async fn stopping(terminate: &mut Signal, interrupt: &mut Signal) -> u8 {
    let number = either(terminate, interrupt).await;
    match Signals::new() {
        Ok(mut second) => {
            tokio::spawn(async move {
                std::process::exit(128 + i32::from(either(&mut second.terminate, &mut second.interrupt).await))
            });
        }
        Err(error) => tracing::debug!(%error, "a second signal will not be noticed"),
    }
    number
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> u8 {
    tokio::select! {
        biased;
        _ = terminate.recv() => 15,
        _ = interrupt.recv() => 2,
    }
}
