//! The failures of Redis, in words without credentials.

use redis::{ErrorKind, ServerErrorKind};
use stapled_core::scheduler::SchedulerError;

use crate::address::RedisAddressError;

/// Why Redis could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedisError {
    /// The address is not one of a Redis.
    #[error(transparent)]
    Address(#[from] RedisAddressError),
    /// On a Cluster, the keys of this prefix would be in different slots.
    #[error(
        "the prefix of the keys is empty or begins with a }}: on a Cluster, choose one that keeps all keys in one slot"
    )]
    Prefix,
    /// The server cannot be reached, or refused the command.
    #[error("Redis: {0}")]
    Server(String),
    /// Too few replicas have the last steps.
    #[error("Redis: only {have} of {wanted} replicas confirmed the step in time; the primary has it")]
    NotReplicated {
        /// How many replicas have them.
        have: u32,
        /// How many should.
        wanted: u32,
    },
    /// The server answered something that the scheduler's script does not return.
    #[error("Redis answered something else than the scheduler's script: {0}")]
    Reply(&'static str),
}

impl From<redis::RedisError> for RedisError {
    fn from(error: redis::RedisError) -> Self {
        match (error.kind(), error.detail()) {
            // The link wrote a whole sentence about the connection.
            (ErrorKind::Io | ErrorKind::AuthenticationFailed, Some(words)) => RedisError::Server(words.to_owned()),
            (ErrorKind::Server(ServerErrorKind::Moved), _) => RedisError::Server(format!(
                "{error}: another node of the Cluster has the key; write redis+cluster://, and see that this node is up"
            )),
            _ => RedisError::Server(error.to_string()),
        }
    }
}

impl From<RedisError> for SchedulerError {
    fn from(error: RedisError) -> Self {
        SchedulerError::Store(Box::new(error))
    }
}
