//! The way past a master: a worker's own admin socket.
//!
//! A master hands on one command after the other, so that others get between those which are sent at once
//! (`transaction`). Whatever has to happen at once is said to the worker itself, where it has a socket of the level for
//! it that we can connect to. Where it has none, the master has to do.

use std::time::Duration;

use tokio::time::Instant;

use crate::cli::address::Address;
use crate::cli::command::Command;
use crate::cli::connection::{Connection, Patience};
use crate::cli::reply::{self, Environment, ProbeReply};
use crate::cli::route::Route;

/// No more of a worker's sockets are tried.
const MOST_SOCKETS: usize = 8;
/// After so long they are tried again.
const TRIED_AGAIN: Duration = Duration::from_secs(60);

/// What is known of a worker's own sockets.
#[derive(Default)]
pub(crate) struct Bypass {
    connection: Option<Connection>,
    tried: Option<Instant>,
}

impl Bypass {
    /// A connection to the process that `through` leads to, past its master.
    pub(crate) async fn around(&mut self, through: &mut Connection, patience: Patience) -> Option<&mut Connection> {
        if let Some(connection) = &mut self.connection
            && (!connection.process().is_same(through.process()) || connection.is_disturbed().await)
        {
            self.close();
        }
        if self.connection.is_none() && self.tried.is_none_or(|tried| tried.elapsed() > TRIED_AGAIN) {
            self.tried = Some(Instant::now());
            self.connection = find(through, patience).await;
        }
        self.connection.as_mut()
    }

    /// Forgets the connection; the next one is looked for at once.
    pub(crate) fn close(&mut self) {
        *self = Bypass::default();
    }
}

async fn find(through: &mut Connection, patience: Patience) -> Option<Connection> {
    let mut environment = Environment::default();
    through.ask_lines(&Command::show_environment(), |line| environment.add(line)).await.ok()?;
    for socket in environment.sockets.iter().take(MOST_SOCKETS) {
        let address = match socket.parse() {
            // A relative path begins in HAProxy's directory, not in ours; an IP address may be another machine's.
            Ok(Address::Unix(path)) if path.is_absolute() => Address::Unix(path),
            Ok(address @ (Address::Abstract(_) | Address::AbstractExact(_))) => address,
            _ => continue,
        };
        let Ok(mut connection) = Connection::open(&Route::to(address), patience).await else { continue };
        // An old worker's socket is the new one's by now.
        if !through.process().is_same(connection.process()) {
            continue;
        }
        let Ok(said) = connection.ask(&Command::probe_transaction()).await else { continue };
        if !matches!(reply::probe(&said), ProbeReply::Denied) {
            return Some(connection);
        }
    }
    None
}
