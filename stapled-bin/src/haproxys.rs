//! The HAProxys that are known by their configurations.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::select_all;
use stapled_haproxy::configuration::{ConfigurationError, HaproxyConfiguration, Socket};
use stapled_haproxy::{Address, HaproxySource};
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
    /// Those that it named when it was looked at last.
    named: Vec<Address>,
    /// Those that it named before. Until HAProxy is reloaded, it listens there.
    former: Vec<Address>,
    /// Those that are used besides, or instead.
    haproxy: Haproxy,
}

/// How often it is looked whether HAProxy still listens where it is not configured to any more.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// So many looks in a row must find nobody there.
const SILENCE: u32 = 3;

impl Haproxys {
    /// Reads them.
    pub(crate) fn open(configuration: &Configuration) -> Result<Self, HaproxyError> {
        let open = |haproxy: &Haproxy| {
            let source = HaproxyConfiguration::open_in(&configuration.surroundings, &haproxy.paths)
                .map_err(|error| HaproxyError { named_at: haproxy.named_at.clone(), error })?;
            let sockets = source.sockets();
            Ok(Opened { source, sockets, named: Vec::new(), former: Vec::new(), haproxy: haproxy.clone() })
        };
        configuration.haproxys.iter().map(open).collect::<Result<_, _>>().map(Haproxys)
    }

    /// Takes over which sockets the same HAProxys listened at before.
    pub(crate) fn succeed(&mut self, before: &Haproxys) {
        for opened in &mut self.0 {
            let is_same = |before: &&Opened| before.haproxy.paths == opened.haproxy.paths;
            if let Some(before) = before.0.iter().find(is_same) {
                (opened.named, opened.former) = (before.named.clone(), before.former.clone());
            }
        }
    }

    /// Each as a source, with the sockets that its staples go to now.
    pub(crate) fn sources(&mut self) -> Vec<(HaproxyConfiguration, Vec<Address>)> {
        self.0.iter_mut().for_each(Opened::look);
        // A socket that another HAProxy names is that one's by now.
        let named: Vec<Vec<Address>> = self.0.iter().map(|opened| opened.named.clone()).collect();
        for opened in &mut self.0 {
            opened.former.retain(|address| !named.iter().any(|named| named.contains(address)));
        }
        self.0.iter().map(|opened| (opened.source.clone(), opened.addresses())).collect()
    }

    /// Returns when one has other sockets than [`sources`](Haproxys::sources) told.
    pub(crate) async fn sockets_changed(&mut self) {
        let own = self.0.iter_mut().filter(|opened| opened.haproxy.own_sockets);
        let changes: Vec<_> = own.map(|opened| Box::pin(opened.changed())).collect();
        if changes.is_empty() {
            return std::future::pending().await;
        }
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

impl Opened {
    /// Takes what it names now.
    fn look(&mut self) {
        // From here on, only others are news.
        let found = self.sockets.borrow_and_update().clone();
        let found = found.into_iter().filter(|_| self.haproxy.own_sockets).map(|socket| socket.address);
        let named = std::mem::replace(&mut self.named, found.collect());
        for address in named {
            if !self.former.contains(&address) {
                self.former.push(address);
            }
        }
    }

    /// All sockets that its staples go to.
    fn addresses(&self) -> Vec<Address> {
        let mut addresses = self.haproxy.sockets.clone();
        for address in self.named.iter().chain(&self.former) {
            if !addresses.contains(address) {
                addresses.push(address.clone());
            }
        }
        addresses
    }

    /// Returns when it names other sockets, or when nobody answers at a former one any more.
    async fn changed(&mut self) {
        let former = &mut self.former;
        let over = async {
            let mut silent: HashMap<Address, u32> = HashMap::new();
            loop {
                tokio::time::sleep(LOOK_INTERVAL).await;
                for address in former.clone() {
                    let is_gone = HaproxySource::new(&address).is_gone().await;
                    let times = silent.entry(address.clone()).or_default();
                    *times = if is_gone { *times + 1 } else { 0 };
                    if *times >= SILENCE {
                        former.retain(|former| *former != address);
                        return;
                    }
                }
            }
        };
        tokio::select! {
            // The sender lives in the source.
            _ = self.sockets.changed() => {}
            () = over => {}
        }
    }
}
