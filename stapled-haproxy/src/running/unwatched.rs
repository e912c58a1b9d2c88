//! A running HAProxy as a source of what it serves beside the files that path sources give.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::select_all;
use stapled_core::clock::{Clock, SystemClock};
use stapled_core::overrides::ResponderOverrides;
use stapled_core::report::{Reporter, Reporters};
use stapled_core::source::{CertSource, Scan, Sighting, SourceError, SourceProblem};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::codes;
use crate::instance::lock::lock;
use crate::reports;
use crate::running::beside::{Beside, Missed, Read};
use crate::running::source::HaproxySource;

/// How long a scan waits for the first scans of the path sources. After that, it does without them.
const FIRST_SCANS: Duration = Duration::from_secs(30);

/// The sightings of the last scan of a path source; `None` before its first one.
type Given = Option<Arc<Scan>>;

/// A path source whose scans are remembered for [`Unwatched`].
pub(crate) struct Remembered<S> {
    source: S,
    given: watch::Sender<Given>,
}

/// A path that is watched for the same process: its root, and what its source gave last.
#[derive(Clone)]
pub(crate) struct Watched {
    root: Option<PathBuf>,
    given: watch::Receiver<Given>,
}

/// A running HAProxy as a source of what it serves beside the watched paths.
///
/// HAProxy loads every file of a directory but for a few extensions, whatever the file names of the path sources are. A
/// certificate in a file below a root of these is given. One that lies elsewhere, needs a staple, and is in no watched file
/// either, is a problem of the scan ([`NOT_IN_PATHS`](codes::NOT_IN_PATHS)).
pub(crate) struct Unwatched {
    process: HaproxySource,
    watched: Vec<Watched>,
    reporters: Reporters,
    memory: Arc<Mutex<Memory>>,
}

/// The memory between scans.
#[derive(Default)]
struct Memory {
    read: Read,
    /// The sightings of each path at the last scan.
    given: Vec<Given>,
    last: Scan,
    /// The certificates that lie elsewhere, by name and serial number, and since when.
    missed: HashMap<(String, String), Instant>,
    /// When the first of those that the last scan left out, because they were young, is old.
    old_at: Option<Instant>,
}

impl<S: CertSource> Remembered<S> {
    pub(crate) fn new(source: S) -> Self {
        Remembered { source, given: watch::Sender::default() }
    }

    /// This path for the processes that its staples go to.
    pub(crate) fn watched(&self) -> Watched {
        Watched { root: self.source.root(), given: self.given.subscribe() }
    }
}

#[async_trait]
impl<S: CertSource> CertSource for Remembered<S> {
    async fn scan(&self) -> Result<Scan, SourceError> {
        self.remember(self.source.scan().await)
    }

    async fn scan_and_tell(&self, found: Arc<dyn Fn(Vec<Sighting>) + Send + Sync>) -> Result<Scan, SourceError> {
        self.remember(self.source.scan_and_tell(found).await)
    }

    async fn changed(&self) {
        self.source.changed().await;
    }

    fn report_to(&self, reporter: Reporter) {
        self.source.report_to(reporter);
    }

    fn name(&self) -> String {
        self.source.name()
    }

    fn root(&self) -> Option<PathBuf> {
        self.source.root()
    }
}

impl<S: CertSource> Remembered<S> {
    fn remember(&self, scan: Result<Scan, SourceError>) -> Result<Scan, SourceError> {
        let found = match &scan {
            Ok(scan) => scan.clone(),
            // A source that cannot be scanned still has what it gave before.
            Err(error) => {
                let before = self.given.borrow().as_ref().map(|known| known.sightings.clone()).unwrap_or_default();
                Scan::of(before).problems([SourceProblem::below(self.source.name(), error.clone())])
            }
        };
        self.given.send_if_modified(|known| {
            let is_new = known.as_ref().is_none_or(|known| !is_same(known, &found));
            if is_new {
                *known = Some(Arc::new(found));
            }
            is_new
        });
        scan
    }
}

fn is_same(one: &Scan, other: &Scan) -> bool {
    let is_same = |(one, other): (&Sighting, &Sighting)| one.name == other.name && one.version == other.version;
    let hidden = |scan: &Scan| {
        let problems = scan.problems.iter().filter(|problem| problem.hides_below);
        problems.map(|problem| problem.place.clone()).collect::<Vec<_>>()
    };
    let (ours, theirs) = (&one.sightings, &other.sightings);
    ours.len() == theirs.len() && ours.iter().zip(theirs).all(is_same) && hidden(one) == hidden(other)
}

impl Unwatched {
    pub(crate) fn new(process: HaproxySource, watched: Vec<Watched>, overrides: ResponderOverrides) -> Self {
        let memory = Memory { read: Read::with(overrides), ..Memory::default() };
        Unwatched { process, watched, reporters: Reporters::new(), memory: Arc::new(Mutex::new(memory)) }
    }

    /// The last sightings of each path. Waits up to 30 seconds for first scans.
    async fn given(&self) -> Vec<Given> {
        let deadline = Instant::now() + FIRST_SCANS;
        let mut all = Vec::new();
        for Watched { given, .. } in &self.watched {
            let mut given = given.clone();
            // The path's source may be gone: then its last scan counts.
            let scanned = tokio::time::timeout_at(deadline, given.wait_for(Option::is_some)).await;
            all.push(scanned.ok().and_then(Result::ok).and_then(|given| given.clone()));
        }
        all
    }
}

#[async_trait]
impl CertSource for Unwatched {
    async fn scan(&self) -> Result<Scan, SourceError> {
        let served = match self.process.scan().await {
            Ok(served) => served,
            // The sink reports that HAProxy does not answer.
            Err(error) => {
                self.reporters.tell(reports::not_compared(&error));
                return Ok(lock(&self.memory).last.clone());
            }
        };
        let given = self.given().await;
        let (memory, used) = (Arc::clone(&self.memory), given.clone());
        let roots: Vec<Option<PathBuf>> = self.watched.iter().map(|watched| watched.root.clone()).collect();
        let address = self.process.name();
        let grace = self.process.grace_of_differences();
        let split = move || {
            let is_whole = used.iter().all(Option::is_some);
            let given: Vec<&Scan> = used.iter().flatten().map(AsRef::as_ref).collect();
            let roots: Vec<&Path> = roots.iter().flatten().map(PathBuf::as_path).collect();
            let mut memory = lock(&memory);
            // The times in certificates are those of the machine's clock, even if the stapler uses another one.
            let Beside { mut scan, missed } = Beside::of(served, &roots, &given, &mut memory.read, SystemClock.now());
            let missed = memory.old_ones(missed, Instant::now(), grace);
            // A path that was not scanned may hold them.
            let missed = missed.into_iter().filter(|_| is_whole);
            scan.problems.extend(missed.map(|missed| missed.problem(&address)));
            memory.last.clone_from(&scan);
            scan
        };
        let ended_early = |error| SourceError::new(codes::SCAN_FAILED, format!("the scan ended early: {error}"));
        let scan = tokio::task::spawn_blocking(split).await.map_err(ended_early)?;
        lock(&self.memory).given = given;
        Ok(scan)
    }

    async fn changed(&self) {
        let used = lock(&self.memory).given.clone();
        let news = self.watched.iter().enumerate().map(|(number, watched)| {
            let mut given = watched.given.clone();
            let used = used.get(number).cloned().flatten();
            Box::pin(async move {
                let is_new = |now: &Given| match (now, &used) {
                    (Some(now), Some(used)) => !Arc::ptr_eq(now, used),
                    (now, used) => now.is_some() != used.is_some(),
                };
                if given.wait_for(is_new).await.is_err() {
                    std::future::pending::<()>().await;
                }
            })
        });
        let news: Vec<_> = news.collect();
        let old_at = lock(&self.memory).old_at;
        tokio::select! {
            () = self.process.changed() => {}
            _ = select_all(news) => {}
            () = tokio::time::sleep_until(old_at.unwrap_or_else(Instant::now)), if old_at.is_some() => {}
        }
    }

    fn report_to(&self, reporter: Reporter) {
        self.process.report_to(reporter.clone());
        self.reporters.add(reporter);
    }

    fn name(&self) -> String {
        self.process.name()
    }
}

impl Memory {
    /// Those that have been missed for the grace that a reload has: a renewed certificate may lie in a path already.
    fn old_ones(&mut self, missed: Vec<Missed>, now: Instant, grace: Duration) -> Vec<Missed> {
        let key = |missed: &Missed| (missed.name.to_string(), missed.serial.clone());
        let keys: HashSet<(String, String)> = missed.iter().map(key).collect();
        self.missed.retain(|key, _| keys.contains(key));
        for key in keys {
            self.missed.entry(key).or_insert(now);
        }
        let old_at = |since: &Instant| *since + grace;
        self.old_at = self.missed.values().map(old_at).filter(|at| *at > now).min();
        let is_old = |missed: &Missed| self.missed.get(&key(missed)).is_none_or(|since| old_at(since) <= now);
        missed.into_iter().filter(is_old).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missed_is_told_after_the_time_of_a_reload() {
        let mut memory = Memory::default();
        let missed = || vec![Missed { name: "a".into(), serial: "01".to_owned() }];
        let (now, grace) = (Instant::now(), Duration::from_secs(10));
        assert_eq!(memory.old_ones(missed(), now, grace), []);
        assert_eq!(memory.old_at, Some(now + grace));
        assert_eq!(memory.old_ones(missed(), now + grace, grace), missed());
        assert_eq!(memory.old_at, None);
        assert_eq!(memory.old_ones(Vec::new(), now + grace, grace), []);
        assert_eq!(memory.old_ones(missed(), now + 2 * grace, grace), [], "it is a new one");
        assert_eq!(Memory::default().old_ones(missed(), now, Duration::ZERO), missed());
    }
}
