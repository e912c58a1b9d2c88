//! Connections: names resolved and checked, proxies, TLS.

use std::error::Error as StdError;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::{Request, Response, Uri};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::dns::GaiResolver;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::legacy::{self, Client, connect::Connect};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tower_service::Service;

use super::resolve::{Addresses, Names};

pub(super) type AnyError = Box<dyn StdError + Send + Sync>;
type Connecting = Pin<Box<dyn Future<Output = Result<Stream, AnyError>> + Send>>;
pub(super) type Body = Full<Bytes>;

/// How long a connection without a request is kept.
const POOL_IDLE: Duration = Duration::from_secs(30);
/// How many connections without a request are kept for one host.
const POOL_PER_HOST: usize = 32;
/// The head of an answer, and what is read at once, in bytes.
const MAX_HEAD: usize = 32 * 1024;

/// The clients for both schemes, each with its pool.
#[derive(Debug)]
pub(super) struct Clients {
    connector: Connector,
    plain: Client<Connector, Body>,
    /// Made at the first https URL: almost all responders are asked by plain http, and a system without root
    /// certificates must not keep those from being asked.
    tls: OnceCell<(ClientConfig, Client<HttpsConnector<Connector>, Body>)>,
}

/// A request that waits for its answer, or for the reason why there is none.
pub(super) type Answering = Pin<Box<dyn Future<Output = Result<Response<Incoming>, legacy::Error>> + Send>>;

impl Clients {
    pub(super) fn new(connector: Connector) -> Self {
        Clients { plain: client(connector.clone(), POOL_PER_HOST), connector, tls: OnceCell::new() }
    }

    /// Sends a request over a connection of the pool or a new one, or over a new one to this address.
    ///
    /// # Errors
    ///
    /// For https, where the system's root certificates cannot be loaded.
    pub(super) async fn send(&self, request: Request<Body>, only: Option<IpAddr>) -> Result<Answering, io::Error> {
        let is_tls = request.uri().scheme_str() == Some("https");
        Ok(match (is_tls, only) {
            (false, None) => Box::pin(self.plain.request(request)),
            (false, Some(only)) => Box::pin(client(self.connector.only(only), 0).request(request)),
            (true, None) => Box::pin(self.tls().await?.1.request(request)),
            (true, Some(only)) => {
                let connector = secured(self.tls().await?.0.clone(), self.connector.only(only));
                Box::pin(client(connector, 0).request(request))
            }
        })
    }

    async fn tls(&self) -> Result<&(ClientConfig, Client<HttpsConnector<Connector>, Body>), io::Error> {
        let make = || async {
            // It reads a few hundred files on some systems.
            let config = tokio::task::spawn_blocking(|| {
                let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
                let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
                Ok::<_, io::Error>(builder.map_err(io::Error::other)?.with_native_roots()?.with_no_client_auth())
            });
            let config = config.await.map_err(io::Error::other)??;
            let connector = secured(config.clone(), self.connector.clone());
            Ok((config, client(connector, POOL_PER_HOST)))
        };
        self.tls.get_or_try_init(make).await
    }
}

fn secured(config: ClientConfig, connector: Connector) -> HttpsConnector<Connector> {
    HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().wrap_connector(connector)
}

fn client<C: Connect + Clone>(connector: C, kept: usize) -> Client<C, Body> {
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        // Without a timer of its own the pool keeps connections for ever.
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(kept)
        .http1_max_buf_size(MAX_HEAD)
        .build(connector)
}

/// Connects to a responder, or to the proxy before it.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    addresses: Addresses,
    direct: HttpConnector<Names>,
    proxy: Option<(Arc<Matcher>, HttpConnector<GaiResolver>)>,
    deadline: Duration,
    /// How many bytes may come over a connection for one answer, with all that is around it.
    limit: usize,
}

impl Connector {
    pub(super) fn new(addresses: Addresses, proxy: Option<Arc<Matcher>>, deadline: Duration, limit: usize) -> Self {
        let direct = direct(&addresses, None, deadline);
        let proxy = proxy.map(|matcher| {
            // The proxy was named by the operator: it may have any address.
            let mut connector = HttpConnector::new();
            set_up(&mut connector, deadline);
            (matcher, connector)
        });
        Connector { addresses, direct, proxy, deadline, limit }
    }

    /// The same, to one address of the responder.
    fn only(&self, address: IpAddr) -> Self {
        Connector { direct: direct(&self.addresses, Some(address), self.deadline), ..self.clone() }
    }
}

fn direct(addresses: &Addresses, only: Option<IpAddr>, deadline: Duration) -> HttpConnector<Names> {
    let mut direct = HttpConnector::new_with_resolver(Names::new(addresses.clone(), only));
    set_up(&mut direct, deadline);
    direct
}

fn set_up<R>(connector: &mut HttpConnector<R>, deadline: Duration) {
    connector.enforce_http(false);
    connector.set_nodelay(true);
    // Shared out among the addresses of a host, so that a dead one leaves time for the next.
    connector.set_connect_timeout(Some(deadline));
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = AnyError;
    type Future = Connecting;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), AnyError>> {
        // Neither connector has a limit to wait for.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Connecting {
        let Connector { mut direct, proxy, deadline, limit, .. } = self.clone();
        let connecting = async move {
            let Some((intercept, mut connector)) =
                proxy.and_then(|(matcher, connector)| Some((matcher.intercept(&to)?, connector)))
            else {
                return Ok(Stream::new(direct.call(to).await?, false, limit));
            };
            if intercept.uri().scheme_str() != Some("http") {
                return Err("the proxy's URL is not http".into());
            }
            if to.scheme_str() == Some("https") {
                let mut tunnel = Tunnel::new(intercept.uri().clone(), connector);
                if let Some(authorization) = intercept.basic_auth() {
                    tunnel = tunnel.with_auth(authorization.clone());
                }
                return Ok(Stream::new(tunnel.call(to).await?, false, limit));
            }
            Ok(Stream::new(connector.call(intercept.uri().clone()).await?, true, limit))
        };
        Box::pin(async move {
            match tokio::time::timeout(deadline, connecting).await {
                Ok(connected) => connected,
                Err(_) => Err(ConnectDeadline.into()),
            }
        })
    }
}

/// The deadline of a connection passed.
#[derive(Debug, thiserror::Error)]
#[error("no connection in time")]
pub(super) struct ConnectDeadline;

/// How many bytes may still come over a connection: everything off the wire counts, whatever it is. It is filled up when
/// an answer is complete, for the next one.
#[derive(Clone, Debug)]
pub(super) struct Meter(Arc<AtomicUsize>);

impl Meter {
    /// Lets as many bytes come again, and returns how many have come.
    pub(super) fn fill(&self, limit: usize) -> usize {
        limit.saturating_sub(self.0.swap(limit, Ordering::Relaxed))
    }

    /// Whether so many bytes more may come.
    fn allows(&self, bytes: usize) -> bool {
        let less = |left: usize| Some(left.saturating_sub(bytes));
        // What is used up stays so.
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok_and(|left| bytes <= left)
    }
}

/// More bytes came than may.
#[derive(Debug, thiserror::Error)]
#[error("more bytes came than one answer may have, with all that is around it")]
pub(super) struct TooMuch;

/// A connection; one to a plain proxy is asked by whole URLs.
#[derive(Debug)]
pub(super) struct Stream {
    inner: TokioIo<Metered>,
    proxied: bool,
}

impl Stream {
    fn new(inner: TokioIo<TcpStream>, proxied: bool, limit: usize) -> Self {
        let metered = Metered { inner: inner.into_inner(), meter: Meter(Arc::new(AtomicUsize::new(limit))) };
        Stream { inner: TokioIo::new(metered), proxied }
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        let Metered { inner, meter } = self.inner.inner();
        inner.connected().proxy(self.proxied).extra(meter.clone())
    }
}

impl Read for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }
}

/// A socket whose received bytes are counted.
#[derive(Debug)]
struct Metered {
    inner: TcpStream,
    meter: Meter,
}

impl AsyncRead for Metered {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        std::task::ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        match self.meter.allows(buf.filled().len().saturating_sub(before)) {
            true => Poll::Ready(Ok(())),
            false => Poll::Ready(Err(io::Error::other(TooMuch))),
        }
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }
}
