//! The kinds of failures at a sink.

/// The kind of a failure at a sink: which variant of [`SinkError`](super::SinkError) it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SinkFailure {
    /// [`SinkError::Unfit`](super::SinkError::Unfit).
    Unfit,
    /// [`SinkError::ExpiresTooSoon`](super::SinkError::ExpiresTooSoon).
    ExpiresTooSoon,
    /// [`SinkError::Unreachable`](super::SinkError::Unreachable).
    Unreachable,
    /// [`SinkError::NotYet`](super::SinkError::NotYet).
    NotYet,
    /// [`SinkError::Refused`](super::SinkError::Refused).
    Refused,
}
