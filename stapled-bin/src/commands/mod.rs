//! What `stapled` does beside keeping staples fresh: one question, answered on standard output.
//!
//! Each command is a file, or a folder, of its own: its arguments, and what it does with them. [`input`] reads files, [`encoding`]
//! makes DER out of what is in them, [`report`] is what a judgement comes to, in words and in JSON. What is believed is
//! decided in `stapled-core`.

mod check;
mod encoding;
mod fetch;
mod input;
mod inspect;
mod renew;
mod report;
mod status;
mod verify;

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use clap::Subcommand;
use stapled_core::io::http::HttpFetcherError;

use crate::network::UnusableOverride;

/// How a command ends where there is an answer: the exit code.
const GOOD: u8 = 0;
const REVOKED: u8 = 10;
const UNKNOWN: u8 = 11;
const INVALID: u8 = 20;
/// How it ends where there is none.
const UNANSWERED: u8 = 1;
const USAGE: u8 = 2;

/// A command.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    Check(Box<check::Check>),
    Status(status::Status),
    Renew(renew::Renew),
    Verify(verify::Verify),
    Fetch(Box<fetch::Fetch>),
    Inspect(inspect::Inspect),
}

impl Command {
    /// Does it.
    pub(crate) fn run(self) -> ExitCode {
        let out = &mut io::stdout().lock();
        let ended = match self {
            Command::Check(check) => check.run(out),
            Command::Status(status) => status.run(out),
            Command::Renew(renew) => renew.run(out),
            Command::Verify(verify) => verify.run(out),
            Command::Fetch(fetch) => fetch.run(out),
            Command::Inspect(inspect) => inspect.run(out),
        };
        let code = match ended {
            Ok(code) => code,
            Err(error @ (CommandError::Input(_) | CommandError::Http(_) | CommandError::Override(_))) => {
                return crate::fail(&error, USAGE);
            }
            // Whoever reads no further has seen enough; the exit code goes on.
            Err(CommandError::Output { error, code }) if error.kind() == ErrorKind::BrokenPipe => code,
            Err(error) => return crate::fail(&error, UNANSWERED),
        };
        ExitCode::from(code)
    }
}

/// Why a command gave no answer.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Input(#[from] input::InputError),
    #[error(transparent)]
    Http(#[from] HttpFetcherError),
    #[error(transparent)]
    Override(#[from] UnusableOverride),
    #[error("cannot start: {0}")]
    Start(io::Error),
    #[error("the answer cannot be written to standard output: {error}")]
    Output { error: io::Error, code: u8 },
}

/// Writes an answer whole, and ends with its exit code.
fn answer(out: &mut dyn Write, answer: &str, code: u8) -> Result<u8, CommandError> {
    let written = out.write_all(answer.as_bytes()).and_then(|()| out.flush());
    written.map(|()| code).map_err(|error| CommandError::Output { error, code })
}
