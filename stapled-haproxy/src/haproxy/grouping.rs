//! Which source's staples go to which admin sockets.

use std::sync::Arc;
use std::time::Duration;

use stapled_core::overrides::ResponderOverrides;
use stapled_core::sink::StapleSink;
use stapled_core::source::CertSource;
use stapled_core::staple::JudgePolicy;
use stapled_core::stapler::Group;

use super::named_sockets::NamedSockets;
use super::processes::Processes;
use crate::cli::address::Address;
use crate::cli::transactions::Transactions;
use crate::configuration::HaproxyConfiguration;
use crate::running::ignored::{Ignored, WithoutIgnored};
use crate::running::served_paths::ServedPaths;
use crate::running::source::HaproxySource;
use crate::running::unwatched::{Remembered, Unwatched, Watched};
use crate::sink::haproxy_sink::HaproxySink;

/// Where the certificates of one HAProxy come from.
#[derive(Clone)]
pub(crate) enum Certificates {
    /// From its configuration; the running process adds what it serves beyond that.
    Configuration(HaproxyConfiguration, NamedSockets),
    /// From another source, such as a directory.
    Elsewhere(Arc<dyn CertSource>),
    /// From the running process alone.
    Process,
}

/// How sinks and sources of one HAProxy are adjusted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// How long an idle connection is kept; `None`: the default of sinks and sources.
    pub(super) keepalive: Option<Duration>,
    pub(crate) transactions: Transactions,
    pub(super) judge_policy: JudgePolicy,
    /// The files whose certificates are left out.
    pub(crate) ignored: Ignored,
    /// The certificates that are turned off.
    pub(crate) overrides: ResponderOverrides,
}

/// What is stapled of one HAProxy, and its sockets at this time.
#[derive(Clone)]
pub(crate) struct Wanted {
    pub(crate) certificates: Certificates,
    pub(crate) sockets: Vec<Address>,
    pub(super) processes: Processes,
    pub(crate) options: Options,
}

/// A source, and the sockets that its staples go to.
pub(super) struct Part {
    pub(super) source: Arc<dyn CertSource>,
    pub(super) sockets: Vec<(Address, Options)>,
}

impl Wanted {
    /// The running process behind one of its sockets.
    pub(crate) fn process(&self, address: &Address) -> HaproxySource {
        self.processes.at(address, self.options.keepalive)
    }

    /// The source for certificates that come from elsewhere, with the paths where these processes look for staples and
    /// issuers.
    pub(crate) fn served_paths(&self, source: &Arc<dyn CertSource>) -> ServedPaths<Arc<dyn CertSource>> {
        ServedPaths::new(Arc::clone(source), self.sockets.iter().map(|address| self.process(address)))
    }

    fn part(&self, source: Arc<dyn CertSource>, sockets: &[Address]) -> Part {
        Part { source, sockets: sockets.iter().map(|address| (address.clone(), self.options.clone())).collect() }
    }

    /// A source without what this HAProxy's settings ignore.
    fn without_ignored(&self, source: impl CertSource + 'static) -> Arc<dyn CertSource> {
        Arc::new(WithoutIgnored::new(source, self.options.ignored.clone()))
    }
}

/// The running processes of configurations, each as a source of what it serves beyond all of them: a process is right
/// about what it serves.
pub(crate) fn beyond(all: &[Wanted]) -> Vec<(Address, HaproxySource, Options)> {
    let mut beyond: Vec<(Address, HaproxySource, Options)> = Vec::new();
    for wanted in all {
        let Certificates::Configuration(configuration, _) = &wanted.certificates else { continue };
        for address in &wanted.sockets {
            let known = beyond.iter().position(|(known, ..)| known == address).map(|at| beyond.swap_remove(at));
            let (source, ignored) = match known {
                Some((_, source, others)) => (source, others.ignored.and(&wanted.options.ignored)),
                None => (wanted.process(address), wanted.options.ignored.clone()),
            };
            let options = Options { ignored, ..wanted.options.clone() };
            beyond.push((address.clone(), source.beyond(configuration.clone()), options));
        }
    }
    beyond
}

/// All sources with their sockets: certificates from elsewhere, what processes serve beyond their configurations,
/// configurations, and processes that are known by their sockets alone.
pub(super) fn parts(all: &[Wanted]) -> Vec<Part> {
    let mut watched: Vec<(&Wanted, Watched)> = Vec::new();
    let elsewhere: Vec<Part> = all
        .iter()
        .filter_map(|wanted| {
            let Certificates::Elsewhere(source) = &wanted.certificates else { return None };
            let source = Remembered::new(wanted.served_paths(source));
            watched.push((wanted, source.watched()));
            Some(wanted.part(Arc::new(source), &wanted.sockets))
        })
        .collect();
    let unwatched = of_paths(all).into_iter().map(|OfPaths { address, source, options, users }| {
        let is_user = |wanted: &Wanted| users.iter().any(|user| std::ptr::eq(*user, wanted));
        let watched = watched.iter().filter(|(wanted, _)| is_user(wanted)).map(|(_, watched)| watched.clone());
        let source = Unwatched::new(source, watched.collect(), options.overrides.clone());
        let source = Arc::new(WithoutIgnored::new(source, options.ignored.clone()));
        Part { source, sockets: vec![(address, options)] }
    });
    let unwatched: Vec<Part> = unwatched.collect();
    let beyond = beyond(all).into_iter().map(|(address, source, options)| {
        let source = Arc::new(WithoutIgnored::new(source, options.ignored.clone()));
        Part { source, sockets: vec![(address, options)] }
    });
    let configured = all.iter().filter_map(|wanted| match &wanted.certificates {
        Certificates::Configuration(source, _) => {
            Some(wanted.part(wanted.without_ignored(source.clone()), &wanted.sockets))
        }
        _ => None,
    });
    let processes = all.iter().filter(|wanted| matches!(wanted.certificates, Certificates::Process));
    let processes = processes.flat_map(|wanted| {
        let of = |address: &Address| {
            let source = wanted.without_ignored(wanted.process(address));
            wanted.part(source, std::slice::from_ref(address))
        };
        wanted.sockets.iter().map(of)
    });
    elsewhere.into_iter().chain(unwatched).chain(beyond).chain(configured).chain(processes).collect()
}

/// A process that is known by paths alone: no other source tells what it serves beside these.
pub(crate) struct OfPaths<'a> {
    pub(crate) address: Address,
    source: HaproxySource,
    options: Options,
    users: Vec<&'a Wanted>,
}

/// The processes that are known by paths alone.
pub(crate) fn of_paths(all: &[Wanted]) -> Vec<OfPaths<'_>> {
    let mut found: Vec<OfPaths<'_>> = Vec::new();
    for wanted in all {
        for address in &wanted.sockets {
            match found.iter_mut().find(|known| known.address == *address) {
                Some(known) => {
                    let ignored = std::mem::take(&mut known.options.ignored);
                    known.options.ignored = ignored.and(&wanted.options.ignored);
                    known.users.push(wanted);
                }
                None => found.push(OfPaths {
                    address: address.clone(),
                    source: wanted.process(address),
                    options: wanted.options.clone(),
                    users: vec![wanted],
                }),
            }
        }
    }
    found.retain(|of| of.users.iter().all(|user| matches!(user.certificates, Certificates::Elsewhere(_))));
    found
}

/// One sink for each socket, whichever sources it serves.
pub(super) fn sinks<'a>(parts: impl IntoIterator<Item = &'a Part>) -> Vec<Arc<HaproxySink>> {
    let mut sinks: Vec<Arc<HaproxySink>> = Vec::new();
    for (address, options) in parts.into_iter().flat_map(|part| &part.sockets) {
        if sinks.iter().all(|sink| sink.address() != address) {
            sinks.push(Arc::new(sink(address, options)));
        }
    }
    sinks
}

/// The parts as groups of a stapler.
pub(super) fn groups(parts: Vec<Part>) -> Vec<Group> {
    let sinks = sinks(&parts);
    let group = |part: Part| {
        let of = |address: &Address| sinks.iter().find(|sink| sink.address() == address).map(Arc::clone);
        let sinks = part.sockets.iter().filter_map(|(address, _)| of(address));
        sinks
            .fold(Group::new().shared_source(part.source), |group, sink| group.shared_sink(sink as Arc<dyn StapleSink>))
    };
    parts.into_iter().map(group).collect()
}

fn sink(address: &Address, options: &Options) -> HaproxySink {
    let builder =
        HaproxySink::builder(address.clone()).transactions(options.transactions).judge_policy(options.judge_policy);
    match options.keepalive {
        Some(keepalive) => builder.keepalive(keepalive).build(),
        None => builder.build(),
    }
}
