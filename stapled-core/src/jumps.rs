//! The watch over the clock: when the wall clock jumps, decisions that depend on it are made again.
//!
//! While a clock is years ahead for a minute, staples seem over, certificates expired, and answers too old. Once the clock
//! is right, the watch corrects these decisions at once and does not wait for their next regular check.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::event::{EventKind, Journal};
use crate::inventory::{Inventory, Recheck, SinkNumber, SourceNumber};
use crate::queues;
use crate::responders::Responders;
use crate::scheduler::{Scheduler, SchedulerError, Which};
use crate::task::{Cause, Task};
use crate::time::Timestamp;

/// A jump of this size matters: staples are withdrawn at least this long before their end.
const JUMP: Duration = Duration::from_secs(5);
/// A jump of this size may have spoilt judgements and plans: responses may be this far ahead of the clock.
const LONG_JUMP: Duration = Duration::from_secs(300);
/// How many times the clocks are compared within the longest sleep of a scheduler.
const LOOKS: u32 = 6;

/// Compares the wall clock with the steady clock, and puts tasks that make plans again when the clocks differ.
pub(crate) struct JumpWatch {
    pub(crate) inventory: Arc<Inventory>,
    pub(crate) scheduler: Arc<dyn Scheduler>,
    pub(crate) responders: Arc<Responders>,
    pub(crate) journal: Journal,
    /// The number of sinks.
    pub(crate) sinks: SinkNumber,
    /// The number of sources.
    pub(crate) sources: SourceNumber,
}

/// The times of both clocks at one moment.
#[derive(Clone, Copy, Debug)]
struct Reading {
    wall: Timestamp,
    steady: Duration,
}

impl Reading {
    /// The time that the wall clock should show at this later reading.
    fn expected_at(self, later: Reading) -> Timestamp {
        self.wall + later.steady.saturating_sub(self.steady)
    }
}

impl JumpWatch {
    /// Watches until stopped.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        let clock = &self.journal.clock;
        let read = || Reading { wall: clock.now(), steady: clock.steady() };
        let mut last = read();
        let pause = clock.longest_sleep() / LOOKS;
        loop {
            tokio::select! {
                // In this order, so that a simulation can be repeated.
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
                // The clock may be right again before the next regular look.
                () = self.journal.doubts.notified() => {}
            }
            let reading = read();
            let expected = last.expected_at(reading);
            last = reading;
            let by = expected.since(reading.wall).max(reading.wall.since(expected));
            if by < JUMP {
                continue;
            }
            self.journal.tell(EventKind::ClockSet { expected, now: reading.wall });
            let which = if by >= LONG_JUMP { Recheck::All } else { Recheck::Expired };
            if let Err(error) = self.look_again(which).await {
                self.journal.tell(EventKind::Internal { what: format!("after the clock was set: {error}") });
            }
        }
    }

    /// Puts and hastens the tasks of what a jump may have spoilt.
    async fn look_again(&self, which: Recheck) -> Result<(), SchedulerError> {
        let now = self.journal.clock.now();
        let doubtful = self.inventory.doubt_withdrawals_after(now);
        let adds = doubtful.iter().map(|(sink, subject, generation)| queues::add_task(*sink, subject, *generation));
        let rechecks = self.inventory.rechecks(which);
        let renewals = rechecks.into_iter().map(|(chain, generation, is_urgent)| {
            // A requested renewal is not put off.
            let cause = if is_urgent { Cause::Requested } else { Cause::ClockSet };
            let task = Task::new(self.responders.queue_for(&chain), chain.subject().clone());
            task.generation(generation).cause(cause)
        });
        let tasks: Vec<Task> = adds.chain(renewals).collect();
        queues::put_all(&*self.scheduler, &tasks).await?;
        for sink in 0..self.sinks {
            self.scheduler.hasten(Which::Queue(&queues::add(sink))).await?;
        }
        if which == Recheck::All {
            for source in 0..self.sources {
                self.scheduler.hasten(Which::Queue(&queues::parse(source))).await?;
            }
        }
        Ok(())
    }
}
