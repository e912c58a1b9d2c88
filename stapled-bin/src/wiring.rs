//! The configuration made into a stapler.

use std::path::PathBuf;
use std::sync::Arc;

use stapled_core::event::Observer;
use stapled_core::hook::automation::Automation;
use stapled_core::io::http::HttpFetcherError;
use stapled_core::io::issuers::IssuerDirectory;
use stapled_core::io::memory_source::MemorySource;
use stapled_core::metrics::Metrics;
use stapled_core::responder::Responder;
use stapled_core::stapler::{BuildError, Stapler};
use stapled_haproxy::{Haproxy, Haproxys, Known, NamedSockets, Processes};

use crate::configuration::{Configuration, search};
use crate::fault::ConfigurationError;
use crate::options::declarations as option;

/// What outlives this program, where nothing else is said.
const STATE_DIRECTORY: &str = "/var/lib/stapled";

/// Why there is no stapler, with a configuration that was checked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WiringError {
    #[error(transparent)]
    Http(#[from] HttpFetcherError),
    #[error(transparent)]
    Setting(#[from] ConfigurationError),
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// Opens the HAProxys of the configuration.
pub(crate) fn haproxys(configuration: &Configuration, processes: &Processes) -> Result<Haproxys, ConfigurationError> {
    let settings = &configuration.settings;
    let is_alone = settings.get(&option::NO_HAPROXY_SOCKETS);
    let open = |haproxy: &Known| {
        let builder = Haproxy::builder()
            .processes(processes)
            .transactions(settings.get(&option::HAPROXY_TRANSACTIONS).unwrap_or_default())
            .judge_policy(configuration.judging)
            .keepalive(settings.get(&option::HAPROXY_SOCKET_KEEPALIVE))
            .surroundings(configuration.surroundings.clone())
            .named_sockets(if is_alone { NamedSockets::Ignored } else { NamedSockets::Used })
            .responder_overrides(configuration.network.overrides.clone())
            .known(haproxy, |path| search(settings, path))?;
        builder.open().map_err(|error| settings.unusable(&option::HAPROXY_CONFIG, error.to_string()))
    };
    configuration.haproxys.iter().map(open).collect()
}

/// A stapler for the HAProxys of the configuration, with these observers besides the log and the hook. To be called inside a tokio runtime.
pub(crate) fn stapler(
    configuration: &Configuration,
    haproxys: &mut Haproxys,
    automation: &Automation,
    metrics: Option<&Metrics>,
    responder: Option<&Responder>,
    further: impl IntoIterator<Item = Arc<dyn Observer>>,
) -> Result<Stapler, WiringError> {
    let settings = &configuration.settings;
    let fetcher = configuration.network.shared_fetcher(configuration.judging)?;
    let mut builder = match metrics {
        Some(metrics) => Stapler::builder().fetcher(metrics.timed(fetcher)).observer(metrics.clone()),
        None => Stapler::builder().shared_fetcher(fetcher),
    };
    builder = builder
        .responder_overrides(configuration.network.overrides.clone())
        .refresh_policy(configuration.refresh)
        .judge_policy(configuration.judging)
        .rescan_interval(settings.get(&option::REFRESH_INTERVAL))
        .recycle(!settings.get(&option::NO_RECYCLE))
        .fetch_issuers(!settings.get(&option::NO_FETCH_ISSUERS))
        .concurrent_renewals(settings.get(&option::RENEWAL_THREADS))
        .per_responder(settings.get(&option::CONCURRENT_PER_RESPONDER))
        .nonce(settings.get(&option::NONCE));
    for observer in automation.observers().into_iter().chain(further) {
        builder = builder.shared_observer(observer);
    }
    if let Some(rate) = settings.get(&option::RESPONDER_RATE) {
        builder = builder.responder_rate(rate);
    }
    if let Some(hash) = settings.get(&option::HASH) {
        builder = builder.cert_id_hash(hash);
    }
    if let Some(store) = issuer_store(configuration)? {
        builder = builder.issuer_store(store);
    }
    if let Some(responder) = responder {
        builder = builder.sink(responder.clone());
        if configuration.haproxys.is_empty() {
            builder = builder.source(MemorySource::new());
        }
    }
    // Files first: what is not delivered to a server is there for its next start.
    let servers = configuration.servers.iter().map(|server| Some(server.sink()));
    let sinks = std::iter::once(configuration.staple_files.sink()).chain(servers);
    for (number, sink) in sinks.enumerate().filter_map(|(number, sink)| Some((number, sink?))) {
        builder = builder.shared_sink(automation.telling(number, sink));
    }
    let stapler = builder.groups(haproxys.groups()).build()?;
    if let Some(responder) = responder {
        responder.allow(configuration.serving.iter().flat_map(|serving| serving.issuers.clone()));
        responder.watch(stapler.handle());
    }
    Ok(stapler)
}

/// Where fetched issuers are kept: the directory that was named, or the usual one, where this user may have it.
fn issuer_store(configuration: &Configuration) -> Result<Option<IssuerDirectory>, ConfigurationError> {
    let (settings, directory) = (&configuration.settings, issuer_directory(configuration));
    if settings.get(&option::NO_FETCH_ISSUERS) {
        return Ok(None);
    }
    match IssuerDirectory::open(&directory) {
        Ok(store) => Ok(Some(store)),
        Err(error) if settings.has(&option::ISSUER_DIR) => {
            Err(settings.unusable(&option::ISSUER_DIR, format!("{}: {error}", directory.display())))
        }
        Err(error) => {
            tracing::debug!("issuers that are fetched are not kept: {}: {error}", directory.display());
            Ok(None)
        }
    }
}

/// Where fetched issuers are kept, if it can be had.
pub(crate) fn issuer_directory(configuration: &Configuration) -> PathBuf {
    // systemd tells the state directory of a unit.
    let state = || std::env::var_os("STATE_DIRECTORY").map_or_else(|| PathBuf::from(STATE_DIRECTORY), PathBuf::from);
    configuration.settings.get(&option::ISSUER_DIR).unwrap_or_else(|| state().join("issuers"))
}
