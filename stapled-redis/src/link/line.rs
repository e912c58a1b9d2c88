//! One connection, of one kind, to one Redis. It does not come back after a failure.

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Cmd, ConnectionAddr, Pipeline, RedisError, RedisFuture, RedisResult, Value};

#[cfg(feature = "cluster")]
use super::cluster::Nodes;
use super::sentinel;
use super::server::{Deadlines, Opening, late, words};
use crate::address::{Place, RedisAddress};

/// A connection.
#[derive(Clone)]
pub(super) enum Line {
    Server(MultiplexedConnection),
    #[cfg(feature = "cluster")]
    Cluster(Box<Nodes>),
}

impl Line {
    /// Connects.
    ///
    /// # Errors
    ///
    /// No server can be reached in time, or it refuses the login.
    pub(super) async fn open(address: &RedisAddress, deadlines: Deadlines) -> RedisResult<Self> {
        let deadline = deadlines.connect;
        let opened = tokio::time::timeout(deadline, Line::open_untimed(address, deadlines)).await;
        let opened = opened.unwrap_or_else(|_| Err(late(deadline)));
        opened.map_err(|error| about(address, &error))
    }

    async fn open_untimed(address: &RedisAddress, deadlines: Deadlines) -> RedisResult<Self> {
        let RedisAddress { place, login, database, tls } = address;
        let opening = Opening { login, database: *database, tls: tls.as_ref(), command: deadlines.command };
        match place {
            Place::Server(host) => opening.connect_to(host).await.map(Line::Server),
            Place::Unix(path) => opening.connect(ConnectionAddr::Unix(path.clone())).await.map(Line::Server),
            // The lookups end first, so that the error says what is wrong with each sentinel.
            Place::Sentinels(sentinels) => {
                sentinel::primary(sentinels, opening, deadlines.connect * 9 / 10).await.map(Line::Server)
            }
            #[cfg(feature = "cluster")]
            Place::Cluster(hosts) => Nodes::open(hosts, address, deadlines).await.map(Box::new).map(Line::Cluster),
            #[cfg(not(feature = "cluster"))]
            Place::Cluster(_) => Err((redis::ErrorKind::InvalidClientConfig, "no feature `cluster`").into()),
        }
    }

    /// Whether the connection is of use after a server refused a command because it is not the primary.
    pub(super) fn follows(&self) -> bool {
        match self {
            Line::Server(_) => false,
            // The client has asked for the new primary already.
            #[cfg(feature = "cluster")]
            Line::Cluster(_) => true,
        }
    }
}

impl ConnectionLike for Line {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Line::Server(connection) => connection.req_packed_command(cmd),
            #[cfg(feature = "cluster")]
            Line::Cluster(nodes) => Box::pin(nodes.send(cmd)),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Line::Server(connection) => connection.req_packed_commands(pipeline, offset, count),
            #[cfg(feature = "cluster")]
            Line::Cluster(nodes) => nodes.connection().req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Line::Server(connection) => connection.get_db(),
            #[cfg(feature = "cluster")]
            Line::Cluster(_) => 0,
        }
    }
}

/// The error with the address before it.
fn about(address: &RedisAddress, error: &RedisError) -> RedisError {
    let words = words(error, &address.login, "password of the address");
    (error.kind(), "no connection", format!("{address}: {words}")).into()
}
