//! The socket that listens, and the connections that it accepts.

use std::collections::VecDeque;
use std::error::Error;
use std::fs::{Permissions, set_permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Body;
use hyper::{Request, Response};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::{AbortHandle, JoinSet};

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
            WebAddress::Loopback(at) | WebAddress::Network(at) => {
                let listener = TcpListener::bind(at).await.map_err(failed)?;
                let bound = listener.local_addr().map_err(failed)?;
                let address = match address {
                    WebAddress::Network(_) => WebAddress::Network(bound),
                    _ => WebAddress::Loopback(bound),
                };
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
        let answer = move |client, request| {
            let answers = Arc::clone(&answers);
            async move { answers.respond(client, request).await }
        };
        self.each(Connections { most: CONNECTIONS, further: Further::Wait, body: 0 }, answer).await;
    }

    /// Answers each request by `answer`, until it is dropped.
    pub(crate) async fn each<A, F, B>(self, connections: Connections, answer: A)
    where
        A: Fn(Client, Request<Bytes>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body + Default + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        match &self.listener {
            Listener::Unix(listener) => {
                let accept = || async { Ok(listener.accept().await?.0) };
                accept_each(accept, connections, |stream, is_busy| {
                    connection::serve(stream, Client::OfSocket, connections.body, is_busy, answer.clone())
                })
                .await;
            }
            Listener::Tcp(listener) => {
                let accept = || async {
                    let stream = listener.accept().await?.0;
                    // Answers are small: none waits for the acknowledgement of another.
                    let _ = stream.set_nodelay(true);
                    Ok(stream)
                };
                accept_each(accept, connections, |stream, is_busy| {
                    connection::serve(stream, Client::OfAddress, connections.body, is_busy, answer.clone())
                })
                .await;
            }
        }
    }
}

/// How many connections are served at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connections {
    pub(crate) most: usize,
    pub(crate) further: Further,
    /// The largest body of a request that is read, in bytes. 0: none is read.
    pub(crate) body: usize,
}

/// The treatment of a client that connects while all connections are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Further {
    /// It waits to be accepted.
    Wait,
    /// It takes the place of the oldest connection on which no request is being answered. It waits if there is none. So
    /// clients that send nothing, or send slowly, do not keep others out.
    ReplaceIdle,
}

/// A connection that is being served.
struct Open {
    task: AbortHandle,
    is_busy: Arc<AtomicBool>,
}

/// Serves connections, some at once.
async fn accept_each<S, A, F>(accept: impl Fn() -> A, connections: Connections, serve: impl Fn(S, Arc<AtomicBool>) -> F)
where
    A: Future<Output = io::Result<S>>,
    F: Future<Output = ()> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    let mut open: VecDeque<Open> = VecDeque::new();
    loop {
        if connections.further == Further::Wait && tasks.len() >= connections.most {
            tasks.join_next().await;
            continue;
        }
        let stream = match accept().await {
            Ok(stream) => stream,
            Err(_) => {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        while tasks.try_join_next().is_some() {}
        if tasks.len() >= connections.most {
            open.retain(|open| !open.task.is_finished());
            let idle = open.iter().position(|open| !open.is_busy.load(Ordering::Relaxed));
            if let Some(idle) = idle.and_then(|idle| open.remove(idle)) {
                idle.task.abort();
            }
            tasks.join_next().await;
        }
        let is_busy = Arc::new(AtomicBool::new(false));
        let task = tasks.spawn(serve(stream, Arc::clone(&is_busy)));
        if connections.further == Further::ReplaceIdle {
            open.push_back(Open { task, is_busy });
            if open.len() > 2 * connections.most {
                open.retain(|open| !open.task.is_finished());
            }
        }
    }
}
