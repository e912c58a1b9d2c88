//! Tests of the guarantees of every [`Scheduler`], for authors of schedulers (cargo feature `conformance`).
//!
//! Write a [`Harness`] for your scheduler, then, in a test module:
//!
//! ```ignore
//! stapled_core::scheduler_conformance! {
//!     #[tokio::test] => MyHarness::start().await
//! }
//! ```
//!
//! The macro makes one test of each guarantee. The harness controls how time passes. In memory, it uses tokio's paused
//! time. An external store answers in real time, whatever its own clock shows.
#![allow(
    missing_docs,
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "these are tests, compiled into the library for other crates: they fail by panicking, and their names say \
              what they test"
)]

pub mod crowd;
pub mod deadline;
pub mod dropped;
pub mod groups;
pub mod leases;
pub mod model;
pub mod order;
pub mod queues;
pub mod records;
pub mod reference;
pub mod steps;
pub mod waiting;

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::scheduler::census::QueueCensus;
use crate::scheduler::{Lease, Scheduler, SchedulerError, Step};
use crate::task::{Queue, Subject, Task};
use crate::time::Timestamp;

/// A scheduler under test, without other users, and its clock.
#[async_trait]
pub trait Harness: Send + Sync {
    /// The scheduler. Every call returns the same one. It is empty at first.
    fn scheduler(&self) -> Arc<dyn Scheduler>;

    /// The time on the scheduler's clock.
    fn now(&self) -> Timestamp;

    /// Advances the scheduler's clock by this time, often by hours. The clock may advance a little further.
    async fn advance(&self, by: Duration);

    /// Waits until the scheduler has answered all calls and noticed all tasks that are due. Meanwhile its clock stands
    /// still, or advances by a second at most.
    async fn settle(&self);

    /// Sets the scheduler's clock without letting time pass; false if this harness cannot.
    async fn set_clock(&self, _to: Timestamp) -> bool {
        false
    }

    /// Whether leases lapse by the clock; false if only a drop loses them.
    fn leases_lapse(&self) -> bool {
        false
    }
}

/// Makes a test of each guarantee. Its arguments are the attribute of a test and an expression that makes a
/// [`Harness`](crate::conformance::Harness), evaluated in an async function.
#[macro_export]
macro_rules! scheduler_conformance {
    ($(#[$attribute:meta])* => $harness:expr) => {
        $crate::scheduler_conformance! { @each [$(#[$attribute])*] [$harness]
            crowd: every_task_is_done_once_and_none_is_lost_with_its_worker;
            dropped: a_dropped_commit_is_whole_or_nothing a_dropped_intake_is_whole_or_nothing
                a_dropped_extension_leaves_a_lease_that_lasts a_dropped_cancel_is_made_good_by_the_next
                a_dropped_hasten_is_made_good_by_the_next dropped_rules_are_set_by_the_next
                dropped_questions_change_nothing;
            groups: a_full_group_refuses a_member_leaves_when_it_is_settled_or_forgotten a_member_joins_once
                steps_at_once_overfill_no_group;
            leases: a_leased_task_is_handed_out_to_nobody_else a_put_during_a_lease_waits_for_its_end
                a_put_during_a_lease_wins_over_the_holders_own a_put_during_a_lease_keeps_its_due_time
                a_lost_lease_brings_its_task_back a_lost_lease_gives_way_to_a_put a_spent_lease_is_refused
                an_old_fence_does_not_fit_the_next_lease an_extended_lease_lasts a_lapsed_lease_is_refused
                fences_differ;
            model: random_operations_agree_with_the_model;
            order: tasks_come_in_the_order_of_their_due_times order_holds_across_queues
                a_delayed_task_waits_until_it_is_due a_task_waits_for_its_instant past_instants_are_due_at_once
                never_does_not_come putting_again_replaces no_more_than_max_are_taken
                one_subject_in_two_queues_is_two_tasks tasks_come_out_as_they_went_in;
            queues: a_full_queue_refuses replacing_needs_no_room what_is_leased_or_parked_takes_room
                releasing_makes_room an_overfull_queue_may_shrink rules_hold_for_later_puts
                tasks_tried_too_often_are_parked lost_tasks_are_parked_too cancelling_a_task_fences_it
                cancelling_a_subject_reaches_every_queue cancelling_a_queue_removes_its_rules
                hastening_makes_due hastening_brings_parked_tasks_back hastening_leaves_leased_tasks_alone
                hastening_a_subject_reaches_every_queue the_census_follows_a_task;
            records: records_are_kept fields_are_merged forgetting_leaves_nothing expectations_are_checked
                several_records_apply_in_order resting_subjects_are_counted lists_and_parts_are_kept
                settling_ends_the_work_on_a_subject;
            steps: a_step_finishes_and_forks a_step_may_put_its_own_task_again the_last_of_several_puts_counts
                an_empty_step_is_taken a_full_queue_undoes_the_whole_step
                an_unmet_expectation_undoes_the_whole_step a_fenced_step_changes_nothing;
            waiting: a_taker_waits_for_a_queue_to_come_into_being an_earlier_put_wakes_a_taker
                a_taker_of_several_queues_wakes_for_each a_dropped_taker_loses_nothing
                a_take_dropped_on_its_way_loses_nothing a_taker_that_is_not_polled_holds_up_nobody_for_long
                a_woken_taker_that_is_dropped_passes_it_on every_waiting_taker_gets_its_task
                a_taker_of_nothing_waits_forever hastening_wakes_a_taker the_end_of_a_lease_wakes_a_taker
                a_lost_lease_wakes_a_taker a_clock_set_forward_is_noticed a_clock_set_back_delays_no_delayed_task;
        }
    };
    (@each $attributes:tt $harness:tt $($module:ident: $($name:ident)*;)*) => {
        $($($crate::scheduler_conformance! { @one $attributes $harness $module $name })*)*
    };
    (@one [$(#[$attribute:meta])*] [$harness:expr] $module:ident $name:ident) => {
        $(#[$attribute])*
        async fn $name() {
            $crate::conformance::deadline::within(
                $crate::conformance::deadline::LIMIT,
                stringify!($name),
                $crate::conformance::$module::$name(&$harness),
            )
            .await
        }
    };
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// The duration of a lease that the test loses.
const SHORT: Duration = Duration::from_secs(600);
/// The duration of a lease that the test keeps while hours pass.
const LONG: Duration = Duration::from_secs(50 * 365 * 86_400);

fn task(queue: &str, subject: &str) -> Task {
    Task::new(queue.into(), subject.into())
}

fn queues(names: &[&str]) -> Vec<Queue> {
    names.iter().map(|&name| name.into()).collect()
}

fn subjects(leases: &[Lease]) -> Vec<&str> {
    leases.iter().map(|lease| lease.task().subject.as_str()).collect()
}

/// The result of a future that must complete without time passing.
async fn soon<F: Future>(harness: &dyn Harness, future: F) -> F::Output {
    let mut future = pin!(future);
    for _ in 0..200 {
        if let Some(output) = meanwhile(harness, future.as_mut()).await {
            return output;
        }
    }
    panic!("nothing happened, for a long time");
}

/// The result of a future that completes while the scheduler settles.
async fn meanwhile<F: Future>(harness: &dyn Harness, future: Pin<&mut F>) -> Option<F::Output> {
    tokio::select! {
        biased;
        output = future => Some(output),
        () = harness.settle() => None,
    }
}

async fn take_leased(harness: &dyn Harness, from: &[&str], max: usize, lease: Duration) -> Vec<Lease> {
    let (scheduler, from) = (harness.scheduler(), queues(from));
    soon(harness, scheduler.take(&from, max, lease)).await.unwrap()
}

async fn take_one(harness: &dyn Harness, queue: &str) -> Lease {
    let mut taken = take_leased(harness, &[queue], 1, LONG).await;
    assert_eq!(taken.len(), 1, "one task was asked for");
    taken.remove(0)
}

/// Takes a task whose lease the test loses.
async fn take_short(harness: &dyn Harness, queue: &str) -> Lease {
    take_leased(harness, &[queue], 1, SHORT).await.remove(0)
}

/// Takes exactly `count` tasks, in several calls if needed.
async fn take_all(harness: &dyn Harness, from: &[&str], count: usize) -> Vec<Lease> {
    let mut taken = Vec::new();
    while taken.len() < count {
        taken.extend(take_leased(harness, from, count - taken.len(), LONG).await);
    }
    assert_eq!(taken.len(), count, "no more than asked for");
    taken
}

async fn assert_nothing_due(harness: &dyn Harness, from: &[&str]) {
    let (scheduler, from) = (harness.scheduler(), queues(from));
    let taken = meanwhile(harness, pin!(scheduler.take(&from, 16, LONG))).await;
    assert!(taken.is_none(), "nothing is due, and yet came {taken:?}");
}

/// Loses a lease as a crashed worker does, and waits until the task is back.
async fn lose(harness: &dyn Harness, lease: Lease) {
    drop(lease);
    harness.advance(SHORT + HOUR + MINUTE).await;
}

async fn put(harness: &dyn Harness, task: Task) {
    commit(harness, Step::intake().put(task)).await;
}

async fn commit(harness: &dyn Harness, step: Step<'_>) {
    harness.scheduler().commit(step).await.unwrap();
}

async fn finish(harness: &dyn Harness, lease: Lease) {
    commit(harness, Step::finish(&lease)).await;
}

async fn assert_fenced(harness: &dyn Harness, lease: &Lease) {
    let committed = harness.scheduler().commit(Step::finish(lease)).await;
    assert!(
        matches!(&committed, Err(SchedulerError::Fenced { queue, subject })
        if *queue == lease.task().queue && *subject == lease.task().subject),
        "{committed:?}"
    );
    let extended = harness.scheduler().extend(lease, HOUR).await;
    assert!(matches!(extended, Err(SchedulerError::Fenced { .. })), "{extended:?}");
}

/// The numbers of waiting, due, leased and parked tasks.
async fn counts(harness: &dyn Harness, queue: &str) -> (u64, u64, u64, u64) {
    let QueueCensus { waiting, due, leased, parked, .. } = queue_census(harness, queue).await;
    (waiting, due, leased, parked)
}

async fn queue_census(harness: &dyn Harness, queue: &str) -> QueueCensus {
    let census = harness.scheduler().census().await.unwrap();
    *census.queues.get(&Queue::from(queue)).expect("the census lists the queue")
}

async fn resting(harness: &dyn Harness, state: &str) -> u64 {
    harness.scheduler().census().await.unwrap().resting.get(state).copied().unwrap_or(0)
}

async fn state(harness: &dyn Harness, subject: &str) -> Option<String> {
    harness.scheduler().recorded(&Subject::from(subject)).await.unwrap().map(|recorded| recorded.state)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::io::memory::MemoryScheduler;
    use crate::scheduler::census::Census;
    use crate::scheduler::{QueueRules, Recorded, Which};

    /// A faulty scheduler that never answers a call that ends a lease.
    #[derive(Debug)]
    struct NeverEnding(MemoryScheduler);

    #[async_trait]
    impl Scheduler for NeverEnding {
        async fn take(&self, from: &[Queue], max: usize, lease: Duration) -> Result<Vec<Lease>, SchedulerError> {
            self.0.take(from, max, lease).await
        }

        async fn extend(&self, lease: &Lease, by: Duration) -> Result<(), SchedulerError> {
            self.0.extend(lease, by).await
        }

        async fn commit(&self, step: Step<'_>) -> Result<(), SchedulerError> {
            match step.release {
                Some(_) => std::future::pending().await,
                None => self.0.commit(step).await,
            }
        }

        async fn recorded(&self, subject: &Subject) -> Result<Option<Recorded>, SchedulerError> {
            self.0.recorded(subject).await
        }

        async fn cancel(&self, which: Which<'_>) -> Result<u64, SchedulerError> {
            self.0.cancel(which).await
        }

        async fn hasten(&self, which: Which<'_>) -> Result<u64, SchedulerError> {
            self.0.hasten(which).await
        }

        async fn configure(&self, queue: &Queue, rules: QueueRules) -> Result<(), SchedulerError> {
            self.0.configure(queue, rules).await
        }

        async fn census(&self) -> Result<Census, SchedulerError> {
            self.0.census().await
        }
    }

    struct Broken(Arc<NeverEnding>);

    #[async_trait]
    impl Harness for Broken {
        fn scheduler(&self) -> Arc<dyn Scheduler> {
            self.0.clone()
        }

        fn now(&self) -> Timestamp {
            Timestamp::from_unix(0)
        }

        async fn advance(&self, by: Duration) {
            tokio::time::advance(by).await;
        }

        async fn settle(&self) {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "a_spent_lease_is_refused: the scheduler did not answer within 100ms")]
    async fn a_scheduler_that_never_answers_fails_the_test_in_time() {
        let broken = Broken(Arc::new(NeverEnding(MemoryScheduler::new(Arc::new(SystemClock)))));
        let promise = leases::a_spent_lease_is_refused(&broken);
        deadline::within(Duration::from_millis(100), "a_spent_lease_is_refused", promise).await;
    }

    #[test]
    fn every_property_is_listed() {
        let list = include_str!("conformance.rs");
        for module in [
            include_str!("conformance/crowd.rs"),
            include_str!("conformance/dropped.rs"),
            include_str!("conformance/leases.rs"),
            include_str!("conformance/model.rs"),
            include_str!("conformance/order.rs"),
            include_str!("conformance/queues.rs"),
            include_str!("conformance/records.rs"),
            include_str!("conformance/steps.rs"),
            include_str!("conformance/waiting.rs"),
        ] {
            for property in module.split("\npub async fn ").skip(1).filter_map(|rest| rest.split('(').next()) {
                assert!(list.contains(property), "{property} is in no list");
            }
        }
    }
}
