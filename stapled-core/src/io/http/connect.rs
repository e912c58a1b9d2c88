//! Connections: names resolved and checked, proxies, TLS.

use std::error::Error as StdError;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::legacy::{Client, connect::Connect};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tower_service::Service;

use super::address::{AddressPolicy, Denied};

type AnyError = Box<dyn StdError + Send + Sync>;
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
    tls: OnceCell<Client<HttpsConnector<Connector>, Body>>,
}

impl Clients {
    pub(super) fn new(connector: Connector) -> Self {
        Clients { plain: client(connector.clone()), connector, tls: OnceCell::new() }
    }

    pub(super) fn plain(&self) -> &Client<Connector, Body> {
        &self.plain
    }

    /// The client for https; fails where the system's root certificates cannot be loaded.
    pub(super) async fn tls(&self) -> Result<&Client<HttpsConnector<Connector>, Body>, io::Error> {
        let make = || async {
            // It reads a few hundred files on some systems.
            let builder = tokio::task::spawn_blocking(|| {
                let provider = rustls::crypto::aws_lc_rs::default_provider();
                HttpsConnectorBuilder::new().with_provider_and_native_roots(provider)
            });
            let builder = builder.await.map_err(io::Error::other)??;
            Ok(client(builder.https_or_http().enable_http1().wrap_connector(self.connector.clone())))
        };
        self.tls.get_or_try_init(make).await
    }
}

fn client<C: Connect + Clone>(connector: C) -> Client<C, Body> {
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        // Without a timer of its own the pool keeps connections for ever.
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(POOL_PER_HOST)
        .http1_max_buf_size(MAX_HEAD)
        .build(connector)
}

/// Connects to a responder, or to the proxy before it.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    direct: HttpConnector<Resolver>,
    proxy: Option<(Arc<Matcher>, HttpConnector<GaiResolver>)>,
    deadline: Duration,
}

impl Connector {
    pub(super) fn new(policy: AddressPolicy, proxy: Option<Arc<Matcher>>, deadline: Duration) -> Self {
        let mut direct = HttpConnector::new_with_resolver(Resolver { policy, inner: GaiResolver::new() });
        set_up(&mut direct, deadline);
        let proxy = proxy.map(|matcher| {
            // The proxy was named by the operator: it may have any address.
            let mut connector = HttpConnector::new();
            set_up(&mut connector, deadline);
            (matcher, connector)
        });
        Connector { direct, proxy, deadline }
    }
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
        let Connector { mut direct, proxy, deadline } = self.clone();
        let connecting = async move {
            let Some((intercept, mut connector)) =
                proxy.and_then(|(matcher, connector)| Some((matcher.intercept(&to)?, connector)))
            else {
                return Ok(Stream { inner: direct.call(to).await?, proxied: false });
            };
            if intercept.uri().scheme_str() != Some("http") {
                return Err("the proxy's URL is not http".into());
            }
            if to.scheme_str() == Some("https") {
                let mut tunnel = Tunnel::new(intercept.uri().clone(), connector);
                if let Some(authorization) = intercept.basic_auth() {
                    tunnel = tunnel.with_auth(authorization.clone());
                }
                return Ok(Stream { inner: tunnel.call(to).await?, proxied: false });
            }
            Ok(Stream { inner: connector.call(intercept.uri().clone()).await?, proxied: true })
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

/// A connection; one to a plain proxy is asked by whole URLs.
#[derive(Debug)]
pub(super) struct Stream {
    inner: TokioIo<TcpStream>,
    proxied: bool,
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        self.inner.connected().proxy(self.proxied)
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

/// Resolves names, and leaves out the addresses that may not be asked: the connection goes to an address that was
/// checked, whatever the name resolves to a moment later.
#[derive(Clone, Debug)]
pub(super) struct Resolver {
    policy: AddressPolicy,
    inner: GaiResolver,
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = AnyError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, AnyError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), AnyError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let policy = self.policy;
        let resolving = self.inner.call(name.clone());
        Box::pin(async move {
            let all: Vec<SocketAddr> = resolving.await?.collect();
            let allowed: Vec<SocketAddr> =
                all.iter().copied().filter(|address| policy.check(address.ip()).is_ok()).collect();
            if allowed.is_empty() && !all.is_empty() {
                return Err(Denied::host(name.as_str()).into());
            }
            Ok(allowed.into_iter())
        })
    }
}
