//! The protocol of the control socket: questions of clients, and the lines of answers.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

use crate::describe::visible::Visible;
use crate::overview::json::{Counted, json_line};
use crate::overview::responder::ResponderRow;
use crate::overview::{Row, Totals, Verdict};
use crate::stapler::Selection;

/// The largest question, in bytes.
pub(super) const MAX_QUESTION: u64 = 256 * 1024;

/// A question of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Question {
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
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Line {
    /// A responder.
    Responder(Box<ResponderRow>),
    /// A certificate, or a place without one.
    Row(Box<Row>),
    /// The end of the answer.
    Last(Box<Last>),
    /// Progress, or a refusal.
    Notice(Notice),
}

/// A line that is no part of the answer itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Notice {
    /// How far a long answer is.
    Progress {
        /// How many rows are done.
        done: usize,
        /// Of how many.
        of: usize,
    },
    /// How much is logged now, from 0 to 4.
    LogLevel(u8),
    /// Why the question is refused: the only line.
    Error(String),
    /// The same, where this user may not ask that: the only line.
    Forbidden(String),
}

/// The last line of an answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Last {
    /// The numbers of rows.
    pub totals: Totals,
    /// Whether an operator must act. Of all certificates, also if there is none: a mistake in a path would look like success
    /// otherwise.
    pub verdict: Verdict,
    /// Whether the first scan is not finished, so that certificates are missing in the answer.
    #[serde(default)]
    pub scanning: bool,
    /// The process that answers.
    pub daemon: Daemon,
}

impl Last {
    /// One line of JSON for programs: the totals, with the exit code of the command that prints them, whether the first scan goes on,
    /// and the process.
    pub fn to_json(&self, exit_code: u8) -> String {
        #[derive(Serialize)]
        struct Line<'a> {
            totals: Counted<'a>,
            scanning: bool,
            daemon: &'a Daemon,
        }
        let totals = Counted { totals: &self.totals, exit_code };
        json_line(&Line { totals, scanning: self.scanning, daemon: &self.daemon })
    }
}

/// The process that answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Daemon {
    /// The version of the program.
    pub version: String,
    /// The ID of the process.
    pub pid: u32,
    /// The time of its start.
    pub since: String,
    /// The time at which it last read its configuration.
    pub configured: String,
    /// The OCSP questions of servers that it has answered, by their result. Empty: it answers none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub answered: BTreeMap<String, u64>,
}

/// One line for people.
impl Display for Daemon {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (version, pid) = (Visible::new(&self.version), self.pid);
        let (since, configured) = (Visible::new(&self.since), Visible::new(&self.configured));
        write!(f, "stapled {version}, process {pid}, running since {since}, configured {configured}")?;
        let mut answered = self.answered.iter().filter(|(_, number)| **number > 0);
        answered.try_for_each(|(result, number)| write!(f, "; OCSP {} {number}", Visible::new(result)))
    }
}
