//! The primary that sentinels name.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, RedisResult, Role};

use super::server::{Opening, words};
use crate::address::{Host, Sentinels};

/// Connects to the primary. All sentinels are asked at once, and the first one that names a server which says itself that it
/// is the primary decides: sentinels that are down, or name a primary of the past, delay nothing.
///
/// # Errors
///
/// No sentinel names such a server within the deadline. The error has the words about each sentinel.
pub(super) async fn primary(
    sentinels: &Sentinels,
    opening: Opening<'_>,
    deadline: Duration,
) -> RedisResult<MultiplexedConnection> {
    let mut lookups: FuturesUnordered<_> =
        sentinels.hosts.iter().map(|sentinel| lookup(sentinel, sentinels, opening, deadline)).collect();
    let mut failures = Vec::new();
    while let Some(found) = lookups.next().await {
        match found {
            Ok(connection) => return Ok(connection),
            Err(words) => failures.push(words),
        }
    }
    Err((ErrorKind::Io, "no primary", failures.join("; ")).into())
}

/// Asks one sentinel. The error is in words.
async fn lookup(
    sentinel: &Host,
    sentinels: &Sentinels,
    opening: Opening<'_>,
    deadline: Duration,
) -> Result<MultiplexedConnection, String> {
    let found = async {
        let named = named(sentinel, sentinels, opening).await.map_err(|error| {
            format!("sentinel {sentinel}: {}", words(&error, &sentinels.login, "sentinel_password of the address"))
        })?;
        confirmed(&named, opening).await.map_err(|error| {
            let words = words(&error, opening.login, "password of the address");
            format!("{named}, the primary that sentinel {sentinel} names: {words}")
        })
    };
    let in_time = tokio::time::timeout(deadline, found).await;
    in_time.unwrap_or_else(|_| Err(format!("sentinel {sentinel}: no connection to a primary within {deadline:?}")))
}

/// The primary that the sentinel names.
async fn named(sentinel: &Host, sentinels: &Sentinels, opening: Opening<'_>) -> RedisResult<Host> {
    let asking = Opening { login: &sentinels.login, database: 0, ..opening };
    let mut connection = asking.connect_to(sentinel).await?;
    let mut question = redis::cmd("SENTINEL");
    question.arg("get-master-addr-by-name").arg(&sentinels.name);
    match question.query_async::<Option<(String, u16)>>(&mut connection).await? {
        Some((name, port)) => Ok(Host { name, port }),
        None => Err((ErrorKind::Io, "unknown", format!("it knows no primary of the name {}", sentinels.name)).into()),
    }
}

/// A connection to a server that says that it is a primary.
async fn confirmed(server: &Host, opening: Opening<'_>) -> RedisResult<MultiplexedConnection> {
    let mut connection = opening.connect_to(server).await?;
    match redis::cmd("ROLE").query_async::<Role>(&mut connection).await? {
        Role::Primary { .. } => Ok(connection),
        _ => Err((ErrorKind::Io, "no primary", "it says that it is none".to_owned()).into()),
    }
}
