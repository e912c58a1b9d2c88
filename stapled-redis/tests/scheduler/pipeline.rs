//! Work in four stages, as a certificate authority does it, and what must hold at its end.

use std::fmt::Debug;
use std::time::Duration;

use stapled_core::scheduler::{Expect, Record, Scheduler, SchedulerError, Step};
use stapled_core::task::{Cause, Due, Queue, Subject, Task};
use stapled_redis::RedisScheduler;

pub(crate) const LEASE: Duration = Duration::from_secs(60);
pub(crate) const STAGES: [&str; 4] = ["makechallenge", "testchallenge", "issue", "done"];
pub(crate) const SUBJECTS: [&str; 2] = ["one", "two"];

/// The state of a subject whose task is on this queue.
pub(crate) fn state_of(queue: &str) -> String {
    format!("in {queue}")
}

pub(crate) fn queue_of(state: &str) -> Option<Queue> {
    state.strip_prefix("in ").map(Queue::from)
}

/// Puts the subjects, and works them off until no task is left. Ends at the first error.
///
/// Each stage checks whether its work is done, does it, and moves the subject on. A stage also extends its lease and forks a
/// task for another queue, and the first attempt at `issue` fails, so that each procedure of the scheduler is called.
pub(crate) async fn work(scheduler: &RedisScheduler) -> Result<(), SchedulerError> {
    for subject in SUBJECTS {
        if scheduler.recorded(&subject.into()).await?.is_none() {
            let record = Record::new(subject.into(), state_of(STAGES[0])).expecting(Expect::Nothing);
            let intake = Step::intake().record(record).put(Task::new(STAGES[0].into(), subject.into()));
            scheduler.commit(intake).await?;
        }
    }
    let queues: Vec<Queue> = STAGES.into_iter().chain(["log"]).map(Queue::from).collect();
    loop {
        let taken = tokio::time::timeout(Duration::from_millis(100), scheduler.take(&queues, 1, LEASE)).await;
        let Ok(leases) = taken else {
            // On a busy machine, the answer may only be late.
            let census = scheduler.census().await?;
            if census.queues.values().all(|queue| queue.waiting + queue.due + queue.leased + queue.parked == 0) {
                return Ok(());
            }
            continue;
        };
        for lease in leases? {
            let (subject, queue) = (lease.task().subject.clone(), lease.task().queue.clone());
            scheduler.extend(&lease, LEASE).await?;
            let Some(stage) = STAGES.iter().position(|stage| *stage == queue.as_str()) else {
                scheduler.commit(Step::finish(&lease)).await?;
                continue;
            };
            if queue.as_str() == "issue" && lease.task().attempt == 0 {
                let cause = Cause::Other("refused".into());
                let retry = lease.task().again(Due::After(Duration::from_millis(1)), cause);
                scheduler.commit(Step::finish(&lease).put(retry)).await?;
                continue;
            }
            let done = Record::new(subject.clone(), "finished");
            let (record, next) = match STAGES.get(stage + 1) {
                Some(next) => (Record::new(subject.clone(), state_of(next)), Some(*next)),
                None => (done, None),
            };
            // How often this stage was done: more than once would be seen.
            let recorded = scheduler.recorded(&subject).await?.expect("a record");
            let times = recorded.fields.get(STAGES[stage]).map_or(0, Vec::len);
            let record = record.field(STAGES[stage], vec![b'x'; times + 1]);
            let record = record.expecting(Expect::State(state_of(STAGES[stage])));
            let mut step = Step::finish(&lease).record(record).put(Task::new("log".into(), subject.clone()));
            if let Some(next) = next {
                step = step.put(Task::new(next.into(), subject));
            }
            scheduler.commit(step).await?;
        }
    }
}

pub(crate) async fn assert_all_done_once(scheduler: &RedisScheduler, at: impl Debug) {
    for subject in SUBJECTS {
        let recorded = scheduler.recorded(&Subject::from(subject)).await.unwrap().expect("it is on record");
        assert_eq!(recorded.state, "finished", "{at:?}: {subject}");
        for stage in STAGES {
            let times = recorded.fields.get(stage).map_or(0, Vec::len);
            assert_eq!(times, 1, "{at:?}: {stage} of {subject}");
        }
    }
    let census = scheduler.census().await.unwrap();
    for (queue, counted) in &census.queues {
        let tasks = counted.waiting + counted.due + counted.leased + counted.parked;
        assert_eq!(tasks, 0, "{at:?}: {queue}: {counted:?}");
    }
    assert_eq!(census.resting.get("finished"), Some(&(SUBJECTS.len() as u64)), "{at:?}");
}
