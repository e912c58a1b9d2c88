//! The client of the control socket: asks a running daemon.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{self, Path, PathBuf};
use std::time::Duration;

use super::protocol::{Last, Line, MAX_QUESTION, Notice, Question, usual_path};
use crate::fault::ConfigurationError;
use crate::options::arguments::{self, Options};
use crate::options::{declarations as option, file};

/// How long the daemon may take for one part of its answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// The longest line of an answer, in bytes.
const MAX_LINE: u64 = 1024 * 1024;

/// The options that say where the daemon answers.
pub(crate) type DaemonArguments = Options<arguments::Client>;

impl DaemonArguments {
    /// The client for the socket that is named, for that of the configuration file, or for the usual one.
    pub(crate) fn client(&self) -> Result<Client, ConfigurationError> {
        self.client_with(self.settings.get(&option::CONFIG).as_deref())
    }

    /// The same, with this configuration file.
    pub(crate) fn client_with(&self, config: Option<&Path>) -> Result<Client, ConfigurationError> {
        let path = match self.settings.get(&option::CONTROL_SOCKET) {
            Some(path) => Some(path),
            None => file::find(config)?.get(&option::CONTROL_SOCKET),
        };
        Ok(Client { path: path.unwrap_or_else(usual_path) })
    }
}

/// A client for one socket.
#[derive(Debug)]
pub(crate) struct Client {
    path: PathBuf,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("{}: no stapled answers there: {error}; is it running, with this --control-socket?", .path.display())]
    Connect { path: PathBuf, error: io::Error },
    #[error("{}: this user may not ask there: {error}; ask as the user of the daemon, or as root", .path.display())]
    Forbidden { path: PathBuf, error: io::Error },
    #[error("{}: {what}", .path.display())]
    NotForYou { path: PathBuf, what: String },
    #[error("{}: the answer broke off: {error}", .path.display())]
    Broken { path: PathBuf, error: io::Error },
    #[error("{}: {what}", .path.display())]
    Refused { path: PathBuf, what: String },
    #[error("the answer cannot be written to standard output: {0}")]
    Output(io::Error),
}

impl Client {
    /// Asks, and gives each line of the answer to `take`, as text and parsed. Returns the last line.
    pub(crate) fn ask(
        &self,
        question: &Question,
        take: &mut dyn FnMut(&str, &Line) -> io::Result<()>,
    ) -> Result<Last, ClientError> {
        let broken = |error| ClientError::Broken { path: self.path.clone(), error };
        let mut reader = BufReader::new(self.send(question)?);
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

/// The names as they were given, and in addition the absolute paths of those that are files: the daemon knows files by
/// absolute paths.
pub(crate) fn whole_names(names: &[String]) -> Vec<String> {
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
