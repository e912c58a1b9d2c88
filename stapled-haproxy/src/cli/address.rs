//! The address of an admin socket: the forms of `stats socket` ("3.1. Process management and security" in HAProxy's
//! configuration manual) that can be connected to.

use std::fmt;
use std::io;
use std::net::{AddrParseError, IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::cli::error::Error;

/// The bytes of `sun_path` after the NUL that marks an abstract name (unix(7)).
const ABSTRACT_NAME: usize = 107;

/// The address of an admin socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// A unix socket in the file system: `/run/haproxy/admin.sock`, `unix@/run/haproxy/admin.sock`.
    Unix(PathBuf),
    /// A TCP socket: `ipv4@127.0.0.1:9999`, `ipv6@[::1]:9999`.
    Tcp(SocketAddr),
    /// An abstract unix socket (Linux), padded with NUL as HAProxy does: `abns@name`.
    Abstract(String),
    /// An abstract unix socket of exactly this name (Linux, HAProxy 3.1 and later): `abnsz@name`.
    AbstractExact(String),
    /// The master CLI (`-S`) at one of the addresses above, and every worker behind it, including old workers that only
    /// finish their connections after a reload: `master@/run/haproxy-master.sock`.
    Master(Box<Address>),
}

/// Why a text is not the address of an admin socket, or not of a supported kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// The text is empty.
    #[error("an empty address; name the socket as `stats socket` does, such as /run/haproxy/admin.sock")]
    Empty,
    /// The text has a NUL or another control character in it.
    #[error("the address {text:?} has a control character in it")]
    ControlCharacter {
        /// The address.
        text: String,
    },
    /// The host or the port is not valid.
    #[error("{text:?} is not {family}@HOST:PORT with a numeric address: {reason}")]
    BadHost {
        /// The address.
        text: String,
        /// `ipv4` or `ipv6`.
        family: &'static str,
        /// The error.
        reason: String,
    },
    /// An abstract name is too short or too long.
    #[error("the abstract name {text:?} has {length} bytes; 1 to 107 fit")]
    BadAbstractName {
        /// The name.
        text: String,
        /// Its length.
        length: usize,
    },
    /// The kind of address is not supported.
    #[error("{text:?}: {reason}")]
    Unsupported {
        /// The address.
        text: String,
        /// The reason, and what to use instead.
        reason: &'static str,
    },
}

/// A stream in both directions.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

impl Address {
    /// The unix socket at this path.
    pub fn unix(path: impl AsRef<Path>) -> Self {
        Address::Unix(path.as_ref().to_path_buf())
    }

    /// The master CLI at this path.
    pub fn master(path: impl AsRef<Path>) -> Self {
        Address::Master(Box::new(Address::unix(path)))
    }

    /// The address with a relative path taken from the current directory.
    ///
    /// # Errors
    ///
    /// The current directory is not known, or the path is empty.
    pub fn absolute(self) -> io::Result<Self> {
        Ok(match self {
            Address::Unix(path) => Address::Unix(std::path::absolute(path)?),
            Address::Master(behind) => Address::Master(Box::new(behind.absolute()?)),
            other => other,
        })
    }

    /// The address with a relative path taken from this directory.
    #[must_use]
    pub fn relative_to(self, base: &Path) -> Self {
        match self {
            Address::Unix(path) => Address::Unix(base.join(path)),
            Address::Master(behind) => Address::Master(Box::new(behind.relative_to(base))),
            other => other,
        }
    }

    /// The form in which two addresses of one socket are equal: the folder of a unix path without symbolic links.
    pub(crate) fn resolved(&self) -> Address {
        match self {
            Address::Unix(path) => {
                let absolute = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                // The socket itself may be created later; its folder exists already.
                let in_folder = || {
                    let folder = absolute.parent()?.canonicalize().ok()?;
                    Some(folder.join(absolute.file_name()?))
                };
                Address::Unix(in_folder().unwrap_or(absolute))
            }
            Address::Master(behind) => Address::Master(Box::new(behind.resolved())),
            other => other.clone(),
        }
    }

    /// Connects to the socket.
    pub(crate) async fn connect(&self) -> Result<Box<dyn Duplex>, Error> {
        let connected: io::Result<Box<dyn Duplex>> = match self {
            Address::Unix(path) => UnixStream::connect(path).await.map(|stream| Box::new(stream) as _),
            Address::Tcp(address) => TcpStream::connect(address).await.and_then(|stream| {
                stream.set_nodelay(true)?;
                Ok(Box::new(stream) as _)
            }),
            Address::Abstract(name) => connect_abstract(name, Padding::Full).await,
            Address::AbstractExact(name) => connect_abstract(name, Padding::None).await,
            Address::Master(behind) => return Box::pin(behind.connect()).await,
        };
        connected.map_err(|error| self.explain(&error))
    }

    fn explain(&self, error: &io::Error) -> Error {
        let file_type = match self {
            Address::Unix(path) => std::fs::metadata(path).ok().map(|metadata| metadata.file_type()),
            _ => None,
        };
        let is_socket = file_type.is_none_or(|file_type| std::os::unix::fs::FileTypeExt::is_socket(&file_type));
        match error.kind() {
            _ if !is_socket => Error::NotASocket,
            io::ErrorKind::NotFound => Error::SocketMissing,
            io::ErrorKind::PermissionDenied => Error::SocketPermission,
            io::ErrorKind::ConnectionRefused => Error::SocketRefused,
            // The error of a unix socket whose queue of connections is full.
            io::ErrorKind::WouldBlock => Error::SocketBusy,
            _ => Error::Connect(error.to_string()),
        }
    }
}

/// Whether an abstract name is padded with NUL to the longest one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Padding {
    Full,
    None,
}

/// Connects to an abstract name.
async fn connect_abstract(name: &str, padding: Padding) -> io::Result<Box<dyn Duplex>> {
    let mut path = String::with_capacity(ABSTRACT_NAME + 1);
    path.push('\0');
    path.push_str(name);
    while padding == Padding::Full && path.len() <= ABSTRACT_NAME {
        path.push('\0');
    }
    // tokio takes a leading NUL for an abstract name, on Linux.
    Ok(Box::new(UnixStream::connect(path).await?))
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let owned = || text.to_owned();
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        if text.chars().any(char::is_control) {
            return Err(AddressError::ControlCharacter { text: owned() });
        }
        let Some((family, rest)) = text.split_once('@').filter(|(family, _)| !family.contains('/')) else {
            return without_family(text);
        };
        let unsupported = |reason| Err(AddressError::Unsupported { text: owned(), reason });
        match family {
            "unix" if rest.is_empty() => Err(AddressError::Empty),
            "unix" => Ok(Address::Unix(PathBuf::from(rest))),
            "ipv4" => tcp(text, "ipv4", rest, |host| host.parse::<Ipv4Addr>().map(IpAddr::V4)),
            "ipv6" => tcp(text, "ipv6", rest, |host| {
                host.trim_start_matches('[').trim_end_matches(']').parse::<Ipv6Addr>().map(IpAddr::V6)
            }),
            "abns" | "abnsz" if rest.is_empty() || rest.len() > ABSTRACT_NAME => {
                Err(AddressError::BadAbstractName { text: rest.to_owned(), length: rest.len() })
            }
            "abns" => Ok(Address::Abstract(rest.to_owned())),
            "abnsz" => Ok(Address::AbstractExact(rest.to_owned())),
            "fd" | "sockpair" => unsupported("an inherited socket cannot be connected to; add a `stats socket` line"),
            "master" => match rest.parse()? {
                Address::Master(_) => unsupported("a master behind a master; one `master@` is enough"),
                behind => Ok(Address::Master(Box::new(behind))),
            },
            _ => unsupported(
                "not a known kind of address; use a path, unix@, ipv4@, ipv6@, abns@, abnsz@, or master@ before one of \
                 these",
            ),
        }
    }
}

/// Reads a path, or an IP address with its port, which HAProxy accepts without a family.
fn without_family(text: &str) -> Result<Address, AddressError> {
    let unsupported = |reason| Err(AddressError::Unsupported { text: text.to_owned(), reason });
    if let Ok(address) = text.parse::<SocketAddr>() {
        return match address.port() {
            0 => unsupported("no such port"),
            _ => Ok(Address::Tcp(address)),
        };
    }
    if !text.starts_with('/') && text.contains("://") {
        return unsupported("not a known kind of address: admin sockets have no URLs; see `stats socket`");
    }
    let is_port = |(_, port): (&str, &str)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    if !text.contains('/') && text.rsplit_once(':').is_some_and(is_port) {
        return unsupported(
            "an address is written ipv4@ADDRESS:PORT or ipv6@ADDRESS:PORT, a path with a colon unix@PATH",
        );
    }
    Ok(Address::Unix(PathBuf::from(text)))
}

fn tcp(
    text: &str,
    family: &'static str,
    rest: &str,
    host: impl Fn(&str) -> Result<IpAddr, AddrParseError>,
) -> Result<Address, AddressError> {
    let bad = |reason: String| AddressError::BadHost { text: text.to_owned(), family, reason };
    let (name, port) = rest.rsplit_once(':').ok_or_else(|| bad("the port is missing".to_owned()))?;
    let address = host(name).map_err(|error| bad(error.to_string()))?;
    let port = port.parse::<u16>().ok().filter(|port| *port != 0).ok_or_else(|| bad("no such port".to_owned()))?;
    Ok(Address::Tcp(SocketAddr::new(address, port)))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Unix(path) => write!(f, "{}", path.display()),
            Address::Tcp(SocketAddr::V4(address)) => write!(f, "ipv4@{address}"),
            Address::Tcp(SocketAddr::V6(address)) => write!(f, "ipv6@{address}"),
            Address::Abstract(name) => write!(f, "abns@{name}"),
            Address::AbstractExact(name) => write!(f, "abnsz@{name}"),
            Address::Master(behind) => write!(f, "master@{behind}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_supported_form_is_read_and_written_the_same() {
        for text in [
            "/run/haproxy/admin.sock",
            "ipv4@127.0.0.1:9999",
            "ipv6@[::1]:9999",
            "abns@adm",
            "abnsz@adm",
            "master@/run/haproxy-master.sock",
            "master@ipv4@127.0.0.1:9999",
        ] {
            assert_eq!(text.parse::<Address>().map(|address| address.to_string()).as_deref(), Ok(text));
        }
        assert_eq!("unix@/a/b".parse(), Ok(Address::unix("/a/b")));
        // For HAProxy, an address with a port needs no family.
        assert_eq!("127.0.0.1:9999".parse::<Address>(), "ipv4@127.0.0.1:9999".parse());
        assert_eq!("[::1]:9999".parse::<Address>(), "ipv6@[::1]:9999".parse());
        assert_eq!("/srv/x@y/admin.sock".parse(), Ok(Address::unix("/srv/x@y/admin.sock")));
        assert_eq!(
            "ipv6@::1:9999".parse::<Address>().map(|address| address.to_string()).as_deref(),
            Ok("ipv6@[::1]:9999")
        );
    }

    #[test]
    fn the_error_of_an_unsupported_address_has_a_text() {
        for text in [
            "",
            "unix@",
            "ipv4@1.2.3.4",
            "ipv4@1.2.3:1",
            "1.2.3.4:0",
            "localhost:9999",
            ":9999",
            "127.0.0.1:99999",
            "http://127.0.0.1:9999/",
            "ipv4@1.2.3.4:0",
            "ipv6@x:1",
            "abns@",
            "fd@3",
            "tcp@x",
            "master@",
            "master@master@/x",
            "master@fd@3",
            "a\nb",
        ] {
            let error = text.parse::<Address>().expect_err(text);
            assert!(!error.to_string().is_empty());
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            let _ = text.parse::<Address>();
        }
    }
}
