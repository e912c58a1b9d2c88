//! What client and daemon send to each other, and where.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stapled_core::describe::visible::Visible;
use stapled_core::overview::Row;
use stapled_core::overview::responder::ResponderRow;
use stapled_core::stapler::Selection;

use crate::summary::Totals;

/// The largest question, in bytes.
pub(crate) const MAX_QUESTION: u64 = 256 * 1024;

/// A question of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Question {
    /// The state of every certificate and place with one of these names, serial numbers or paths. Empty: of all.
    Status {
        /// Within these, `*` stands for any characters, and `?` for one.
        #[serde(default)]
        of: Vec<String>,
    },
    /// The state of every responder that certificates name.
    Responders {},
    /// Ask the CAs now.
    Renew {
        /// About which certificates.
        which: Selection,
        /// How many seconds the answer may wait for the results. None: it does not wait.
        #[serde(default)]
        wait: Option<u32>,
    },
    /// How much is logged, and how much from now on.
    LogLevel {
        /// From 0 to 4. None: it stays.
        #[serde(default)]
        level: Option<u8>,
    },
}

/// A line of an answer.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Line {
    Responder(Box<ResponderRow>),
    Row(Box<Row>),
    Last(Box<Last>),
    Notice(Notice),
}

/// A line that is no part of the answer itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Notice {
    /// How far a long answer is: how many rows are done, of how many.
    Progress { done: usize, of: usize },
    /// How much is logged now, from 0 to 4.
    LogLevel(u8),
    /// Why the question is refused: the only line.
    Error(String),
    /// The same, where this user may not ask that: the only line.
    Forbidden(String),
}

/// The last line of an answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Last {
    pub(crate) totals: Totals,
    /// Whether the first scan is not finished, so that certificates are missing in the answer.
    #[serde(default)]
    pub(crate) scanning: bool,
    pub(crate) daemon: Daemon,
}

/// The process that answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Daemon {
    pub(crate) version: String,
    pub(crate) pid: u32,
    /// The time of its start.
    pub(crate) since: String,
    /// The time at which it last read its configuration.
    pub(crate) configured: String,
    /// The OCSP questions of servers that it has answered, by their result. Empty: it answers none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) answered: BTreeMap<String, u64>,
}

impl Display for Daemon {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (version, pid) = (Visible::new(&self.version), self.pid);
        let (since, configured) = (Visible::new(&self.since), Visible::new(&self.configured));
        write!(f, "stapled {version}, process {pid}, running since {since}, configured {configured}")?;
        let mut answered = self.answered.iter().filter(|(_, number)| **number > 0);
        answered.try_for_each(|(result, number)| write!(f, "; OCSP {} {number}", Visible::new(result)))
    }
}

/// The path of the socket where no other is configured.
pub(crate) fn usual_path() -> PathBuf {
    // systemd sets the runtime directory of a unit.
    let directory = std::env::var_os("RUNTIME_DIRECTORY").filter(|directory| !directory.is_empty());
    directory.as_deref().map_or(Path::new("/run/stapled"), Path::new).join("control.sock")
}
