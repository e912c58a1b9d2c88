//! Asking responders by HTTP.

mod address;
mod connect;
mod freshness;
mod url;

use std::collections::HashSet;
use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use ::url::Url;
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue, IF_NONE_MATCH, LOCATION, PROXY_AUTHORIZATION, USER_AGENT};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::client::proxy::matcher::Matcher;
use tokio::time::{Instant, timeout, timeout_at};

pub use self::url::get_url;

use self::address::{AddressPolicy, Denied};
use self::connect::{Body, Clients, ConnectDeadline, Connector};
use self::url::printable;
use crate::clock::{Clock, SystemClock};
use crate::fetch::{Answer, FetchError, Method, OcspFetcher, Question};
use crate::staple::MAX_RECEIVED;

/// How many redirections are followed.
const MAX_REDIRECTS: usize = 5;

/// Asks responders over HTTP/1.1, plain or with TLS. Connections are kept for a while and used again.
///
/// # Redirections
///
/// At most five are followed, to http and https only, and never to a request that was made already. OCSP responses are
/// signed, so that going from https to http is allowed. A request by POST is repeated at the new place, with its body,
/// after 301, 302, 307 and 308 (browsers turn 301 and 302 into a GET, as RFC 9110 §15.4 lets them; a GET without the
/// request would ask nothing here); after 303 the new place is asked by GET, which is what 303 is for.
///
/// # TLS
///
/// The system's root certificates are loaded at the first https URL. Where there are none, only https fails.
///
/// # Bounds
///
/// Names are resolved by the system's resolver, on threads of tokio's pool for blocking work. How many questions are
/// asked at once is up to the caller.
#[derive(Clone, Debug)]
pub struct HttpFetcher(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clients: Clients,
    clock: Arc<dyn Clock>,
    proxy: Option<Arc<Matcher>>,
    user_agent: HeaderValue,
    addresses: AddressPolicy,
    total: Duration,
    connect: Duration,
    idle: Duration,
    max_size: usize,
}

/// The settings of an [`HttpFetcher`].
#[derive(Clone, Debug)]
pub struct HttpFetcherBuilder {
    clock: Arc<dyn Clock>,
    proxy: ProxyChoice,
    user_agent: String,
    addresses: AddressPolicy,
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

/// Settings that do not work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpFetcherError {
    /// The user agent cannot be sent.
    #[error("the user agent has characters that no header may have")]
    UserAgent,
    /// The proxy's URL cannot be used. It is not repeated here: it may hold a password.
    #[error("the proxy's URL: {why}")]
    Proxy {
        /// What is wrong with it.
        why: String,
    },
}

impl HttpFetcher {
    /// A fetcher with the settings that nobody chose otherwise.
    pub fn new() -> Self {
        // The default user agent is a header's value; the other settings cannot fail.
        let user_agent = HeaderValue::from_static(concat!("stapled/", env!("CARGO_PKG_VERSION")));
        Self::builder().assemble(user_agent, None)
    }

    /// Settings to choose from.
    pub fn builder() -> HttpFetcherBuilder {
        HttpFetcherBuilder {
            clock: Arc::new(SystemClock),
            proxy: ProxyChoice::None,
            user_agent: concat!("stapled/", env!("CARGO_PKG_VERSION")).to_owned(),
            addresses: AddressPolicy::default(),
            total: Duration::from_secs(15),
            connect: Duration::from_secs(5),
            idle: Duration::from_secs(10),
            max_size: MAX_RECEIVED,
        }
    }
}

impl Default for HttpFetcher {
    fn default() -> Self {
        Self::new()
    }
}

impl HttpFetcherBuilder {
    /// The deadline of a whole exchange: connection, head, body, and all redirections. 15 seconds unless said
    /// otherwise.
    #[must_use]
    pub fn timeout(mut self, total: Duration) -> Self {
        self.total = total;
        self
    }

    /// The deadline of one connection: name, addresses, and a proxy's tunnel. 5 seconds unless said otherwise.
    #[must_use]
    pub fn connect_timeout(mut self, connect: Duration) -> Self {
        self.connect = connect;
        self
    }

    /// How long the body may pause. 10 seconds unless said otherwise.
    #[must_use]
    pub fn read_timeout(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// The greatest size of an answer, in bytes. [`MAX_RECEIVED`] unless said otherwise, many times what any responder sends.
    #[must_use]
    pub fn max_size(mut self, bytes: usize) -> Self {
        self.max_size = bytes;
        self
    }

    /// How the fetcher names itself; `stapled/` and the version unless said otherwise.
    #[must_use]
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = user_agent.into();
        self
    }

    /// The clock that dates in answers are compared with.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Asks through this proxy (`http://host:port`, with user name and password where it wants them), except the hosts
    /// that `except` names, with commas between them: domains with their subdomains, addresses, networks, or `*`.
    #[must_use]
    pub fn proxy(mut self, url: impl Into<String>, except: impl Into<String>) -> Self {
        self.proxy = ProxyChoice::Explicit { url: url.into(), except: except.into() };
        self
    }

    /// Asks through the proxies that the environment names: `http_proxy`, `https_proxy`, `all_proxy`, `no_proxy`, as
    /// they are now.
    #[must_use]
    pub fn proxy_from_environment(mut self) -> Self {
        self.proxy = ProxyChoice::Environment;
        self
    }

    /// Whether addresses that are not of the public internet are refused: for hosters, whose certificates' URLs are
    /// their customers' choice. Off unless asked for. Every address is checked after its name was resolved, and
    /// after each redirection; the connection goes to a checked address. A proxy resolves names itself, out of sight:
    /// there, only addresses that are written into URLs are checked.
    #[must_use]
    pub fn deny_private(mut self, deny: bool) -> Self {
        self.addresses = AddressPolicy { deny_private: deny };
        self
    }

    /// The fetcher.
    ///
    /// # Errors
    ///
    /// A user agent that cannot be sent, or a proxy that cannot be asked.
    pub fn build(self) -> Result<HttpFetcher, HttpFetcherError> {
        let user_agent = HeaderValue::from_str(&self.user_agent).map_err(|_| HttpFetcherError::UserAgent)?;
        let proxy = match &self.proxy {
            ProxyChoice::None => None,
            ProxyChoice::Environment => Some(Matcher::from_env()),
            ProxyChoice::Explicit { url, except } => {
                let unusable = |why: &str| HttpFetcherError::Proxy { why: why.to_owned() };
                let parsed = Url::parse(url).map_err(|error| unusable(&error.to_string()))?;
                // The matcher would pass over a URL that it does not understand, and ask directly.
                if parsed.scheme() != "http" || parsed.host().is_none() {
                    return Err(unusable("not of the form http://host:port"));
                }
                Some(Matcher::builder().all(url.as_str()).no(except.as_str()).build())
            }
        };
        Ok(self.assemble(user_agent, proxy.map(Arc::new)))
    }

    fn assemble(self, user_agent: HeaderValue, proxy: Option<Arc<Matcher>>) -> HttpFetcher {
        let connector = Connector::new(self.addresses, proxy.clone(), self.connect);
        HttpFetcher(Arc::new(Inner {
            clients: Clients::new(connector),
            clock: self.clock,
            proxy,
            user_agent,
            addresses: self.addresses,
            total: self.total,
            connect: self.connect,
            idle: self.idle,
            max_size: self.max_size,
        }))
    }
}

#[async_trait]
impl OcspFetcher for HttpFetcher {
    async fn fetch(&self, question: &Question<'_>) -> Result<Answer, FetchError> {
        let der = question.request.as_der();
        let mut etag = None;
        let (url, body) = match question.method {
            Method::Get => {
                etag = question.etag.and_then(|etag| HeaderValue::from_str(etag).ok());
                (usable(question.url).and_then(|url| with_request(&url, der))?, None)
            }
            Method::Post => (usable(question.url)?, Some(Bytes::copy_from_slice(der))),
        };
        let asked = Asked { url, body, accept: "application/ocsp-response", etag };
        self.0.ask(asked, self.0.max_size).await
    }

    async fn fetch_issuer(&self, url: &str, limit: usize) -> Result<Bytes, FetchError> {
        let accept = "application/pkix-cert, application/pkcs7-mime, */*;q=0.5";
        let asked = Asked { url: usable(url)?, body: None, accept, etag: None };
        Ok(self.0.ask(asked, limit).await?.body.unwrap_or_default())
    }
}

/// One request.
struct Asked {
    url: Url,
    /// For a POST.
    body: Option<Bytes>,
    accept: &'static str,
    etag: Option<HeaderValue>,
}

fn usable(url: &str) -> Result<Url, FetchError> {
    url::parse(url).map_err(|why| FetchError::UnsupportedUrl { url: printable(url), why })
}

fn with_request(url: &Url, der: &[u8]) -> Result<Url, FetchError> {
    get_url(url.as_str(), der)
        .and_then(|url| url::parse(&url).ok())
        .ok_or_else(|| FetchError::UnsupportedUrl { url: url.to_string(), why: "cannot be asked by GET".to_owned() })
}

impl Inner {
    /// Asks, follows redirections, and reads the answer.
    async fn ask(&self, mut asked: Asked, limit: usize) -> Result<Answer, FetchError> {
        let deadline = Instant::now() + self.total;
        let mut visited = HashSet::new();
        loop {
            let url = asked.url.to_string();
            url::check_literal(&asked.url, self.addresses)?;
            visited.insert((asked.url.clone(), asked.body.is_some()));
            let head = timeout_at(deadline, self.send(&asked)).await;
            let response = head.map_err(|_| FetchError::TimedOut { url: url.clone(), after: self.total })??;
            let status = response.status();
            match status {
                StatusCode::OK => {
                    let mut answer = self.facts(&response);
                    answer.body = Some(self.read(&url, response, limit, deadline).await?);
                    return Ok(answer);
                }
                StatusCode::NOT_MODIFIED if asked.etag.is_some() && asked.body.is_none() => {
                    return Ok(self.facts(&response));
                }
                StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::SEE_OTHER
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT => {
                    asked.url = follow(&asked.url, &response)?;
                    if status == StatusCode::SEE_OTHER {
                        asked.body = None;
                    }
                    if visited.contains(&(asked.url.clone(), asked.body.is_some())) {
                        return Err(FetchError::Redirect { url, why: "redirected in a circle".to_owned() });
                    }
                    if visited.len() > MAX_REDIRECTS {
                        let why = format!("redirected more than {MAX_REDIRECTS} times");
                        return Err(FetchError::Redirect { url, why });
                    }
                }
                _ => {
                    let retry_after = freshness::retry_after(response.headers(), self.clock.now());
                    return Err(FetchError::Status { url, status: status.as_u16(), retry_after });
                }
            }
        }
    }

    /// Sends a request and returns the head of the answer.
    async fn send(&self, asked: &Asked) -> Result<Response<Incoming>, FetchError> {
        match self.send_once(asked).await? {
            Ok(response) => Ok(response),
            // A server may close a connection that it keeps just when it is used again (RFC 9112 §9.3.1), and a
            // question does no harm asked twice.
            Err(error) if is_closed_early(&error) => {
                self.send_once(asked).await?.map_err(|error| self.explain(&asked.url, &error))
            }
            Err(error) => Err(self.explain(&asked.url, &error)),
        }
    }

    async fn send_once(
        &self,
        asked: &Asked,
    ) -> Result<Result<Response<Incoming>, hyper_util::client::legacy::Error>, FetchError> {
        let request = self.request(asked)?;
        if asked.url.scheme() != "https" {
            return Ok(self.clients.plain().request(request).await);
        }
        match self.clients.tls().await {
            Ok(client) => Ok(client.request(request).await),
            Err(error) => Err(FetchError::Connect {
                url: asked.url.to_string(),
                why: format!("the system's root certificates cannot be loaded: {error}"),
            }),
        }
    }

    fn request(&self, asked: &Asked) -> Result<Request<Body>, FetchError> {
        let unsupported = |why: String| FetchError::UnsupportedUrl { url: asked.url.to_string(), why };
        let uri: Uri = asked.url.as_str().parse().map_err(|error| unsupported(format!("{error}")))?;
        let mut request = match &asked.body {
            None => Request::get(&uri),
            Some(_) => Request::post(&uri).header(CONTENT_TYPE, "application/ocsp-request"),
        };
        request = request.header(ACCEPT, asked.accept).header(USER_AGENT, self.user_agent.clone());
        if let (Some(etag), None) = (&asked.etag, &asked.body) {
            request = request.header(IF_NONE_MATCH, etag.clone());
        }
        // A tunnel is asked for by the connector; a plain proxy reads the request itself.
        if uri.scheme_str() == Some("http")
            && let Some(intercept) = self.proxy.as_ref().and_then(|proxy| proxy.intercept(&uri))
            && let Some(authorization) = intercept.basic_auth()
        {
            request = request.header(PROXY_AUTHORIZATION, authorization.clone());
        }
        request.body(Body::new(asked.body.clone().unwrap_or_default())).map_err(|error| unsupported(error.to_string()))
    }

    /// Reads the body: in bounded size, pauses and time.
    async fn read(
        &self,
        url: &str,
        response: Response<Incoming>,
        limit: usize,
        deadline: Instant,
    ) -> Result<Bytes, FetchError> {
        let too_large = || FetchError::TooLarge { url: url.to_owned(), limit };
        let timed_out = |after| FetchError::TimedOut { url: url.to_owned(), after };
        let mut body = response.into_body();
        // Said beforehand, or never.
        if body.size_hint().lower() > u64::try_from(limit).unwrap_or(u64::MAX) {
            return Err(too_large());
        }
        let mut bytes = BytesMut::new();
        loop {
            let frame = timeout_at(deadline, timeout(self.idle, body.frame())).await;
            let frame = frame.map_err(|_| timed_out(self.total))?.map_err(|_| timed_out(self.idle))?;
            let Some(frame) = frame else { return Ok(bytes.freeze()) };
            let frame = frame.map_err(|error| FetchError::Broken { url: url.to_owned(), why: chain(&error) })?;
            if let Some(part) = frame.data_ref() {
                if part.len() > limit.saturating_sub(bytes.len()) {
                    return Err(too_large());
                }
                bytes.extend_from_slice(part);
            }
        }
    }

    /// What the head says.
    fn facts(&self, response: &Response<Incoming>) -> Answer {
        let headers = response.headers();
        let max_age = freshness::max_age(headers);
        let expires = if max_age.is_none() { freshness::expires(headers, self.clock.now()) } else { None };
        Answer { body: None, max_age, expires, etag: freshness::etag(headers) }
    }

    fn explain(&self, url: &Url, error: &hyper_util::client::legacy::Error) -> FetchError {
        let url = url.to_string();
        if let Some(denied) = cause::<Denied>(error) {
            return FetchError::Forbidden { url, why: denied.to_string() };
        }
        let is_late = |error: &io::Error| error.kind() == io::ErrorKind::TimedOut;
        if cause::<ConnectDeadline>(error).is_some()
            || error.is_connect() && cause::<io::Error>(error).is_some_and(is_late)
        {
            return FetchError::TimedOut { url, after: self.connect };
        }
        // The first link of the chain says only that it is the client's error.
        let why = error.source().map_or_else(|| error.to_string(), chain);
        if error.is_connect() { FetchError::Connect { url, why } } else { FetchError::Broken { url, why } }
    }
}

/// The place that a redirection names.
fn follow(from: &Url, response: &Response<Incoming>) -> Result<Url, FetchError> {
    let bad = |why: String| FetchError::Redirect { url: from.to_string(), why };
    let Some(location) = response.headers().get(LOCATION) else {
        return Err(bad(format!("status {} without a location", response.status().as_u16())));
    };
    let location = location.to_str().map_err(|_| bad("the location is not ASCII".to_owned()))?;
    url::join(from, location).map_err(|why| bad(format!("redirected to {}: {why}", printable(location))))
}

/// Whether the connection ended before anything of an answer came.
fn is_closed_early(error: &hyper_util::client::legacy::Error) -> bool {
    let is_lost = |error: &io::Error| {
        matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::NotConnected)
    };
    !error.is_connect()
        && (cause::<hyper::Error>(error).is_some_and(hyper::Error::is_incomplete_message)
            || cause::<io::Error>(error).is_some_and(is_lost))
}

fn cause<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    causes(error).find_map(|error| error.downcast_ref())
}

fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| {
        let error: &'a (dyn StdError + 'static) = *error;
        error.source()
    })
}

/// An error and its causes in one line; libraries often repeat a cause in what it caused.
fn chain(error: &(dyn StdError + 'static)) -> String {
    causes(error).fold(String::new(), |mut line, error| {
        let error = error.to_string();
        if !line.contains(&error) {
            if !line.is_empty() {
                line.push_str(": ");
            }
            line.push_str(&error);
        }
        line
    })
}
