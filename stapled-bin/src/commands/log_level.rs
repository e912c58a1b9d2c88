//! `stapled log-level`: how much the running daemon logs.

use std::io::Write;

use clap::Args;
use stapled_core::control::protocol::{Line, Notice, Question};

use super::answer::{CommandError, GOOD};
use crate::control::DaemonArguments;
use crate::options::arguments::numbers;

/// Show how much the running daemon logs, or change it until its next restart
///
/// 0: nothing, 1: errors, 2: warnings, 3: what is done, 4: every step, and each certificate by itself. The daemon logs the
/// change. A reload keeps it; a restart, or --verbosity, sets it again.
#[derive(Args, Debug)]
#[command(
    after_long_help = "Exit codes: 0: done; 2: wrong arguments; 4: no daemon answers; 5: this user may not ask it"
)]
pub(crate) struct LogLevel {
    /// The level, from 0 to 4 [default: show it]
    #[arg(value_name = "0..4", value_parser = numbers("a level", 0, 4))]
    level: Option<u64>,

    #[command(flatten)]
    daemon: DaemonArguments,
}

impl LogLevel {
    pub(crate) fn run(self, out: &mut dyn Write) -> Result<u8, CommandError> {
        let client = self.daemon.client()?;
        let question = Question::LogLevel { level: self.level.and_then(|level| u8::try_from(level).ok()) };
        client.ask(&question, &mut |_, line| match line {
            Line::Notice(Notice::LogLevel(level)) => writeln!(out, "log level {level}").and_then(|()| out.flush()),
            _ => Ok(()),
        })?;
        Ok(GOOD)
    }
}
