//! The world of one seed: clocks, responders, directories, servers, and the stapler that connects them.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use stapled_core::clock::Clock;
use stapled_core::clock::simulated::SimulatedClock;
use stapled_core::inventory::Inventory;
use stapled_core::io::memory::MemoryScheduler;
use stapled_core::stapler::{Group, Stapler, StaplerBuilder};
use stapled_core::time::Timestamp;

use crate::number;
use crate::plan;
use crate::pool::{Pool, RESPONDERS, START};
use crate::random::Random;
use crate::responder::{Network, Responders};
use crate::server::{Server, Sink};
use crate::source::{Directory, Source};
use crate::tasks::WatchedScheduler;
use crate::watch::{CAP, Ear, Figures, Watch};

/// The number of last events that the report of a failed run shows.
const TRACE: u64 = 80;
/// The mark of a violation in the trace.
pub(crate) const VIOLATED: &str = "VIOLATED";

pub(crate) struct World {
    pub(crate) pool: &'static Pool,
    /// The random choices of responders and servers.
    pub(crate) random: Random,
    began: tokio::time::Instant,
    truth: SimulatedClock,
    pub(crate) machine: Arc<SimulatedClock>,
    /// The sum of the forward jumps of the machine's clock; sleeps count.
    ahead: Mutex<Duration>,
    pub(crate) last_jump: Mutex<Option<Duration>>,
    pub(crate) last_sleep: Mutex<Option<Duration>>,
    pub(crate) responders: Responders,
    pub(crate) last_responder_fault: Mutex<[Option<Duration>; RESPONDERS]>,
    pub(crate) last_odd: Mutex<[Option<Duration>; RESPONDERS]>,
    pub(crate) last_issuer_fault: Mutex<[Option<Duration>; 2]>,
    pub(crate) servers: Vec<Server>,
    pub(crate) directories: Vec<Arc<Directory>>,
    pub(crate) tasks: Arc<WatchedScheduler>,
    pub(crate) watch: Watch,
    pub(crate) renewals: usize,
    pub(crate) per_responder: usize,
    /// The most questions a second to one responder.
    pub(crate) rate: Option<NonZeroU32>,
    trace: Option<Mutex<VecDeque<String>>>,
}

/// The result of a run.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) violation: Option<String>,
    pub(crate) figures: Figures,
    pub(crate) trace: Vec<String>,
}

/// A panic in the code of another party, as after a bug, but without a message on the terminal.
pub(crate) fn injected_panic(world: &World) -> ! {
    world.note(|| "a panic".to_owned());
    world.watch.panicked();
    std::panic::resume_unwind(Box::new("injected"))
}

/// The directory of a place.
pub(crate) fn directory_in<'a>(world: &'a World, place: &str) -> &'a Directory {
    &world.directories[usize::from(place.as_bytes()[2] - b'0')]
}

impl World {
    fn new(seed: u64, traced: bool) -> Self {
        let pool = Pool::shared();
        let random = Random::new(seed, 1);
        let machine = Arc::new(SimulatedClock::starting_at(START));
        let tasks = Arc::new(WatchedScheduler::new(MemoryScheduler::new(machine.clone())));
        World {
            pool,
            began: tokio::time::Instant::now(),
            truth: SimulatedClock::starting_at(START),
            machine,
            ahead: Mutex::default(),
            last_jump: Mutex::default(),
            last_sleep: Mutex::default(),
            responders: Responders::new(&random),
            last_responder_fault: Mutex::default(),
            last_odd: Mutex::default(),
            last_issuer_fault: Mutex::default(),
            servers: (0..3).map(Server::new).collect(),
            directories: (0..2).map(|number| Arc::new(Directory::new(number, random.once_in(2)))).collect(),
            tasks,
            watch: Watch::new(pool.certificates.len()),
            renewals: random.pick(&[16, 64]),
            per_responder: random.pick(&[1, 2, 4, 32]),
            rate: random.pick(&[None, NonZeroU32::new(1), NonZeroU32::new(20)]),
            trace: traced.then(Mutex::default),
            random,
        }
    }

    /// The servers of a directory's certificates. One server has those of both directories.
    pub(crate) fn sinks_of(&self, directory: usize) -> &'static [usize] {
        [&[0, 1], &[2, 1]][directory]
    }

    /// Records an event, if the trace will be read.
    pub(crate) fn note(&self, what: impl FnOnce() -> String) {
        let Some(trace) = &self.trace else { return };
        let mut trace = trace.lock().unwrap();
        // Events after the first violation would only hide its cause.
        if trace.back().is_some_and(|last| last.contains(VIOLATED)) {
            return;
        }
        if trace.len() == number("SIMULATION_TRACE").unwrap_or(TRACE) as usize {
            trace.pop_front();
        }
        trace.push_back(format!("{} {}", self.when(), what()));
    }

    // ---- time

    /// The time for which the machine was awake.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// A clock that runs with the machine's, and never back.
    pub(crate) fn steady(&self) -> Duration {
        self.elapsed() + *self.ahead.lock().unwrap()
    }

    pub(crate) fn truth(&self) -> Timestamp {
        self.truth.now()
    }

    pub(crate) fn machine_now(&self) -> Timestamp {
        self.machine.now()
    }

    pub(crate) fn clock_is_right(&self) -> bool {
        let (machine, truth) = (self.machine_now(), self.truth());
        machine.since(truth).max(truth.since(machine)) < Duration::from_millis(100)
    }

    pub(crate) fn set_clock(&self, to: Timestamp) {
        *self.ahead.lock().unwrap() += to.since(self.machine_now());
        self.machine.set(to);
        *self.last_jump.lock().unwrap() = Some(self.elapsed());
    }

    /// The machine sleeps: time passes, and no timer runs.
    pub(crate) fn sleep(&self, asleep: Duration) {
        *self.ahead.lock().unwrap() += asleep;
        self.machine.set(self.machine_now() + asleep);
        self.truth.set(self.truth() + asleep);
        *self.last_sleep.lock().unwrap() = Some(self.elapsed());
    }

    pub(crate) fn when(&self) -> String {
        let clock = if self.clock_is_right() { String::new() } else { format!(" (clock: {})", self.machine_now()) };
        format!("+{:.3}s {}{clock}", self.elapsed().as_secs_f64(), self.truth())
    }

    // ---- the run

    fn build(self: &Arc<Self>, chance: Random) -> Stapler {
        let paced = |builder: StaplerBuilder| match self.rate {
            Some(rate) => builder.responder_rate(rate),
            None => builder,
        };
        let source = |number: usize| Source { world: self.clone(), directory: self.directories[number].clone() };
        let sink = |number| Sink { world: self.clone(), number };
        paced(Stapler::builder())
            .group(Group::new().source(source(0)).sink(sink(0)))
            .sink(sink(1))
            .group(Group::new().source(source(1)).sink(sink(2)))
            .fetcher(Network(self.clone()))
            .shared_scheduler(self.tasks.clone())
            .shared_clock(self.machine.clone())
            .chance(chance)
            .observer(Ear(self.clone()))
            .concurrent_renewals(self.renewals)
            .per_responder(self.per_responder)
            .build()
            .unwrap()
    }

    /// Lets time pass, with checks on the way. False after a violation.
    async fn pass(&self, time: Duration, inventory: &Inventory) -> bool {
        const STEP: Duration = Duration::from_secs(600);
        let mut left = time;
        while !left.is_zero() {
            let step = left.min(STEP);
            tokio::select! {
                biased;
                () = self.watch.ended.notified() => return false,
                () = tokio::time::sleep(step) => left -= step,
            }
            self.watch.check(self, inventory);
            if self.watch.violation().is_some() {
                return false;
            }
        }
        true
    }

    async fn run(self: &Arc<Self>, seed: u64) {
        let stapler = self.build(Random::new(seed, 2));
        let inventory = stapler.inventory();
        let plan = Random::new(seed, 3);
        let calm = plan::Calm::new(&plan);
        plan::begin(self, &plan);
        tokio::spawn(stapler.run(std::future::pending()));
        let until = self.elapsed() + plan.seconds(4 * 3600, 20 * 3600);
        let pause = plan.pick(&[120, 600, 1800]);
        while self.elapsed() < until {
            if !self.pass(plan.seconds(0, pause), &inventory).await {
                return;
            }
            plan::act(self, &plan, &calm).await;
        }
        plan::heal(self);
        self.note(|| "all faults are over".to_owned());
        if !self.pass(CAP + Duration::from_secs(300), &inventory).await {
            return;
        }
        self.watch.check_panics(self);
        self.pass(plan.seconds(600, 6 * 3600), &inventory).await;
    }
}

/// Runs a seed in a runtime of its own, on the calling thread.
pub(crate) fn simulate(seed: u64, traced: bool) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let world = OnceLock::new();
    runtime.block_on(async {
        let world: &Arc<World> = world.get_or_init(|| Arc::new(World::new(seed, traced)));
        world.run(seed).await;
    });
    drop(runtime);
    let world = world.into_inner().unwrap();
    let trace = world.trace.as_ref().map(|trace| trace.lock().unwrap().iter().cloned().collect()).unwrap_or_default();
    Outcome { violation: world.watch.violation(), figures: world.watch.figures(), trace }
}
