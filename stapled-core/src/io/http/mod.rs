//! The fetcher that asks responders over HTTP.

mod address;
mod clients;
mod connect;
mod encoding;
mod exchange;
mod freshness;
mod resolve;
#[cfg(feature = "https")]
mod tls;
mod url;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use ::url::Url;
use async_trait::async_trait;
use bytes::Bytes;
use hyper::header::HeaderValue;
use hyper_util::client::proxy::matcher::Matcher;

pub use self::resolve::Resolver;

use self::address::AddressPolicy;
use self::clients::Clients;
use self::connect::{Connector, Sockets};
use self::exchange::{Asked, Exchanger};
use self::resolve::{Addresses, SystemResolver};
#[cfg(feature = "https")]
use self::tls::{TlsChoice, TlsClient};
use self::url::{Target, printable};
use crate::clock::{Clock, SystemClock};
use crate::fetch::{Answer, FetchError, Method, OcspFetcher, Question};
use crate::ocsp::OcspRequest;
use crate::staple::Staple;

/// The largest number of bytes that a connection may receive beyond the answer's body: heads, interim answers, framing,
/// a TLS handshake.
const OVERHEAD: usize = 64 * 1024;
/// The smallest limit for a body in bytes, whatever limit for responses is set, since the fetcher also fetches issuers'
/// certificates.
const LEAST_BODY: usize = 64 * 1024;

/// A fetcher that asks responders over HTTP/1.1, plain or with TLS. Idle connections are kept for a while and used
/// again.
///
/// # Redirections
///
/// At most five are followed, to http and https only, and never to a request that was made already. OCSP responses are
/// signed, so a redirection from https to http is allowed. After 301, 302, 307 and 308, a POST is repeated at the new
/// URL with its body. (Browsers turn a POST into a GET after 301 and 302, as RFC 9110 §15.4 allows; here, a GET without
/// the request would ask nothing.) After 303, the new URL is asked with GET, as 303 requires.
///
/// # TLS
///
/// Almost all responders use plain http. For https, the program chooses the TLS provider: with
/// [`crypto_provider`](HttpFetcherBuilder::crypto_provider), [`tls_config`](HttpFetcherBuilder::tls_config), or
/// `rustls::crypto::CryptoProvider::install_default`. Without a provider, https URLs fail with an error that says so.
/// The system's root certificates are loaded at the first https URL. If there are none, only https fails.
///
/// # Addresses
///
/// The fetcher tries the addresses of a host one after another, and IPv6 and IPv4 addresses in parallel (RFC 8305). If
/// an address accepts the connection and then breaks off, or answers with status 5xx, the next address is asked. If an
/// address is silent for a third of the deadline, the next address is asked as well, and the first answer counts. At
/// most three addresses are asked in this way. An address that gave no answer when another one did comes last for ten
/// minutes.
///
/// # Compression
///
/// The fetcher does not ask for compression. It decompresses answers that are compressed with gzip or deflate anyway.
///
/// # Bounds
///
/// All bytes of a connection count: an answer, including heads and framing, has at most the greatest size of an answer
/// plus 64 KiB. The system's resolver resolves names, on threads of tokio's pool for blocking work. The caller limits
/// the number of concurrent requests.
#[derive(Clone, Debug)]
pub struct HttpFetcher(Arc<Exchanger>);

/// The settings of an [`HttpFetcher`].
#[derive(Clone, Debug)]
pub struct HttpFetcherBuilder {
    clock: Arc<dyn Clock>,
    proxy: ProxyChoice,
    user_agent: String,
    policy: AddressPolicy,
    prefer_ipv4: bool,
    resolver: Arc<dyn Resolver>,
    #[cfg(feature = "https")]
    tls: TlsChoice,
    local: (Option<Ipv4Addr>, Option<Ipv6Addr>),
    total: Duration,
    connect: Duration,
    idle: Duration,
    max_size: usize,
}

#[derive(Clone, Debug)]
enum ProxyChoice {
    None,
    Environment,
    Explicit { url: String, except: String },
}

/// Why a fetcher could not be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpFetcherError {
    /// The user agent has characters that a header must not have.
    #[error("the user agent has characters that no header may have")]
    UserAgent,
    /// The proxy's URL cannot be used. The error omits the URL, because it may contain a password.
    #[error("the proxy's URL: {why}")]
    Proxy {
        /// The reason.
        why: String,
    },
}

impl HttpFetcher {
    /// A fetcher with default settings.
    pub fn new() -> Self {
        // The default user agent is a valid header value, and the other defaults cannot fail.
        let user_agent = HeaderValue::from_static(concat!("stapled/", env!("CARGO_PKG_VERSION")));
        Self::builder().assemble(user_agent, None)
    }

    /// A builder with default settings.
    pub fn builder() -> HttpFetcherBuilder {
        HttpFetcherBuilder {
            clock: Arc::new(SystemClock),
            proxy: ProxyChoice::None,
            user_agent: concat!("stapled/", env!("CARGO_PKG_VERSION")).to_owned(),
            policy: AddressPolicy::default(),
            prefer_ipv4: false,
            resolver: Arc::new(SystemResolver),
            #[cfg(feature = "https")]
            tls: TlsChoice::default(),
            local: (None, None),
            total: Duration::from_secs(15),
            connect: Duration::from_secs(5),
            idle: Duration::from_secs(10),
            max_size: Staple::MAX_RECEIVED,
        }
    }
}

impl Default for HttpFetcher {
    fn default() -> Self {
        Self::new()
    }
}

impl HttpFetcherBuilder {
    /// The deadline of a whole exchange: connection, head, body, and all redirections. Default: 15 seconds.
    #[must_use]
    pub fn timeout(mut self, total: Duration) -> Self {
        self.total = total;
        self
    }

    /// The deadline of one connection: name, addresses, and a proxy's tunnel. Default: 5 seconds.
    #[must_use]
    pub fn connect_timeout(mut self, connect: Duration) -> Self {
        self.connect = connect;
        self
    }

    /// The longest pause while the body is read. Default: 10 seconds.
    #[must_use]
    pub fn read_timeout(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// The greatest size of an answer, in bytes. Default: [`Staple::MAX_RECEIVED`], many times the size that responders send.
    #[must_use]
    pub fn max_size(mut self, bytes: usize) -> Self {
        self.max_size = bytes;
        self
    }

    /// The user agent. Default: `stapled/` and the version.
    #[must_use]
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = user_agent.into();
        self
    }

    /// Sets the clock for dates in answers. Default: [`SystemClock`].
    #[must_use]
    pub fn clock(self, clock: impl Clock + 'static) -> Self {
        self.shared_clock(Arc::new(clock))
    }

    /// Sets the clock for dates in answers; for a clock that the program shares with other components.
    #[must_use]
    pub fn shared_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Sets a proxy (`http://host:port`, with user name and password if it requires them) for all hosts except those in
    /// `except`. The entries of `except` are separated by commas: domains with their subdomains, addresses, networks,
    /// or `*`.
    #[must_use]
    pub fn proxy(mut self, url: impl Into<String>, except: impl Into<String>) -> Self {
        self.proxy = ProxyChoice::Explicit { url: url.into(), except: except.into() };
        self
    }

    /// Sets the proxies from the environment as it is now: `http_proxy`, `https_proxy`, `all_proxy`, `no_proxy`.
    #[must_use]
    pub fn proxy_from_environment(mut self) -> Self {
        self.proxy = ProxyChoice::Environment;
        self
    }

    /// Whether to refuse addresses outside the public internet: for hosters, whose customers choose the URLs in
    /// certificates. Default: off. Every address is checked after its name is resolved and after each redirection, and
    /// the connection goes to a checked address. A proxy resolves names itself, so with a proxy only addresses written
    /// in URLs are checked.
    #[must_use]
    pub fn deny_private(mut self, deny: bool) -> Self {
        self.policy = AddressPolicy { deny_private: deny };
        self
    }

    /// Whether a host's IPv4 addresses are tried before its IPv6 addresses. Default: off, the resolver's order; the
    /// system's resolver follows RFC 6724.
    #[must_use]
    pub fn prefer_ipv4(mut self, prefer: bool) -> Self {
        self.prefer_ipv4 = prefer;
        self
    }

    /// Sets the resolver for hosts. Default: the system's resolver. The system's resolver always resolves the proxy's
    /// name.
    #[must_use]
    pub fn resolver(self, resolver: impl Resolver + 'static) -> Self {
        self.shared_resolver(Arc::new(resolver))
    }

    /// Sets the resolver for hosts; for a resolver that the program shares with other components.
    #[must_use]
    pub fn shared_resolver(mut self, resolver: Arc<dyn Resolver>) -> Self {
        self.resolver = resolver;
        self
    }

    /// Sets the TLS configuration for https URLs: the provider, the root certificates, a client certificate. Its ALPN
    /// protocols are ignored. Default: the provider that the program has installed, and the system's root certificates.
    #[cfg(feature = "https")]
    #[must_use]
    pub fn tls_config(mut self, config: impl Into<Arc<rustls::ClientConfig>>) -> Self {
        self.tls = TlsChoice::Config(config.into());
        self
    }

    /// Sets the TLS provider for https URLs, such as `rustls::crypto::ring::default_provider()`. The root certificates
    /// are the system's. Default: the provider that the program has installed.
    #[cfg(feature = "https")]
    #[must_use]
    pub fn crypto_provider(mut self, provider: impl Into<Arc<rustls::crypto::CryptoProvider>>) -> Self {
        self.tls = TlsChoice::Provider(provider.into());
        self
    }

    /// Sets the local address of connections. One IPv4 and one IPv6 address can be set. With only one of them, only the
    /// addresses of that family of a host are used. Default: the system chooses.
    #[must_use]
    pub fn local_address(mut self, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => self.local.0 = Some(address),
            IpAddr::V6(address) => self.local.1 = Some(address),
        }
        self
    }

    /// Builds the fetcher.
    ///
    /// # Errors
    ///
    /// A user agent that cannot be sent, or an unusable proxy URL.
    pub fn build(self) -> Result<HttpFetcher, HttpFetcherError> {
        let user_agent = HeaderValue::from_str(&self.user_agent).map_err(|_| HttpFetcherError::UserAgent)?;
        let proxy = match &self.proxy {
            ProxyChoice::None => None,
            ProxyChoice::Environment => Some(Matcher::from_env()),
            ProxyChoice::Explicit { url, except } => {
                let unusable = |why: &str| HttpFetcherError::Proxy { why: why.to_owned() };
                let parsed = Url::parse(url).map_err(|error| unusable(&error.to_string()))?;
                // The matcher would ignore a URL that it does not understand, and send requests directly.
                if parsed.scheme() != "http" || parsed.host().is_none() {
                    return Err(unusable("not of the form http://host:port"));
                }
                Some(Matcher::builder().all(url.as_str()).no(except.as_str()).build())
            }
        };
        Ok(self.assemble(user_agent, proxy.map(Arc::new)))
    }

    fn assemble(self, user_agent: HeaderValue, proxy: Option<Arc<Matcher>>) -> HttpFetcher {
        let limit = self.max_size.max(LEAST_BODY).saturating_add(OVERHEAD);
        let addresses = Addresses::new(self.policy, self.prefer_ipv4, self.resolver);
        let sockets = Sockets { deadline: self.connect, local: self.local };
        let connector = Connector::new(addresses.clone(), proxy.clone(), sockets, limit);
        HttpFetcher(Arc::new(Exchanger {
            #[cfg(feature = "https")]
            clients: Clients::new(connector, TlsClient::new(self.tls)),
            #[cfg(not(feature = "https"))]
            clients: Clients::new(connector),
            urls: url::Parsed::default(),
            clock: self.clock,
            proxy,
            user_agent,
            policy: self.policy,
            addresses,
            total: self.total,
            connect: self.connect,
            idle: self.idle,
            max_size: self.max_size,
            limit,
        }))
    }
}

#[async_trait]
impl OcspFetcher for HttpFetcher {
    async fn fetch(&self, question: &Question<'_>) -> Result<Answer, FetchError> {
        let etag = question.etag.filter(|_| question.method == Method::Get);
        let etag = etag.and_then(|etag| HeaderValue::from_str(etag).ok());
        self.send(question.request, question.method, question.url, etag).await
    }

    async fn fetch_by_cert_id(&self, request: &OcspRequest, method: Method, url: &str) -> Result<Answer, FetchError> {
        self.send(request, method, url, None).await
    }

    async fn fetch_issuer(&self, url: &str, limit: usize) -> Result<Bytes, FetchError> {
        let accept = "application/pkix-cert, application/pkcs7-mime, */*;q=0.5";
        let mut asked = Asked { url: self.usable(url)?.into(), body: None, accept, etag: None };
        Ok(self.0.ask(&mut asked, limit).await?.body.unwrap_or_default())
    }
}

impl HttpFetcher {
    async fn send(
        &self,
        request: &OcspRequest,
        method: Method,
        url: &str,
        etag: Option<HeaderValue>,
    ) -> Result<Answer, FetchError> {
        let (url, body) = match method {
            Method::Get => (with_request(self.usable(url)?, request)?, None),
            Method::Post => (self.usable(url)?.into(), Some(Bytes::copy_from_slice(request.as_der()))),
        };
        let mut asked = Asked { url, body, accept: "application/ocsp-response", etag };
        self.0.ask(&mut asked, self.0.max_size).await
    }

    fn usable(&self, url: &str) -> Result<Url, FetchError> {
        let url = url.trim();
        self.0.urls.parse(url).map_err(|why| FetchError::unsupported_url(printable(url), why))
    }
}

fn with_request(url: Url, request: &OcspRequest) -> Result<Target, FetchError> {
    Target::with_request(url, request)
        .map_err(|url| FetchError::UnsupportedUrl { url: url.into(), why: "cannot be asked by GET".to_owned() })
}
