//! The failures of Redis, in words without credentials.

use redis::{ErrorKind, ServerErrorKind};
use stapled_core::describe::visible::Visible;
use stapled_core::scheduler::SchedulerError;
use stapled_core::task::Queue;

use crate::address::RedisAddressError;
use crate::durability::Durability;

/// How many characters of a failure are shown.
const MOST_WORDS: usize = 500;

/// Why Redis could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedisError {
    /// The address is not one of a Redis.
    #[error(transparent)]
    Address(#[from] RedisAddressError),
    /// On a Cluster, the keys of this prefix would be in different slots.
    #[error(
        "the prefix of the keys makes no hash tag: on a Cluster, choose one with text in braces, to keep all keys in one slot"
    )]
    Prefix,
    /// The server cannot be reached, or refused the command.
    #[error("Redis: {0}")]
    Server(String),
    /// The keys were written by a newer program. Nothing was changed.
    #[error(
        "the keys under the prefix {prefix} in Redis have schema {found}, and this program knows schema {known}: run the newer \
         stapled that wrote them, or choose another prefix"
    )]
    NewerSchema {
        /// The prefix.
        prefix: String,
        /// The version of the keys.
        found: u64,
        /// The newest version that this program knows.
        known: u64,
    },
    /// Acknowledged steps may be lost with the machine of the server.
    #[error("Redis may lose acknowledged steps: {}", .durability.refusal())]
    NotDurable {
        /// The server's durability.
        durability: Durability,
    },
    /// The server deletes keys when its memory is full.
    #[error(
        "Redis deletes keys when its memory is full (maxmemory-policy {policy}): set `maxmemory-policy noeviction` in redis.conf, \
         or with CONFIG SET"
    )]
    Evicts {
        /// The policy.
        policy: String,
    },
    /// No program has used a scheduler with this prefix.
    #[error("no scheduler under the prefix {prefix} in Redis; {}", where_else(.others))]
    NoScheduler {
        /// The prefix.
        prefix: String,
        /// Other prefixes that have one, as far as they were found soon.
        others: Vec<String>,
    },
    /// The scheduler has no such queue.
    #[error("no queue {queue}")]
    NoQueue {
        /// The name.
        queue: Queue,
        /// The queues that there are.
        known: Vec<String>,
    },
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

fn where_else(others: &[String]) -> String {
    match others {
        [] => "none was found under another one: is this the right server and database?".to_owned(),
        others => {
            let others: Vec<String> = others.iter().map(|other| Visible::new(other).to_string()).collect();
            format!("there are: {}", others.join(", "))
        }
    }
}

impl From<redis::RedisError> for RedisError {
    fn from(error: redis::RedisError) -> Self {
        let words = match (error.kind(), error.detail()) {
            // The link wrote a whole sentence about the connection.
            (ErrorKind::Io | ErrorKind::AuthenticationFailed, Some(words)) => words.to_owned(),
            (ErrorKind::Server(ServerErrorKind::Moved), _) => format!(
                "{error}: another node of the Cluster has the key; write redis+cluster://, and see that this node is up"
            ),
            _ => error.to_string(),
        };
        // The server may have written any text.
        let words: String = words.chars().take(MOST_WORDS).collect();
        RedisError::Server(Visible::new(&words).to_string())
    }
}

impl From<RedisError> for SchedulerError {
    fn from(error: RedisError) -> Self {
        SchedulerError::Store(Box::new(error))
    }
}
