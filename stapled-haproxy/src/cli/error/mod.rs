//! Why an exchange with HAProxy failed: the one error of this crate's code, with the sentence of each variant. Callers match
//! on it. Its reason codes are in `code`, its consequences for the caller in `consequence`.

mod code;
pub(crate) mod consequence;

use std::fmt;
use std::io;
use std::time::Duration;

use crate::cli::name::NameError;
use crate::cli::quoted::quoted;
use crate::cli::transactions::Transactions;
use crate::cli::withdrawal_token::NoToken;

/// Why an exchange with HAProxy failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    // Connecting.
    #[error(
        "does not exist: start HAProxy, and see that its configuration has `stats socket PATH level admin` with this path \
         in `global`"
    )]
    SocketMissing,
    #[error("is not a socket: name the path that HAProxy's `stats socket` names")]
    NotASocket,
    #[error(
        "may not be opened by this user: set `user`, `group` or `mode` on its `stats socket` line, or join its group"
    )]
    SocketPermission,
    #[error("has no listener: HAProxy is not running, or its `stats socket` is elsewhere")]
    SocketRefused,
    /// The queue of the socket is full.
    #[error("takes no connection: HAProxy hangs, or is too busy; see what HAProxy does")]
    SocketBusy,
    #[error("could not be connected to within {} ms: HAProxy hangs", .0.as_millis())]
    ConnectTimeout(Duration),
    #[error("cannot be connected to: {0}")]
    Connect(String),

    // The exchange of commands and replies.
    #[error("closed the connection before its reply was complete")]
    Closed,
    #[error("did not reply within {} ms", .0.as_millis())]
    ReplyTimeout(Duration),
    #[error("sent a reply that is larger than any valid one")]
    ReplyTooLarge,
    #[error("sent something else than HAProxy's prompt: {}", quoted(.0))]
    Garbled(String),
    #[error("answered `show ssl cert` with something else than a list: {}", quoted(.0))]
    NotAList(String),
    #[error(
        "answers as HAProxy's master process: write `master@` before its address, or name the worker's `stats socket`"
    )]
    IsMaster,
    #[error("answers as a HAProxy process itself, not as a master: leave `master@` out")]
    IsNotMaster,
    #[error("has ended")]
    WorkerGone,
    #[error("has no worker: see in HAProxy's log why none is running")]
    NoWorker,
    #[error("failed: {0}")]
    Socket(io::ErrorKind),
    /// A reload came between two commands.
    #[error("is another process now")]
    OtherProcess,
    /// The channel's task was aborted, as at the end of the program.
    #[error("is not written to any more: the program ends")]
    ChannelStopped,

    // A response that waited too long for its turn.
    #[error("the clock was set back while the withdrawal waited for its turn")]
    ClockSetBack,
    #[error("the response waited too long; HAProxy would not serve it any more")]
    ExpiresTooSoon,

    // HAProxy's refusals.
    #[error("HAProxy denies `{command}`: give its `stats socket` line `level admin`")]
    Denied { command: &'static str },
    #[error("`{command}` was answered with {}", quoted(.said))]
    Rejected { command: &'static str, said: String },
    #[error("the response ends within 300 s")]
    EndsTooSoon,
    #[error("HAProxy knows no certificate of this CertID")]
    NoMatch,
    #[error(transparent)]
    NoToken(#[from] NoToken),

    // The certificate that HAProxy has loaded.
    #[error(
        "HAProxy has not loaded the certificate {}: name it on a `bind … crt` line and reload, or do not bind it to this \
         socket",
        .names.join(", ")
    )]
    NotLoaded { names: Vec<String> },
    #[error("HAProxy has just dropped the certificate {name}")]
    Dropped { name: String },
    #[error(
        "HAProxy has loaded {name} and uses it nowhere: name it on a `bind` line or in a crt-list (`add ssl crt-list`) if \
         clients are to see it; it gets its staple then"
    )]
    Unused { name: String },
    #[error(
        "HAProxy has another certificate loaded as {name} (serial {}, not {expected}): the file was renewed and HAProxy was \
         not told; reload it, or use `set ssl cert` and `commit ssl cert`",
        quoted(.loaded)
    )]
    Differs { name: String, loaded: String, expected: String },
    #[error(
        "HAProxy now serves another certificate as {name} (serial {}, not {expected}): another client set one with `set ssl \
         cert` at the very moment of the first staple of this one, and HAProxy before 3.0 puts it under the name that is \
         being changed; unless it was meant for this name, RELOAD HAProxy at once",
        quoted(.loaded)
    )]
    MixedUp { name: String, loaded: String, expected: String },
    #[error("the name {name:?} cannot be written on HAProxy's command line: {error}; rename the file")]
    UnusableName { name: String, error: NameError },
    #[error(
        "HAProxy takes another certificate of the issuer's name for the issuer of {name}, since it comes first in its chain: \
         no staple fits; put the issuer's certificate before the other one in {name}, or remove the other one, and reload \
         HAProxy"
    )]
    WrongIssuerFirst { name: String },

    // Transactions.
    #[error(
        "another client is changing {0}: end its change with `commit ssl cert` or `abort ssl cert`; the delivery is retried"
    )]
    ForeignTransaction(Foreign),
    #[error("{name} has had no staple since HAProxy started: {}", .transactions.why_not())]
    TransactionsOff { name: String, transactions: Transactions },
    #[error("`{command} {name}` was answered with {}", quoted(.said))]
    CommitFailed { command: &'static str, name: String, said: String },
    #[error(transparent)]
    NotConfirmed(#[from] Unconfirmed),
}

/// The foreign change of certificates that is in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Foreign {
    /// HAProxy is executing a command about certificates for another client.
    Command,
    /// A transaction about a certificate of unknown name.
    AnotherCertificate,
    /// A transaction about the certificate of this name.
    Certificate(String),
}

/// How HAProxy's later replies contradict a success.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unconfirmed {
    #[error("the change had no effect")]
    NoEffect,
    #[error(
        "after `commit ssl cert {name}` HAProxy still does not find the certificate by its CertID: see that the issuer in \
         its file, its .issuer file or issuers-chain-path is the right one"
    )]
    NotFound { name: String },
    #[error(
        "HAProxy took the staple, but shows another one: see which other client gives it staples, such as its own \
         `ocsp-update`"
    )]
    AnotherStaple,
    #[error("HAProxy took the withdrawal, but shows that it still has a staple")]
    StillStapled,
    #[error("`show ssl ocsp-response` was answered with {}", quoted(.0))]
    Garbled(String),
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::UnexpectedEof => Error::Closed,
            kind => Error::Socket(kind),
        }
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Foreign::Command => f.write_str("certificates"),
            Foreign::AnotherCertificate => f.write_str("another certificate"),
            Foreign::Certificate(name) => f.write_str(&quoted(name)),
        }
    }
}
