//! A worker's own admin socket, used instead of its master.
//!
//! A master passes on one command after the other, so commands of other clients may come between those that are sent at
//! once (`transaction`). A change that must happen at once is sent to the worker itself, if it has a socket of
//! sufficient level that this program can connect to; otherwise through the master.

use std::time::Duration;

use tokio::time::Instant;

use crate::cli::address::Address;
use crate::cli::command::Command;
use crate::cli::connection::{Connection, Timeouts};
use crate::cli::reply::environment::Environment;
use crate::cli::reply::transaction::{ProbeReply, probe};
use crate::cli::route::Route;

/// How many of a worker's sockets are tried.
const MAX_SOCKETS: usize = 8;
/// How long after a failure they are tried again.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// The connection to a worker's own socket.
#[derive(Default)]
pub(crate) struct WorkerSocket {
    connection: Option<Connection>,
    tried: Option<Instant>,
}

impl WorkerSocket {
    /// A connection to the process that `through` leads to, without its master; `None` if it has no usable socket.
    pub(crate) async fn around(&mut self, through: &mut Connection, timeouts: Timeouts) -> Option<&mut Connection> {
        if let Some(connection) = &mut self.connection
            && (!connection.process().is_same(through.process()) || connection.is_disturbed().await)
        {
            self.close();
        }
        if self.connection.is_none() && self.tried.is_none_or(|tried| tried.elapsed() > RETRY_AFTER) {
            self.tried = Some(Instant::now());
            self.connection = find(through, timeouts).await;
        }
        self.connection.as_mut()
    }

    /// Closes the connection; the next call opens another one at once.
    pub(crate) fn close(&mut self) {
        *self = WorkerSocket::default();
    }
}

async fn find(through: &mut Connection, timeouts: Timeouts) -> Option<Connection> {
    let mut environment = Environment::default();
    through.ask_lines(&Command::show_environment(), |line| environment.add(line)).await.ok()?;
    for socket in environment.sockets.iter().take(MAX_SOCKETS) {
        let address = match socket.parse() {
            // A relative path begins in HAProxy's directory, not in ours; an IP address may be another machine's.
            Ok(Address::Unix(path)) if path.is_absolute() => Address::Unix(path),
            Ok(address @ (Address::Abstract(_) | Address::AbstractExact(_))) => address,
            _ => continue,
        };
        let Ok(mut connection) = Connection::open(&Route::to(address), timeouts).await else { continue };
        // After a reload, the socket of an old worker belongs to the new one.
        if !through.process().is_same(connection.process()) {
            continue;
        }
        let Ok(said) = connection.ask(&Command::probe_transaction()).await else { continue };
        if probe(&said) != ProbeReply::Denied {
            return Some(connection);
        }
    }
    None
}
