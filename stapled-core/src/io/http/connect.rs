//! Connections: resolved and checked names, proxies, TLS.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::dns::GaiResolver;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::legacy::{Client, connect::Connect};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tower_service::Service;

use super::resolve::{Addresses, AnyError, Names};

/// The body of a request.
pub(super) type Body = Full<Bytes>;
type Connecting = Pin<Box<dyn Future<Output = Result<Stream, AnyError>> + Send>>;

/// How long an idle connection is kept.
const POOL_IDLE: Duration = Duration::from_secs(30);
/// The largest number of idle connections that are kept for one host.
pub(super) const POOL_PER_HOST: usize = 32;
/// The largest head of an answer, and the size of one read, in bytes.
const MAX_HEAD: usize = 32 * 1024;

/// A client with a pool that keeps up to `kept` idle connections for each host.
pub(super) fn client<C: Connect + Clone>(connector: C, kept: usize) -> Client<C, Body> {
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        // Without its own timer, the pool never closes idle connections.
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(kept)
        .http1_max_buf_size(MAX_HEAD)
        .build(connector)
}

/// Connects to a responder, or to the proxy in front of it.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    addresses: Addresses,
    direct: HttpConnector<Names>,
    proxy: Option<(Arc<Matcher>, HttpConnector<GaiResolver>)>,
    sockets: Sockets,
    /// The largest number of bytes that one connection may receive for one answer, including heads and framing.
    limit: usize,
}

/// The settings of sockets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sockets {
    /// The deadline of one connection.
    pub(super) deadline: Duration,
    /// The local addresses that connections use; none: the system chooses.
    pub(super) local: (Option<Ipv4Addr>, Option<Ipv6Addr>),
}

impl Connector {
    pub(super) fn new(addresses: Addresses, proxy: Option<Arc<Matcher>>, sockets: Sockets, limit: usize) -> Self {
        let direct = direct(&addresses, None, sockets);
        let proxy = proxy.map(|matcher| {
            // The operator named the proxy, so it may have any address.
            let mut connector = HttpConnector::new();
            set_up(&mut connector, sockets);
            (matcher, connector)
        });
        Connector { addresses, direct, proxy, sockets, limit }
    }

    /// The same connector, restricted to one address of the responder.
    pub(super) fn only(&self, address: IpAddr) -> Self {
        Connector { direct: direct(&self.addresses, Some(address), self.sockets), ..self.clone() }
    }
}

fn direct(addresses: &Addresses, only: Option<IpAddr>, sockets: Sockets) -> HttpConnector<Names> {
    let mut direct = HttpConnector::new_with_resolver(Names::new(addresses.clone(), only));
    set_up(&mut direct, sockets);
    direct
}

fn set_up<R>(connector: &mut HttpConnector<R>, sockets: Sockets) {
    connector.enforce_http(false);
    connector.set_nodelay(true);
    // The deadline is divided among the addresses of a host, so that a dead address leaves time for the next.
    connector.set_connect_timeout(Some(sockets.deadline));
    // With only one local address, the connector skips a host's addresses of the other family.
    match sockets.local {
        (Some(v4), Some(v6)) => connector.set_local_addresses(v4, v6),
        (Some(v4), None) => connector.set_local_address(Some(v4.into())),
        (None, Some(v6)) => connector.set_local_address(Some(v6.into())),
        (None, None) => {}
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = AnyError;
    type Future = Connecting;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), AnyError>> {
        // Neither connector limits connections, so it is always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Connecting {
        let Connector { mut direct, proxy, sockets, limit, .. } = self.clone();
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
            match tokio::time::timeout(sockets.deadline, connecting).await {
                Ok(connected) => connected,
                Err(_) => Err(ConnectDeadline.into()),
            }
        })
    }
}

/// The error for a connection that missed its deadline.
#[derive(Debug, thiserror::Error)]
#[error("no connection in time")]
pub(super) struct ConnectDeadline;

/// The number of bytes that a connection may still receive. All received bytes count, whatever their purpose. The meter
/// is refilled for the next answer when an answer is complete.
#[derive(Clone, Debug)]
pub(super) struct Meter(Arc<AtomicUsize>);

impl Meter {
    /// Refills the meter to `limit`, and returns how many bytes came since the last time.
    pub(super) fn fill(&self, limit: usize) -> usize {
        limit.saturating_sub(self.0.swap(limit, Ordering::Relaxed))
    }

    /// Whether this many more bytes may come.
    fn allows(&self, bytes: usize) -> bool {
        let less = |left: usize| Some(left.saturating_sub(bytes));
        // Bytes that were counted stay counted.
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok_and(|left| bytes <= left)
    }
}

/// The error for more bytes than the limit allows.
#[derive(Debug, thiserror::Error)]
#[error("more bytes came than one answer may have, with all that is around it")]
pub(super) struct TooMuch;

/// A connection. Over a connection to a plain proxy, requests name whole URLs.
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
