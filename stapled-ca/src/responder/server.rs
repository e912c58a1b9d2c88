//! The HTTP server of a responder.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, header};
use tokio::net::TcpListener;

use crate::background::{Background, stopped};
use crate::http_server::{self, Limits, Received};
use crate::responder::answer::Responder;
use crate::responder::file_names::file_name;
use crate::responder::http::Question;
use crate::responder::upkeep::Upkeep;

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
    let answer = move |received: Received| {
        let response = responder.answer(Question {
            method: &received.head.method,
            path: received.head.uri.path(),
            if_none_match: received.head.headers.get(header::IF_NONE_MATCH),
            body: &received.body,
        });
        std::future::ready(response)
    };
    http_server::serve(listener, limits, shutdown, answer).await;
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
