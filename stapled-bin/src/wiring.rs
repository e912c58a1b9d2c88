//! The configuration made into a stapler.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use stapled_core::event::Observer;
use stapled_core::hook::automation::Automation;
use stapled_core::io::http::HttpFetcherError;
use stapled_core::io::issuers::IssuerDirectory;
use stapled_core::io::memory_source::MemorySource;
use stapled_core::metrics::Metrics;
use stapled_core::responder::Responder;
use stapled_core::stapler::{BuildError, Stapler};
use stapled_haproxy::{Haproxy, Haproxys, NamedSockets, Processes};

use crate::configuration::{self, Certificates, Configuration, search};
use crate::fault::ConfigurationError;
use crate::options::declarations as option;

/// What outlives this program, where nothing else is said.
const STATE_DIRECTORY: &str = "/var/lib/stapled";

/// Why there is no stapler, with a configuration that was checked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WiringError {
    #[error(transparent)]
    Http(#[from] HttpFetcherError),
    #[error("--issuer-dir {directory}: {error}")]
    IssuerDirectory { directory: String, error: std::io::Error },
    #[error(transparent)]
    Haproxy(#[from] HaproxyError),
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// Why a HAProxy cannot be opened: its configuration cannot be read, or a setting is unusable.
pub(crate) type HaproxyError = ConfigurationError;

/// Opens the HAProxys of the configuration: those of paths, those of configurations, and those that are known by their
/// sockets alone.
pub(crate) fn haproxys(configuration: &Configuration, processes: &Processes) -> Result<Haproxys, HaproxyError> {
    let settings = &configuration.settings;
    let named_sockets = match settings.get(&option::NO_HAPROXY_SOCKETS) {
        true => NamedSockets::Ignored,
        false => NamedSockets::Used,
    };
    let open = |haproxy: &configuration::Haproxy| {
        let builder = Haproxy::builder()
            .processes(processes)
            .transactions(settings.get(&option::HAPROXY_TRANSACTIONS).unwrap_or_default())
            .judge_policy(configuration.judging)
            .keepalive(settings.get(&option::HAPROXY_SOCKET_KEEPALIVE))
            .surroundings(configuration.surroundings.clone())
            .named_sockets(named_sockets)
            .responder_overrides(configuration.network.overrides.clone())
            .sockets(haproxy.sockets.clone());
        let root = match &haproxy.certificates {
            Certificates::Path(path) => path,
            _ => Path::new("/"),
        };
        let ignoring = search(settings, root)?;
        let builder = builder.ignore(move |file| ignoring.ignores(file));
        let builder = match &haproxy.certificates {
            Certificates::Path(path) => builder.certificates(search(settings, path)?),
            Certificates::Configuration(paths) => builder.configuration(paths),
            Certificates::Loaded => builder,
        };
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
fn issuer_store(configuration: &Configuration) -> Result<Option<IssuerDirectory>, WiringError> {
    if configuration.settings.get(&option::NO_FETCH_ISSUERS) {
        return Ok(None);
    }
    if let Some(directory) = configuration.settings.get(&option::ISSUER_DIR) {
        let failed = |error| WiringError::IssuerDirectory { directory: directory.display().to_string(), error };
        return IssuerDirectory::open(&directory).map(Some).map_err(failed);
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
    configuration.settings.get(&option::ISSUER_DIR).unwrap_or_else(|| state().join("issuers"))
}
