//! Sends commands that change nothing.

use super::{Kept, Writer};
use crate::cli::command::Command;
use crate::cli::connection::Age;
use crate::cli::error::Error;
use crate::instance::jobs::Said;

/// The largest number of lines that are read of a list.
const MAX_LISTED: usize = 5_000_000;

impl Writer {
    /// Sends commands that change nothing; returns their replies.
    pub(super) async fn ask(&self, kept: &mut Kept, commands: &[Command]) -> Result<Said, Error> {
        loop {
            let connection = self.connection(kept).await?;
            let age = connection.age();
            let process = connection.process().clone();
            let mut replies = Vec::with_capacity(commands.len());
            match connection.ask_all(commands, |reply| replies.push(reply)).await {
                Ok(()) => return Ok((replies, process)),
                Err(error) => reconnect(kept, age, error)?,
            }
        }
    }

    /// Sends a command whose reply is a list; returns its lines.
    pub(super) async fn list(&self, kept: &mut Kept, command: &Command) -> Result<Said, Error> {
        loop {
            let connection = self.connection(kept).await?;
            let age = connection.age();
            let process = connection.process().clone();
            let mut lines = Vec::new();
            let take = |line: &str| {
                if lines.len() < MAX_LISTED {
                    lines.push(line.to_owned());
                }
            };
            match connection.ask_lines(command, take).await {
                Ok(()) => return Ok((lines, process)),
                Err(error) => reconnect(kept, age, error)?,
            }
        }
    }
}

/// Drops the connection. A kept connection may end at any time: then the caller asks again on a new one.
fn reconnect(kept: &mut Kept, age: Age, error: Error) -> Result<(), Error> {
    kept.connection = None;
    match error {
        Error::Closed if age == Age::Kept => Ok(()),
        error => Err(error),
    }
}
