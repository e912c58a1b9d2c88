//! The commands of `stapled`. Each answers one question on standard output and ends.
//!
//! Each command has a file, or a folder, of its own with its arguments and its work. [`input`] reads files, [`report`]
//! renders a verdict in words, and [`answer`] has the exit codes and the errors. The judgement itself is made in
//! `stapled-core`.

mod answer;
mod check;
mod fetch;
mod input;
mod inspect;
mod renew;
mod report;
mod status;
mod verify;

use std::io::{self, ErrorKind};
use std::process::ExitCode;

use clap::Subcommand;

use self::answer::{CommandError, UNANSWERED, USAGE};
use crate::stderr::fail;

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
    /// Runs the command to its end.
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
        match ended {
            Ok(code) => ExitCode::from(code),
            Err(error @ (CommandError::Input(_) | CommandError::Http(_) | CommandError::Override(_))) => {
                fail(&error, USAGE)
            }
            // A reader that closed the pipe has seen enough; the exit code stays.
            Err(CommandError::Output { error, code }) if error.kind() == ErrorKind::BrokenPipe => ExitCode::from(code),
            Err(error) => fail(&error, UNANSWERED),
        }
    }
}
