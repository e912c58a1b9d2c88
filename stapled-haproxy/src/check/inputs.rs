//! What there is to check: the sources of a stapler, scanned once, and the running HAProxys, asked once.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use stapled_core::clock::{Clock, SystemClock};
use stapled_core::overrides::ResponderOverrides;
use stapled_core::reason::ReasonCode;
use stapled_core::source::{CertSource, Scan, Sighting, SourceError, SourceProblem};

use crate::cli::address::Address;
use crate::cli::transactions::Transactions;
use crate::codes;
use crate::configuration::{Configuration, ZeroWarning};
use crate::haproxy::{Certificates, NamedSockets, Options, Wanted, beyond as beyond_configurations, of_paths};
use crate::running::beside::{Beside, Missed, Read};
use crate::running::ignored::Ignored;
use crate::running::snapshot::ProcessSnapshot;
use crate::running::source::HaproxySource;
use crate::running::unanswered::Unanswered;

/// How many HAProxys are asked at once.
const ASKED_AT_ONCE: usize = 16;
/// How long to wait for the end of a transaction: those of a stapler take moments.
const CHANGE: Duration = Duration::from_secs(1);
/// How long one HAProxy may take to list everything.
const LONGEST_ANSWER: Duration = Duration::from_secs(120);

/// Everything that was gathered.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    pub(super) groups: Vec<Group>,
    pub(super) processes: Vec<Process>,
}

/// A source of certificates, and the HAProxys that the staples go to.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) kind: Kind,
    /// Its name for messages.
    pub(super) name: String,
    /// The HAProxys, by their places in [`Inputs::processes`].
    pub(super) processes: Vec<usize>,
    pub(super) scan: Result<Scan, SourceError>,
}

/// The kind of a source.
#[derive(Debug)]
pub(super) enum Kind {
    /// A configuration of HAProxy.
    Configuration { latest: Box<Configuration>, named_sockets: NamedSockets },
    /// A path.
    Path,
    /// The running HAProxy.
    Process,
}

/// A HAProxy behind a socket.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) address: Address,
    /// Where first staples are brought while it runs.
    pub(super) transactions: Transactions,
    pub(super) snapshot: Result<ProcessSnapshot, SourceError>,
    /// Whether it refused to answer, because the level of the socket is too low.
    pub(super) is_denied: bool,
    /// The certificates that it serves beyond its configurations, or beside the paths.
    pub(super) beyond: Scan,
    /// The certificates that it serves, that need a staple and lie in none of the paths.
    pub(super) missed: Vec<Missed>,
}

/// Scans all sources and asks all HAProxys. Changes nothing.
pub(super) async fn gather(wanted: &[Wanted]) -> Inputs {
    let mut addresses: Vec<(Address, Asked)> = Vec::new();
    let mut numbers = |wanted: &Wanted| -> Vec<usize> {
        let mut number = |address: &Address| match addresses.iter().position(|(known, _)| known == address) {
            Some(number) => {
                if let Some((_, asked)) = addresses.get_mut(number) {
                    asked.options.ignored = std::mem::take(&mut asked.options.ignored).and(&wanted.options.ignored);
                }
                number
            }
            None => {
                let options = wanted.options.clone();
                let asked = Asked { source: wanted.process(address), options };
                addresses.push((address.clone(), asked));
                addresses.len() - 1
            }
        };
        wanted.sockets.iter().map(&mut number).collect()
    };
    let numbered: Vec<Vec<usize>> = wanted.iter().map(&mut numbers).collect();
    let mut beyond: HashMap<Address, HaproxySource> =
        beyond_configurations(wanted).into_iter().map(|(address, source, _)| (address, source)).collect();
    let all = || wanted.iter().zip(&numbered);
    let mut paths = Vec::new();
    let mut scanned = Vec::new();
    for (wanted, processes) in all() {
        if let Certificates::Elsewhere(source) = &wanted.certificates {
            let source = wanted.served_paths(source);
            let scan = in_time(&source).await;
            let found = scan.as_ref().ok().cloned();
            scanned.push(Scanned { root: source.root(), found, processes: processes.clone() });
            paths.push(Group { kind: Kind::Path, name: source.name(), processes: processes.clone(), scan });
        }
    }
    let is_alone = |wanted: &Wanted| matches!(wanted.certificates, Certificates::Process);
    let sources: HashSet<usize> =
        all().filter(|(wanted, _)| is_alone(wanted)).flat_map(|(_, processes)| processes.iter().copied()).collect();

    let scanned = Arc::new(scanned);
    let of_paths: HashSet<Address> = of_paths(wanted).into_iter().map(|of| of.address).collect();
    let asking = addresses.into_iter().enumerate().map(|(number, (address, asked))| {
        let beyond = beyond.remove(&address);
        let is_source = sources.contains(&number);
        let scanned = of_paths.contains(&address).then(|| Arc::clone(&scanned));
        async move {
            let Options { transactions, ignored, overrides, .. } = asked.options;
            match (beyond.filter(|_| !is_source), scanned) {
                (Some(source), _) => {
                    let (snapshot, scan) = ask(&source, IsSource::Yes, &ignored).await;
                    let beyond = scan.and_then(Result::ok).unwrap_or_default();
                    (Process::new(address, transactions, snapshot, beyond), None)
                }
                (None, Some(scanned)) => {
                    let (snapshot, scan) = ask(&asked.source, IsSource::Yes, &ignored).await;
                    let served = scan.and_then(Result::ok).unwrap_or_default();
                    let Beside { scan, missed } = beside(served, scanned, number, overrides).await;
                    let process = Process::new(address, transactions, snapshot, scan);
                    (Process { missed, ..process }, None)
                }
                (None, None) => {
                    let is_source = if is_source { IsSource::Yes } else { IsSource::No };
                    let (snapshot, scan) = ask(&asked.source, is_source, &ignored).await;
                    (Process::new(address, transactions, snapshot, Scan::default()), scan)
                }
            }
        }
    });
    let mut running = Vec::new();
    let mut processes = Vec::new();
    let mut answers = stream::iter(asking).buffered(ASKED_AT_ONCE);
    while let Some((process, scan)) = answers.next().await {
        if let Some(scan) = scan {
            let name = process.address.to_string();
            running.push(Group { kind: Kind::Process, name, processes: vec![processes.len()], scan });
        }
        processes.push(process);
    }
    // Configurations come last, since running processes decide what these leave open.
    let mut groups = Vec::new();
    for (wanted, processes) in all() {
        if let Certificates::Configuration(source, named_sockets) = &wanted.certificates {
            let ignored = &wanted.options.ignored;
            let mut scan = in_time(source).await;
            scan.iter_mut().for_each(|scan| ignored.remove_from_scan(scan));
            let mut latest = Box::new(source.latest());
            ignored.remove_from_configuration(&mut latest);
            let kind = Kind::Configuration { latest, named_sockets: *named_sockets };
            groups.push(Group { kind, name: source.name(), processes: processes.clone(), scan });
        }
    }
    groups.extend(paths.into_iter().chain(running));
    Inputs { groups, processes }
}

/// A HAProxy to be asked.
struct Asked {
    source: HaproxySource,
    options: Options,
}

/// The scan of a path.
struct Scanned {
    root: Option<PathBuf>,
    /// `None`, where the scan failed.
    found: Option<Scan>,
    processes: Vec<usize>,
}

/// What the process with this number serves beside its paths.
async fn beside(served: Scan, scanned: Arc<Vec<Scanned>>, number: usize, overrides: ResponderOverrides) -> Beside {
    let compare = move || {
        let of_process: Vec<&Scanned> = scanned.iter().filter(|path| path.processes.contains(&number)).collect();
        let roots: Vec<&Path> = of_process.iter().filter_map(|path| path.root.as_deref()).collect();
        let given: Vec<&Scan> = of_process.iter().filter_map(|path| path.found.as_ref()).collect();
        let mut beside = Beside::of(served, &roots, &given, &mut Read::with(overrides), SystemClock.now());
        if given.len() < of_process.len() {
            // A path that was not scanned may hold them.
            beside.missed.clear();
        }
        beside
    };
    // Without an answer, nothing is known.
    tokio::task::spawn_blocking(compare).await.unwrap_or_default()
}

/// Scans a source within a limit: a file system that hangs delays only its own source.
async fn in_time(source: &dyn CertSource) -> Result<Scan, SourceError> {
    tokio::time::timeout(LONGEST_ANSWER, source.scan()).await.unwrap_or_else(|_| {
        let within = LONGEST_ANSWER.as_secs();
        let what = format!("{} cannot be looked at within {within} s: does its file system hang?", source.name());
        Err(SourceError::new(codes::SCAN_FAILED, what))
    })
}

/// Whether a running HAProxy is a source of certificates, too.
#[derive(Clone, Copy, PartialEq, Eq)]
enum IsSource {
    Yes,
    No,
}

/// Asks a HAProxy for its loaded certificates and, where it is a source, for their files.
async fn ask(
    source: &HaproxySource,
    is_source: IsSource,
    ignored: &Ignored,
) -> (Result<ProcessSnapshot, Unanswered>, Option<Result<Scan, SourceError>>) {
    let is_source = is_source == IsSource::Yes;
    let in_time = async {
        let mut snapshot = source.observe().await?;
        if let Some(name) = snapshot.transaction.take() {
            tokio::time::sleep(CHANGE).await;
            snapshot.transaction = source.observe_without_files().await?.transaction.filter(|still| *still == name);
        }
        let scan = if is_source { Some(source.scan().await?) } else { None };
        Ok((snapshot, scan))
    };
    let answered = tokio::time::timeout(LONGEST_ANSWER, in_time).await.unwrap_or_else(|_| {
        let what = format!("{} did not tell everything within {} s", source.name(), LONGEST_ANSWER.as_secs());
        Err(SourceError::new(codes::REPLY_TIMEOUT, what).into())
    });
    match answered {
        Ok((mut snapshot, mut scan)) => {
            ignored.remove_from_process(&mut snapshot, None);
            scan.iter_mut().for_each(|scan| ignored.remove_from_scan(scan));
            (Ok(snapshot), scan.map(Ok))
        }
        // The failure is reported once, for the process.
        Err(error) => (Err(error), is_source.then(|| Ok(Scan::default()))),
    }
}

impl Process {
    fn new(
        address: Address,
        transactions: Transactions,
        snapshot: Result<ProcessSnapshot, Unanswered>,
        beyond: Scan,
    ) -> Self {
        let is_denied = snapshot.as_ref().is_err_and(Unanswered::is_denied);
        Process {
            address,
            transactions,
            snapshot: snapshot.map_err(SourceError::from),
            is_denied,
            beyond,
            missed: Vec::new(),
        }
    }

    /// Whether it is the process at this address and has told the level of the socket, by its answer or by a refusal.
    pub(super) fn has_told_level(&self, address: &Address) -> bool {
        let has_told = self.snapshot.as_ref().map_or(self.is_denied, |snapshot| snapshot.level.is_some());
        has_told && self.address == *address
    }

    /// By what it refuses a reload after a warning.
    pub(super) fn refuses_warnings(&self) -> Option<&ZeroWarning> {
        self.snapshot.as_ref().ok()?.zero_warning.as_ref()
    }

    /// Whether a file holds the certificate that it serves under this name, while the configuration names another file.
    pub(super) fn holds(&self, name: &str) -> bool {
        self.beyond.sightings.iter().any(|sighting| *sighting.name == *name)
    }
}

impl Group {
    /// The places that were seen; none, where the scan failed.
    pub(super) fn sightings(&self) -> &[Sighting] {
        self.scan.as_ref().map(|scan| scan.sightings.as_slice()).unwrap_or_default()
    }

    /// The places that could not be scanned.
    pub(super) fn problems(&self) -> &[SourceProblem] {
        self.scan.as_ref().map(|scan| scan.problems.as_slice()).unwrap_or_default()
    }

    /// Why the whole scan failed.
    pub(super) fn failure(&self) -> Option<(ReasonCode, &str)> {
        self.scan.as_ref().err().map(|error| (error.code, error.what.as_str()))
    }

    /// The configuration, where it is one.
    pub(super) fn configuration(&self) -> Option<&Configuration> {
        match &self.kind {
            Kind::Configuration { latest, .. } => Some(latest),
            _ => None,
        }
    }
}
