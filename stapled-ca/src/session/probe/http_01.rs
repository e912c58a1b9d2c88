//! http-01 (RFC 8555, 8.3): a file on the web server of the name.

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::header::{HOST, LOCATION, USER_AGENT};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio_util::task::AbortOnDropHandle;

use super::connect::Connector;
use super::error::ProbeError;
use crate::session::challenge::Challenge;

/// How many redirects are followed.
const REDIRECTS: usize = 10;
/// The most octets of the file: a key authorization has 66.
const LONGEST_FILE: usize = 4096;
/// The most octets of the head of an answer.
const LONGEST_HEAD: usize = 16 * 1024;

/// Reads the file, and compares it with the key authorization. White space at its end does not count.
pub(super) async fn prove(connector: &Connector<'_>, own_port: u16, challenge: &Challenge) -> Result<(), ProbeError> {
    let path = format!("/.well-known/acme-challenge/{}", challenge.token);
    let (mut host, mut port, mut path) = (challenge.name.clone(), own_port, path);
    for _ in 0..=REDIRECTS {
        let (answer, _connection) = ask(connector, &host, port, &path).await?;
        if let Some(target) = redirect(&answer, &host)? {
            // The authority asks its own port for port 80, and no other: a redirect must not make it ask other services.
            if target.1 != 80 && target.1 != own_port {
                return Err(ProbeError::Answer(format!("{host} redirects to port {}, not to port 80", target.1)));
            }
            (host, port, path) = (target.0, own_port, target.2);
            continue;
        }
        return judge(answer, challenge, &format!("http://{}{path}", named(&host, port))).await;
    }
    Err(ProbeError::Answer(format!("more than {REDIRECTS} redirects")))
}

async fn ask(
    connector: &Connector<'_>,
    host: &str,
    port: u16,
    path: &str,
) -> Result<(Response<hyper::body::Incoming>, AbortOnDropHandle<()>), ProbeError> {
    let failed = |error: &dyn std::error::Error| ProbeError::Exchange(format!("{host}: {error}"));
    let stream = connector.connect(host, port).await?;
    let mut builder = hyper::client::conn::http1::Builder::new();
    let handshake = builder.max_buf_size(LONGEST_HEAD).handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(|error| failed(&error))?;
    // The connection ends when the test does, whatever the server still sends. Its errors are those of the request.
    let connection = AbortOnDropHandle::new(tokio::spawn(async move { drop(connection.await) }));
    let request =
        Request::get(path).header(HOST, named(host, port)).header(USER_AGENT, "stapled-ca").body(Empty::<Bytes>::new());
    let request = request.map_err(|error| failed(&error))?;
    let answer = sender.send_request(request).await.map_err(|error| failed(&error))?;
    Ok((answer, connection))
}

/// Host and port as a URL has them.
fn named(host: &str, port: u16) -> String {
    let shown = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    if port == 80 { shown } else { format!("{shown}:{port}") }
}

/// The host, port and path of a redirect; `None` for another answer.
fn redirect<B>(answer: &Response<B>, host: &str) -> Result<Option<(String, u16, String)>, ProbeError> {
    if !matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let wrong = |what: &str| ProbeError::Answer(format!("{host} redirects {what}"));
    let location = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let target: Uri = location.and_then(|text| text.parse().ok()).ok_or_else(|| wrong("nowhere"))?;
    let path = target.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    match (target.scheme_str(), target.host()) {
        (Some("http"), Some(host)) => {
            let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
            Ok(Some((bare, target.port_u16().unwrap_or(80), path)))
        }
        (None, None) if path.starts_with('/') => Ok(Some((host.to_owned(), 80, path))),
        _ => Err(wrong("to something else than http")),
    }
}

async fn judge(answer: Response<hyper::body::Incoming>, challenge: &Challenge, url: &str) -> Result<(), ProbeError> {
    if answer.status() != StatusCode::OK {
        return Err(ProbeError::Answer(format!("{url} answers with status {}", answer.status().as_u16())));
    }
    let body = Limited::new(answer.into_body(), LONGEST_FILE).collect().await;
    let body = body.map_err(|error| ProbeError::Exchange(format!("{url}: {error}")))?.to_bytes();
    if body.trim_ascii_end() != challenge.authorization.as_bytes() {
        return Err(ProbeError::Answer(format!("{url} has other contents than the key authorization")));
    }
    Ok(())
}
