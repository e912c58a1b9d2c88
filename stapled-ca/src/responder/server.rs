//! The HTTP server of a responder.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::background::{Background, Stop, stopped};
use crate::responder::answer::Responder;
use crate::responder::http::{Question, file_name};
use crate::responder::upkeep::Upkeep;

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

/// A running responder. Dropping it stops the server.
#[derive(Debug)]
pub struct RunningResponder {
    address: SocketAddr,
    responder: Arc<Responder>,
    _background: Background,
    _upkeep: Upkeep,
}

impl RunningResponder {
    /// The address of the server.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The OCSP URL, with a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// The caIssuers URL of an authority.
    #[must_use]
    pub fn ca_issuers_url(&self, authority: &crate::authority::Authority) -> String {
        format!("http://{}/{}.crt", self.address, file_name(authority.name()))
    }

    /// The URL of an authority's certificate revocation list.
    #[must_use]
    pub fn crl_url(&self, authority: &crate::authority::Authority) -> String {
        format!("http://{}/{}.crl", self.address, file_name(authority.name()))
    }

    /// The responder. Its tally counts the questions.
    #[must_use]
    pub fn responder(&self) -> &Responder {
        &self.responder
    }
}

impl Responder {
    /// Answers on a listener until `shutdown` ends. Then open connections have a second to finish. For programs with
    /// a tokio runtime; other programs use [`crate::responder::ResponderBuilder::start`].
    pub async fn serve(self: Arc<Self>, listener: TcpListener, limits: Limits, shutdown: impl Future<Output = ()>) {
        serve(self, listener, limits, shutdown).await;
    }
}

/// Answers HTTP requests.
pub(crate) trait Answers: Send + Sync + 'static {
    /// The HTTP response to a request.
    fn answer(&self, question: Question<'_>) -> Response<Full<Bytes>>;
}

impl Answers for Responder {
    fn answer(&self, question: Question<'_>) -> Response<Full<Bytes>> {
        Responder::answer(self, question)
    }
}

/// Answers on a listener until `shutdown` ends. Then open connections have a second to finish.
pub(crate) async fn serve(
    responder: Arc<impl Answers>,
    listener: TcpListener,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) {
    let (stop, told) = tokio::sync::watch::channel(false);
    let slots = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        let (stream, slot) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Mostly no file descriptor is free. That passes when a connection ends.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        let (responder, limits, told) = (Arc::clone(&responder), limits.clone(), told.clone());
        connections.spawn(async move {
            serve_connection(responder, stream, limits, told).await;
            drop(slot);
        });
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    let _ = stop.send(true);
    let finish = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(Duration::from_secs(1), finish).await;
}

/// Starts a server with threads of its own.
pub(crate) fn start(
    responder: Arc<Responder>,
    upkeep: Upkeep,
    address: SocketAddr,
    limits: Limits,
    threads: usize,
) -> io::Result<RunningResponder> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let serving = Arc::clone(&responder);
    let background = Background::start("ocsp responder", threads, move |stop| async move {
        match TcpListener::from_std(listener) {
            Ok(listener) => serving.serve(listener, limits, stopped(stop)).await,
            Err(error) => tracing::error!(%error, "cannot listen"),
        }
    })?;
    Ok(RunningResponder { address, responder, _background: background, _upkeep: upkeep })
}

/// The next connection, when there is room for it.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, slot))
}

/// Serves one connection until it ends or the server stops.
async fn serve_connection(responder: Arc<impl Answers>, stream: TcpStream, limits: Limits, stop: Stop) {
    let service = service_fn(|request| {
        let responder = Arc::clone(&responder);
        let limits = &limits;
        async move { Ok::<_, Infallible>(answer(&*responder, request, limits).await) }
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

async fn answer(responder: &impl Answers, request: Request<Incoming>, limits: &Limits) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let body = if head.method == Method::POST {
        let collected = Limited::new(body, limits.body).collect();
        match tokio::time::timeout(limits.body_time, collected).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(_)) => return refused(StatusCode::PAYLOAD_TOO_LARGE),
            Err(_) => return refused(StatusCode::REQUEST_TIMEOUT),
        }
    } else {
        Bytes::new()
    };
    responder.answer(Question {
        method: &head.method,
        path: head.uri.path(),
        if_none_match: head.headers.get(header::IF_NONE_MATCH),
        body: &body,
    })
}

fn refused(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = status;
    response
}
