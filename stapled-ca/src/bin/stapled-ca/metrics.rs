//! Numbers for monitoring.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use stapled_ca::Metrics;
use stapled_core::io::own_socket::OwnSocket;
use tokio::net::{TcpListener, UnixListener};

use crate::failure::Failure;

/// Where numbers for monitoring are.
#[derive(Clone, Debug)]
pub(crate) enum MetricsPlace {
    Address(SocketAddr),
    Socket(PathBuf),
}

impl FromStr for MetricsPlace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with('/') {
            return Ok(MetricsPlace::Socket(text.into()));
        }
        let address: SocketAddr =
            text.parse().map_err(|_| "write ADDRESS:PORT, or the path of a unix socket from the root".to_owned())?;
        // They tell of all clients, and the port has no password.
        if !address.ip().is_loopback() {
            return Err(format!("{} is not a loopback address; let a proxy with authentication ask", address.ip()));
        }
        Ok(MetricsPlace::Address(address))
    }
}

/// Numbers that are published until this is dropped.
pub(crate) struct Published {
    /// Where, as text.
    pub(crate) place: String,
    _socket: Option<OwnSocket>,
}

/// Starts to answer with the numbers.
pub(crate) async fn publish(place: Option<&MetricsPlace>, metrics: Metrics) -> Result<Option<Published>, Failure> {
    Ok(Some(match place {
        None => return Ok(None),
        Some(MetricsPlace::Address(address)) => {
            let listen = |source| Failure::Listen { address: *address, source };
            let listener = TcpListener::bind(address).await.map_err(listen)?;
            let address = listener.local_addr()?;
            tokio::spawn(metrics.serve(listener, std::future::pending()));
            Published { place: format!("http://{address}/metrics"), _socket: None }
        }
        Some(MetricsPlace::Socket(path)) => {
            let socket = OwnSocket::make(path)?;
            let listener = UnixListener::from_std(socket.as_ref().try_clone()?)?;
            tokio::spawn(metrics.serve_unix(listener, std::future::pending()));
            Published { place: path.display().to_string(), _socket: Some(socket) }
        }
    }))
}
