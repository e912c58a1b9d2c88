//! The problems of a configuration's lines, one variant each. Code, consequence, wording and remedy are made from the
//! variant, here and nowhere else.

use std::fmt;
use std::path::PathBuf;

use stapled_core::reason::ReasonCode;

use super::place::Place;
use crate::cli::address::Address;
use crate::codes;

/// A line of a configuration that is left out, or that HAProxy may read differently.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{place}: {problem}")]
#[non_exhaustive]
pub struct Warning {
    /// The line.
    pub place: Place,
    /// The problem, with its facts.
    pub problem: LineProblem,
}

/// The problem of a configuration's line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LineProblem {
    /// HAProxy would not start with the line, or with the file that ends there.
    Refused {
        /// The reason, in words.
        why: String,
    },
    /// The configuration exceeds a limit of this program.
    TooMuch {
        /// The part that is left out, in words.
        what: String,
    },
    /// A condition depends on the running HAProxy.
    Undecided {
        /// The reason, in words.
        why: String,
    },
    /// An environment variable may have another value for HAProxy.
    UnknownVariable {
        /// The part of the line that has the variable in it, such as "the certificate".
        part: &'static str,
        /// The name of the variable.
        variable: String,
        /// Why its value is uncertain.
        doubt: DoubtKind,
    },
    /// A relative path begins in HAProxy's directory, which is not known.
    RelativePath {
        /// The path.
        path: String,
        /// The directory in which it is looked for.
        directory: PathBuf,
    },
    /// A certificate does not exist, or is not a file.
    MissingCertificate {
        /// The certificate, and what is the matter with it, in words.
        what: String,
    },
    /// A crt-list cannot be read.
    UnreadableList {
        /// The crt-list.
        list: PathBuf,
        /// The error of the operating system.
        error: String,
    },
    /// A directory of certificates cannot be read.
    UnreadableDirectory {
        /// The directory.
        directory: PathBuf,
        /// The error of the operating system.
        error: String,
    },
    /// An admin socket cannot be connected to, or speaks another protocol.
    UnusableSocket {
        /// The reason, in words.
        why: String,
    },
    /// The configuration has no usable admin socket.
    NoSocket,
    /// The admin sockets of the highest level do not have the level that a first staple needs.
    LowLevel {
        /// The address of the socket.
        socket: Address,
    },
}

/// Why the value of an environment variable is uncertain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DoubtKind {
    /// It is not set here; HAProxy's environment may differ.
    Unset,
    /// HAProxy sets it, to an unknown value.
    Unknown,
    /// An undecidable condition sets it.
    Undecided,
}

/// The consequence of a problem in a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Effect {
    /// A certificate may be missing.
    LeftOut,
    /// An assumption was made that may be wrong for HAProxy.
    Assumed,
}

impl LineProblem {
    /// The stable code of the problem.
    pub fn code(&self) -> ReasonCode {
        match self {
            LineProblem::Refused { .. } => codes::CONFIGURATION_LINE,
            LineProblem::TooMuch { .. } => codes::CONFIGURATION_TOO_LARGE,
            LineProblem::Undecided { .. } => codes::CONDITION_UNDECIDED,
            LineProblem::UnknownVariable { .. } => codes::VARIABLE_UNKNOWN,
            LineProblem::RelativePath { .. } => codes::RELATIVE_PATH,
            LineProblem::MissingCertificate { .. } => codes::CRT_MISSING,
            LineProblem::UnreadableList { .. } => codes::CRT_LIST_UNREADABLE,
            LineProblem::UnreadableDirectory { .. } => codes::CRT_DIRECTORY_UNREADABLE,
            LineProblem::UnusableSocket { .. } => codes::SOCKET_UNUSABLE,
            LineProblem::NoSocket => codes::SOCKET_MISSING_IN_CONFIGURATION,
            LineProblem::LowLevel { .. } => codes::SOCKET_LEVEL,
        }
    }

    /// The consequence.
    pub fn effect(&self) -> Effect {
        match self {
            LineProblem::Refused { .. }
            | LineProblem::TooMuch { .. }
            | LineProblem::MissingCertificate { .. }
            | LineProblem::UnreadableList { .. }
            | LineProblem::UnreadableDirectory { .. } => Effect::LeftOut,
            LineProblem::Undecided { .. }
            | LineProblem::UnknownVariable { .. }
            | LineProblem::RelativePath { .. }
            | LineProblem::UnusableSocket { .. }
            | LineProblem::NoSocket
            | LineProblem::LowLevel { .. } => Effect::Assumed,
        }
    }

    /// The problem in words, without what to do.
    pub fn what(&self) -> String {
        match self {
            LineProblem::Refused { why } => why.clone(),
            LineProblem::TooMuch { what } | LineProblem::MissingCertificate { what } => what.clone(),
            LineProblem::Undecided { why } => format!("{why}: both branches are read"),
            LineProblem::UnknownVariable { part, variable, doubt } => {
                format!("{part} depends on the environment variable {variable}: {}", doubt.why())
            }
            LineProblem::RelativePath { path, directory } => format!(
                "{path} is looked for in {}, the directory that this program was started in; HAProxy looks in its own",
                directory.display()
            ),
            LineProblem::UnreadableList { list, error } => {
                format!("the crt-list {} cannot be read: {error}", list.display())
            }
            LineProblem::UnreadableDirectory { directory, error } => {
                format!("the directory {} cannot be read: {error}", directory.display())
            }
            LineProblem::UnusableSocket { why } => format!("this stats socket is ignored: {why}"),
            LineProblem::NoSocket => {
                "no usable `stats socket`: HAProxy's staples are not updated while it runs".to_owned()
            }
            LineProblem::LowLevel { socket } => {
                format!("stats socket {socket} has no `level admin`: no certificate can get its first staple over it")
            }
        }
    }

    /// What to do.
    pub fn remedy(&self) -> &'static str {
        match self {
            LineProblem::Refused { .. } => "see what `haproxy -c -f` says, and correct the line",
            LineProblem::TooMuch { .. } => "name the certificates with --cert-paths instead",
            LineProblem::Undecided { .. } => "nothing, where both ways name the same certificates",
            LineProblem::UnknownVariable { doubt, .. } => doubt.remedy(),
            LineProblem::RelativePath { .. } => "start both in the same one, or give absolute paths",
            LineProblem::MissingCertificate { .. } => "put it there, or take it out of the configuration",
            LineProblem::UnreadableList { .. } => "create it, or let this user read it",
            LineProblem::UnreadableDirectory { .. } => "let this user read it",
            LineProblem::UnusableSocket { .. } => "add one with a path",
            LineProblem::NoSocket => "add `stats socket /run/haproxy/admin.sock level admin` to `global`",
            LineProblem::LowLevel { .. } => "add `level admin` to that line, and reload HAProxy",
        }
    }
}

/// The problem, and what to do unless that is plain.
impl fmt::Display for LineProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what())?;
        match self {
            LineProblem::Refused { .. }
            | LineProblem::TooMuch { .. }
            | LineProblem::Undecided { .. }
            | LineProblem::MissingCertificate { .. }
            | LineProblem::LowLevel { .. } => Ok(()),
            LineProblem::RelativePath { .. } => write!(f, ": {}", self.remedy()),
            LineProblem::UnknownVariable { .. }
            | LineProblem::UnreadableList { .. }
            | LineProblem::UnreadableDirectory { .. }
            | LineProblem::UnusableSocket { .. }
            | LineProblem::NoSocket => write!(f, "; {}", self.remedy()),
        }
    }
}

impl DoubtKind {
    fn why(self) -> &'static str {
        match self {
            DoubtKind::Unset => "it is not set here and counts as empty",
            DoubtKind::Unknown => "HAProxy sets it itself, and it counts as empty",
            DoubtKind::Undecided => "an undecidable condition sets it",
        }
    }

    fn remedy(self) -> &'static str {
        match self {
            DoubtKind::Unset => "set it for this program as for HAProxy",
            DoubtKind::Unknown => "write its value instead",
            DoubtKind::Undecided => "its last value counts",
        }
    }
}
