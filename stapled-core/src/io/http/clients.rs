//! The clients for http and https.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;

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

/// A request in flight: yields its answer, or the reason why there is none.
pub(super) type Answering = Pin<Box<dyn Future<Output = Result<Response<Incoming>, legacy::Error>> + Send>>;

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
    ///
    /// # Errors
    ///
    /// An https request without TLS: no provider, no root certificates, or no feature `https`.
    pub(super) async fn send(&self, request: Request<Body>, only: Option<IpAddr>) -> Result<Answering, io::Error> {
        let is_tls = request.uri().scheme_str() == Some("https");
        Ok(match (is_tls, only) {
            (false, None) => Box::pin(self.plain.request(request)),
            (false, Some(only)) => Box::pin(client(self.connector.only(only), 0).request(request)),
            #[cfg(feature = "https")]
            (true, None) => Box::pin(self.tls.pooled(&self.connector).await?.request(request)),
            #[cfg(feature = "https")]
            (true, Some(only)) => Box::pin(self.tls.alone(self.connector.only(only)).await?.request(request)),
            #[cfg(not(feature = "https"))]
            (true, _) => {
                let why = "this program was built without the feature `https` of stapled-core";
                return Err(io::Error::new(io::ErrorKind::Unsupported, why));
            }
        })
    }
}
