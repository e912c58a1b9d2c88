//! The HAProxys that the configuration names, opened.

use stapled_haproxy::configuration::ConfigurationError as ReadError;
use stapled_haproxy::{Haproxy, Haproxys, NamedSockets, Processes};

use crate::configuration::{Certificates, Configuration, search};
use crate::fault::ConfigurationError;
use crate::options::table as option;

/// Why a HAProxy cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HaproxyError {
    #[error(transparent)]
    Setting(#[from] ConfigurationError),
    #[error("{named_at}: {error}")]
    Configuration { named_at: String, error: ReadError },
}

/// Opens all of them: those of paths, those of configurations, and those that are known by their sockets alone.
pub(crate) fn open(configuration: &Configuration, processes: &Processes) -> Result<Haproxys, HaproxyError> {
    let settings = &configuration.settings;
    let named_sockets = match settings.get(&option::NO_HAPROXY_SOCKETS) {
        true => NamedSockets::Ignored,
        false => NamedSockets::Used,
    };
    let open = |haproxy: &crate::configuration::Haproxy| {
        let builder = Haproxy::builder()
            .processes(processes)
            .transactions(settings.get(&option::HAPROXY_TRANSACTIONS).unwrap_or_default())
            .judge_policy(configuration.judging)
            .keepalive(settings.get(&option::HAPROXY_SOCKET_KEEPALIVE))
            .surroundings(configuration.surroundings.clone())
            .named_sockets(named_sockets)
            .sockets(haproxy.sockets.clone());
        let builder = match &haproxy.certificates {
            Certificates::Path(path) => builder.certificates(search(settings, path)?),
            Certificates::Configuration(paths) => builder.configuration(paths),
            Certificates::Loaded => builder,
        };
        let failed = |error| HaproxyError::Configuration { named_at: haproxy.named_at.clone(), error };
        builder.open().map_err(failed)
    };
    configuration.haproxys.iter().map(open).collect()
}
