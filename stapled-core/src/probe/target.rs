//! Where a server is.

use std::fmt::{self, Display, Formatter};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;

use super::starttls::StartTls;
use crate::describe::visible::Visible;

/// The port of https.
const HTTPS: u16 = 443;

/// A server: a host with a port, or the path of a unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target(Place);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Tcp { host: String, port: Option<u16> },
    Unix(PathBuf),
}

/// An address of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Target {
    /// The host; of a unix socket, `localhost`.
    pub fn host(&self) -> &str {
        match &self.0 {
            Place::Tcp { host, .. } => host,
            Place::Unix(_) => "localhost",
        }
    }

    /// Its addresses, in the order of the resolver, each once. Blocks while the name is resolved.
    pub(super) fn addresses(&self, starttls: Option<StartTls>) -> io::Result<Vec<Address>> {
        let (host, port) = match &self.0 {
            Place::Unix(path) => return Ok(vec![Address::Unix(path.clone())]),
            Place::Tcp { host, port } => (host, port.or(starttls.map(StartTls::port)).unwrap_or(HTTPS)),
        };
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for address in (host.as_str(), port).to_socket_addrs()? {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        match addresses.is_empty() {
            true => Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address")),
            false => Ok(addresses.into_iter().map(Address::Tcp).collect()),
        }
    }
}

/// `HOST`, `HOST:PORT`, `[IPV6]:PORT`, an IPv6 address, or the path of a unix socket, which contains a slash.
impl FromStr for Target {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains('/') {
            return Ok(Target(Place::Unix(text.strip_prefix("unix:").unwrap_or(text).into())));
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, after) = rest.split_once(']').ok_or("] is missing")?;
                match after.strip_prefix(':') {
                    Some(port) => (host, Some(port)),
                    None if after.is_empty() => (host, None),
                    None => return Err("what follows ] is no port"),
                }
            }
            None => match text.rsplit_once(':') {
                Some((host, port)) if !host.contains(':') => (host, Some(port)),
                // An IPv6 address without brackets has no port.
                _ => (text, None),
            },
        };
        if host.is_empty() || host.chars().any(char::is_whitespace) {
            return Err("a host is needed, such as www.example.org:443");
        }
        let port = port.map(|port| port.parse().map_err(|_| "the port is a number from 1 to 65535")).transpose()?;
        if port == Some(0) {
            return Err("the port is a number from 1 to 65535");
        }
        Ok(Target(Place::Tcp { host: host.to_owned(), port }))
    }
}

impl Display for Target {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Tcp { host, port } => {
                let host = Visible::new(host);
                match port {
                    Some(port) => write!(f, "{host}:{port}"),
                    None => write!(f, "{host}"),
                }
            }
            Place::Unix(path) => write!(f, "{}", Visible::new(&path.to_string_lossy())),
        }
    }
}

impl Display for Address {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => write!(f, "{address}"),
            Address::Unix(path) => write!(f, "{}", Visible::new(&path.to_string_lossy())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_ports_and_sockets() {
        let tcp = |host: &str, port| Ok(Target(Place::Tcp { host: host.to_owned(), port }));
        for (text, expected) in [
            ("www.example.org:443", tcp("www.example.org", Some(443))),
            ("www.example.org", tcp("www.example.org", None)),
            ("[::1]:8443", tcp("::1", Some(8443))),
            ("[::1]", tcp("::1", None)),
            ("2001:db8::1", tcp("2001:db8::1", None)),
            ("127.0.0.1:1", tcp("127.0.0.1", Some(1))),
            ("/run/tls.sock", Ok(Target(Place::Unix("/run/tls.sock".into())))),
            ("unix:./tls.sock", Ok(Target(Place::Unix("./tls.sock".into())))),
        ] {
            assert_eq!(text.parse::<Target>(), expected, "{text}");
        }
        for text in ["", ":443", "a:", "a:0", "a:65536", "[::1", "[::1]x", "a b:443"] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
        let addresses = "[::1]".parse::<Target>().unwrap().addresses(Some(StartTls::Smtp)).unwrap();
        assert_eq!(addresses, [Address::Tcp("[::1]:25".parse().unwrap())]);
    }
}
