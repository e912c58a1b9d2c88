//! The client of the control socket. It blocks: a program with a runtime asks in a thread of its own.

use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{self, PathBuf};
use std::time::Duration;

use super::protocol::{Last, Line, MAX_QUESTION, Notice, Question};
use crate::overview::Row;
use crate::stapler::Selection;

/// How long the daemon may take for one part of its answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// The longest line of an answer, in bytes.
const MAX_LINE: u64 = 1024 * 1024;

/// A client for one socket.
///
/// ```no_run
/// use stapled_core::control::client::Client;
///
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let (rows, last) = Client::new("/run/proxy/control.sock").status(&[])?;
/// for row in rows {
///     println!("{:?}: {}", row.certificate, row.state_in_words());
/// }
/// println!("{}", last.totals);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    path: PathBuf,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No process answers there.
    #[error("{}: no stapler answers there: {error}", .path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
    /// This user may not open the socket.
    #[error("{}: this user may not ask there: {error}; ask as the user of the daemon, or as root", .path.display())]
    Forbidden {
        /// The socket.
        path: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
    /// This user may not ask that.
    #[error("{}: {what}", .path.display())]
    NotForYou {
        /// The socket.
        path: PathBuf,
        /// The questions that this user may ask, in words.
        what: String,
    },
    /// The answer is incomplete, or none of the protocol.
    #[error("{}: the answer broke off: {error}", .path.display())]
    Broken {
        /// The socket.
        path: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
    /// The question is refused.
    #[error("{}: {what}", .path.display())]
    Refused {
        /// The socket.
        path: PathBuf,
        /// Why.
        what: String,
    },
    /// A line could not be taken.
    #[error("the answer cannot be taken: {0}")]
    Output(io::Error),
}

impl Client {
    /// A client for the socket at this path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Client { path: path.into() }
    }

    /// Asks, and gives each line of the answer to `take`, as text and parsed. Returns the last line. Files may be named by relative
    /// paths.
    ///
    /// # Errors
    ///
    /// There is no whole answer, or `take` fails.
    pub fn ask(
        &self,
        question: &Question,
        take: &mut dyn FnMut(&str, &Line) -> io::Result<()>,
    ) -> Result<Last, ClientError> {
        let broken = |error| ClientError::Broken { path: self.path.clone(), error };
        let mut reader = BufReader::new(self.send(&question.clone().with_paths())?);
        loop {
            let mut text = String::new();
            if (&mut reader).take(MAX_LINE).read_line(&mut text).map_err(broken)? == 0 {
                return Err(broken(ErrorKind::UnexpectedEof.into()));
            }
            let text = text.trim_end();
            let line = serde_json::from_str(text).map_err(|_| broken(ErrorKind::InvalidData.into()))?;
            match line {
                Line::Notice(Notice::Error(what)) => {
                    return Err(ClientError::Refused { path: self.path.clone(), what });
                }
                Line::Notice(Notice::Forbidden(what)) => {
                    return Err(ClientError::NotForYou { path: self.path.clone(), what });
                }
                _ => {}
            }
            take(text, &line).map_err(ClientError::Output)?;
            if let Line::Last(last) = line {
                return Ok(*last);
            }
        }
    }

    /// The rows of every certificate and place with one of these names, serial numbers or paths, with the last line. No names:
    /// of all.
    ///
    /// # Errors
    ///
    /// There is no whole answer.
    pub fn status(&self, of: &[String]) -> Result<(Vec<Row>, Last), ClientError> {
        let mut rows = Vec::new();
        let last = self.ask(&Question::Status { of: of.to_vec() }, &mut |_, line| {
            if let Line::Row(row) = line {
                rows.push((**row).clone());
            }
            Ok(())
        })?;
        Ok((rows, last))
    }

    fn send(&self, question: &Question) -> Result<UnixStream, ClientError> {
        let failed = |error| ClientError::Connect { path: self.path.clone(), error };
        let mut question = serde_json::to_vec(question).map_err(|error| failed(error.into()))?;
        question.push(b'\n');
        if question.len() as u64 > MAX_QUESTION {
            let what = "too many certificates are named; ask for all".to_owned();
            return Err(ClientError::Refused { path: self.path.clone(), what });
        }
        let mut stream = UnixStream::connect(&self.path).map_err(|error| match error.kind() {
            ErrorKind::PermissionDenied => ClientError::Forbidden { path: self.path.clone(), error },
            _ => failed(error),
        })?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
        stream.write_all(&question).map_err(failed)?;
        stream.shutdown(Shutdown::Write).map_err(failed)?;
        Ok(stream)
    }
}

impl Question {
    /// The same, with the absolute paths of files in addition to their names: a stapler knows files by absolute paths.
    fn with_paths(self) -> Self {
        match self {
            Question::Status { of } => Question::Status { of: whole_names(&of) },
            Question::Renew { which: Selection::Certificates(names), wait } => {
                Question::Renew { which: Selection::Certificates(whole_names(&names)), wait }
            }
            question => question,
        }
    }
}

/// The names that none of these rows has: nothing is known of them.
pub fn unknown<'n>(names: &'n [String], rows: &[Row]) -> Vec<&'n String> {
    let known: HashSet<&String> = rows.iter().flat_map(Row::names).collect();
    let is_known = |name: &String| whole_names(std::slice::from_ref(name)).iter().any(|one| known.contains(one));
    names.iter().filter(|name| !is_known(name)).collect()
}

/// The names as they were given, and in addition the absolute paths of those that are files.
fn whole_names(names: &[String]) -> Vec<String> {
    let mut whole_names = Vec::new();
    for name in names {
        if let Ok(whole) = path::absolute(name)
            && (name.contains('/') || whole.exists())
        {
            whole_names.push(whole.to_string_lossy().into_owned());
        }
        whole_names.push(name.clone());
    }
    whole_names
}
