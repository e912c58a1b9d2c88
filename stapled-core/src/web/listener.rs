//! The socket that listens, and the connections that it accepts.

use std::fs::{Permissions, set_permissions};
use std::future::Future;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::address::WebAddress;
use super::answer::Answers;
use super::conclusion::Conclude;
use super::connection::{self, Client};
use crate::io::own_socket::{OwnSocket, OwnSocketError};
use crate::metrics::Metrics;

/// How many connections are served at once; others wait to be accepted.
const CONNECTIONS: usize = 8;
/// The mode of a unix socket: a proxy that runs as another user is given the group.
const MODE: u32 = 0o660;
/// The pause after a connection that could not be accepted, as when file descriptors run out.
const PAUSE: Duration = Duration::from_millis(200);

/// A server that listens.
#[derive(Debug)]
pub struct Web {
    listener: Listener,
    address: WebAddress,
    /// The end of the server removes the socket.
    _socket: Option<OwnSocket>,
}

#[derive(Debug)]
enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

/// Why the server cannot listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebError {
    /// The unix socket cannot be created.
    #[error(transparent)]
    Socket(#[from] OwnSocketError),
    /// The port cannot be used.
    #[error("{address}: cannot listen there: {error}")]
    Listen {
        /// The address.
        address: WebAddress,
        /// The error of the system.
        error: io::Error,
    },
}

impl Web {
    /// Listens. A unix socket has mode 0660 and replaces the socket of a process that has ended. To be called inside a tokio
    /// runtime.
    ///
    /// # Errors
    ///
    /// The address is taken, or the system refuses.
    pub async fn listen(address: &WebAddress) -> Result<Self, WebError> {
        let failed = |error| WebError::Listen { address: address.clone(), error };
        match address {
            WebAddress::Socket(path) => {
                let socket = OwnSocket::make_with_directory(path)?;
                set_permissions(path, Permissions::from_mode(MODE)).map_err(failed)?;
                let listener = socket.as_ref().try_clone().and_then(UnixListener::from_std).map_err(failed)?;
                Ok(Web { listener: Listener::Unix(listener), address: address.clone(), _socket: Some(socket) })
            }
            WebAddress::Loopback(at) => {
                let listener = TcpListener::bind(at).await.map_err(failed)?;
                let address = WebAddress::Loopback(listener.local_addr().map_err(failed)?);
                Ok(Web { listener: Listener::Tcp(listener), address, _socket: None })
            }
        }
    }

    /// Where it listens.
    pub fn address(&self) -> &WebAddress {
        &self.address
    }

    /// Answers until it is dropped, with the numbers, and with the state of the stapler that the metrics watch.
    pub async fn serve(self, metrics: Metrics, conclude: Conclude) {
        let answers = Arc::new(Answers::new(metrics, conclude));
        match &self.listener {
            Listener::Unix(listener) => {
                let accept = || async { Ok(listener.accept().await?.0) };
                accept_each(accept, |stream, answers| connection::serve(stream, Client::OfSocket, answers), &answers)
                    .await;
            }
            Listener::Tcp(listener) => {
                let accept = || async { Ok(listener.accept().await?.0) };
                accept_each(accept, |stream, answers| connection::serve(stream, Client::OfLoopback, answers), &answers)
                    .await;
            }
        }
    }
}

/// Serves connections, some at once.
async fn accept_each<S, A, F>(accept: impl Fn() -> A, serve: impl Fn(S, Arc<Answers>) -> F, answers: &Arc<Answers>)
where
    A: Future<Output = io::Result<S>>,
    F: Future<Output = ()> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        // The semaphore is never closed.
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        match accept().await {
            Ok(stream) => {
                let served = serve(stream, Arc::clone(answers));
                connections.spawn(async move {
                    served.await;
                    drop(slot);
                });
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
        while connections.try_join_next().is_some() {}
    }
}
