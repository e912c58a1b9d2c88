//! An HTTP server with limits on its clients.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use crate::background::{Stop, stopped};

/// Limits on clients.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// The most connections that are served at once. Further connections wait to be accepted.
    pub connections: usize,
    /// The most octets of a request's body.
    pub body: usize,
    /// The deadline for the head of a request, and for an idle connection.
    pub head: Duration,
    /// The deadline for the body of a request.
    pub body_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 4096, body: 16 * 1024, head: Duration::from_secs(30), body_time: Duration::from_secs(10) }
    }
}

/// A request: its client, its head, and the body of a POST.
pub(crate) struct Received<C = IpAddr> {
    /// The address of the client; nothing on a unix socket.
    pub(crate) client: C,
    pub(crate) head: Parts,
    pub(crate) body: Bytes,
}

/// What connections come from.
pub(crate) trait Listener: Send {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// The identity of a client. All clients of a unix socket count as one.
    type Client: Copy + Send + Sync + 'static;

    /// The next connection, and its client.
    fn next(&self) -> impl Future<Output = io::Result<(Self::Stream, Self::Client)>> + Send;
}

impl Listener for TcpListener {
    type Stream = TcpStream;
    type Client = IpAddr;

    async fn next(&self) -> io::Result<(TcpStream, IpAddr)> {
        let (stream, client) = self.accept().await?;
        stream.set_nodelay(true)?;
        Ok((stream, client.ip()))
    }
}

impl Listener for UnixListener {
    type Stream = UnixStream;
    type Client = ();

    async fn next(&self) -> io::Result<(UnixStream, ())> {
        Ok((self.accept().await?.0, ()))
    }
}

/// Answers on a listener until `shutdown` ends. Then open connections have a second to finish. A request whose body is too long
/// or too slow gets an answer without a body.
pub(crate) async fn serve<L, A, F>(listener: L, limits: Limits, shutdown: impl Future<Output = ()>, answer: A)
where
    L: Listener,
    A: Fn(Received<L::Client>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    serve_with(listener, limits, shutdown, answer, empty).await;
}

/// The same, where `refuse` makes the answer to a body that is too long (413) or too slow (408).
pub(crate) async fn serve_with<L, A, F>(
    listener: L,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
    answer: A,
    refuse: fn(StatusCode) -> Response<Full<Bytes>>,
) where
    L: Listener,
    A: Fn(Received<L::Client>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let (stop, told) = tokio::sync::watch::channel(false);
    let slots = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        let (stream, client, slot) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Mostly no file descriptor is free. That passes when a connection ends.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        let (answer, limits, told) = (answer.clone(), limits.clone(), told.clone());
        connections.spawn(async move {
            serve_connection(stream, client, limits, told, answer, refuse).await;
            drop(slot);
        });
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    let _ = stop.send(true);
    let finish = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(Duration::from_secs(1), finish).await;
}

/// The next connection, when there is room for it.
async fn accept<L: Listener>(
    listener: &L,
    slots: &Arc<Semaphore>,
) -> io::Result<(L::Stream, L::Client, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, client) = listener.next().await?;
    Ok((stream, client, slot))
}

/// Serves one connection until it ends or the server stops.
async fn serve_connection<S, C, A, F>(
    stream: S,
    client: C,
    limits: Limits,
    stop: Stop,
    answer: A,
    refuse: fn(StatusCode) -> Response<Full<Bytes>>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
    C: Copy,
    A: Fn(Received<C>) -> F,
    F: Future<Output = Response<Full<Bytes>>>,
{
    let service = service_fn(|request| {
        let (limits, answer) = (&limits, &answer);
        async move {
            Ok::<_, Infallible>(match received(client, request, limits).await {
                Ok(received) => answer(received).await,
                Err(status) => refuse(status),
            })
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .pipeline_flush(true)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    // An error means that the client closed the connection or sent something other than HTTP.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = stopped(stop) => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

async fn received<C>(client: C, request: Request<Incoming>, limits: &Limits) -> Result<Received<C>, StatusCode> {
    let (head, body) = request.into_parts();
    if head.method != Method::POST {
        return Ok(Received { client, head, body: Bytes::new() });
    }
    let collected = Limited::new(body, limits.body).collect();
    match tokio::time::timeout(limits.body_time, collected).await {
        Ok(Ok(body)) => Ok(Received { client, head, body: body.to_bytes() }),
        Ok(Err(_)) => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
    }
}

fn empty(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = status;
    response
}
