//! The state of a survey of one process between its rounds.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::cli::error::Error;
use crate::cli::process::Process;
use crate::instance::loaded::LoadedCertificates;

/// The state of the survey of one process.
#[derive(Default)]
pub(crate) struct SurveyState {
    pub(crate) findings: Mutex<Findings>,
    /// Locked during a round.
    pub(crate) round: tokio::sync::Mutex<Round>,
    /// Locked during the first survey of a process.
    pub(crate) first: tokio::sync::Mutex<()>,
}

/// The loaded certificates, and of which process.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) of: Option<Process>,
    pub(crate) loaded: LoadedCertificates,
    /// When HAProxy refused to show its certificates.
    pub(crate) denied_at: Option<Instant>,
    /// The name of the certificate that an open transaction changed when the names were listed last.
    pub(crate) transaction: Option<String>,
}

/// The last round.
#[derive(Default)]
pub(crate) struct Round {
    pub(crate) made: Option<Instant>,
    /// The earliest time of the next list of names.
    pub(crate) list_at: Option<Instant>,
    /// Why the last round reached no process.
    pub(crate) failed: Option<Error>,
    /// The back-off after that.
    pub(crate) wait: Option<Duration>,
}

impl Findings {
    /// Whether they are about this process.
    pub(crate) fn is_about(&self, process: &Process) -> bool {
        self.of.as_ref().is_some_and(|of| of.is_same(process))
    }

    /// Begins anew for another process, which has loaded its certificates anew.
    pub(crate) fn begin(&mut self, process: &Process) {
        if !self.is_about(process) {
            let generation = self.loaded.generation();
            self.loaded = LoadedCertificates::after(generation);
        }
        self.of = Some(process.clone());
    }
}
