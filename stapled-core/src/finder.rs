//! The finder: scans one source and schedules *parse* for new and changed places.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::event::{EventKind, Journal};
use crate::inventory::{Inventory, SourceNumber};
use crate::lane;
use crate::queues;
use crate::scheduler::{Scheduler, SchedulerError, Which};
use crate::source::{CertSource, SourceProblem};

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
        loop {
            let round = self.rounds.current();
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.scan() => {}
            }
            self.rounds.finished.send_replace(Some(round));
            let changed = async {
                let what = || format!("{}: waiting for a change panicked", self.source.name());
                if lane::survive(&self.journal, what, self.source.changed()).await.is_none() {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = changed => {}
                () = self.rounds.asked_after(round) => {}
                () = self.pause() => {}
            }
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
    pub(crate) async fn scan(&self) {
        let panicked = || format!("{}: the scan panicked", self.source.name());
        let scanned = lane::survive(&self.journal, panicked, self.try_scan()).await;
        if let Some(Err(error)) = &scanned {
            self.journal.tell(EventKind::Internal { what: format!("{}: {error}", self.source.name()) });
        }
        if !matches!(scanned, Some(Ok(()))) {
            // The inventory may have places whose tasks were not put. Without their versions, the next scan reports them as
            // changed.
            self.inventory.forget_versions(self.number);
        }
    }

    async fn try_scan(&self) -> Result<(), SchedulerError> {
        let source = self.source.name();
        let (sightings, problems) = match self.source.scan().await {
            Ok(scan) => (scan.sightings, scan.problems),
            Err(error) => {
                let problem = SourceProblem { place: source.clone(), hides_below: true, error };
                self.tell_problems(&source, vec![problem]);
                return Ok(());
            }
        };
        let hidden = |name: &str| problems.iter().any(|problem| hides(problem, name));
        let now = self.journal.clock.now();
        let difference = self.inventory.compare(self.number, sightings, hidden, now);
        self.tell_problems(&source, problems);

        let parses = difference.changed.iter().map(|(location, generation)| queues::parse_task(location, *generation));
        queues::put_all(&*self.scheduler, &parses.collect::<Vec<_>>()).await?;
        for location in &difference.gone {
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
            changed: difference.changed.len(),
            gone: difference.gone.len(),
            places: difference.places,
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
