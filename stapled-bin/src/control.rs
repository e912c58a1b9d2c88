//! The control socket: where the daemon answers, and what its commands print of an answer.

use std::io::Write;
use std::path::{Path, PathBuf};

use stapled_core::control::Control;
use stapled_core::control::client::{Client, ClientError};
use stapled_core::control::protocol::{Last, Line, Question};
use stapled_core::io::own_socket::{OwnSocket, OwnSocketError};

use crate::configuration::Configuration;
use crate::fault::ConfigurationError;
use crate::options::arguments::{self, Options};
use crate::options::{declarations as option, file};
use crate::summary::exit_code;

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
        Ok(Client::new(path.unwrap_or_else(usual_path)))
    }
}

/// Asks, and prints each line of the answer that is `kept`, if JSON is wanted. Returns the last line.
pub(crate) fn ask(
    client: &Client,
    question: &Question,
    json: bool,
    out: &mut dyn Write,
    kept: &mut dyn FnMut(&Line) -> bool,
) -> Result<Last, ClientError> {
    client.ask(question, &mut |text, line| {
        if !kept(line) || !json {
            return Ok(());
        }
        match line {
            Line::Last(last) => write!(out, "{}", last.to_json(exit_code(last.verdict)))?,
            _ => writeln!(out, "{text}")?,
        }
        out.flush()
    })
}

/// Answers on the control socket. The end of the task removes the socket.
pub(crate) async fn answer(socket: OwnSocket, control: Control) {
    if let Err(error) = control.serve(socket).await {
        tracing::warn!(event = "control_unavailable", "`stapled status` gets no answers: {error}");
    }
}

/// The control socket at the configured path, or at the usual one if this user can create it.
pub(crate) fn socket(configuration: &Configuration) -> Result<Option<OwnSocket>, OwnSocketError> {
    let socket = match &configuration.control_socket {
        Some(path) => OwnSocket::make(path)?,
        None => match OwnSocket::make_with_directory(&usual_path()) {
            Ok(socket) => socket,
            Err(error) => {
                tracing::info!(event = "control_unavailable", "`stapled status` gets no answers: {error}");
                return Ok(None);
            }
        },
    };
    tracing::debug!(event = "control", path = %socket.path().display(), "`stapled status` is answered");
    if let Some(group) = &configuration.control_group {
        socket.share_with(group)?;
    }
    Ok(Some(socket))
}

/// The path of the socket where no other is configured.
fn usual_path() -> PathBuf {
    // systemd sets the runtime directory of a unit.
    let directory = std::env::var_os("RUNTIME_DIRECTORY").filter(|directory| !directory.is_empty());
    directory.as_deref().map_or(Path::new("/run/stapled"), Path::new).join("control.sock")
}
