//! `stapled status`: asks the running daemon how everything stands.

use std::io::{BufRead, BufReader, ErrorKind, IsTerminal, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{io, path};

use clap::Args;

use super::CommandError;
use crate::control::{self, Last, MAX_QUESTION, Question, Refusal};
use crate::fault::ConfigurationError;
use crate::file::File;
use crate::summary::{Row, Summary};

/// Nobody answers, or not to the end.
const UNREACHABLE: u8 = 4;
/// How long the daemon may take for a part of its answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// No line of an answer is longer, in bytes.
const MAX_LINE: u64 = 1024 * 1024;

/// Ask the running stapled how everything stands
///
/// Tells of each certificate its state and the reason, since when, when it is tried again, until when its staple lasts,
/// and what each server has.
#[derive(Args, Debug)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct Status {
    /// Only these: names or serial numbers of certificates, or files [default: all]
    #[arg(value_name = "CERTIFICATE")]
    of: Vec<String>,

    /// The socket of the daemon [default: what the configuration file says, or /run/stapled/control.sock]
    #[arg(long, value_name = "PATH")]
    control_socket: Option<PathBuf>,

    /// The daemon's configuration file, which may name the socket [default: as the daemon finds it]
    #[arg(short = 'c', long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Print one object a line per certificate, then the totals
    #[arg(long)]
    json: bool,
}

const AFTER_HELP: &str = "\
Output with --json, one object a line; what is not known is null:
  certificate, serial, files, must_staple, outage (clients refuse it: it is must-staple and lacks a staple), state,
  reason (a stable word), what (the same in words, and what to do), since, next_try, staple_until, and servers: a list
  of server, state, reason, what, since, next_try, served_until. Times are RFC 3339. The last line has totals and daemon.

Exit codes:
  0    all is well, as --one-off means it
  1    something is not: a staple is missing, could not be renewed or not be delivered, or a file is unreadable; or
       nothing is known of what was asked for
  2    wrong arguments or configuration file
  3    a certificate is revoked, whatever else there is
  4    no daemon answers on the socket, or not to the end";

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum StatusError {
    #[error("{}: no stapled answers there: {error}; is it running, with this --control-socket, and may this user ask?", .path.display())]
    Connect { path: PathBuf, error: io::Error },
    #[error("{}: the answer broke off: {error}", .path.display())]
    Broken { path: PathBuf, error: io::Error },
    #[error("{}: {what}", .path.display())]
    Refused { path: PathBuf, what: String },
}

impl Status {
    pub(super) fn run(self, out: &mut dyn Write) -> Result<u8, CommandError> {
        let path = match self.socket() {
            Ok(path) => path,
            Err(error) => {
                crate::say(&error);
                return Ok(super::USAGE);
            }
        };
        let answered = match self.json {
            true => self.ask(&path, &mut |line, _| writeln!(out, "{line}")),
            false => self.table(&path, out),
        };
        let last = match answered {
            Ok(Ok(last)) => last,
            Ok(Err(error)) => {
                crate::say(&error);
                return Ok(UNREACHABLE);
            }
            Err(error) => return Err(CommandError::Output { error, code: super::UNANSWERED }),
        };
        let mut code = last.totals.exit_code;
        if last.totals.total == 0 && !self.of.is_empty() {
            crate::say(&format!("nothing is known of {}", self.of.join(", ")));
            code = code.max(1);
        }
        out.flush().map_err(|error| CommandError::Output { error, code })?;
        Ok(code)
    }

    fn socket(&self) -> Result<PathBuf, ConfigurationError> {
        if let Some(path) = &self.control_socket {
            return Ok(path.clone());
        }
        let file = File::find(self.config.as_deref())?;
        Ok(file.settings.control_socket.unwrap_or_else(control::usual_path))
    }

    fn table(&self, path: &Path, out: &mut dyn Write) -> io::Result<Result<Last, StatusError>> {
        let mut rows: Vec<Row> = Vec::new();
        let answered = self.ask(path, &mut |_, row| {
            rows.extend(row);
            Ok(())
        })?;
        if answered.is_ok() {
            let daemon = answered.as_ref().ok().map(|last| &last.daemon);
            Summary::with(rows).write_status(out, io::stdout().is_terminal())?;
            if let Some(daemon) = daemon {
                writeln!(
                    out,
                    "stapled {}, process {}, running since {}, configured {}",
                    crate::text::visible(&daemon.version),
                    daemon.pid,
                    crate::text::visible(&daemon.since),
                    crate::text::visible(&daemon.configured)
                )?;
            }
        }
        Ok(answered)
    }

    /// Asks, and takes every line of the answer; each but the last with what it says of a certificate. An error of
    /// `take` is one of the output.
    fn ask(
        &self,
        path: &Path,
        take: &mut dyn FnMut(&str, Option<Row>) -> io::Result<()>,
    ) -> io::Result<Result<Last, StatusError>> {
        let broken = |error| StatusError::Broken { path: path.to_owned(), error };
        let reader = match self.send(path) {
            Ok(reader) => reader,
            Err(error) => return Ok(Err(error)),
        };
        let mut reader = BufReader::new(reader);
        loop {
            let mut line = String::new();
            match (&mut reader).take(MAX_LINE).read_line(&mut line) {
                Ok(0) => return Ok(Err(broken(ErrorKind::UnexpectedEof.into()))),
                Ok(_) => {}
                Err(error) => return Ok(Err(broken(error))),
            }
            let line = line.trim_end();
            if let Ok(row) = serde_json::from_str::<Row>(line) {
                take(line, Some(row))?;
            } else if let Ok(last) = serde_json::from_str::<Last>(line) {
                take(line, None)?;
                return Ok(Ok(last));
            } else if let Ok(Refusal { error }) = serde_json::from_str(line) {
                return Ok(Err(StatusError::Refused { path: path.to_owned(), what: error }));
            } else {
                return Ok(Err(broken(ErrorKind::InvalidData.into())));
            }
        }
    }

    fn send(&self, path: &Path) -> Result<UnixStream, StatusError> {
        let failed = |error| StatusError::Connect { path: path.to_owned(), error };
        let mut of = Vec::new();
        for one in &self.of {
            // A file is known by its whole path.
            if let Ok(whole) = path::absolute(one)
                && (one.contains('/') || whole.exists())
            {
                of.push(whole.to_string_lossy().into_owned());
            }
            of.push(one.clone());
        }
        let mut question = serde_json::to_vec(&Question::Status { of }).map_err(|error| failed(error.into()))?;
        question.push(b'\n');
        if question.len() as u64 > MAX_QUESTION {
            let what = "too many certificates are named; ask for all".to_owned();
            return Err(StatusError::Refused { path: path.to_owned(), what });
        }
        let mut stream = UnixStream::connect(path).map_err(failed)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
        stream.write_all(&question).map_err(failed)?;
        stream.shutdown(Shutdown::Write).map_err(failed)?;
        Ok(stream)
    }
}
