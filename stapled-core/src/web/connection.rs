//! One connection of a client, within limits of size and time.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::answer::{Answers, refuse};
use super::host;

/// How long the head of a request may take, and how long an idle connection stays open.
const HEAD: Duration = Duration::from_secs(5);
/// How long a connection may last. After that, the answer that is being sent has the grace to end.
const WHOLE: Duration = Duration::from_secs(120);
const GRACE: Duration = Duration::from_secs(30);
/// The largest head of a request, in bytes.
const BUFFER: usize = 16 * 1024;

/// Where a client connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    /// On the unix socket, which no browser reaches.
    OfSocket,
    /// On a loopback address.
    OfLoopback,
}

/// Serves one connection until it ends.
pub(super) async fn serve<S>(stream: S, client: Client, answers: Arc<Answers>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request: Request<Incoming>| {
        let answers = Arc::clone(&answers);
        async move {
            // The body of a request is not read.
            let (head, _) = request.into_parts();
            Ok::<_, Infallible>(match head.method {
                _ if client == Client::OfLoopback && !host::is_local(&head) => refuse(StatusCode::MISDIRECTED_REQUEST),
                Method::GET | Method::HEAD => answers.answer(&head).await,
                _ => refuse(StatusCode::METHOD_NOT_ALLOWED),
            })
        }
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
