//! Where the server listens.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// A unix socket, or an address with a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum WebAddress {
    /// The path of a unix socket.
    Socket(PathBuf),
    /// A loopback address with a port; port 0 is any free one.
    Loopback(SocketAddr),
    /// Another address with a port: other machines can connect. Only [`WebAddress::anywhere`] makes it of a text.
    Network(SocketAddr),
}

/// Why a text is no address to listen at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// The text is neither an address with a port nor the path of a unix socket from the root.
    #[error("write ADDRESS:PORT, such as 127.0.0.1:9980, or the path of a unix socket from the root")]
    Unreadable,
    /// Other machines could connect.
    #[error(
        "{0} is not a loopback address: everyone who connects sees all certificates; let a proxy with authentication ask"
    )]
    NotLoopback(SocketAddr),
}

impl WebAddress {
    /// Reads an address that other machines may connect to.
    ///
    /// # Errors
    ///
    /// The text is no address.
    pub fn anywhere(text: &str) -> Result<Self, AddressError> {
        match text.parse() {
            Err(AddressError::NotLoopback(address)) => Ok(WebAddress::Network(address)),
            read => read,
        }
    }
}

impl FromStr for WebAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.starts_with('/') {
            return Ok(WebAddress::Socket(text.into()));
        }
        let text = match text.strip_prefix("localhost:") {
            Some(port) => format!("127.0.0.1:{port}"),
            None => text.to_owned(),
        };
        let address: SocketAddr = text.parse().map_err(|_| AddressError::Unreadable)?;
        match address.ip().is_loopback() {
            true => Ok(WebAddress::Loopback(address)),
            false => Err(AddressError::NotLoopback(address)),
        }
    }
}

impl fmt::Display for WebAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WebAddress::Socket(path) => path.display().fmt(f),
            WebAddress::Loopback(address) | WebAddress::Network(address) => write!(f, "http://{address}/"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_can_connect() {
        for (text, expected) in [
            ("127.0.0.1:9980", Ok("http://127.0.0.1:9980/")),
            ("127.1.2.3:1", Ok("http://127.1.2.3:1/")),
            ("[::1]:9464", Ok("http://[::1]:9464/")),
            ("localhost:9464", Ok("http://127.0.0.1:9464/")),
            ("/run/stapled/http.sock", Ok("/run/stapled/http.sock")),
            ("0.0.0.0:9464", Err("0.0.0.0:9464 is not a loopback address")),
            ("[::]:9464", Err("[::]:9464 is not a loopback address")),
            ("[::ffff:192.0.2.1]:1", Err("is not a loopback address")),
            ("192.0.2.1:9464", Err("192.0.2.1:9464 is not a loopback address")),
            ("9464", Err("write ADDRESS:PORT")),
            ("127.0.0.1", Err("write ADDRESS:PORT")),
            ("http.sock", Err("write ADDRESS:PORT")),
        ] {
            match (text.parse::<WebAddress>(), expected) {
                (Ok(address), Ok(expected)) => assert_eq!(address.to_string(), expected),
                (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{text}: {error}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }
}
