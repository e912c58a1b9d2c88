//! The watch over the clock: where the wall clock jumps, whatever was decided by it is decided again.
//!
//! A clock that was years ahead for a minute has let staples seem over, certificates seem expired and answers seem too old.
//! Nobody waits for the next regular look at these once the clock is right.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::event::{EventKind, Journal};
use crate::inventory::{Inventory, SinkNumber};
use crate::queues;
use crate::responders::Responders;
use crate::scheduler::{Scheduler, SchedulerError, Step, Which};
use crate::task::{Cause, Task};
use crate::time::Timestamp;

/// A jump that matters: whatever is served ends no sooner than this before its end.
const JUMP: Duration = Duration::from_secs(5);
/// A jump that may have spoilt judgements and plans. Answers are allowed to be as far ahead.
const LONG_JUMP: Duration = Duration::from_secs(300);
/// How many times the clock is compared while a sleeper does not look at it.
const LOOKS: u32 = 6;
/// How many tasks one step puts at most.
const CHUNK: usize = 1000;

/// Compares the wall clock with the steady one, and has everything looked at again when they part.
pub(crate) struct JumpWatch {
    pub(crate) inventory: Arc<Inventory>,
    pub(crate) scheduler: Arc<dyn Scheduler>,
    pub(crate) responders: Arc<Responders>,
    pub(crate) journal: Journal,
    /// How many sinks there are.
    pub(crate) sinks: SinkNumber,
}

/// What both clocks showed at one moment.
#[derive(Clone, Copy, Debug)]
struct Reading {
    wall: Timestamp,
    steady: Duration,
}

impl Reading {
    /// What the wall clock would have to show at this later reading.
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
        while stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
            let reading = read();
            let expected = last.expected_at(reading);
            last = reading;
            let by = expected.since(reading.wall).max(reading.wall.since(expected));
            if by < JUMP {
                continue;
            }
            self.journal.tell(EventKind::ClockSet { expected, now: reading.wall });
            if let Err(error) = self.look_again(by >= LONG_JUMP).await {
                self.journal.tell(EventKind::Internal { what: format!("after the clock was set: {error}") });
            }
        }
    }

    async fn look_again(&self, long: bool) -> Result<(), SchedulerError> {
        let now = self.journal.clock.now();
        let doubtful = self.inventory.doubt_withdrawals_after(now);
        let adds = doubtful
            .into_iter()
            .map(|(sink, subject, generation)| Task::new(queues::add(sink), subject).generation(generation));
        let renewals =
            self.inventory.after_the_clock_was_set(long).into_iter().map(|(chain, generation, is_urgent)| {
                // A requested renewal is not put off.
                let cause = if is_urgent { Cause::Requested } else { Cause::ClockSet };
                let task = Task::new(self.responders.queue_for(&chain), chain.subject().clone());
                task.generation(generation).cause(cause)
            });
        let tasks: Vec<Task> = adds.chain(renewals).collect();
        for chunk in tasks.chunks(CHUNK) {
            self.scheduler.commit(Step { puts: chunk.to_vec(), ..Step::intake() }).await?;
        }
        for sink in 0..self.sinks {
            self.scheduler.hasten(Which::Queue(&queues::add(sink))).await?;
        }
        if long {
            self.scheduler.hasten(Which::Queue(&queues::parse())).await?;
        }
        Ok(())
    }
}
