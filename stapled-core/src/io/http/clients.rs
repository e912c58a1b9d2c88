//! The clients for http and https.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;

use futures_util::FutureExt;
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::client::legacy::{self, Client};

use super::connect::{Body, Connector, POOL_PER_HOST, client};
#[cfg(feature = "https")]
use super::tls::TlsClient;

/// The clients for both schemes, each with its connection pool.
#[derive(Debug)]
pub(super) struct Clients {
    connector: Connector,
    plain: Client<Connector, Body>,
    #[cfg(feature = "https")]
    tls: TlsClient,
}

/// A request in flight: yields its answer, or the reason why there is none. An error of the outer kind is an https request without
/// TLS: no provider, no root certificates, or no feature `https`.
pub(super) type Answering<'a> =
    Pin<Box<dyn Future<Output = Result<Result<Response<Incoming>, legacy::Error>, io::Error>> + Send + 'a>>;

impl Clients {
    #[cfg(feature = "https")]
    pub(super) fn new(connector: Connector, tls: TlsClient) -> Self {
        Clients { plain: client(connector.clone(), POOL_PER_HOST), connector, tls }
    }

    #[cfg(not(feature = "https"))]
    pub(super) fn new(connector: Connector) -> Self {
        Clients { plain: client(connector.clone(), POOL_PER_HOST), connector }
    }

    /// Sends a request over a pooled or a new connection. With `only`, it sends over a new connection to this address.
    pub(super) fn send(&self, request: Request<Body>, only: Option<IpAddr>) -> Answering<'_> {
        let is_tls = request.uri().scheme_str() == Some("https");
        match (is_tls, only) {
            (false, None) => Box::pin(self.plain.request(request).map(Ok)),
            (false, Some(only)) => Box::pin(client(self.connector.only(only), 0).request(request).map(Ok)),
            #[cfg(feature = "https")]
            (true, None) => Box::pin(async { Ok(self.tls.pooled(&self.connector).await?.request(request).await) }),
            #[cfg(feature = "https")]
            (true, Some(only)) => {
                Box::pin(async move { Ok(self.tls.alone(self.connector.only(only)).await?.request(request).await) })
            }
            #[cfg(not(feature = "https"))]
            (true, _) => {
                let why = "this program was built without the feature `https` of stapled-core";
                Box::pin(std::future::ready(Err(io::Error::new(io::ErrorKind::Unsupported, why))))
            }
        }
    }
}
