//! HTTP on a plain socket: a lab breaks rules that HTTP libraries enforce.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use hyper::header::{self, HeaderValue};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::clock;
use crate::lab::control;
use crate::lab::fault::Fault;
use crate::lab::message::{HttpRequest, Reply};
use crate::lab::shared::Shared;
use crate::lab::state::LabRequest;
use crate::lab::wrong;
use crate::ocsp::{OcspRequest, ResponseBuilder, ResponseStatus};
use crate::responder::{Question, request_in_path};

/// Zeros that follow a reply that is too long.
const ZEROS: &[u8] = &[0; 16 * 1024];
/// The most octets of a request's head.
const MOST_HEAD: usize = 64 * 1024;
/// The most octets of a request's body.
const MOST_BODY: usize = 64 * 1024;

/// Answers requests until the client closes the connection or a fault ends it.
pub(crate) async fn serve(shared: &Shared, mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    while let Some(request) = read(&mut stream, &mut buffer).await? {
        let action = decide(shared, &request).await;
        let stays_open = perform(&mut stream, action, request.keep_alive).await?;
        if !stays_open {
            break;
        }
    }
    Ok(())
}

/// How the lab answers on the connection.
enum Action {
    Send(Reply),
    /// Sends the reply, then zeros up to `total` octets of body.
    Pour {
        reply: Reply,
        total: u64,
    },
    /// Sends half of the body and closes the connection.
    Cut(Reply),
    Drip {
        reply: Reply,
        pause: Duration,
    },
    EndlessHeaders,
    Hang,
    Reset,
    Close,
}

/// The action for a request.
async fn decide(shared: &Shared, request: &HttpRequest) -> Action {
    if shared.control && request.path().starts_with("/lab/") {
        return Action::Send(control::handle(shared, request));
    }
    let question = match request.method {
        Method::GET => request_in_path(request.path()),
        Method::POST => Some(request.body.clone()),
        _ => None,
    };
    let Some(question) = question else { return Action::Send(right(shared, request).await) };
    let ocsp = OcspRequest::from_der(&question).ok();
    let fault = shared.state.take_fault(ocsp.as_ref());
    let first = ocsp.as_ref().and_then(|ocsp| ocsp.cert_ids.first());
    shared.state.record(LabRequest {
        method: request.method.to_string(),
        serial: first.map(|id| id.serial().clone()),
        hash: first.and_then(|id| id.hash()),
        nonce: ocsp.as_ref().is_some_and(|ocsp| ocsp.nonce.is_some()),
        if_none_match: request.header("If-None-Match").map(str::to_owned),
        host: request.header("Host").map(str::to_owned),
        fault: fault.clone(),
        at_ms: clock::now_ms(),
    });
    match fault {
        Some(fault) => fail(shared, request, ocsp.as_ref(), fault).await,
        None => Action::Send(right(shared, request).await),
    }
}

/// The right answer.
async fn right(shared: &Shared, request: &HttpRequest) -> Reply {
    let if_none_match =
        request.header(header::IF_NONE_MATCH.as_str()).and_then(|tags| HeaderValue::try_from(tags).ok());
    let question = Question {
        method: &request.method,
        path: request.path(),
        if_none_match: if_none_match.as_ref(),
        body: &request.body,
    };
    Reply::of(shared.responder.answer(question)).await
}

/// The action of a fault.
async fn fail(shared: &Shared, request: &HttpRequest, ocsp: Option<&OcspRequest>, fault: Fault) -> Action {
    match fault {
        Fault::Delay(delay) => {
            tokio::time::sleep(delay).await;
            Action::Send(right(shared, request).await)
        }
        Fault::Hang => Action::Hang,
        Fault::Reset => Action::Reset,
        Fault::Close => Action::Close,
        Fault::HttpStatus { code, retry_after } => {
            let mut reply = Reply::new(code, "text/plain", Bytes::new());
            reply.headers.extend(retry_after.map(|seconds| ("Retry-After".to_owned(), seconds.to_string())));
            Action::Send(reply)
        }
        Fault::NoGet if request.method == Method::GET => {
            let mut reply = Reply::new(405, "text/plain", Bytes::new());
            reply.headers.push(("Allow".to_owned(), "POST".to_owned()));
            Action::Send(reply)
        }
        Fault::Garbage => Action::Send(Reply::ocsp(&b"This is not an OCSP response.\n"[..])),
        Fault::Empty => Action::Send(Reply::ocsp(Bytes::new())),
        Fault::Answer(bytes) => Action::Send(Reply::ocsp(bytes)),
        Fault::Truncated => Action::Cut(right(shared, request).await),
        Fault::Oversized(total) => Action::Pour { reply: right(shared, request).await, total },
        Fault::Drip(pause) => Action::Drip { reply: right(shared, request).await, pause },
        Fault::EndlessHeaders => Action::EndlessHeaders,
        Fault::Redirect(url) => Action::Send(redirect(url)),
        Fault::RedirectLoop => {
            let host = request.header("Host").map_or_else(|| shared.address.to_string(), str::to_owned);
            Action::Send(redirect(format!("http://{host}{}", request.target)))
        }
        fault => {
            let made = ocsp.map(|ocsp| wrong::response(&shared.responder, &shared.wrong_signers, &fault, ocsp));
            match made {
                Some(Ok(Some(body))) => Action::Send(Reply::ocsp(body)),
                Some(Err(error)) => {
                    tracing::error!(%error, %fault, "cannot make the wrong response");
                    Action::Send(Reply::ocsp(ResponseBuilder::error(ResponseStatus::InternalError)))
                }
                Some(Ok(None)) | None => Action::Send(right(shared, request).await),
            }
        }
    }
}

/// A redirect to a URL.
fn redirect(url: String) -> Reply {
    let mut reply = Reply::new(302, "text/plain", Bytes::new());
    reply.headers.push(("Location".to_owned(), url));
    reply
}

/// Performs an action. The result says whether the connection stays open.
async fn perform(stream: &mut TcpStream, action: Action, keep_alive: bool) -> io::Result<bool> {
    match action {
        Action::Send(reply) => {
            let mut bytes = reply.head(reply.body.len() as u64, keep_alive);
            bytes.extend_from_slice(&reply.body);
            stream.write_all(&bytes).await?;
            return Ok(keep_alive);
        }
        Action::Pour { reply, total } => {
            let total = total.max(reply.body.len() as u64);
            stream.write_all(&reply.head(total, false)).await?;
            stream.write_all(&reply.body).await?;
            let mut left = total - reply.body.len() as u64;
            while left > 0 {
                let piece = ZEROS.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                stream.write_all(ZEROS.get(..piece).unwrap_or(ZEROS)).await?;
                left -= piece as u64;
            }
        }
        Action::Cut(reply) => {
            stream.write_all(&reply.head(reply.body.len() as u64, false)).await?;
            stream.write_all(reply.body.get(..reply.body.len() / 2).unwrap_or_default()).await?;
        }
        Action::Drip { reply, pause } => {
            stream.write_all(&reply.head(reply.body.len() as u64, false)).await?;
            for octet in reply.body.chunks(1) {
                tokio::time::sleep(pause).await;
                stream.write_all(octet).await?;
            }
        }
        Action::EndlessHeaders => {
            stream.write_all(b"HTTP/1.1 200 Lab\r\n").await?;
            for number in 0u64.. {
                stream.write_all(format!("X-Endless-{number}: {number:064}\r\n").as_bytes()).await?;
            }
        }
        Action::Hang => std::future::pending().await,
        Action::Reset => stream.set_zero_linger()?,
        Action::Close => {}
    }
    Ok(false)
}

/// The next request; `None` when the client closed the connection or sent something other than HTTP.
async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<HttpRequest>> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if buffer.len() > MOST_HEAD || stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let head: Vec<u8> = buffer.drain(..end).collect();
    let Some(mut request) = parse(&head) else { return Ok(None) };
    let length = request.header("Content-Length").map_or(Some(0), |length| length.trim().parse::<usize>().ok());
    let Some(length) = length.filter(|length| *length <= MOST_BODY) else { return Ok(None) };
    while buffer.len() < length {
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
    request.body = buffer.drain(..length).collect();
    Ok(Some(request))
}

/// The request with this head.
fn parse(head: &[u8]) -> Option<HttpRequest> {
    let head = std::str::from_utf8(head).ok()?;
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let method = Method::from_bytes(first.next()?.as_bytes()).ok()?;
    let target = first.next()?;
    let version = first.next()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    // A client that uses a proxy sends the whole URL.
    let target = match target.strip_prefix("http://") {
        Some(rest) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"),
        None => target,
    };
    let mut request =
        HttpRequest { method, target: target.to_owned(), headers, body: Vec::new(), keep_alive: version == "HTTP/1.1" };
    let closes = request.header("Connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    request.keep_alive &= !closes;
    Some(request)
}
