//! The hook (feature `hook`): a program of the administrator that runs for events. It never delays renewals.
//!
//! `happening` has the facts of an event that a hook gets, `debounce` says when it gets them, `call` runs it for an event, and
//! `program` runs any program. This module has the observer that fills the queue of events, and the task that empties it.

mod call;
mod debounce;
mod happening;
mod program;
pub mod settings;

use std::collections::VecDeque;
use std::io;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::clock::SystemClock;
use crate::event::{Event, Journal, Observer, Severity};
use debounce::{Debounce, Told};
use happening::Happening;
use settings::HookSettings;

/// How many events, and how many runs, may wait: of the urgent ones, and of the others.
const WAITING: usize = 1000;
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
    urgent: mpsc::Sender<Happening>,
    ordinary: mpsc::Sender<Happening>,
    dropped: Arc<AtomicU64>,
}

impl Observer for Inlet {
    fn observe(&self, event: &Event) {
        let Some(happening) = Happening::of(event) else { return };
        let queue = if is_urgent(&happening) { &self.urgent } else { &self.ordinary };
        if queue.try_send(happening).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn is_urgent(happening: &Happening) -> bool {
    happening.severity >= Severity::Warning
}

impl Hook {
    /// Starts the task. To be called inside a tokio runtime. `reports` receives the failures of the hook itself, as events of
    /// the kind `Reported`; it should not be the hook's own observer.
    pub fn start(settings: &HookSettings, reports: Arc<dyn Observer>) -> Self {
        let (urgent, urgent_out) = mpsc::channel(WAITING);
        let (ordinary, ordinary_out) = mpsc::channel(WAITING);
        let (finish, finishing) = oneshot::channel();
        let dropped = Arc::new(AtomicU64::new(0));
        let inlet = Arc::new(Inlet { urgent, ordinary, dropped: Arc::clone(&dropped) });
        let caller = Caller {
            settings: settings.clone(),
            journal: Journal { clock: Arc::new(SystemClock), observers: [reports].into(), doubts: Arc::default() },
            debounce: Debounce::new(settings.debounce, WAITING * 10),
            urgent: VecDeque::new(),
            ordinary: VecDeque::new(),
            dropped,
            calls: JoinSet::new(),
        };
        let task = tokio::spawn(caller.run(urgent_out, ordinary_out, finishing));
        Hook { settings: settings.clone(), inlet, finish, task }
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
    urgent: VecDeque<Told>,
    ordinary: VecDeque<Told>,
    dropped: Arc<AtomicU64>,
    calls: JoinSet<()>,
}

impl Caller {
    async fn run(
        mut self,
        mut urgent: mpsc::Receiver<Happening>,
        mut ordinary: mpsc::Receiver<Happening>,
        mut finishing: oneshot::Receiver<Duration>,
    ) {
        let patience = loop {
            self.make_calls();
            let due = self.debounce.next_due();
            let is_calling = !self.calls.is_empty();
            tokio::select! {
                biased;
                finish = &mut finishing => break finish.unwrap_or_default(),
                Some(happening) = urgent.recv() => self.take(happening),
                Some(_) = self.calls.join_next(), if is_calling => {}
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    for told in self.debounce.take_due(Instant::now()) {
                        self.queue(told);
                    }
                }
                Some(happening) = ordinary.recv() => self.take(happening),
            }
        };
        let end = async {
            while let Ok(happening) = urgent.try_recv() {
                self.take(happening);
            }
            while let Ok(happening) = ordinary.try_recv() {
                self.take(happening);
            }
            for told in self.debounce.take_all() {
                self.queue(told);
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

    fn take(&mut self, happening: Happening) {
        match self.debounce.take(happening, Instant::now()) {
            Ok(Some(told)) => self.queue(told),
            Ok(None) => {}
            Err(debounce::Full) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn queue(&mut self, told: Told) {
        let queue = if is_urgent(&told.happening) { &mut self.urgent } else { &mut self.ordinary };
        if queue.len() >= WAITING {
            self.dropped.fetch_add(told.count, Ordering::Relaxed);
        } else {
            queue.push_back(told);
        }
    }

    fn make_calls(&mut self) {
        while self.calls.len() < CALLS {
            let Some(told) = self.urgent.pop_front().or_else(|| self.ordinary.pop_front()) else { return };
            let dropped = self.dropped.swap(0, Ordering::Relaxed);
            if dropped > 0 {
                let what = format!("is too slow: {dropped} events were dropped");
                call::report(&self.journal, &self.settings, "hook_overrun", Severity::Warning, what);
            }
            self.calls.spawn(call::call(self.settings.clone(), told, dropped, self.journal.clone()));
        }
    }
}
