//! The control socket: a running program is asked what it knows, and to renew now.
//!
//! The client sends one line of JSON, a [`Question`]; the answer is one object a line: rows, and lines of [`Progress`]
//! where it takes long. The last one, [`Last`], says that the answer is whole. Whoever may connect may ask; the socket
//! belongs to the user that the program runs as.

mod client;
mod renew;
mod server;
mod socket;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::summary::Totals;

pub(crate) use client::{Client, ClientError, DaemonArguments, Line, whole_names};
pub(crate) use server::{Known, serve};
pub(crate) use socket::{ControlSocket, ControlSocketError};

/// The largest question, in bytes.
pub(crate) const MAX_QUESTION: u64 = 256 * 1024;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Question {
    /// How everything stands that has one of these names, serial numbers or paths; without any, everything.
    Status {
        #[serde(default)]
        of: Vec<String>,
    },
    /// The CAs are to be asked now.
    Renew {
        /// Which certificates.
        which: Which,
        /// For how many seconds the answer may wait for what comes; none: it does not wait.
        #[serde(default)]
        wait: Option<u32>,
    },
}

/// Which certificates are meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Which {
    All,
    Responder(String),
    Certificates(Vec<String>),
}

/// How far a long answer has got.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Progress {
    pub(crate) progress: Done,
}

/// How many of how many are done.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Done {
    pub(crate) done: usize,
    pub(crate) of: usize,
}

/// What ends an answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Last {
    pub(crate) totals: Totals,
    pub(crate) daemon: Daemon,
}

/// Why there is no answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) error: String,
}

/// The program that answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Daemon {
    pub(crate) version: String,
    pub(crate) pid: u32,
    /// When it was started.
    pub(crate) since: String,
    /// When its configuration was read last.
    pub(crate) configured: String,
}

/// The place of the socket where none is named.
pub(crate) fn usual_path() -> PathBuf {
    // systemd tells the runtime directory of a unit.
    let directory = std::env::var_os("RUNTIME_DIRECTORY").filter(|directory| !directory.is_empty());
    directory.as_deref().map_or(Path::new("/run/stapled"), Path::new).join("control.sock")
}
