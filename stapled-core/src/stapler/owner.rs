//! The stapler itself: it owns stages, scheduler and inventory, and runs the stages.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::handle::Handle;
use super::reports;
use crate::adder::Adder;
use crate::event::Journal;
use crate::finder::{Finder, Late};
use crate::inventory::Inventory;
use crate::issuers::IssuerFetcher;
use crate::jumps::JumpWatch;
use crate::lane::{LEASE, Lane};
use crate::parser::{Parser, Pass};
use crate::queues;
use crate::renewer::Renewer;
use crate::scheduler::{Scheduler, SchedulerError};
use crate::sink::Requirements;
use crate::task::Queue;

/// How many places of a source are parsed at once.
const PARSERS: usize = 32;
/// How many issuers are fetched at once.
const ISSUER_FETCHES: usize = 8;
/// How long running deliveries may take when the stapler ends.
const GRACE: Duration = Duration::from_secs(5);
/// How long a single pass waits for the scan of one source before it scans the next one beside it.
const LONG_SCAN: Duration = Duration::from_secs(10);
/// How often a single pass checks whether it is done.
const PASS_CHECK: Duration = Duration::from_millis(20);

/// Keeps the staples of its sources' certificates fresh in its sinks.
///
/// ```no_run
/// use stapled_core::{DirectorySource, FileSink, Stapler};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let stapler = Stapler::builder()
///     .source(DirectorySource::new("/etc/ssl/private"))
///     .sink(FileSink::new())
///     .build()?;
/// stapler.run(async { let _ = tokio::signal::ctrl_c().await; }).await;
/// # Ok(())
/// # }
/// ```
pub struct Stapler {
    pub(super) finders: Vec<Arc<Finder>>,
    pub(super) parser: Arc<Parser>,
    pub(super) issuers: Arc<IssuerFetcher>,
    pub(super) renewer: Arc<Renewer>,
    pub(super) adders: Vec<Arc<Adder>>,
    pub(super) jumps: Option<JumpWatch>,
    pub(super) inventory: Arc<Inventory>,
    pub(super) scheduler: Arc<dyn Scheduler>,
    pub(super) journal: Journal,
    pub(super) opened: mpsc::UnboundedReceiver<Queue>,
    pub(super) handle: Handle,
    /// Cancelled when the stapler is dropped or has ended.
    pub(super) ending: CancellationToken,
    /// Cancels `ending` when it is dropped.
    pub(super) ended: DropGuard,
}

impl Stapler {
    /// The inventory: what the stapler knows of its certificates, also while it runs.
    pub fn inventory(&self) -> Arc<Inventory> {
        Arc::clone(&self.inventory)
    }

    /// The handle: what a program does with the stapler while it runs.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Takes over what another stapler knew, such as one with other settings that has ended: staples are judged anew and
    /// used without a request to their CA, renewals stay as they were planned, and revocations are remembered. Call it
    /// before this stapler runs. Certificates that the sources do not find again are not taken over.
    pub fn inherit(&self, from: &Inventory) {
        self.inventory.inherit(from);
    }

    /// Runs until `shutdown` is ready. It then starts nothing new, finishes running deliveries within five seconds, and
    /// returns.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        self.hand_out_reporters();
        let mut running = Running::start();
        if let Some(jumps) = self.jumps.take() {
            let stop = running.stop.clone();
            running.watchers.spawn(async move { jumps.run(stop).await });
        }
        let finders = self.finders.clone();
        let adders = self.adders.clone();
        self.start_lanes(&mut running, Pass::Forever);
        for adder in adders {
            let stop = running.stop.clone();
            running.watchers.spawn(async move { adder.watch(stop).await });
        }
        for finder in finders {
            let stop = running.stop.clone();
            running.watchers.spawn(async move { finder.run(stop).await });
        }
        shutdown.await;
        running.end().await;
    }

    /// Does everything that is due, once: reads every certificate, asks for its staple by all URLs and fallbacks, and
    /// delivers it to every sink. Nothing is tried a second time. The inventory has the results. The pass ends early when
    /// `shutdown` is ready, and finishes running deliveries, as [`run`](Stapler::run) does.
    ///
    /// # Errors
    ///
    /// The scheduler failed.
    pub async fn run_once(self, shutdown: impl Future<Output = ()>) -> Result<Arc<Inventory>, SchedulerError> {
        self.hand_out_reporters();
        let mut running = Running::start();
        let finders = self.finders.clone();
        let scheduler = Arc::clone(&self.scheduler);
        let inventory = Arc::clone(&self.inventory);
        self.start_lanes(&mut running, Pass::Single);
        let pass = async {
            scan_in_order(finders).await;
            until_nothing_is_due(&*scheduler).await
        };
        let passed = tokio::select! {
            passed = pass => passed,
            () = shutdown => Ok(()),
        };
        running.end().await;
        passed.map(|()| inventory)
    }

    fn hand_out_reporters(&self) {
        let reporter = |name: Arc<str>| reports::reporter(name, &self.journal, &self.inventory, &self.ending);
        for adder in &self.adders {
            adder.sink.report_to(reporter(Arc::clone(&adder.name)));
        }
        for finder in &self.finders {
            finder.source.report_to(reporter(finder.source.name().into()));
        }
        self.renewer.fetcher.report_to(reporter("fetcher".into()));
    }

    fn start_lanes(self, running: &mut Running, pass: Pass) {
        let Stapler { parser, issuers, renewer, adders, scheduler, journal, opened, ended, .. } = self;
        running.keep(ended);
        let lane = {
            let (stop, workers) = (running.stop.clone(), running.askers.clone());
            move |queue: Queue, width: usize| Lane {
                scheduler: Arc::clone(&scheduler),
                journal: journal.clone(),
                queue,
                width,
                lease: LEASE,
                once: pass == Pass::Single,
                stop: stop.clone(),
                drops: true,
                workers: workers.clone(),
            }
        };
        issuers.load();
        let watchers = &running.watchers;
        for source in 0..parser.sources.len() {
            let parser = Arc::clone(&parser);
            let lane = lane(queues::parse(source), PARSERS);
            watchers.spawn(lane.run(move |lease| Arc::clone(&parser).work(lease, pass)));
        }
        watchers.spawn(lane(queues::issuer(), ISSUER_FETCHES).run(move |lease| Arc::clone(&issuers).work(lease)));
        for adder in adders {
            let Requirements { concurrency: width, deadline, .. } = adder.sink.requirements();
            // A task may withdraw, deliver, and withdraw what cannot be replaced.
            let lease = LEASE.max(deadline.saturating_mul(4));
            let workers = running.deliverers.clone();
            let lane = Lane { workers, lease, drops: false, ..lane(queues::add(adder.number), width) };
            watchers.spawn(lane.run(move |lease| Arc::clone(&adder).work(lease)));
        }
        watchers.spawn(renewer.run(opened, running.stop.clone(), lane));
    }
}

/// Scans every source once, in their order, since a later one may use what an earlier one found. One that takes long does not
/// keep the next ones from being scanned.
async fn scan_in_order(finders: Vec<Arc<Finder>>) {
    let mut scans = JoinSet::new();
    for finder in finders {
        scans.spawn(async move { finder.scan(Late::Ends).await });
        let all = async { while scans.join_next().await.is_some() {} };
        // If it is not over, it goes on beside the next one.
        let _ = tokio::time::timeout(LONG_SCAN, all).await;
    }
    scans.join_all().await;
}

/// Waits until nothing is due or leased. Every step releases its task and puts the next ones at once, so a certificate
/// between two stages has a due or leased task.
async fn until_nothing_is_due(scheduler: &dyn Scheduler) -> Result<(), SchedulerError> {
    loop {
        let census = scheduler.census().await?;
        if census.queues.values().all(|queue| queue.due == 0 && queue.leased == 0) {
            return Ok(());
        }
        tokio::time::sleep(PASS_CHECK).await;
    }
}

/// The tasks of a running stapler.
struct Running {
    stop: CancellationToken,
    /// The loops of lanes, finders and watchers. They end at once.
    watchers: TaskTracker,
    /// Running work that only reads and asks. It is dropped at the end, since it changes no server; the end waits for the
    /// drop, so that nothing changes afterwards.
    askers: TaskTracker,
    /// Running deliveries. They get time to finish.
    deliverers: TaskTracker,
    _end_with_us: DropGuard,
    /// Cancels the stapler's `ending` when it is dropped.
    ended: Option<DropGuard>,
}

impl Running {
    fn start() -> Self {
        let stop = CancellationToken::new();
        Running {
            _end_with_us: stop.clone().drop_guard(),
            stop,
            watchers: TaskTracker::new(),
            askers: TaskTracker::new(),
            deliverers: TaskTracker::new(),
            ended: None,
        }
    }

    /// Keeps the guard, so that handles see the end only after all work has ended.
    fn keep(&mut self, ended: DropGuard) {
        self.ended = Some(ended);
    }

    async fn end(self) {
        self.stop.cancel();
        self.askers.close();
        self.deliverers.close();
        let ended = async {
            self.askers.wait().await;
            self.deliverers.wait().await;
        };
        // Work that does not finish in time is dropped with the runtime.
        let _ = tokio::time::timeout(GRACE, ended).await;
    }
}
