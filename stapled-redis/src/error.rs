//! The failures of Redis, in words without credentials.

use stapled_core::scheduler::SchedulerError;

/// Why Redis could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedisError {
    /// The address is not one of a Redis server. It may contain a password, so the message does not repeat it.
    #[error("the address of Redis is wrong: {0}; write redis://HOST:PORT/DB or redis+unix:///PATH")]
    Address(String),
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
        RedisError::Server(error.to_string())
    }
}

impl From<RedisError> for SchedulerError {
    fn from(error: RedisError) -> Self {
        SchedulerError::Store(Box::new(error))
    }
}
