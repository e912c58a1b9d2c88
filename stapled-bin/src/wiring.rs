//! The configuration made into a stapler.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use stapled_core::event::{Event, Observer};
use stapled_core::io::directory::{DirectorySource, IgnoreError};
use stapled_core::io::file::FileSink;
use stapled_core::io::http::HttpFetcherError;
use stapled_core::io::issuers::IssuerDirectory;
use stapled_core::stapler::{BuildError, Group, Stapler};
use stapled_haproxy::configuration::HaproxyConfiguration;
use stapled_haproxy::{Address, HaproxySink, HaproxySource, ServedPaths};

use crate::configuration::{Configuration, StapleFiles};
use crate::haproxys::{HaproxyError, Haproxys};
use crate::network::TIMEOUT;

/// What outlives this program, where nothing else is said.
const STATE_DIRECTORY: &str = "/var/lib/stapled";

/// Why there is no stapler, with a configuration that was checked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WiringError {
    #[error(transparent)]
    Ignore(#[from] IgnoreError),
    #[error(transparent)]
    Http(#[from] HttpFetcherError),
    #[error("--issuer-dir {directory}: {error}")]
    IssuerDirectory { directory: String, error: std::io::Error },
    #[error(transparent)]
    Haproxy(#[from] HaproxyError),
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// Joins everything, for a single pass. To be called inside a tokio runtime.
pub(crate) fn stapler(
    configuration: &Configuration,
    observers: Vec<Arc<dyn Observer>>,
) -> Result<Stapler, WiringError> {
    join(configuration, &mut Haproxys::open(configuration)?, &mut Processes::once(), observers)
}

/// The running HAProxys, as sources. They outlive staplers: what they have read of certificates that no file holds any
/// more is not to be had again.
#[derive(Default)]
pub(crate) struct Processes {
    known: HashMap<Address, HaproxySource>,
    /// Whether everything is told at once, as whoever looks but once must.
    is_once: bool,
}

impl Processes {
    /// For a single look.
    pub(crate) fn once() -> Self {
        Processes { is_once: true, ..Processes::default() }
    }

    /// The one at this address.
    fn at(&mut self, configuration: &Configuration, address: &Address) -> HaproxySource {
        let new = || match running(configuration, address) {
            source if self.is_once => source.grace(Duration::ZERO),
            source => source,
        };
        self.known.entry(address.clone()).or_insert_with(new).clone()
    }
}

/// A stapler with configurations of HAProxy that are open already, and processes that are known.
pub(crate) fn join(
    configuration: &Configuration,
    haproxys: &mut Haproxys,
    processes: &mut Processes,
    observers: Vec<Arc<dyn Observer>>,
) -> Result<Stapler, WiringError> {
    let mut builder = Stapler::builder()
        .observer(Arc::new(All(observers)))
        .fetcher(Arc::new(configuration.network.fetcher(TIMEOUT)?))
        .responder_overrides(configuration.network.overrides.clone())
        .refresh_policy(configuration.refresh)
        .judge_policy(configuration.judging)
        .rescan_interval(configuration.rescan)
        .recycle(configuration.recycle)
        .fetch_issuers(configuration.fetch_issuers)
        .nonce(configuration.nonce);
    if let Some(renewals) = configuration.renewals {
        builder = builder.concurrent_renewals(renewals);
    }
    if let Some(per_responder) = configuration.per_responder {
        builder = builder.per_responder(per_responder);
    }
    if let Some(rate) = configuration.responder_rate {
        builder = builder.responder_rate(rate);
    }
    if let Some(hash) = configuration.hash {
        builder = builder.cert_id_hash(hash);
    }
    if let Some(store) = issuer_store(configuration)? {
        builder = builder.issuer_store(Arc::new(store));
    }
    // Files first: what is not delivered to a server is there for its next start.
    match &configuration.staple_files {
        StapleFiles::Nowhere => {}
        StapleFiles::BesideCertificates => builder = builder.sink(FileSink::new()),
        StapleFiles::In(directory) => builder = builder.sink(FileSink::new().staple_dir(directory)),
    }
    // One sink for each socket, whichever groups it serves.
    let mut sinks: Vec<(Address, Arc<HaproxySink>)> = Vec::new();
    let mut with_sinks = |mut group: Group, addresses: &[Address]| {
        for address in addresses {
            let known = sinks.iter().find(|(known, _)| known == address).map(|(_, sink)| Arc::clone(sink));
            let sink = known.unwrap_or_else(|| {
                let sink = Arc::new(sink(configuration, address));
                sinks.push((address.clone(), Arc::clone(&sink)));
                sink
            });
            group = group.shared_sink(sink);
        }
        group
    };
    for paths in &configuration.groups {
        let source = served(configuration, paths, processes)?;
        builder = builder.group(with_sinks(Group::new().source(source), &paths.sockets));
    }
    let sources = haproxys.sources();
    for (address, source) in beyond(configuration, &sources, processes) {
        builder = builder.group(with_sinks(Group::new().source(source), &[address]));
    }
    for (source, sockets) in sources {
        builder = builder.group(with_sinks(Group::new().source(source), &sockets));
    }
    for address in &configuration.running {
        let source = processes.at(configuration, address);
        builder = builder.group(Group::new().source(source).sink(sink(configuration, address)));
    }
    Ok(builder.build()?)
}

/// Where fetched issuers are kept: the directory that was named, or the usual one, where this user may have it.
fn issuer_store(configuration: &Configuration) -> Result<Option<IssuerDirectory>, WiringError> {
    if !configuration.fetch_issuers {
        return Ok(None);
    }
    if let Some(directory) = &configuration.issuer_dir {
        let failed = |error| WiringError::IssuerDirectory { directory: directory.display().to_string(), error };
        return IssuerDirectory::open(directory).map(Some).map_err(failed);
    }
    let usual = issuer_directory(configuration);
    match IssuerDirectory::open(&usual) {
        Ok(store) => Ok(Some(store)),
        Err(error) => {
            tracing::debug!("issuers that are fetched are not kept: {}: {error}", usual.display());
            Ok(None)
        }
    }
}

/// Where fetched issuers are kept, if it can be had.
pub(crate) fn issuer_directory(configuration: &Configuration) -> PathBuf {
    // systemd tells the state directory of a unit.
    let state = || std::env::var_os("STATE_DIRECTORY").map_or_else(|| PathBuf::from(STATE_DIRECTORY), PathBuf::from);
    configuration.issuer_dir.clone().unwrap_or_else(|| state().join("issuers"))
}

/// The certificates of a path.
pub(crate) fn directory(
    configuration: &Configuration,
    group: &crate::configuration::Group,
) -> Result<DirectorySource, IgnoreError> {
    let search = &configuration.search;
    let source = DirectorySource::new(&group.path).recursive(search.recursive);
    let source = if search.extensions.is_empty() { source } else { source.extensions(&search.extensions) };
    source.ignore(&search.ignore)
}

/// The same, as the HAProxys look at it that serve it.
pub(crate) fn served(
    configuration: &Configuration,
    group: &crate::configuration::Group,
    processes: &mut Processes,
) -> Result<ServedPaths<DirectorySource>, IgnoreError> {
    let haproxys = group.sockets.iter().map(|address| processes.at(configuration, address));
    Ok(ServedPaths::new(directory(configuration, group)?, haproxys))
}

/// The certificates of a running HAProxy.
pub(crate) fn running(configuration: &Configuration, address: &Address) -> HaproxySource {
    let source = HaproxySource::new(address);
    match configuration.keepalive {
        Some(keepalive) => source.keepalive(keepalive),
        None => source,
    }
}

/// The running HAProxys of configurations, for what they serve beyond these: HAProxy is right about what is served.
pub(crate) fn beyond(
    configuration: &Configuration,
    sources: &[(HaproxyConfiguration, Vec<Address>)],
    processes: &mut Processes,
) -> Vec<(Address, HaproxySource)> {
    let mut beyond: Vec<(Address, HaproxySource)> = Vec::new();
    for (of, addresses) in sources {
        for address in addresses {
            let at = beyond.iter().position(|(known, _)| known == address);
            let source = at.map_or_else(|| processes.at(configuration, address), |at| beyond.swap_remove(at).1);
            beyond.push((address.clone(), source.beyond(of.clone())));
        }
    }
    beyond
}

fn sink(configuration: &Configuration, address: &Address) -> HaproxySink {
    let sink = HaproxySink::builder(address.clone())
        .transactions(configuration.transactions)
        .judge_policy(configuration.judging);
    match configuration.keepalive {
        Some(keepalive) => sink.keepalive(keepalive).build(),
        None => sink.build(),
    }
}

/// Tells several observers.
struct All(Vec<Arc<dyn Observer>>);

impl Observer for All {
    fn observe(&self, event: &Event) {
        for observer in &self.0 {
            observer.observe(event);
        }
    }
}
