//! The hook (feature `hook`): a program of the administrator that runs for events. It never delays renewals.
//!
//! `happening` has the facts of an event that a hook gets, `kind` the operator's word for it. `incidents` finds the begin and the
//! end of outages. `debounce` holds back repetitions for one certificate; a gather joins the certificates of one fault to a
//! `batch`, for which `call` runs the hook. `program` runs any program, and [`reload`] the command after deliveries to files. This module has the observer that fills the queue of
//! events, and the task that empties it.

pub mod automation;
mod batch;
mod call;
mod debounce;
mod happening;
mod incidents;
mod kind;
mod program;
pub mod reload;
pub mod settings;
mod words;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::process::Output;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::clock::SystemClock;
use crate::event::{Event, EventKind, Journal, Observer, Severity};
use crate::gather::{Gather, Gathered, Pauses};
use batch::Batch;
use debounce::{Debounce, Told};
use happening::{GroupKey, Happening};
use incidents::Incidents;
use settings::HookSettings;

/// How many events may wait to be sorted: of the urgent ones, and of the others.
const WAITING: usize = 5000;
/// How many events may wait in pauses, and how many for a run of the hook.
const HELD: usize = 20_000;
/// The pause after the first run for a fault. Later pauses are longer.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// How many runs may wait: of the urgent ones, and of the others.
const RUNS: usize = 1000;
/// How long `renewed` waits for the delivery to files.
const DELIVERING: Duration = Duration::from_secs(10);
/// How many runs there are at once.
const CALLS: usize = 2;

/// A running hook: a task that runs the program for the events that its [observer](Hook::observer) receives.
pub struct Hook {
    settings: HookSettings,
    inlet: Arc<Inlet>,
    finish: oneshot::Sender<Duration>,
    task: JoinHandle<()>,
}

/// The entrance of the queue. It never waits: events that do not fit are counted and dropped.
struct Inlet {
    settings: HookSettings,
    incidents: Mutex<Incidents>,
    urgent: mpsc::Sender<Happening>,
    ordinary: mpsc::Sender<News>,
    dropped: Arc<AtomicU64>,
}

/// What waits to be sorted.
enum News {
    Happening(Box<Happening>),
    /// The sink for which `renewed` waits is done with this certificate.
    Settled(String),
}

impl Observer for Inlet {
    fn observe(&self, event: &Event) {
        if let Some(subject) = self.settles(event) {
            // If there is no room, `renewed` comes a little later.
            let _ = self.ordinary.try_send(News::Settled(subject));
        }
        // The lock is released before anything is sent.
        let derived = self.incidents.lock().unwrap_or_else(PoisonError::into_inner).observe(event);
        for happening in Happening::of(event).into_iter().chain(derived).filter(|happening| self.is_wanted(happening)) {
            let is_full = match happening.severity >= Severity::Warning {
                true => self.urgent.try_send(happening).is_err(),
                false => self.ordinary.try_send(News::Happening(Box::new(happening))).is_err(),
            };
            if is_full {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Inlet {
    /// The certificate with which the sink is done for which `renewed` waits.
    fn settles(&self, event: &Event) -> Option<String> {
        let is_its = self.settings.renewed_after.is_some() && event.sink() == self.settings.renewed_after.as_deref();
        let is_done = matches!(
            event.kind,
            EventKind::Delivered { .. }
                | EventKind::NotWanted { .. }
                | EventKind::DeliveryFailed { .. }
                | EventKind::Withdrawn { .. }
        );
        (is_its && is_done).then(|| Happening::of_any(event).subject())
    }

    fn is_wanted(&self, happening: &Happening) -> bool {
        let events = &self.settings.events;
        events.is_empty()
            || events.iter().any(|event| [happening.event, happening.kind.as_str()].contains(&event.as_str()))
    }
}

impl Hook {
    /// Starts the task. To be called inside a tokio runtime. `reports` receives the failures of the hook itself, as events of
    /// the kind `Reported`; it should not be the hook's own observer.
    pub fn start(settings: &HookSettings, reports: Arc<dyn Observer>) -> Self {
        let (urgent, urgent_out) = mpsc::channel(WAITING);
        let (ordinary, ordinary_out) = mpsc::channel(WAITING);
        let (finish, finishing) = oneshot::channel();
        let dropped = Arc::new(AtomicU64::new(0));
        let incidents = Mutex::new(Incidents::new(settings.expiring));
        let inlet = Inlet { settings: settings.clone(), incidents, urgent, ordinary, dropped: Arc::clone(&dropped) };
        let caller = Caller {
            settings: settings.clone(),
            journal: Journal { clock: Arc::new(SystemClock), observers: [reports].into(), doubts: Arc::default() },
            debounce: Debounce::new(settings.debounce, HELD),
            gather: Gather::new(
                Pauses { at_once: 1, first: FIRST_PAUSE, longest: settings.debounce, memory: FIRST_PAUSE },
                HELD,
            ),
            urgent: VecDeque::new(),
            ordinary: VecDeque::new(),
            waiting: 0,
            dropped,
            calls: JoinSet::new(),
            held: HashMap::new(),
        };
        let task = tokio::spawn(caller.run(urgent_out, ordinary_out, finishing));
        Hook { settings: settings.clone(), inlet: Arc::new(inlet), finish, task }
    }

    /// Runs a program once, apart from any events: in a process group of its own, with this input. Returns its status and the
    /// first 4 KiB of its output and of its errors, or `None` if it did not end within this time. Then it was killed with all
    /// processes of its group. If the future is dropped, they are killed, too.
    ///
    /// # Errors
    ///
    /// The program cannot be run.
    pub async fn run_program(command: &mut Command, input: &[u8], within: Duration) -> io::Result<Option<Output>> {
        program::run(command, input, within).await
    }

    /// The settings that it runs with.
    pub fn settings(&self) -> &HookSettings {
        &self.settings
    }

    /// The observer that passes events to the hook.
    pub fn observer(&self) -> Arc<dyn Observer> {
        Arc::clone(&self.inlet) as Arc<dyn Observer>
    }

    /// Runs the hook for the events that wait, then ends. Runs that take longer than `patience` are killed.
    /// Not to be dropped before it is ready: the task then goes on.
    pub async fn finish(self, patience: Duration) {
        // The task can have ended only by a panic, which is logged elsewhere.
        let _ = self.finish.send(patience);
        let _ = self.task.await;
    }
}

/// The task that runs the hook.
struct Caller {
    settings: HookSettings,
    journal: Journal,
    debounce: Debounce,
    gather: Gather<GroupKey, Told>,
    urgent: VecDeque<Batch>,
    ordinary: VecDeque<Batch>,
    /// How many events the runs that wait are about.
    waiting: usize,
    dropped: Arc<AtomicU64>,
    calls: JoinSet<()>,
    /// What `renewed` says of certificates whose delivery to files is under way, and when it is said at the latest.
    held: HashMap<String, (Happening, Instant)>,
}

impl Caller {
    async fn run(
        mut self,
        mut urgent: mpsc::Receiver<Happening>,
        mut ordinary: mpsc::Receiver<News>,
        mut finishing: oneshot::Receiver<Duration>,
    ) {
        let patience = loop {
            self.make_calls();
            let held = self.held.values().map(|(_, until)| *until).min();
            let due = self.debounce.next_due().into_iter().chain(self.gather.next_due()).chain(held).min();
            let is_calling = !self.calls.is_empty();
            tokio::select! {
                biased;
                finish = &mut finishing => break finish.unwrap_or_default(),
                Some(happening) = urgent.recv() => self.take(happening),
                Some(_) = self.calls.join_next(), if is_calling => {}
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    let now = Instant::now();
                    for (_, (happening, _)) in self.held.extract_if(|_, (_, until)| *until <= now).collect::<Vec<_>>() {
                        self.take(happening);
                    }
                    for told in self.debounce.take_due(Instant::now()) {
                        self.gather(told);
                    }
                    for (_, gathered) in self.gather.take_due(Instant::now()) {
                        self.queue(gathered);
                    }
                }
                Some(news) = ordinary.recv() => self.learn(news),
            }
        };
        let end = async {
            while let Ok(happening) = urgent.try_recv() {
                self.take(happening);
            }
            while let Ok(news) = ordinary.try_recv() {
                self.learn(news);
            }
            for (_, (happening, _)) in std::mem::take(&mut self.held) {
                self.take(happening);
            }
            for told in self.debounce.take_all() {
                self.gather(told);
            }
            for (_, gathered) in self.gather.take_all() {
                self.queue(gathered);
            }
            self.make_calls();
            while self.calls.join_next().await.is_some() {
                self.make_calls();
            }
        };
        if tokio::time::timeout(patience, end).await.is_err() {
            let left = self.urgent.len() + self.ordinary.len() + self.calls.len();
            let what = format!("was still running when the program ended, or waited to run: {left} times");
            call::report(&self.journal, &self.settings, "hook_cut_off", Severity::Warning, what);
        }
        // The guards of the runs kill what is left.
        self.calls.shutdown().await;
    }

    /// Takes what happened, or holds it back: a hook for `renewed` may read the file.
    fn learn(&mut self, news: News) {
        match news {
            News::Happening(happening) if self.settings.renewed_after.is_some() && happening.is_renewal_of_a_file() => {
                let until = Instant::now() + DELIVERING;
                if let Some((earlier, _)) = self.held.insert(happening.subject(), (*happening, until)) {
                    self.take(earlier);
                }
            }
            News::Happening(happening) => self.take(*happening),
            News::Settled(subject) => {
                if let Some((happening, _)) = self.held.remove(&subject) {
                    self.take(happening);
                }
            }
        }
    }

    fn take(&mut self, happening: Happening) {
        match self.debounce.take(happening, Instant::now()) {
            Ok(Some(told)) => self.gather(told),
            Ok(None) => {}
            Err(debounce::Full) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Joins an event with those of the same fault.
    fn gather(&mut self, told: Told) {
        if let Some(told) = self.gather.take(told.happening.group(), told, Instant::now()) {
            self.queue(Gathered { items: vec![told], left_out: 0 });
        }
    }

    fn queue(&mut self, gathered: Gathered<Told>) {
        let Some(batch) = Batch::of(gathered) else { return };
        let queue = if batch.is_urgent() { &mut self.urgent } else { &mut self.ordinary };
        if queue.len() >= RUNS || self.waiting + batch.len() > HELD {
            self.dropped.fetch_add(batch.count(), Ordering::Relaxed);
        } else {
            self.waiting += batch.len();
            queue.push_back(batch);
        }
    }

    fn make_calls(&mut self) {
        while self.calls.len() < CALLS {
            let Some(batch) = self.urgent.pop_front().or_else(|| self.ordinary.pop_front()) else { return };
            self.waiting = self.waiting.saturating_sub(batch.len());
            let dropped = self.dropped.swap(0, Ordering::Relaxed);
            if dropped > 0 {
                let what = format!("is too slow: {dropped} events were dropped");
                call::report(&self.journal, &self.settings, "hook_overrun", Severity::Warning, what);
            }
            self.calls.spawn(call::call(self.settings.clone(), batch, dropped, self.journal.clone()));
        }
    }
}
