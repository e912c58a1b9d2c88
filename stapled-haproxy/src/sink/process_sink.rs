//! One HAProxy process as a sink: delivers staples, and remembers them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use stapled_core::sink::Site;
use stapled_core::staple::Staple;
use stapled_core::time::Timestamp;
use tokio::time::Instant;

use crate::cli::error::Error;
use crate::cli::failure::Failure;
use crate::cli::identity::{Identity, plain_serial};
use crate::cli::process::Process;
use crate::cli::reply::response::ShownResponse;
use crate::cli::route::Route;
use crate::instance::channel::Channel;
use crate::instance::deadline::Deadline;
use crate::instance::lock::lock;
use crate::instance::settings::Settings;
use crate::instance::survey::Survey;
use crate::sink::memory::{Memory, names_of};

/// The shortest time between two reports that deliveries can be retried.
pub(crate) const REPORT_INTERVAL: Duration = Duration::from_secs(5);
/// How long a failed delivery is remembered: longer than the longest retry interval, so that no entry expires between two
/// attempts.
pub(crate) const REFUSED_FOR: Duration = Duration::from_secs(2 * 3600);

/// One process as a sink.
pub(crate) struct ProcessSink {
    pub(crate) channel: Channel,
    pub(crate) survey: Survey,
    pub(crate) settings: Settings,
    pub(crate) memory: Mutex<Memory>,
}

impl ProcessSink {
    pub(crate) fn new(route: &Route, settings: Settings) -> Self {
        let channel = Channel::of(route, settings.timeouts);
        let survey = Survey::of(channel.clone());
        ProcessSink { channel, survey, settings, memory: Mutex::default() }
    }

    pub(crate) fn route(&self) -> &Route {
        self.channel.route()
    }

    /// The error with this process's socket.
    pub(crate) fn failure(&self, error: Error) -> Failure {
        error.at(self.route())
    }

    /// A deadline for a response that must not be sent later.
    pub(crate) fn deadline(&self, at: Timestamp) -> Deadline {
        Deadline { at, made: None, clock: Arc::clone(&self.settings.clock) }
    }

    /// Whether the process was given this very staple for these sites, and nothing contradicts that it still has it.
    pub(crate) fn has(&self, staple: &Staple, sites: &[Site]) -> bool {
        let memory = lock(&self.memory);
        let Some(delivered) = memory.delivered.get(staple.facts().cert_id.to_der().as_slice()) else { return false };
        let processes = self.channel.processes();
        let is_same_process = match (&memory.process, processes.borrow().as_ref()) {
            (Some(known), Some(current)) => known.is_same(current),
            _ => false,
        };
        is_same_process && delivered.response == *staple.response() && delivered.names == names_of(sites)
    }

    /// Remembers a failed delivery, so that `losses` can report when to retry it.
    pub(crate) fn note_failure(&self, error: &Error, identity: &Identity) {
        let mut memory = lock(&self.memory);
        match error {
            error if error.is_unreachable() => memory.unreachable = true,
            Error::MixedUp { .. } => memory.note_refused(identity),
            error if error.is_not_yet() => memory.note_refused(identity),
            Error::ForeignTransaction(_) => memory.blocked = true,
            _ => {}
        }
    }

    /// Asks which response the process has for a CertID (DER).
    pub(crate) async fn shown(&self, cert_id: &[u8], process: &Process) -> Result<ShownResponse, Error> {
        let shown = self.channel.show_responses(std::iter::once(cert_id), process).await?;
        Ok(shown.into_iter().next().unwrap_or(ShownResponse::Unknown))
    }
}

impl Memory {
    fn note_refused(&mut self, identity: &Identity) {
        self.refused.insert(plain_serial(&identity.serial), (identity.clone(), Instant::now()));
    }
}
