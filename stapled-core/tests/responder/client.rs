//! An HTTP client that writes what the test says.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use stapled_core::ocsp::{CertId, OcspRequest, OcspResponse, ResponseStatus};

/// An HTTP response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) headers: String,
    pub(crate) body: Vec<u8>,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.headers.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The OCSP error in the body.
    pub(crate) fn error(&self) -> Option<ResponseStatus> {
        match OcspResponse::from_der(&self.body) {
            Ok(OcspResponse::Error(status)) => {
                assert_eq!((self.status, self.header("cache-control")), (200, Some("no-store")), "{self:?}");
                Some(status)
            }
            _ => None,
        }
    }
}

/// Everything that a connection answers to these bytes.
pub(crate) fn exchange(mut stream: impl Read + Write, bytes: &[u8]) -> Vec<u8> {
    // The server may close before it has read all.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// The response to one request with these bytes, after which the connection closes.
pub(crate) fn send(address: SocketAddr, bytes: &[u8]) -> Got {
    parsed(&exchange(connect(address), bytes))
}

pub(crate) fn parsed(answer: &[u8]) -> Got {
    let end = answer.windows(4).position(|part| part == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no response: {:?}", String::from_utf8_lossy(answer)));
    let headers = String::from_utf8(answer[..end].to_vec()).unwrap();
    let status = headers.split(' ').nth(1).unwrap().parse().unwrap();
    Got { status, headers, body: answer[end + 4..].to_vec() }
}

pub(crate) fn request(cert_id: &CertId) -> OcspRequest {
    OcspRequest::new(cert_id, None).unwrap()
}

pub(crate) fn get_path(address: SocketAddr, method: &str, path: &str, headers: &str) -> Got {
    send(address, format!("{method} {path} HTTP/1.1\r\nHost: ocsp\r\nConnection: close\r\n{headers}\r\n").as_bytes())
}

pub(crate) fn get(address: SocketAddr, cert_id: &CertId) -> Got {
    get_path(address, "GET", &request(cert_id).get_url("/").unwrap(), "")
}

pub(crate) fn post_bytes(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /ocsp HTTP/1.1\r\nHost: ocsp\r\nConnection: close\r\nContent-Type: application/ocsp-request\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

pub(crate) fn post(address: SocketAddr, body: &[u8]) -> Got {
    send(address, &post_bytes(body))
}

pub(crate) fn post_to_socket(path: &Path, body: &[u8]) -> Got {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    parsed(&exchange(stream, &post_bytes(body)))
}
