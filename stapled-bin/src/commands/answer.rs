//! How a command ends: its exit codes, its errors, and the answer that it writes.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use stapled_core::control::client::ClientError;
use stapled_core::io::http::HttpFetcherError;
use stapled_core::ocsp::CertStatus;
use stapled_core::verdict::Verdict;

use super::input::InputError;
use crate::fault::ConfigurationError;
use crate::stderr::say;

/// The exit code of a valid response that says good, and of everything else that is in order.
pub(crate) const GOOD: u8 = 0;
/// The exit code of a valid response that says revoked.
pub(crate) const REVOKED: u8 = 10;
/// The exit code of a valid response that says unknown.
pub(crate) const UNKNOWN: u8 = 11;
/// The exit code of a response, certificate or request that is not valid.
pub(crate) const INVALID: u8 = 20;
/// The exit code where there is no answer.
pub(crate) const UNANSWERED: u8 = 1;
/// The exit code where no daemon or server answers, or not to the end.
pub(crate) const UNREACHABLE: u8 = 4;
/// The exit code where this user may not ask the daemon.
const FORBIDDEN: u8 = 5;
/// The exit code of wrong arguments, and of a file that cannot be opened.
pub(crate) const USAGE: u8 = 2;

/// Why a command gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error(transparent)]
    Input(#[from] InputError),
    #[error(transparent)]
    Http(#[from] HttpFetcherError),
    #[error(transparent)]
    Setting(#[from] ConfigurationError),
    #[error(transparent)]
    Client(ClientError),
    #[error("{0}; is it running, with this --control-socket?")]
    Absent(ClientError),
    #[cfg(feature = "redis")]
    #[error(transparent)]
    Redis(#[from] stapled_redis::RedisError),
    #[error("cannot start: {0}")]
    Start(io::Error),
    #[error("cannot go to the background: {0}")]
    Background(io::Error),
    #[error("the manual page cannot be made: {0}")]
    Manual(io::Error),
    #[error("the answer cannot be written to standard output: {error}")]
    Output { error: io::Error, code: u8 },
}

impl From<ClientError> for CommandError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Output(error) => CommandError::Output { error, code: UNANSWERED },
            error @ ClientError::Connect { .. } => CommandError::Absent(error),
            error => CommandError::Client(error),
        }
    }
}

/// Writes the whole answer, and returns its exit code.
pub(crate) fn answer(out: &mut dyn Write, answer: &str, code: u8) -> Result<u8, CommandError> {
    let written = out.write_all(answer.as_bytes()).and_then(|()| out.flush());
    written.map(|()| code).map_err(|error| CommandError::Output { error, code })
}

/// The exit code of a command that has ended. Its error goes to standard error.
pub(crate) fn exit(ended: Result<u8, CommandError>) -> ExitCode {
    match ended {
        Ok(code) => ExitCode::from(code),
        // A reader that closed the pipe has seen enough; the exit code stays.
        Err(CommandError::Output { error, code }) if error.kind() == ErrorKind::BrokenPipe => ExitCode::from(code),
        Err(error) => {
            say(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

impl CommandError {
    fn exit_code(&self) -> u8 {
        match self {
            CommandError::Client(ClientError::Forbidden { .. } | ClientError::NotForYou { .. }) => FORBIDDEN,
            CommandError::Client(_) | CommandError::Absent(_) => UNREACHABLE,
            #[cfg(feature = "redis")]
            CommandError::Redis(_) => UNREACHABLE,
            CommandError::Input(_) | CommandError::Http(_) | CommandError::Setting(_) => USAGE,
            _ => UNANSWERED,
        }
    }
}

/// The exit code of a verdict.
pub(super) fn exit_code(verdict: &Verdict) -> u8 {
    match verdict.status {
        Ok(CertStatus::Good) => GOOD,
        Ok(CertStatus::Revoked { .. }) => REVOKED,
        Ok(_) => UNKNOWN,
        Err(_) => INVALID,
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use proptest::prelude::*;
    use stapled_core::overview::json::json_line;
    use stapled_core::reason::ReasonCode;

    use super::*;

    proptest! {
        /// A verdict is one line of JSON and one line of text, with any detail.
        #[test]
        fn any_verdict_is_one_line_of_json(detail: String) {
            let verdict = Verdict::invalid(ReasonCode::new("malformed"), detail);
            let json = json_line(&verdict);
            assert_eq!(json.matches('\n').count(), 1);
            let object: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!(&object["reason"], "malformed");
            assert_eq!(object["detail"].as_str(), Some(verdict.detail.as_str()));
            assert_eq!(verdict.to_string().lines().count(), 1);
        }
    }

    #[test]
    fn a_daemon_that_is_not_there_and_one_that_may_not_be_asked_have_different_codes() {
        let (path, error) = (|| PathBuf::from("/s"), |kind: ErrorKind| io::Error::from(kind));
        let absent = ClientError::Connect { path: path(), error: error(ErrorKind::NotFound) };
        let forbidden = ClientError::Forbidden { path: path(), error: error(ErrorKind::PermissionDenied) };
        assert_eq!([absent, forbidden].map(|error| CommandError::from(error).exit_code()), [4, 5]);
    }
}
