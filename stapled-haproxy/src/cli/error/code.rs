//! The reason code of each error.

use stapled_core::reason::ReasonCode;

use super::Error;
use crate::codes;

impl Error {
    /// The stable code for people and programs outside.
    pub(crate) fn code(&self) -> ReasonCode {
        match self {
            Error::SocketMissing => codes::SOCKET_MISSING,
            Error::NotASocket => codes::NOT_A_SOCKET,
            Error::SocketPermission => codes::SOCKET_PERMISSION,
            Error::SocketRefused => codes::SOCKET_REFUSED,
            Error::SocketBusy | Error::ConnectTimeout(_) => codes::CONNECT_TIMEOUT,
            Error::Connect(_) | Error::Socket(_) => codes::SOCKET_ERROR,
            Error::Closed | Error::OtherProcess => codes::CONNECTION_CLOSED,
            Error::ReplyTimeout(_) => codes::REPLY_TIMEOUT,
            Error::ReplyTooLarge => codes::REPLY_TOO_LARGE,
            Error::Garbled(_) | Error::NotAList(_) => codes::GARBLED_REPLY,
            Error::IsMaster | Error::IsNotMaster => codes::MASTER_SOCKET,
            Error::WorkerGone | Error::NoWorker => codes::WORKER_GONE,
            Error::ChannelStopped => codes::WRITER_STOPPED,
            Error::ClockSetBack => codes::CLOCK_SET_BACK,
            Error::ExpiresTooSoon => codes::EXPIRES_TOO_SOON,
            Error::Denied { .. } => codes::PERMISSION_DENIED,
            Error::Rejected { .. } | Error::EndsTooSoon | Error::NoToken(_) => codes::REJECTED,
            Error::NotLoaded { .. } | Error::Dropped { .. } | Error::NoMatch => codes::NOT_LOADED,
            Error::Unused { .. } => codes::CERTIFICATE_UNUSED,
            Error::Differs { .. } => codes::CERTIFICATE_DIFFERS,
            Error::MixedUp { .. } => codes::CERTIFICATE_MIXED_UP,
            Error::UnusableName { error, .. } => error.code(),
            Error::WrongIssuerFirst { .. } => codes::WRONG_ISSUER_FIRST,
            Error::ForeignTransaction(_) => codes::FOREIGN_TRANSACTION,
            Error::TransactionsOff { .. } => codes::TRANSACTIONS_OFF,
            Error::CommitFailed { .. } => codes::COMMIT_FAILED,
            Error::NotConfirmed(_) => codes::NOT_CONFIRMED,
        }
    }
}
