//! Why the file cannot be used.

use std::path::PathBuf;

use stapled_core::scheduler::SchedulerError;

/// Why the file of an embedded scheduler cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbeddedError {
    /// The file cannot be opened. Another process may have it open.
    #[error("cannot open {}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: Box<redb::Error>,
    },
    /// The file is damaged: its contents contradict each other.
    #[error("{} is damaged: {what}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// The message of the database.
        what: String,
    },
    /// The file has another format.
    #[error("{} has format {found}; this program knows format {known}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The format of this program.
        known: i64,
    },
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[source] Box<redb::Error>),
    /// An entry of the database is not what this program writes.
    #[error("the database has a damaged entry: {0}")]
    Damaged(#[from] serde_json::Error),
}

impl EmbeddedError {
    /// Whether another process has the file open.
    pub fn is_in_use(&self) -> bool {
        matches!(self, EmbeddedError::Open { source, .. } if matches!(**source, redb::Error::DatabaseAlreadyOpen))
    }

    /// The error of a call of the database.
    pub(crate) fn of(error: impl Into<redb::Error>) -> Self {
        EmbeddedError::Database(Box::new(error.into()))
    }
}

impl From<EmbeddedError> for SchedulerError {
    fn from(error: EmbeddedError) -> Self {
        SchedulerError::Store(Box::new(error))
    }
}
