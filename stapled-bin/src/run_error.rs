//! Why the daemon, or a pass, does not run or no longer runs.

use std::io;

use stapled_core::io::own_socket::OwnSocketError;
use stapled_core::io::pid_file::PidFileError;
use stapled_core::scheduler::SchedulerError;
use stapled_core::web::listener::WebError;

use crate::configuration::Configuration;
use crate::logging::LoggingError;
use crate::wiring::WiringError;

/// Why nothing runs.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error(transparent)]
    Logging(#[from] LoggingError),
    #[error("--pid-file {0}")]
    PidFile(#[from] PidFileError),
    #[error("--control-socket {0}")]
    ControlSocket(#[from] OwnSocketError),
    #[error("--http {0}")]
    Http(#[from] WebError),
    #[error("--listen {0}")]
    Listen(WebError),
    #[error("cannot start: {0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Wiring(#[from] WiringError),
    #[error("the pass broke off: {0}")]
    Scheduler(#[from] SchedulerError),
    #[error("the stapler ended by itself, which is a bug")]
    BrokenOff,
}

impl RunError {
    /// The exit code of the process.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            RunError::Logging(_) | RunError::Wiring(_) => 2,
            _ => 1,
        }
    }
}

/// Logs the oddities of a configuration.
pub(crate) fn log_notes(configuration: &Configuration) {
    for note in &configuration.notes {
        tracing::warn!(event = "configuration_note", "{note}");
    }
}
