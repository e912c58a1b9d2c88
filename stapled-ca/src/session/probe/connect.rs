//! Connections to the hosts of names.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpStream;

use super::address::{AddressRules, Names};
use super::error::ProbeError;

/// The addresses of names, and which of them are asked.
#[derive(Clone, Copy)]
pub(super) struct Connector<'a> {
    pub(super) names: &'a dyn Names,
    pub(super) rules: &'a AddressRules,
}

impl Connector<'_> {
    /// Connects to the first address of a host that may be asked and accepts the connection.
    pub(super) async fn connect(self, host: &str, port: u16) -> Result<TcpStream, ProbeError> {
        let addresses = match host.parse() {
            Ok(address) => vec![address],
            Err(_) => {
                let unresolved = |source| ProbeError::Resolve { name: host.to_owned(), source };
                self.names.addresses(host).await.map_err(unresolved)?
            }
        };
        let nothing = io::Error::new(io::ErrorKind::NotFound, "it has no address");
        let mut failure = ProbeError::Resolve { name: host.to_owned(), source: nothing };
        for address in addresses {
            if !self.rules.allow(address) {
                failure = ProbeError::Address { name: host.to_owned(), address };
                continue;
            }
            // The address that was checked is the one that is asked: the name is not resolved again.
            let address = SocketAddr::new(address, port);
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(source) => failure = ProbeError::Connect { address, source },
            }
        }
        Err(failure)
    }
}
