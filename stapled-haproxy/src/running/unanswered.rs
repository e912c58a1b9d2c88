//! Why there is no snapshot of a running HAProxy.

use stapled_core::source::SourceError;

use crate::cli::error::Error;
use crate::cli::failure::Failure;

/// Why there is no snapshot of a running HAProxy.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// The process did not answer, or refused to.
    Failure(Failure),
    /// The search for files failed, or all took too long.
    Source(SourceError),
}

impl Unanswered {
    /// Whether the level of the socket is too low.
    pub(crate) fn is_denied(&self) -> bool {
        matches!(self, Unanswered::Failure(Failure { error: Error::Denied { .. }, .. }))
    }
}

impl From<Failure> for Unanswered {
    fn from(failure: Failure) -> Self {
        Unanswered::Failure(failure)
    }
}

impl From<SourceError> for Unanswered {
    fn from(error: SourceError) -> Self {
        Unanswered::Source(error)
    }
}

impl From<Unanswered> for SourceError {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Failure(failure) => failure.into(),
            Unanswered::Source(error) => error,
        }
    }
}
