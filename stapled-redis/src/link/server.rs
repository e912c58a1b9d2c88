//! A connection to one server or sentinel.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, IntoConnectionInfo, RedisConnectionInfo, RedisError,
    RedisResult,
};

use super::tls;
use crate::address::{Host, Login, TlsFiles};

/// How long one attempt may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadlines {
    /// Connecting, with the login. With sentinels, also the question to them.
    pub(crate) connect: Duration,
    /// A command, until its reply. A server that is slower counts as one that is down.
    pub(crate) command: Duration,
}

/// The login, the database, and the other settings of a new connection.
#[derive(Clone, Copy)]
pub(super) struct Opening<'a> {
    pub(super) login: &'a Login,
    pub(super) database: i64,
    pub(super) tls: Option<&'a TlsFiles>,
    /// How long a command may take.
    pub(super) command: Duration,
}

impl Opening<'_> {
    /// Connects, without a deadline.
    pub(super) async fn connect(self, at: ConnectionAddr) -> RedisResult<MultiplexedConnection> {
        let info = at.into_connection_info()?.set_redis_settings(settings(self.login, self.database));
        let client = match self.tls {
            Some(files) => tls::client(info, files).await?,
            None => Client::open(info)?,
        };
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(Some(self.command));
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        if self.login.password.is_none() {
            refuse_without_password(&mut connection).await?;
        }
        Ok(connection)
    }

    /// Connects to a host, without a deadline.
    pub(super) async fn connect_to(self, host: &Host) -> RedisResult<MultiplexedConnection> {
        self.connect(at(host, self.tls.is_some())).await
    }
}

pub(super) fn at(host: &Host, has_tls: bool) -> ConnectionAddr {
    let Host { name, port } = host.clone();
    match has_tls {
        true => ConnectionAddr::TcpTls { host: name, port, insecure: false, tls_params: None },
        false => ConnectionAddr::Tcp(name, port),
    }
}

pub(super) fn settings(login: &Login, database: i64) -> RedisConnectionInfo {
    // Its name would be a command more that the user must be allowed.
    let mut settings = RedisConnectionInfo::default().set_db(database).set_skip_set_lib_name();
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

pub(super) fn late(deadline: Duration) -> RedisError {
    (ErrorKind::Io, "no connection", format!("no connection within {deadline:?}")).into()
}

/// The error of a connection in words, without the login. `passwords` names where the address has the password.
pub(super) fn words(error: &RedisError, login: &Login, passwords: &str) -> String {
    match error.kind() {
        ErrorKind::AuthenticationFailed if login.password.is_some() => {
            format!("it refuses the user or the {passwords}")
        }
        ErrorKind::AuthenticationFailed => format!("it wants a password; add the {passwords}"),
        _ => error.detail().map_or_else(|| error.to_string(), str::to_owned),
    }
}
