//! The consequence of each error for its caller.

use super::Error;

/// The consequence of an error for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consequence {
    /// The response waited for so long that it must not be sent any more.
    ExpiresTooSoon,
    /// HAProxy is not there, or does not answer.
    Unreachable,
    /// The condition may end by itself.
    NotYet,
    /// HAProxy does not take the staple.
    Refused,
}

impl Error {
    /// Whether HAProxy is not there, or does not answer.
    pub(crate) fn is_unreachable(&self) -> bool {
        self.consequence() == Consequence::Unreachable
    }

    /// Whether the condition may end by itself: a renewed file is being loaded.
    pub(crate) fn is_not_yet(&self) -> bool {
        matches!(
            self,
            Error::NotLoaded { .. }
                | Error::Dropped { .. }
                | Error::NoMatch
                | Error::Differs { .. }
                | Error::Unused { .. }
        )
    }

    /// Whether the delivery may succeed if it is repeated at once: another client replaced the certificate meanwhile.
    pub(crate) fn is_contradiction(&self) -> bool {
        matches!(self, Error::NotConfirmed(_) | Error::CommitFailed { .. })
    }

    /// Whether the connection is unusable afterwards.
    pub(crate) fn breaks_connection(&self) -> bool {
        matches!(
            self,
            Error::Closed
                | Error::ReplyTimeout(_)
                | Error::ReplyTooLarge
                | Error::Garbled(_)
                | Error::IsMaster
                | Error::IsNotMaster
                | Error::WorkerGone
                | Error::Socket(_)
        )
    }

    /// What the caller can do.
    pub(crate) fn consequence(&self) -> Consequence {
        match self {
            Error::SocketMissing
            | Error::NotASocket
            | Error::SocketPermission
            | Error::SocketRefused
            | Error::SocketBusy
            | Error::ConnectTimeout(_)
            | Error::Connect(_)
            | Error::NotAList(_)
            | Error::NoWorker
            | Error::OtherProcess
            | Error::ChannelStopped => Consequence::Unreachable,
            error if error.breaks_connection() => Consequence::Unreachable,
            Error::ClockSetBack => Consequence::NotYet,
            error if error.is_not_yet() => Consequence::NotYet,
            Error::ExpiresTooSoon => Consequence::ExpiresTooSoon,
            _ => Consequence::Refused,
        }
    }
}
