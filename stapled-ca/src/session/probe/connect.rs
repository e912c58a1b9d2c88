//! Connections to the hosts of names.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::address::AddressRules;
use super::error::ProbeError;
use super::names::Names;

/// The most octets of the head of a proxy's answer.
const LONGEST_HEAD: usize = 8192;

/// A connection to a host.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// The addresses of names, which of them are asked, and from where.
#[derive(Clone, Copy)]
pub(super) struct Connector<'a> {
    pub(super) names: &'a dyn Names,
    pub(super) rules: &'a AddressRules,
    /// The HTTP proxy, `HOST:PORT`, through which hosts are asked. `None`: from here.
    pub(super) proxy: Option<&'a str>,
    /// How long one connection may take, with the tunnel of a proxy. Then the next address is tried.
    pub(super) within: Duration,
}

impl Connector<'_> {
    /// Connects to the first address of a host that may be asked and accepts the connection.
    pub(super) async fn connect(self, host: &str, port: u16) -> Result<Box<dyn Stream>, ProbeError> {
        let addresses = match host.parse() {
            Ok(address) => vec![address],
            Err(_) => {
                let unresolved = |source| ProbeError::Resolve { name: host.to_owned(), source };
                self.names.addresses(host).await.map_err(unresolved)?
            }
        };
        let nothing = io::Error::new(io::ErrorKind::NotFound, "it has no address");
        let mut failure = ProbeError::Resolve { name: host.to_owned(), source: nothing };
        for address in addresses {
            if !self.rules.allow(address) {
                failure = ProbeError::Address { name: host.to_owned(), address };
                continue;
            }
            // The address that was checked is the one that is asked: the name is not resolved again.
            let address = SocketAddr::new(address, port);
            match tokio::time::timeout(self.within, self.open(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(source)) => failure = ProbeError::Connect { address, source },
                Err(_) => failure = ProbeError::Connect { address, source: io::ErrorKind::TimedOut.into() },
            }
        }
        Err(failure)
    }

    async fn open(self, address: SocketAddr) -> io::Result<Box<dyn Stream>> {
        Ok(match self.proxy {
            None => Box::new(TcpStream::connect(address).await?),
            Some(proxy) => Box::new(tunnel(proxy, address).await?),
        })
    }
}

/// A connection to an address through a proxy (RFC 9110, 9.3.6). The proxy gets the address that was checked, not the name.
async fn tunnel(proxy: &str, address: SocketAddr) -> io::Result<TokioIo<hyper::upgrade::Upgraded>> {
    let stream = TcpStream::connect(proxy).await?;
    let mut builder = http1::Builder::new();
    let handshake = builder.max_buf_size(LONGEST_HEAD).handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(io::Error::other)?;
    // The connection ends with the tunnel. Its errors are those of the tunnel.
    tokio::spawn(connection.with_upgrades());
    let request = Request::builder().method(Method::CONNECT).uri(address.to_string()).header(HOST, address.to_string());
    let request = request.body(Empty::<Bytes>::new()).map_err(io::Error::other)?;
    let answer = sender.send_request(request).await.map_err(io::Error::other)?;
    if answer.status() != StatusCode::OK {
        return Err(io::Error::other(format!("the proxy answers with status {}", answer.status().as_u16())));
    }
    Ok(TokioIo::new(hyper::upgrade::on(answer).await.map_err(io::Error::other)?))
}
