//! One exchange: a request at one or several addresses, redirections, and an answer of bounded size.

use std::collections::HashSet;
use std::error::Error as StdError;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::url::Host;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue, IF_NONE_MATCH, LOCATION, PROXY_AUTHORIZATION, USER_AGENT};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{CaptureConnection, HttpInfo, capture_connection};
use hyper_util::client::proxy::matcher::Matcher;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::address::{AddressPolicy, Denied};
use super::clients::Clients;
use super::connect::{Body, ConnectDeadline, Meter, TooMuch};
use super::resolve::Addresses;
use super::url::{Target, printable};
use super::{encoding, freshness, url};
use crate::clock::Clock;
use crate::fetch::{Answer, FetchError};

/// The largest number of redirections that are followed.
const MAX_REDIRECTS: usize = 5;
/// The largest number of addresses of one host that are asked, including the first.
const MAX_ADDRESSES: usize = 3;
/// The divisor of the deadline that gives the wait for one address. After this wait, the next address is asked as well.
const SHARES: u32 = 3;
/// The longest content type that is kept, in bytes.
const MAX_CONTENT_TYPE: usize = 256;

/// Sends requests with the settings of one fetcher.
#[derive(Debug)]
pub(super) struct Exchanger {
    pub(super) clients: Clients,
    pub(super) urls: url::Parsed,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) proxy: Option<Arc<Matcher>>,
    pub(super) user_agent: HeaderValue,
    pub(super) policy: AddressPolicy,
    pub(super) addresses: Addresses,
    pub(super) total: Duration,
    pub(super) connect: Duration,
    pub(super) idle: Duration,
    pub(super) max_size: usize,
    /// The largest number of bytes that may come for one answer, including heads and framing.
    pub(super) limit: usize,
}

/// One request.
pub(super) struct Asked {
    pub(super) url: Target,
    /// The body of a POST; none for a GET.
    pub(super) body: Option<Bytes>,
    pub(super) accept: &'static str,
    pub(super) etag: Option<HeaderValue>,
}

/// The reply of one address.
struct Reply {
    said: Said,
    /// The number of bytes that came for it.
    bytes: usize,
}

enum Said {
    Answer(Answer),
    Redirection { to: Target, status: StatusCode },
}

/// An attempt, with its address if it is bound to one.
type Attempt<'a> = Pin<Box<dyn Future<Output = (Option<IpAddr>, Result<Reply, FetchError>)> + Send + 'a>>;

/// The connection that a request uses, once there is one.
type Captured = Arc<Mutex<Option<CaptureConnection>>>;

impl Exchanger {
    /// Sends a request, follows redirections, and reads the answer.
    pub(super) async fn ask(&self, asked: &mut Asked, limit: usize) -> Result<Answer, FetchError> {
        let deadline = Instant::now() + self.total;
        let mut visited: HashSet<(String, bool)> = HashSet::new();
        let mut redirected_by: Option<String> = None;
        let mut bytes = 0usize;
        loop {
            let reply = match url::check_literal(&asked.url, self.policy) {
                Ok(()) => self.ask_addresses(asked, limit, deadline).await,
                Err(error) => Err(error),
            };
            let reply = reply.map_err(|error| match redirected_by.take() {
                Some(url) if error.is_unasked() => FetchError::Redirected { url, error: Box::new(error) },
                _ => error,
            })?;
            bytes = bytes.saturating_add(reply.bytes);
            if bytes > self.limit {
                return Err(FetchError::TooMuchAround { url: asked.url.to_string(), limit: self.limit });
            }
            let (to, status) = match reply.said {
                Said::Answer(answer) => return Ok(answer),
                Said::Redirection { to, status } => (to, status),
            };
            let url = asked.url.to_string();
            visited.insert((url.clone(), asked.body.is_some()));
            asked.url = to;
            if status == StatusCode::SEE_OTHER {
                asked.body = None;
            }
            if visited.contains(&(asked.url.to_string(), asked.body.is_some())) {
                return Err(FetchError::Redirect { url, why: "redirected in a circle".to_owned() });
            }
            if visited.len() > MAX_REDIRECTS {
                let why = format!("redirected more than {MAX_REDIRECTS} times");
                return Err(FetchError::Redirect { url, why });
            }
            redirected_by = Some(url);
        }
    }

    /// Sends a request to one address of the host after another, and to several at once if an address is slow, until
    /// one answers (after RFC 8305).
    async fn ask_addresses(&self, asked: &Asked, limit: usize, deadline: Instant) -> Result<Reply, FetchError> {
        let Some(host) = self.resolved_host(&asked.url) else {
            // Boxed, as the attempts below are, so that no future is much larger than a kilobyte: above it, allocators are slow.
            return Box::pin(self.attempt(asked, None, limit, deadline, None)).await.1;
        };
        let captured = Captured::default();
        let first = self.attempt(asked, None, limit, deadline, Some(&captured));
        let share = self.total / SHARES;
        let mut next_at = Instant::now() + share;
        let mut others: Option<std::vec::IntoIter<IpAddr>> = None;
        let mut tried: Vec<IpAddr> = Vec::new();
        let mut failed: Option<FetchError> = None;
        let mut running: FuturesUnordered<Attempt<'_>> = FuturesUnordered::new();
        running.push(Box::pin(first));
        loop {
            let is_last = others.as_ref().is_some_and(|others| others.as_slice().is_empty());
            let done = tokio::select! {
                Some(done) = running.next() => Some(done),
                () = sleep_until(next_at), if !is_last => None,
                else => Some((None, Err(self.timed_out(asked)))),
            };
            match done {
                Some((address, Ok(reply))) => {
                    if address.is_some() {
                        abandon(&captured);
                    }
                    let answered = address.or_else(|| peer(&captured));
                    let before = tried.iter().take_while(|tried| Some(**tried) != answered);
                    before.for_each(|silent| self.addresses.put_last(*silent));
                    return Ok(reply);
                }
                // Another address of the host would give the same answer. If no connection was made, all addresses were
                // tried.
                Some((address, Err(error))) if !is_of_address(&error, address) => return Err(error),
                Some((_, Err(error))) => {
                    failed = Some(match failed.take() {
                        Some(first) if first.retry_after() >= error.retry_after() => first,
                        _ => error,
                    });
                }
                None => {}
            }
            if others.is_none() {
                let peer = peer(&captured);
                if peer.is_none() && failed.is_none() {
                    // The attempt is still connecting, which has a deadline of its own.
                    next_at = Instant::now() + share;
                    continue;
                }
                tried.extend(peer);
                let found = Box::pin(timeout_at(deadline, self.addresses.of(&host))).await;
                let mut found = found.ok().and_then(Result::ok).unwrap_or_default();
                found.retain(|address| !tried.contains(address));
                found.truncate(MAX_ADDRESSES - 1);
                others = Some(found.into_iter());
            }
            if let Some(address) = others.as_mut().and_then(Iterator::next) {
                tried.push(address);
                running.push(Box::pin(self.attempt(asked, Some(address), limit, deadline, None)));
                next_at = Instant::now() + share / 2;
            } else if running.is_empty() {
                return Err(failed.unwrap_or_else(|| self.timed_out(asked)));
            }
        }
    }

    /// The host name that this fetcher resolves: none if the URL has an address, or if a proxy resolves the name.
    fn resolved_host(&self, url: &Target) -> Option<String> {
        let Some(Host::Domain(name)) = url.host() else { return None };
        let uri: Uri = url.as_str().parse().ok()?;
        let is_proxied = self.proxy.as_ref().is_some_and(|proxy| proxy.intercept(&uri).is_some());
        (!is_proxied).then(|| name.to_owned())
    }

    fn timed_out(&self, asked: &Asked) -> FetchError {
        FetchError::timed_out(asked.url.to_string(), self.total)
    }

    /// Sends one request to the given address, or to the address that accepts the connection. Returns the given
    /// address, too.
    async fn attempt(
        &self,
        asked: &Asked,
        only: Option<IpAddr>,
        limit: usize,
        deadline: Instant,
        captured: Option<&Captured>,
    ) -> (Option<IpAddr>, Result<Reply, FetchError>) {
        let answered = async {
            let head = timeout_at(deadline, self.send(asked, only, captured)).await;
            let response = head.map_err(|_| self.timed_out(asked))??;
            let meter = response.extensions().get::<Meter>().cloned();
            let said = Box::pin(self.said(asked, response, limit, deadline)).await;
            // The connection may be used again, so its meter is refilled.
            let bytes = meter.map_or(0, |meter| meter.fill(self.limit));
            Ok(Reply { said: said?, bytes })
        };
        (only, answered.await)
    }

    async fn said(
        &self,
        asked: &Asked,
        response: Response<Incoming>,
        limit: usize,
        deadline: Instant,
    ) -> Result<Said, FetchError> {
        match response.status() {
            StatusCode::OK => {
                let mut answer = self.facts(&response);
                let (head, body) = response.into_parts();
                let body = self.read(&asked.url, body, limit, deadline).await?;
                answer.body = Some(encoding::unpacked(body, &head.headers, limit));
                Ok(Said::Answer(answer))
            }
            StatusCode::NOT_MODIFIED if asked.etag.is_some() && asked.body.is_none() => {
                Ok(Said::Answer(self.facts(&response)))
            }
            status @ (StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT) => Ok(Said::Redirection { to: follow(&asked.url, &response)?, status }),
            status => {
                let retry_after = freshness::retry_after(response.headers(), self.clock.now());
                Err(FetchError::Status { url: asked.url.to_string(), status: status.as_u16(), retry_after })
            }
        }
    }

    /// Sends a request and returns the head of the answer.
    async fn send(
        &self,
        asked: &Asked,
        only: Option<IpAddr>,
        captured: Option<&Captured>,
    ) -> Result<Response<Incoming>, FetchError> {
        match self.send_once(asked, only, captured).await? {
            Ok(response) => Ok(response),
            // A server may close an idle connection at the moment when it is used again (RFC 9112 §9.3.1). An OCSP
            // request is safe to repeat.
            Err(error) if is_closed_early(&error) => {
                let again = Box::pin(self.send_once(asked, only, captured)).await?;
                again.map_err(|error| self.explain(&asked.url, &error))
            }
            Err(error) => Err(self.explain(&asked.url, &error)),
        }
    }

    async fn send_once(
        &self,
        asked: &Asked,
        only: Option<IpAddr>,
        captured: Option<&Captured>,
    ) -> Result<Result<Response<Incoming>, legacy::Error>, FetchError> {
        let mut request = self.request(asked)?;
        if let Some(captured) = captured {
            *captured.lock().unwrap_or_else(PoisonError::into_inner) = Some(capture_connection(&mut request));
        }
        let answered = self.clients.send(request, only).await;
        answered.map_err(|error| FetchError::connect(asked.url.to_string(), error.to_string()))
    }

    fn request(&self, asked: &Asked) -> Result<Request<Body>, FetchError> {
        let unsupported = |why: String| FetchError::unsupported_url(asked.url.to_string(), why);
        let uri: Uri = asked.url.as_str().parse().map_err(|error| unsupported(format!("{error}")))?;
        // For https, the connector asks the proxy for a tunnel. A plain proxy reads the request itself.
        let proxy = self.proxy.as_ref().filter(|_| uri.scheme_str() == Some("http"));
        let intercept = proxy.and_then(|proxy| proxy.intercept(&uri));
        let mut request = match &asked.body {
            None => Request::get(uri),
            Some(_) => Request::post(uri).header(CONTENT_TYPE, "application/ocsp-request"),
        };
        request = request.header(ACCEPT, asked.accept).header(USER_AGENT, self.user_agent.clone());
        if let (Some(etag), None) = (&asked.etag, &asked.body) {
            request = request.header(IF_NONE_MATCH, etag.clone());
        }
        if let Some(authorization) = intercept.as_ref().and_then(|intercept| intercept.basic_auth()) {
            request = request.header(PROXY_AUTHORIZATION, authorization.clone());
        }
        request.body(Body::new(asked.body.clone().unwrap_or_default())).map_err(|error| unsupported(error.to_string()))
    }

    /// Reads the body within the limits on size, pauses and time.
    async fn read(
        &self,
        url: &Target,
        mut body: Incoming,
        limit: usize,
        deadline: Instant,
    ) -> Result<Bytes, FetchError> {
        let too_large = || FetchError::TooLarge { url: url.to_string(), limit };
        let timed_out = |after| FetchError::timed_out(url.to_string(), after);
        // A server may announce the size in advance, or never.
        if body.size_hint().lower() > u64::try_from(limit).unwrap_or(u64::MAX) {
            return Err(too_large());
        }
        let mut bytes = BytesMut::new();
        loop {
            let frame = timeout_at(deadline, timeout(self.idle, body.frame())).await;
            let frame = frame.map_err(|_| timed_out(self.total))?.map_err(|_| timed_out(self.idle))?;
            let Some(frame) = frame else { return Ok(bytes.freeze()) };
            let frame = frame.map_err(|error| match is_too_much(&error) {
                true => FetchError::TooMuchAround { url: url.to_string(), limit: self.limit },
                false => FetchError::broken(url.to_string(), chain(&error)),
            })?;
            if let Some(part) = frame.data_ref() {
                if part.len() > limit.saturating_sub(bytes.len()) {
                    return Err(too_large());
                }
                bytes.extend_from_slice(part);
            }
        }
    }

    /// The facts in the head of an answer.
    fn facts(&self, response: &Response<Incoming>) -> Answer {
        let headers = response.headers();
        let max_age = freshness::max_age(headers);
        let now = self.clock.now();
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let mut answer = Answer::default();
        answer.max_age = max_age;
        answer.expires = if max_age.is_none() { freshness::expires(headers, now) } else { None };
        answer.etag = freshness::etag(headers);
        answer.content_type = content_type.filter(|value| value.len() <= MAX_CONTENT_TYPE).map(str::to_owned);
        answer.retry_after = freshness::retry_after(headers, now);
        answer.from = response.extensions().get::<HttpInfo>().map(HttpInfo::remote_addr);
        answer
    }

    fn explain(&self, url: &Target, error: &legacy::Error) -> FetchError {
        let url = url.to_string();
        if let Some(denied) = cause::<Denied>(error) {
            return FetchError::Forbidden { url, why: denied.to_string() };
        }
        if is_too_much(error) {
            return FetchError::TooMuchAround { url, limit: self.limit };
        }
        let is_late = |error: &io::Error| error.kind() == io::ErrorKind::TimedOut;
        if cause::<ConnectDeadline>(error).is_some()
            || error.is_connect() && cause::<io::Error>(error).is_some_and(is_late)
        {
            return FetchError::ConnectTimedOut { url, after: self.connect };
        }
        // The first error of the chain only says that the client failed.
        let why = error.source().map_or_else(|| error.to_string(), chain);
        if error.is_connect() { FetchError::connect(url, why) } else { FetchError::broken(url, why) }
    }
}

/// Whether another address of the same host may succeed: this address, or the one that accepted the connection, gave no
/// answer or one that reports its failure.
fn is_of_address(error: &FetchError, address: Option<IpAddr>) -> bool {
    match error {
        FetchError::Connect { .. } | FetchError::ConnectTimedOut { .. } => address.is_some(),
        FetchError::TimedOut { .. } | FetchError::Broken { .. } => true,
        FetchError::Status { status, .. } => *status >= 500 && *status != 501,
        _ => false,
    }
}

/// The remote address of a request, if there is a connection.
fn peer(captured: &Captured) -> Option<IpAddr> {
    let captured = captured.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
    let mut extensions = hyper::http::Extensions::new();
    captured.connection_metadata().as_ref()?.get_extras(&mut extensions);
    extensions.get::<HttpInfo>().map(HttpInfo::remote_addr).map(|address: SocketAddr| address.ip())
}

/// Prevents the reuse of the connection of a request.
fn abandon(captured: &Captured) {
    let captured = captured.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some(captured) = captured
        && let Some(connected) = captured.connection_metadata().as_ref()
    {
        connected.poison();
    }
}

/// The target of a redirection.
fn follow(from: &Target, response: &Response<Incoming>) -> Result<Target, FetchError> {
    let bad = |why: String| FetchError::Redirect { url: from.to_string(), why };
    let Some(location) = response.headers().get(LOCATION) else {
        return Err(bad(format!("status {} without a location", response.status().as_u16())));
    };
    let location = location.to_str().map_err(|_| bad("the location is not ASCII".to_owned()))?;
    from.join(location).map_err(|why| bad(format!("redirected to {}: {why}", printable(location))))
}

/// Whether the connection ended before the first byte of an answer.
fn is_closed_early(error: &legacy::Error) -> bool {
    let is_lost = |error: &io::Error| {
        matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::NotConnected)
    };
    !error.is_connect()
        && (cause::<hyper::Error>(error).is_some_and(hyper::Error::is_incomplete_message)
            || cause::<io::Error>(error).is_some_and(is_lost))
}

/// Whether the error is that more bytes came than the limit allows.
fn is_too_much(error: &(dyn StdError + 'static)) -> bool {
    let holds = |error: &io::Error| error.get_ref().is_some_and(|inner| inner.is::<TooMuch>());
    causes(error).filter_map(|error| error.downcast_ref::<io::Error>()).any(holds)
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

/// An error and its causes in one line. A cause that its error repeats is left out.
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
