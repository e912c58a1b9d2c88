//! Why a test of a challenge fails.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Why a challenge is not satisfied. The texts are shown to the client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// The name has no address, or the resolver failed.
    #[error("cannot resolve {name}: {source}")]
    Resolve {
        /// The name.
        name: String,
        /// The error of the resolver.
        source: io::Error,
    },
    /// Every address of the name is one that the authority does not ask.
    #[error("the authority does not ask {address}, to which {name} leads")]
    Address {
        /// The name.
        name: String,
        /// One of its addresses.
        address: IpAddr,
    },
    /// The host cannot be reached.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// The address.
        address: SocketAddr,
        /// The error of the system.
        source: io::Error,
    },
    /// The test took too long.
    #[error("no answer within {} s", within.as_secs())]
    TimedOut {
        /// How long it may take.
        within: Duration,
    },
    /// The test through the second vantage point failed.
    #[error("through the proxy {proxy}: {source}")]
    Vantage {
        /// The proxy.
        proxy: String,
        /// The failure.
        source: Box<ProbeError>,
    },
    /// The exchange failed.
    #[error("{0}")]
    Exchange(String),
    /// The answer is a wrong one.
    #[error("{0}")]
    Answer(String),
}
