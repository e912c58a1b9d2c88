//! One connection, of one kind, to one Redis. It does not come back after a failure.

use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ErrorKind, IntoConnectionInfo, Pipeline, RedisConnectionInfo,
    RedisError, RedisFuture, RedisResult, Value,
};

use crate::address::{Host, Login, Place, RedisAddress};

/// How long one attempt may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadlines {
    /// Connecting, with the login.
    pub(crate) connect: Duration,
    /// A command, until its reply. A server that is slower counts as one that is down.
    pub(crate) command: Duration,
}

/// A connection.
#[derive(Clone)]
pub(super) enum Line {
    Server(MultiplexedConnection),
}

impl Line {
    /// Connects.
    ///
    /// # Errors
    ///
    /// The server cannot be reached in time, or refuses the login.
    pub(super) async fn open(address: &RedisAddress, deadlines: Deadlines) -> RedisResult<Self> {
        let opened = tokio::time::timeout(deadlines.connect, Line::open_untimed(address, deadlines)).await;
        opened.unwrap_or_else(|_| Err(late(deadlines.connect))).map_err(|error| about(address, &error))
    }

    async fn open_untimed(address: &RedisAddress, deadlines: Deadlines) -> RedisResult<Self> {
        let at = match &address.place {
            Place::Server(Host { name, port }) => ConnectionAddr::Tcp(name.clone(), *port),
            Place::Unix(path) => ConnectionAddr::Unix(path.clone()),
        };
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(Some(deadlines.command));
        let info = at.into_connection_info()?.set_redis_settings(settings(&address.login, address.database));
        let mut connection = Client::open(info)?.get_multiplexed_async_connection_with_config(&config).await?;
        if !address.has_password() {
            refuse_without_password(&mut connection).await?;
        }
        Ok(Line::Server(connection))
    }
}

impl ConnectionLike for Line {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Line::Server(connection) => connection.req_packed_command(cmd),
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
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Line::Server(connection) => connection.get_db(),
        }
    }
}

fn settings(login: &Login, database: i64) -> RedisConnectionInfo {
    let mut settings = RedisConnectionInfo::default().set_db(database);
    if let Some(user) = &login.user {
        settings = settings.set_username(user);
    }
    if let Some(password) = &login.password {
        settings = settings.set_password(password);
    }
    settings
}

/// Fails if the server wants a password. Servers accept connections without one, and refuse every command.
async fn refuse_without_password(connection: &mut MultiplexedConnection) -> RedisResult<()> {
    match redis::cmd("PING").exec_async(connection).await {
        Err(error) if error.code() == Some("NOAUTH") => Err((ErrorKind::AuthenticationFailed, "no password").into()),
        Err(error) if error.is_io_error() => Err(error),
        _ => Ok(()),
    }
}

fn late(deadline: Duration) -> RedisError {
    (ErrorKind::Io, "no connection", format!("no connection within {deadline:?}")).into()
}

/// The error with the address before it.
fn about(address: &RedisAddress, error: &RedisError) -> RedisError {
    let words = match error.kind() {
        ErrorKind::AuthenticationFailed if address.has_password() => {
            "the server refuses the user or the password of the address".to_owned()
        }
        ErrorKind::AuthenticationFailed => "the server wants a password, and the address has none".to_owned(),
        _ => error.detail().map_or_else(|| error.to_string(), str::to_owned),
    };
    (error.kind(), "no connection", format!("{address}: {words}")).into()
}
