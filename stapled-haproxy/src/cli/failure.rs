//! An error with the socket that it is about.

use std::fmt;

use stapled_core::sink::SinkError;
use stapled_core::source::SourceError;

use crate::cli::error::Error;
use crate::cli::error::consequence::Consequence;

/// An error and the socket that it is about, for people and for other crates.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{socket}{}{error}", if .error.consequence() == Consequence::Unreachable { " " } else { ": " })]
pub(crate) struct Failure {
    pub(crate) socket: String,
    pub(crate) error: Error,
}

impl Error {
    /// The error with its socket.
    pub(crate) fn at(self, socket: &impl fmt::Display) -> Failure {
        Failure { socket: socket.to_string(), error: self }
    }
}

impl From<Failure> for SinkError {
    fn from(failure: Failure) -> Self {
        let (code, what) = (failure.error.code(), failure.to_string());
        match failure.error.consequence() {
            Consequence::ExpiresTooSoon => SinkError::ExpiresTooSoon { what },
            Consequence::Unreachable => SinkError::Unreachable { code, what },
            Consequence::NotYet => SinkError::NotYet { code, what },
            Consequence::Refused => SinkError::Refused { code, what },
        }
    }
}

impl From<Failure> for SourceError {
    fn from(failure: Failure) -> Self {
        SourceError::new(failure.error.code(), failure.to_string())
    }
}
