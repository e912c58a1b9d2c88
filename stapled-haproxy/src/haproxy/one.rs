//! One HAProxy.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use stapled_core::source::{CertSource, SourceError};
use stapled_core::stapler::Group;

use super::grouping::{self, Certificates, Options, Wanted};
use super::named_sockets::{NamedSockets, SocketHistory};
use super::processes::Processes;
use crate::cli::address::Address;
use crate::codes;
use crate::configuration::{Configuration, HaproxyConfiguration};
use crate::running::difference::Difference;
use crate::running::ignored::Ignored;
use crate::running::source::HaproxySource;
use crate::sink::haproxy_sink::HaproxySink;

/// How long one HAProxy may take to list everything that it has loaded.
pub(super) const LISTING: Duration = Duration::from_secs(120);

/// One HAProxy, known by its configuration, by its admin sockets, or by both.
///
/// ```no_run
/// use stapled_core::stapler::Stapler;
/// use stapled_haproxy::Haproxy;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let mut haproxy = Haproxy::with_configuration(["/etc/haproxy/haproxy.cfg"])?;
/// let stapler = Stapler::builder().groups(haproxy.groups()).build()?;
/// stapler.run(std::future::pending()).await;
/// # Ok(())
/// # }
/// ```
pub struct Haproxy {
    origin: Origin,
    /// The sockets that were given.
    given: Vec<Address>,
    processes: Processes,
    options: Options,
}

/// Where the certificates come from.
pub(super) enum Origin {
    Configuration(Box<Configured>),
    Elsewhere(Arc<dyn CertSource>),
    Process,
}

/// A configuration that was read at least once.
pub(super) struct Configured {
    source: HaproxyConfiguration,
    paths: Vec<PathBuf>,
    sockets: SocketHistory,
}

/// The differences between a configuration and the process behind one admin socket.
#[derive(Debug)]
#[non_exhaustive]
pub struct Compared {
    /// The admin socket that was asked.
    pub socket: Address,
    /// What the running process has otherwise than the configuration says.
    ///
    /// # Errors
    ///
    /// The process does not answer, or not in time.
    pub differences: Result<Vec<Difference>, SourceError>,
}

impl Origin {
    pub(super) fn configuration(source: HaproxyConfiguration, paths: Vec<PathBuf>, use_of: NamedSockets) -> Self {
        let sockets = SocketHistory::of(&source, use_of);
        Origin::Configuration(Box::new(Configured { source, paths, sockets }))
    }
}

impl Haproxy {
    pub(super) fn new(origin: Origin, given: Vec<Address>, processes: Processes, options: Options) -> Self {
        Haproxy { origin, given, processes, options }
    }

    /// What its configuration says, as it was read last; `None` where no configuration was given.
    pub fn configuration(&self) -> Option<Configuration> {
        self.configured().map(|configured| configured.source.latest())
    }

    /// The files and directories of the configuration that was given.
    pub fn configuration_paths(&self) -> &[PathBuf] {
        self.configured().map(|configured| configured.paths.as_slice()).unwrap_or_default()
    }

    /// What was found in its configuration, and every warning about it, each on a line. Empty where no configuration was
    /// given.
    pub fn notes(&self) -> Vec<String> {
        let Some(mut configuration) = self.configuration() else { return Vec::new() };
        self.options.ignored.remove_from_configuration(&mut configuration);
        let paths: Vec<_> = self.configuration_paths().iter().map(|path| path.display().to_string()).collect();
        let sockets: Vec<_> = configuration.sockets.iter().map(|socket| socket.address.to_string()).collect();
        let found = format!(
            "{}: {} certificates, admin sockets: {}",
            paths.join(","),
            configuration.certificates.len(),
            if sockets.is_empty() { "none".to_owned() } else { sockets.join(", ") }
        );
        std::iter::once(found).chain(configuration.warnings.iter().map(ToString::to_string)).collect()
    }

    /// The admin sockets that staples go to now: those that were given, those that the configuration names, and those
    /// that it named before as long as HAProxy listens there.
    pub fn sockets(&mut self) -> Vec<Address> {
        self.wanted().sockets
    }

    /// The sources of its certificates: the configuration and what each running process serves beyond it; or the source
    /// that was given; or each running process.
    pub fn sources(&mut self) -> Vec<Arc<dyn CertSource>> {
        grouping::parts(&[self.wanted()]).into_iter().map(|part| part.source).collect()
    }

    /// The sinks for its staples, one for each admin socket. To be called inside a tokio runtime.
    pub fn sinks(&mut self) -> Vec<Arc<HaproxySink>> {
        grouping::sinks(&grouping::parts(&[self.wanted()]))
    }

    /// Sources and sinks, joined as a stapler needs them: what one process serves beyond the configuration goes to that
    /// process alone. To be called inside a tokio runtime.
    pub fn groups(&mut self) -> Vec<Group> {
        grouping::groups(grouping::parts(&[self.wanted()]))
    }

    /// Returns when it has other admin sockets than [`groups`](Haproxy::groups) used: a stapler with new groups is
    /// needed then. It never returns where the sockets of a configuration are not used.
    pub async fn sockets_changed(&mut self) {
        match self.configured_mut() {
            Some(configured) => configured.sockets.changed().await,
            None => std::future::pending().await,
        }
    }

    /// What each running process has otherwise than the configuration says. Empty where no configuration was given.
    pub async fn differences(&mut self) -> Vec<Compared> {
        let wanted = self.wanted();
        let Certificates::Configuration(configuration, _) = &wanted.certificates else { return Vec::new() };
        let compare = async |socket: &Address| Compared {
            socket: socket.clone(),
            differences: differences(configuration, &wanted.process(socket), &wanted.options.ignored).await,
        };
        join_all(wanted.sockets.iter().map(compare)).await
    }

    /// What is stapled of it now.
    pub(crate) fn wanted(&mut self) -> Wanted {
        self.look();
        let named = self.named().to_vec();
        self.forget_former(&named);
        self.wanted_as_looked()
    }

    /// Takes the sockets that its configuration names now.
    pub(super) fn look(&mut self) {
        if let Some(configured) = self.configured_mut() {
            configured.sockets.look();
        }
    }

    /// The sockets that its configuration named at the last look.
    pub(super) fn named(&self) -> &[Address] {
        self.configured().map(|configured| configured.sockets.named()).unwrap_or_default()
    }

    pub(super) fn forget_former(&mut self, named: &[Address]) {
        if let Some(configured) = self.configured_mut() {
            configured.sockets.forget_former(named);
        }
    }

    /// What is stapled of it, with the sockets of the last look.
    pub(super) fn wanted_as_looked(&self) -> Wanted {
        let mut sockets = self.given.clone();
        let certificates = match &self.origin {
            Origin::Configuration(configured) => {
                for address in configured.sockets.all() {
                    if !sockets.contains(address) {
                        sockets.push(address.clone());
                    }
                }
                Certificates::Configuration(configured.source.clone(), configured.sockets.use_of())
            }
            Origin::Elsewhere(source) => Certificates::Elsewhere(Arc::clone(source)),
            Origin::Process => Certificates::Process,
        };
        Wanted { certificates, sockets, processes: self.processes.clone(), options: self.options.clone() }
    }

    /// Continues the history of the same HAProxy's sockets; `false` where `before` is another HAProxy.
    pub(super) fn succeed(&mut self, before: &Haproxy) {
        if let (Some(configured), Some(before)) = (self.configured_mut(), before.configured())
            && configured.paths == before.paths
        {
            configured.sockets.succeed(&before.sockets);
        }
    }

    fn configured(&self) -> Option<&Configured> {
        match &self.origin {
            Origin::Configuration(configured) => Some(configured),
            _ => None,
        }
    }

    fn configured_mut(&mut self) -> Option<&mut Configured> {
        match &mut self.origin {
            Origin::Configuration(configured) => Some(configured),
            _ => None,
        }
    }
}

/// What a running process has otherwise than a configuration says.
pub(super) async fn differences(
    configuration: &HaproxyConfiguration,
    process: &HaproxySource,
    ignored: &Ignored,
) -> Result<Vec<Difference>, SourceError> {
    let mut running = tokio::time::timeout(LISTING, process.snapshot_without_files()).await.unwrap_or_else(|_| {
        let what = format!("{} did not list everything within {} s", process.name(), LISTING.as_secs());
        Err(SourceError::new(codes::REPLY_TIMEOUT, what))
    })?;
    let mut latest = configuration.latest();
    ignored.remove_from_process(&mut running, Some(&latest));
    ignored.remove_from_configuration(&mut latest);
    Ok(latest.differences(&running))
}
