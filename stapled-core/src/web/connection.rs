//! One connection of a client, within limits of size and time.

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

/// How long the head of a request may take, and how long an idle connection stays open.
const HEAD: Duration = Duration::from_secs(5);
/// How long the body of a request may take.
const BODY: Duration = Duration::from_secs(5);
/// How long a connection may last. After that, the answer that is being sent has the grace to end.
const WHOLE: Duration = Duration::from_secs(120);
const GRACE: Duration = Duration::from_secs(30);
/// The largest head of a request, in bytes.
const BUFFER: usize = 16 * 1024;

/// Where a client connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    /// On the unix socket, which no browser reaches.
    OfSocket,
    /// On an address.
    OfAddress,
}

/// Serves one connection until it ends. Bodies of requests are read up to `body` bytes; none is read if that is 0. `is_busy` is
/// set while a whole request is being answered.
pub(super) async fn serve<S, A, F, B>(stream: S, client: Client, body: usize, is_busy: Arc<AtomicBool>, answer: A)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Fn(Client, Request<Bytes>) -> F,
    F: Future<Output = Response<B>>,
    B: Body + Default + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let (answer, is_busy) = (&answer, &is_busy);
    let service = service_fn(|request: Request<Incoming>| async move {
        let request = match read(request, body).await {
            Ok(request) => request,
            Err(status) => return Ok(closing(status)),
        };
        is_busy.store(true, Ordering::Relaxed);
        let response = answer(client, request).await;
        is_busy.store(false, Ordering::Relaxed);
        Ok::<_, Infallible>(response)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    // An error means that the client closed the connection or sent something other than HTTP.
    if tokio::time::timeout(WHOLE, connection.as_mut()).await.is_err() {
        connection.as_mut().graceful_shutdown();
        let _ = tokio::time::timeout(GRACE, connection).await;
    }
}

/// Reads the body of a request, or says why it cannot be read.
async fn read(request: Request<Incoming>, most: usize) -> Result<Request<Bytes>, StatusCode> {
    let (head, body) = request.into_parts();
    if most == 0 || body.is_end_stream() {
        return Ok(Request::from_parts(head, Bytes::new()));
    }
    if body.size_hint().lower() > most.try_into().unwrap_or(u64::MAX) {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    match tokio::time::timeout(BODY, Limited::new(body, most).collect()).await {
        Ok(Ok(body)) => Ok(Request::from_parts(head, body.to_bytes())),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Ok(Err(_)) => Err(StatusCode::BAD_REQUEST),
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
    }
}

/// The last answer on a connection: the rest of the request is not read.
fn closing<B: Default>(status: StatusCode) -> Response<B> {
    let mut response = Response::new(B::default());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}
