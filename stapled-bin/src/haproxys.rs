//! The HAProxys that the configuration names, opened.

use stapled_core::io::directory::{DirectorySource, IgnoreError};
use stapled_haproxy::configuration::ConfigurationError;
use stapled_haproxy::{Haproxy, HaproxyBuilder, Haproxys, NamedSockets, Processes};

use crate::configuration::{self, Configuration};

/// Why a HAProxy cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HaproxyError {
    #[error(transparent)]
    Ignore(#[from] IgnoreError),
    #[error("{named_at}: {error}")]
    Configuration { named_at: String, error: ConfigurationError },
}

/// Opens all of them: those of paths, those of configurations, and those that are known by their sockets alone.
pub(crate) fn open(configuration: &Configuration, processes: &Processes) -> Result<Haproxys, HaproxyError> {
    let builder = || builder(configuration, processes);
    // Only a configuration of HAProxy is read.
    let failed = |named_at: &str| {
        let named_at = named_at.to_owned();
        move |error| HaproxyError::Configuration { named_at, error }
    };
    let of_path = |group: &configuration::Group| {
        let haproxy = builder().certificates(directory(configuration, group)?).sockets(group.sockets.clone());
        haproxy.open().map_err(failed("cert-paths"))
    };
    let of_configuration = |haproxy: &configuration::Haproxy| {
        let named_sockets = if haproxy.own_sockets { NamedSockets::Used } else { NamedSockets::Ignored };
        let surroundings = configuration.surroundings.clone();
        let builder = builder().configuration(&haproxy.paths).surroundings(surroundings).named_sockets(named_sockets);
        builder.sockets(haproxy.sockets.clone()).open().map_err(failed(&haproxy.named_at))
    };
    let of_socket = |address: &stapled_haproxy::Address| {
        builder().socket(address.clone()).open().map_err(failed("haproxy-sockets"))
    };
    let paths = configuration.groups.iter().map(of_path);
    let configurations = configuration.haproxys.iter().map(of_configuration);
    paths.chain(configurations).chain(configuration.running.iter().map(of_socket)).collect()
}

fn builder(configuration: &Configuration, processes: &Processes) -> HaproxyBuilder {
    let builder = Haproxy::builder()
        .processes(processes)
        .transactions(configuration.transactions)
        .judge_policy(configuration.judging);
    match configuration.keepalive {
        Some(keepalive) => builder.keepalive(keepalive),
        None => builder,
    }
}

/// The certificates of a path.
fn directory(configuration: &Configuration, group: &configuration::Group) -> Result<DirectorySource, IgnoreError> {
    let search = &configuration.search;
    let source = DirectorySource::new(&group.path).recursive(search.recursive);
    let source = if search.extensions.is_empty() { source } else { source.extensions(&search.extensions) };
    source.ignore(&search.ignore)
}

/// What was found in the configurations of HAProxy, and every warning about them.
pub(crate) fn notes(haproxys: &Haproxys) -> Vec<String> {
    let notes = |haproxy: &Haproxy| {
        let configuration = haproxy.configuration()?;
        let paths: Vec<_> = haproxy.configuration_paths().iter().map(|path| path.display().to_string()).collect();
        let sockets: Vec<_> = configuration.sockets.iter().map(|socket| socket.address.to_string()).collect();
        let found = format!(
            "{}: {} certificates, admin sockets: {}",
            paths.join(","),
            configuration.certificates.len(),
            if sockets.is_empty() { "none".to_owned() } else { sockets.join(", ") }
        );
        Some(std::iter::once(found).chain(configuration.warnings.iter().map(ToString::to_string)).collect::<Vec<_>>())
    };
    haproxys.iter().filter_map(notes).flatten().collect()
}
