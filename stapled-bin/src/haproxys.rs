//! The HAProxys that are known by their configurations.

use futures_util::future::select_all;
use stapled_haproxy::Address;
use stapled_haproxy::configuration::{ConfigurationError, HaproxyConfiguration, Socket};
use tokio::sync::watch;

use crate::configuration::{Configuration, Haproxy};

/// A configuration that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{named_at}: {error}")]
pub(crate) struct HaproxyError {
    named_at: String,
    error: ConfigurationError,
}

/// Configurations of HAProxy, each read at least once.
#[derive(Debug)]
pub(crate) struct Haproxys(Vec<Opened>);

#[derive(Debug)]
struct Opened {
    source: HaproxyConfiguration,
    sockets: watch::Receiver<Vec<Socket>>,
    /// Those that are used besides, or instead.
    haproxy: Haproxy,
}

impl Haproxys {
    /// Reads them.
    pub(crate) fn open(configuration: &Configuration) -> Result<Self, HaproxyError> {
        let open = |haproxy: &Haproxy| {
            let source = HaproxyConfiguration::open_in(&configuration.surroundings, &haproxy.paths)
                .map_err(|error| HaproxyError { named_at: haproxy.named_at.clone(), error })?;
            let sockets = source.sockets();
            Ok(Opened { source, sockets, haproxy: haproxy.clone() })
        };
        configuration.haproxys.iter().map(open).collect::<Result<_, _>>().map(Haproxys)
    }

    /// Each as a source, with the sockets that its staples go to now.
    pub(crate) fn sources(&mut self) -> Vec<(HaproxyConfiguration, Vec<Address>)> {
        let source = |opened: &mut Opened| {
            let mut addresses = opened.haproxy.sockets.clone();
            // From here on, only others are news.
            let found = opened.sockets.borrow_and_update();
            let found = found.iter().filter(|_| opened.haproxy.own_sockets).map(|socket| socket.address.clone());
            for address in found {
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
            (opened.source.clone(), addresses)
        };
        self.0.iter_mut().map(source).collect()
    }

    /// Returns when one has other sockets than [`sources`](Haproxys::sources) told.
    pub(crate) async fn sockets_changed(&mut self) {
        let own = self.0.iter_mut().filter(|opened| opened.haproxy.own_sockets);
        let changes: Vec<_> = own.map(|opened| Box::pin(opened.sockets.changed())).collect();
        if changes.is_empty() {
            return std::future::pending().await;
        }
        // The sender lives in the source.
        let _ = select_all(changes).await;
    }

    /// What is to be said about them.
    pub(crate) fn notes(&self) -> Vec<String> {
        let notes = |opened: &Opened| {
            let configuration = opened.source.latest();
            let paths: Vec<_> = opened.haproxy.paths.iter().map(|path| path.display().to_string()).collect();
            let sockets: Vec<_> = configuration.sockets.iter().map(|socket| socket.address.to_string()).collect();
            let found = format!(
                "{}: {} certificates, admin sockets: {}",
                paths.join(","),
                configuration.certificates.len(),
                if sockets.is_empty() { "none".to_owned() } else { sockets.join(", ") }
            );
            std::iter::once(found).chain(configuration.warnings.iter().map(ToString::to_string)).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(notes).collect()
    }
}
