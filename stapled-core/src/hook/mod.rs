//! The hook: a program of the administrator that runs for events. It never delays renewals.
//!
//! [`happening`] has the facts of an event that a hook gets, [`debounce`] says when it gets them, and [`call`] runs it.
//! This module has the observer that fills the queue of events, and the task that empties it.

mod call;
mod debounce;
mod happening;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use stapled_core::event::{Event, Observer, Severity};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::configuration;
use debounce::{Debounce, Told};
use happening::Happening;

/// How many events, and how many runs, may wait: of the urgent ones, and of the others.
const WAITING: usize = 1000;
/// How many runs there are at once.
const CALLS: usize = 2;

/// Runs the hook for events.
pub(crate) struct Hook {
    settings: configuration::Hook,
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
    /// Starts the task. To be called inside a tokio runtime.
    pub(crate) fn start(settings: &configuration::Hook) -> Self {
        let (urgent, urgent_out) = mpsc::channel(WAITING);
        let (ordinary, ordinary_out) = mpsc::channel(WAITING);
        let (finish, finishing) = oneshot::channel();
        let dropped = Arc::new(AtomicU64::new(0));
        let inlet = Arc::new(Inlet { urgent, ordinary, dropped: Arc::clone(&dropped) });
        let caller = Caller {
            settings: settings.clone(),
            debounce: Debounce::new(settings.debounce, WAITING * 10),
            urgent: VecDeque::new(),
            ordinary: VecDeque::new(),
            dropped,
            calls: JoinSet::new(),
        };
        let task = tokio::spawn(caller.run(urgent_out, ordinary_out, finishing));
        Hook { settings: settings.clone(), inlet, finish, task }
    }

    pub(crate) fn settings(&self) -> &configuration::Hook {
        &self.settings
    }

    /// The observer that passes events to the hook.
    pub(crate) fn observer(&self) -> Arc<dyn Observer> {
        Arc::clone(&self.inlet) as Arc<dyn Observer>
    }

    /// Runs the hook for the events that wait, then ends. Runs that take longer than `patience` are killed.
    pub(crate) async fn finish(self, patience: Duration) {
        // The task can have ended only by a panic, which is logged elsewhere.
        let _ = self.finish.send(patience);
        let _ = self.task.await;
    }
}

/// The task that runs the hook.
struct Caller {
    settings: configuration::Hook,
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
            tracing::warn!(event = "hook_cut_off", left, "the hook was still running when the program ended");
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
                tracing::warn!(event = "hook_overrun", dropped, "the hook is too slow: {dropped} events were dropped");
            }
            self.calls.spawn(call::call(self.settings.clone(), told, dropped));
        }
    }
}
