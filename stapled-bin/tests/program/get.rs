//! A client of the HTTP server of the daemon.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::world::{PATIENCE, Running, World, until};

/// An answer.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    /// By their names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// Starts the daemon with an HTTP server at a free port, and returns its address.
pub(crate) fn start(world: &World, more: &[&str]) -> (Running, String) {
    let arguments = [&["--cert-paths", "certs", "--http", "127.0.0.1:0"], more].concat();
    let running = Running::start(world.command(&arguments));
    let address = address_of(&running);
    (running, address)
}

/// Waits until the daemon says at which address it listens.
pub(crate) fn address_of(running: &Running) -> String {
    let address = || {
        let words = running.words();
        let rest = words.split_once("address=http://").map(|(_, rest)| rest.to_owned())?;
        rest.split_once('/').map(|(address, _)| address.to_owned())
    };
    assert!(until(PATIENCE, || address().is_some()), "{}", running.words());
    address().unwrap()
}

/// The answer to a GET.
pub(crate) fn get(address: &str, path: &str) -> Got {
    request(address, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"))
}

/// The answer to a request, on a new connection.
pub(crate) fn request(address: &str, text: &str) -> Got {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    exchange(stream, text)
}

/// The same on a unix socket.
pub(crate) fn request_on(socket: &Path, text: &str) -> Got {
    let stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    exchange(stream, text)
}

fn exchange(mut stream: impl Read + Write, text: &str) -> Got {
    // The server may close the connection before the end of the request.
    let _ = stream.write_all(text.as_bytes());
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let answer = String::from_utf8(bytes).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let is_chunked = headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked");
    let body = if is_chunked { unchunked(body) } else { body.to_owned() };
    Got { status: status.unwrap_or_default(), headers, body }
}

/// The body of an answer in chunks.
fn unchunked(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((length, after)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap();
        body.push_str(&after[..length]);
        rest = after[length..].trim_start_matches("\r\n");
        if length == 0 {
            break;
        }
    }
    body
}
