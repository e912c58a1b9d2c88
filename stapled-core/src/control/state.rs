//! What clients are told of: the stapler that runs now, and the program around it.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use tokio::sync::{Semaphore, watch};

use super::protocol::{Daemon, Last};
use crate::clock::{Clock, SystemClock};
use crate::overview::{Totals, Verdict};
use crate::stapler::Handle;
use crate::time::Timestamp;

/// How many renewals may be waited for at once; others are refused.
const RENEWALS: usize = 4;

/// How much is logged, and how much from now on.
type LogLevel = Box<dyn Fn(Option<u8>) -> u8 + Send + Sync>;
/// Numbers with their names.
type Counts = Box<dyn Fn() -> BTreeMap<String, u64> + Send + Sync>;

/// Answers the clients of a control socket. Clones are the same.
///
/// ```no_run
/// use stapled_core::control::Control;
/// use stapled_core::io::own_socket::OwnSocket;
/// # use stapled_core::{DirectorySource, FileSink, Stapler};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let stapler = Stapler::builder().source(DirectorySource::new("/etc/ssl/private")).sink(FileSink::new()).build()?;
/// let control = Control::new(env!("CARGO_PKG_VERSION"), stapler.handle());
/// let socket = OwnSocket::make_with_directory("/run/proxy/control.sock".as_ref())?;
/// tokio::spawn(async move { control.serve(socket).await });
/// stapler.run(std::future::pending()).await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Control(Arc<Inner>);

struct Inner {
    version: String,
    since: Timestamp,
    current: watch::Sender<(Handle, Timestamp)>,
    /// One permit for each renewal that a client waits for.
    renewals: Semaphore,
    log_level: OnceLock<LogLevel>,
    answered: OnceLock<Counts>,
}

impl Control {
    /// Answers for this stapler, in a program of this version that starts now.
    pub fn new(version: &str, handle: Handle) -> Self {
        let now = SystemClock.now();
        Control(Arc::new(Inner {
            version: version.to_owned(),
            since: now,
            current: watch::Sender::new((handle, now)),
            renewals: Semaphore::new(RENEWALS),
            log_level: OnceLock::new(),
            answered: OnceLock::new(),
        }))
    }

    /// Lets clients see and change how much is logged: `level` sets the level from 0 to 4 that it gets, and returns the
    /// present one. The first call counts.
    #[must_use]
    pub fn log_level(self, level: impl Fn(Option<u8>) -> u8 + Send + Sync + 'static) -> Self {
        let _ = self.0.log_level.set(Box::new(level));
        self
    }

    /// Tells clients how many questions of servers were answered, by their result, as `Responder::questions` counts them. The
    /// first call counts.
    #[must_use]
    pub fn answered(self, counts: impl Fn() -> BTreeMap<String, u64> + Send + Sync + 'static) -> Self {
        let _ = self.0.answered.set(Box::new(counts));
        self
    }

    /// Answers for this stapler from now on: the one before has ended. Renewals that clients wait for continue.
    pub fn replace(&self, handle: Handle) {
        self.0.current.send_replace((handle, SystemClock.now()));
    }

    /// The stapler that runs now.
    pub fn handle(&self) -> Handle {
        self.0.current.borrow().0.clone()
    }

    /// The last line of an answer with the rows of everything. Before the first scan is finished, an answer that looks good says
    /// little.
    pub fn last_of_all(&self, totals: Totals) -> Last {
        self.last(totals, totals.verdict_on_all())
    }

    /// The last line of an answer with this verdict.
    pub(super) fn last(&self, totals: Totals, verdict: Verdict) -> Last {
        let (handle, configured) = self.0.current.borrow().clone();
        let scanning = !handle.has_scanned();
        let daemon = Daemon {
            version: self.0.version.clone(),
            pid: std::process::id(),
            since: self.0.since.to_string(),
            configured: configured.to_string(),
            answered: self.0.answered.get().map(|counts| counts()).unwrap_or_default(),
        };
        let verdict = if scanning { verdict.max(Verdict::Failed) } else { verdict };
        Last { totals, verdict, scanning, daemon }
    }

    /// The stapler that replaces one that has ended, when it has found its certificates.
    pub(super) async fn successor(&self, ended: &Handle) -> Option<Handle> {
        let mut changes = self.0.current.subscribe();
        let (next, _) = changes.wait_for(|(handle, _)| !handle.is_same(ended)).await.ok()?.clone();
        next.ready().await.ok().map(|()| next)
    }

    /// The places for renewals that clients wait for.
    pub(super) fn renewals(&self) -> &Semaphore {
        &self.0.renewals
    }

    /// Sets the level of the log, if there is one, and returns the present one. None: the program has no levels.
    pub(super) fn level(&self, level: Option<u8>) -> Option<u8> {
        self.0.log_level.get().map(|change| change(level))
    }
}
