//! Problems of a running HAProxy, its admin sockets and its configuration.

use std::fmt;

use stapled_core::reason::ReasonCode;

use super::severity::Severity;
use crate::cli::address::Address;
use crate::cli::transactions::Transactions;
use crate::codes;
use crate::configuration::{Level, Place, ZeroWarning};
use crate::running::difference::Difference;

/// A problem of a running HAProxy, its admin sockets and its configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProcessProblem {
    /// The process has not loaded the certificate.
    NotLoaded {
        /// The process id.
        pid: u64,
        /// The line of the configuration that names the certificate, where one does.
        named_at: Option<Place>,
    },
    /// The process has loaded the certificate and uses it nowhere.
    Unused,
    /// The process has loaded another certificate than its file holds.
    ServedDiffers {
        /// The serial number in the file, in hexadecimal; `None` where it is not known.
        in_file: Option<String>,
        /// The serial number of the certificate that is served, in hexadecimal.
        served: String,
        /// What holds the certificate that is served.
        held_by: HeldBy,
    },
    /// The process has loaded the certificate, and its configuration does not name it.
    NotInConfiguration {
        /// The configuration.
        configuration: String,
        /// Whether the stapler keeps it stapled until HAProxy is reloaded.
        is_kept: bool,
    },
    /// A transaction of another client is under way.
    ForeignTransaction {
        /// The admin socket.
        socket: Address,
        /// The name of the certificate that it changes.
        name: String,
    },
    /// The level of the admin socket is too low for first staples.
    SocketLevel {
        /// The admin socket.
        socket: Address,
        /// Its level.
        level: Level,
        /// Whether this version of HAProxy takes no staple at all over it.
        takes_none: bool,
    },
    /// The version of the process lacks a fix.
    ResponseRace {
        /// The version.
        version: String,
    },
    /// The process was started with other files than those of the configuration.
    OtherConfiguration {
        /// The admin socket.
        socket: Address,
        /// The files of both.
        difference: Difference,
    },
    /// A first staple needs a transaction, and transactions are not allowed there.
    TransactionsOff {
        /// Where they are allowed.
        transactions: Transactions,
    },
    /// The process has loaded certificates that lie in none of the paths that were given, and that need no staple or cannot be
    /// read. Those that need one are problems as the source reports them.
    NotInPaths {
        /// The admin socket.
        socket: Address,
        /// How many there are.
        count: usize,
        /// Some of their names.
        examples: Vec<String>,
    },
    /// HAProxy does not start, and refuses a reload, after a warning.
    ZeroWarning {
        /// By what.
        by: ZeroWarning,
    },
    /// Neither a path nor a HAProxy has a certificate.
    NoCertificates {
        /// The paths, configurations and sockets that were looked at.
        sources: Vec<String>,
    },
}

/// What holds a certificate that is served and not in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeldBy {
    /// No file that can be read.
    Nothing,
    /// Another file, or the stapler does not need it.
    AnotherFile,
}

impl ProcessProblem {
    /// Whether it needs the operator.
    pub fn severity(&self) -> Severity {
        match self {
            ProcessProblem::NotInConfiguration { .. }
            | ProcessProblem::NotInPaths { .. }
            | ProcessProblem::ResponseRace { .. }
            | ProcessProblem::ZeroWarning { .. } => Severity::Note,
            _ => Severity::Problem,
        }
    }

    /// The stable word for it.
    pub fn code(&self) -> ReasonCode {
        match self {
            ProcessProblem::NotLoaded { .. } => codes::NOT_LOADED,
            ProcessProblem::Unused => codes::CERTIFICATE_UNUSED,
            ProcessProblem::ServedDiffers { .. } => codes::SERVED_DIFFERS,
            ProcessProblem::NotInConfiguration { .. } => codes::NOT_IN_CONFIGURATION,
            ProcessProblem::ForeignTransaction { .. } => codes::FOREIGN_TRANSACTION,
            ProcessProblem::SocketLevel { .. } => codes::SOCKET_LEVEL,
            ProcessProblem::ResponseRace { .. } => codes::RESPONSE_RACE,
            ProcessProblem::OtherConfiguration { difference, .. } => difference.code(),
            ProcessProblem::TransactionsOff { .. } => codes::TRANSACTIONS_OFF,
            ProcessProblem::NotInPaths { .. } => codes::NOT_IN_PATHS,
            ProcessProblem::ZeroWarning { .. } => codes::ZERO_WARNING,
            ProcessProblem::NoCertificates { .. } => codes::NO_CERTIFICATES,
        }
    }

    /// What to do, in words.
    pub fn remedy(&self) -> Option<String> {
        let remedy = match self {
            ProcessProblem::NotLoaded { named_at: Some(_), .. } => "reload HAProxy",
            ProcessProblem::NotLoaded { .. } => {
                "name it on a `bind … crt` line and reload HAProxy, or do not give its path this socket"
            }
            ProcessProblem::Unused => {
                "name it on a `bind` line or in a crt-list (`add ssl crt-list`), or do not give its path this socket"
            }
            ProcessProblem::ServedDiffers { held_by: HeldBy::Nothing, .. } => {
                "reload HAProxy, or bring the new one with `set ssl cert` and `commit ssl cert`: no readable file holds the one that \
                 is served, so a stapled that is started now has no staple for it"
            }
            ProcessProblem::ServedDiffers { .. } => {
                "reload HAProxy, or bring the new one with `set ssl cert` and `commit ssl cert`; HAProxy is right about what \
                 is served"
            }
            ProcessProblem::NotInConfiguration { .. } => {
                "name the certificate there, if it shall be served after that, too"
            }
            ProcessProblem::ForeignTransaction { name, .. } => {
                return Some(format!("end that with `commit ssl cert {name}` or `abort ssl cert {name}`"));
            }
            ProcessProblem::SocketLevel { .. } => "write `level admin` on its `stats socket` line, and reload HAProxy",
            ProcessProblem::ResponseRace { .. } => {
                "update HAProxy: 3.2.22 and newer have the fix, and releases of other branches since 2026-07-29; look for \"lock the \
                 OCSP response\" in the changelog of a distribution's package"
            }
            ProcessProblem::OtherConfiguration { difference, .. } => difference.remedy(),
            ProcessProblem::TransactionsOff { .. } => "reload HAProxy",
            ProcessProblem::NotInPaths { .. } => {
                "leave --cert-paths out, if they shall have some: HAProxy is asked then for everything that it has loaded"
            }
            ProcessProblem::ZeroWarning { .. } => {
                "have `stapled clean` run before HAProxy starts (systemctl enable stapled-clean.service) and before it reloads: it \
                 removes such files"
            }
            ProcessProblem::NoCertificates { .. } => {
                "name paths with certificates (--cert-paths), HAProxy's configuration (--haproxy-config) or its admin socket \
                 (--haproxy-sockets)"
            }
        };
        Some(remedy.to_owned())
    }
}

impl fmt::Display for ProcessProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProcessProblem::NotLoaded { pid, named_at } => {
                if let Some(place) = named_at {
                    write!(f, "{place} names it, and ")?;
                }
                write!(f, "the running HAProxy (process {pid}) has not loaded it")
            }
            ProcessProblem::Unused => f.write_str(
                "HAProxy has loaded it and uses it nowhere: no client sees it, and it gets no staple until then",
            ),
            ProcessProblem::ServedDiffers { in_file, served, .. } => write!(
                f,
                "the file holds another certificate than HAProxy has loaded (serial number {}, not {served})",
                in_file.as_deref().unwrap_or("unknown")
            ),
            ProcessProblem::NotInConfiguration { configuration, is_kept } => {
                let kept = if *is_kept { ": it is kept stapled until HAProxy is reloaded" } else { "" };
                write!(f, "HAProxy has it, and its configuration {configuration} does not name it{kept}")
            }
            ProcessProblem::ForeignTransaction { socket, name } => write!(
                f,
                "{socket}: another client is changing the certificate {name} and has not finished: until then, no certificate \
                 can get its first staple"
            ),
            ProcessProblem::SocketLevel { socket, level, takes_none: false } => {
                write!(f, "{socket} has level {level}: no certificate can get its first staple over it")
            }
            ProcessProblem::SocketLevel { socket, level, takes_none: true } => {
                write!(
                    f,
                    "{socket} has level {level}: HAProxy 3.3 and newer takes no staple over it, only over level admin"
                )
            }
            ProcessProblem::ResponseRace { version } => write!(
                f,
                "HAProxy {version} lacks a fix of July 2026, unless its packager added it: a new staple can meet a handshake that \
                 reads the former one; stapled pushes only what changed, one at a time"
            ),
            ProcessProblem::OtherConfiguration { socket, difference } => write!(f, "{socket}: {}", difference.what()),
            ProcessProblem::TransactionsOff { transactions } => f.write_str(&transactions.why()),
            ProcessProblem::NotInPaths { socket, count, examples } => {
                let count_in_words =
                    if *count == 1 { "1 certificate".to_owned() } else { format!("{count} certificates") };
                let more = if *count > examples.len() { ", …" } else { "" };
                let examples = examples.join(", ");
                write!(
                    f,
                    "{socket} has loaded {count_in_words} outside of the paths that need no staple, as far as their files can be \
                     read ({examples}{more}): they get none from here"
                )
            }
            ProcessProblem::ZeroWarning { by } => write!(
                f,
                "HAProxy refuses to start and to reload while a staple's file has ended or belongs to another certificate ({by}): \
                 as after an outage, or in the moment in which a certificate is renewed"
            ),
            ProcessProblem::NoCertificates { sources } => {
                write!(f, "there is no certificate in {}", sources.join(", "))
            }
        }
    }
}
