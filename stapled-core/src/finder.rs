//! The finder: scans one source and schedules *parse* for new and changed places.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::event::{EventKind, Journal};
use crate::inventory::{Inventory, SourceNumber};
use crate::lane;
use crate::queues;
use crate::reason::ReasonCode;
use crate::scheduler::{Scheduler, SchedulerError, Which};
use crate::source::{CertSource, Sighting, SourceError, SourceProblem};
use crate::task::{Cause, Subject};

/// How long a scan may take before it is told that it goes on.
const PATIENCE: Duration = Duration::from_secs(300);
/// A scan takes long. Its certificates keep their known state.
const SCAN_TIMEOUT: ReasonCode = ReasonCode::new("scan_timeout");

/// How many places of a scan are compared with the known ones at once.
const PART: usize = 1000;

/// How a scan that exceeds its patience is treated.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Late {
    /// It is given up: there is only this one pass.
    Ends,
    /// It counts as finished, with this number, and goes on: another one beside it would hang as well.
    GoesOn(u64),
}

/// The finder of one source.
pub(crate) struct Finder {
    pub(crate) source: Arc<dyn CertSource>,
    pub(crate) number: SourceNumber,
    pub(crate) inventory: Arc<Inventory>,
    pub(crate) scheduler: Arc<dyn Scheduler>,
    pub(crate) journal: Journal,
    /// The time between scans without noticed changes.
    pub(crate) interval: Duration,
    pub(crate) rounds: Rounds,
}

/// Requested scans, and which of them are finished. The first scan, which nothing requests, has number 0.
#[derive(Debug)]
pub(crate) struct Rounds {
    asked: watch::Sender<u64>,
    finished: watch::Sender<Option<u64>>,
}

impl Default for Rounds {
    fn default() -> Self {
        Rounds { asked: watch::Sender::new(0), finished: watch::Sender::new(None) }
    }
}

impl Rounds {
    /// Requests a scan that begins after this call; returns its number.
    pub(crate) fn ask(&self) -> u64 {
        let mut number = 0;
        self.asked.send_modify(|asked| {
            *asked += 1;
            number = *asked;
        });
        number
    }

    /// Waits until a scan with this number, or a later one, is finished.
    pub(crate) async fn finished(&self, number: u64) {
        // The sender lives as long as `self`.
        let _ = self.finished.subscribe().wait_for(|finished| *finished >= Some(number)).await;
    }

    /// Whether the first scan is finished.
    pub(crate) fn have_finished(&self) -> bool {
        self.finished.borrow().is_some()
    }

    fn current(&self) -> u64 {
        *self.asked.borrow()
    }

    /// Waits until a scan after this one is requested.
    async fn asked_after(&self, number: u64) {
        let _ = self.asked.subscribe().wait_for(|asked| *asked > number).await;
    }
}

impl Finder {
    /// Scans at once, whenever the source sees a change, and at the regular interval.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        // The first call of `changed` asks for watches, and the next scan sets them up. Without this call that would be the second scan.
        let _ = self.changed().now_or_never();
        loop {
            let round = self.rounds.current();
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.scan(Late::GoesOn(round)) => {}
            }
            self.rounds.finished.send_replace(Some(round));
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.changed() => {}
                () = self.rounds.asked_after(round) => {}
                () = self.pause() => {}
            }
        }
    }

    /// Waits until the source sees a change.
    async fn changed(&self) {
        let what = || format!("{}: waiting for a change panicked", self.source.name());
        if lane::survive(&self.journal, what, self.source.changed()).await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until the wall clock or the steady clock has advanced by the interval. After a suspend, the next scan starts as
    /// soon as the machine wakes. Setting the clock back does not delay the scan.
    async fn pause(&self) {
        let clock = &self.journal.clock;
        let began = clock.now();
        let mut left = self.interval;
        while !left.is_zero() && clock.now().since(began) < self.interval {
            let nap = left.min(clock.longest_sleep());
            tokio::time::sleep(nap).await;
            left -= nap;
        }
    }

    /// Scans once and schedules the tasks that follow.
    pub(crate) async fn scan(&self, late: Late) {
        let panicked = || format!("{}: the scan panicked", self.source.name());
        let scanned = lane::survive(&self.journal, panicked, self.try_scan(late)).await;
        if let Some(Err(error)) = &scanned {
            self.journal.tell(EventKind::Internal { what: format!("{}: {error}", self.source.name()) });
        }
        if !matches!(scanned, Some(Ok(()))) {
            // The inventory may have places whose tasks were not put. Without their versions, the next scan reports them as
            // changed.
            self.inventory.forget_versions(self.number);
        }
        self.end_scan().await;
    }

    /// Has places parsed again whose issuers might have been found by the rest of the scan.
    async fn end_scan(&self) {
        let deferred = self.inventory.end_scan(self.number);
        let tasks = deferred.iter().map(|(location, generation)| queues::parse_task(location, *generation));
        let tasks: Vec<_> = tasks.map(|task| task.cause(Cause::SecondLook)).collect();
        if let Err(error) = queues::put_all(&*self.scheduler, &tasks).await {
            self.journal.tell(EventKind::Internal { what: format!("{}: {error}", self.source.name()) });
            self.inventory.forget_versions(self.number);
        }
    }

    /// Begins with what a scan has found so far. Returns how many places are new.
    async fn begin_with(&self, found: Vec<Sighting>) -> Result<usize, SchedulerError> {
        self.sight(found, &mut HashSet::new()).await
    }

    /// Schedules *parse* for the new and changed places of a scan, and adds all to `present`. In parts, so that the first ones are
    /// parsed before a million of them are compared. Returns how many are new or changed.
    async fn sight(&self, found: Vec<Sighting>, present: &mut HashSet<Subject>) -> Result<usize, SchedulerError> {
        let now = self.journal.clock.now();
        let (mut found, mut count) = (found.into_iter(), 0);
        loop {
            let part: Vec<_> = found.by_ref().take(PART).collect();
            if part.is_empty() {
                return Ok(count);
            }
            let changed = self.inventory.sight(self.number, part, present, now);
            count += changed.len();
            let parses = changed.iter().map(|(location, generation)| queues::parse_task(location, *generation));
            queues::put_all(&*self.scheduler, &parses.collect::<Vec<_>>()).await?;
            tokio::task::yield_now().await;
        }
    }

    async fn try_scan(&self, late: Late) -> Result<(), SchedulerError> {
        let began = Instant::now();
        let source = self.source.name();
        let (sender, mut early) = mpsc::unbounded_channel();
        let mut scan = if self.rounds.have_finished() {
            self.source.scan()
        } else {
            self.inventory.begin_scan(self.number);
            // The receiver is dropped as soon as the scan has returned.
            self.source.scan_and_tell(Arc::new(move |found| drop(sender.send(found))))
        };
        let mut begun = 0;
        let mut patience = pin!(tokio::time::sleep(PATIENCE));
        let mut is_late = false;
        let scanned = loop {
            tokio::select! {
                biased;
                scanned = &mut scan => break scanned,
                Some(found) = early.recv() => begun += self.begin_with(found).await?,
                () = &mut patience, if !is_late => {
                    is_late = true;
                    let what = format!("the scan takes longer than {} seconds", PATIENCE.as_secs());
                    let error = SourceError::new(SCAN_TIMEOUT, what);
                    self.tell_problems(&source, vec![SourceProblem { place: source.clone(), hides_below: true, error }]);
                    let Late::GoesOn(round) = late else { return Ok(()) };
                    self.end_scan().await;
                    self.rounds.finished.send_replace(Some(round));
                }
            }
        };
        let (sightings, problems) = match scanned {
            Ok(scan) => (scan.sightings, scan.problems),
            Err(error) => {
                while let Ok(found) = early.try_recv() {
                    self.begin_with(found).await?;
                }
                let problem = SourceProblem { place: source.clone(), hides_below: true, error };
                self.tell_problems(&source, vec![problem]);
                return Ok(());
            }
        };
        let hidden = |name: &str| problems.iter().any(|problem| hides(problem, name));
        let now = self.journal.clock.now();
        let (places, mut present) = (sightings.len(), HashSet::with_capacity(sightings.len()));
        self.inventory.begin_scan(self.number);
        let changed = self.sight(sightings, &mut present).await?;
        let gone = self.inventory.gone(self.number, &present, hidden);
        drop(present);
        self.tell_problems(&source, problems);

        for location in &gone {
            self.scheduler.cancel(Which::Subject(location)).await?;
            if let Some(displaced) = self.inventory.forget_place(location, now) {
                queues::displace(&*self.scheduler, &displaced).await?;
                if displaced.retired {
                    self.journal.tell_of(&displaced.about, EventKind::Retired);
                }
            }
        }
        self.journal.tell(EventKind::Scanned {
            source,
            changed: begun + changed,
            gone: gone.len(),
            places,
            took: began.elapsed(),
        });
        Ok(())
    }

    /// Reports new problems to the observers. A problem that stays is reported once.
    fn tell_problems(&self, source: &str, problems: Vec<SourceProblem>) {
        let now = self.journal.clock.now();
        for SourceProblem { place, error, .. } in self.inventory.set_problems(self.number, problems, now) {
            self.journal.tell(EventKind::SourceProblem {
                source: source.to_owned(),
                place,
                code: error.code,
                what: error.what,
            });
        }
    }
}

fn hides(problem: &SourceProblem, name: &str) -> bool {
    match name.strip_prefix(problem.place.as_str()) {
        Some("") => true,
        Some(below) => problem.hides_below && (below.starts_with('/') || problem.place.ends_with('/')),
        None => false,
    }
}
