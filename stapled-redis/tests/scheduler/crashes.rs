//! Every point at which a worker may be cut off: before each command that it sends, and after it.

use std::time::Duration;

use stapled_core::scheduler::{Expect, Record, Scheduler, SchedulerError, Step};
use stapled_core::task::{Due, Queue, Subject, Task};
use stapled_redis::{Recovery, RedisScheduler};
use stapled_tests::Redis;

use crate::cutting_proxy::{Cut, CuttingProxy};

const LEASE: Duration = Duration::from_secs(60);
const STAGES: [&str; 4] = ["makechallenge", "testchallenge", "issue", "done"];
const SUBJECTS: [&str; 2] = ["one", "two"];

/// The state of a subject whose task is on this queue.
fn state_of(queue: &str) -> String {
    format!("in {queue}")
}

fn queue_of(state: &str) -> Option<Queue> {
    state.strip_prefix("in ").map(Queue::from)
}

/// Puts the subjects, and works them off until nothing is due for a moment. Ends at the first error.
///
/// Each stage checks whether its work is done, does it, and moves the subject on. A stage also extends its lease and forks a
/// task for another queue, and the first attempt at `issue` fails, so that each procedure of the scheduler is called.
async fn work(scheduler: &RedisScheduler) -> Result<(), SchedulerError> {
    for subject in SUBJECTS {
        if scheduler.recorded(&subject.into()).await?.is_none() {
            let record = Record::new(subject.into(), state_of(STAGES[0])).expecting(Expect::Nothing);
            let intake = Step::intake().record(record).put(Task::new(STAGES[0].into(), subject.into()));
            scheduler.commit(intake).await?;
        }
    }
    let queues: Vec<Queue> = STAGES.into_iter().chain(["log"]).map(Queue::from).collect();
    while let Ok(leases) = tokio::time::timeout(Duration::from_millis(100), scheduler.take(&queues, 1, LEASE)).await {
        for lease in leases? {
            let (subject, queue) = (lease.task().subject.clone(), lease.task().queue.clone());
            scheduler.extend(&lease, LEASE).await?;
            let Some(stage) = STAGES.iter().position(|stage| *stage == queue.as_str()) else {
                scheduler.commit(Step::finish(&lease)).await?;
                continue;
            };
            if queue.as_str() == "issue" && lease.task().attempt == 0 {
                let cause = stapled_core::task::Cause::Other("refused".into());
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
    Ok(())
}

async fn assert_all_done_once(scheduler: &RedisScheduler, at: Cut) {
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

/// Runs a worker that is cut off at this point, and then another one. Returns how many commands the first one sent, and whether
/// it was cut off.
async fn cut_off(server: &Redis, name: &str, at: Cut) -> (usize, bool) {
    let proxy = CuttingProxy::start(server.socket(), at);
    let prefix = format!("{name}-{at:?}");
    let result = match RedisScheduler::connect(&proxy.address(), &prefix).await {
        Ok(scheduler) => work(&scheduler).await.map_err(drop),
        Err(_) => Err(()),
    };
    let (count, is_cut) = (proxy.count(), proxy.is_cut());
    assert_eq!(result.is_err(), is_cut, "{at:?}");
    drop(proxy);
    let survivor = RedisScheduler::connect(&server.address(), &prefix).await.unwrap();
    // Its lease and the pause of a lost task are over.
    server.advance(LEASE + LEASE);
    let recovered = survivor.recover(Recovery::Run, queue_of).await.unwrap();
    assert_eq!(recovered, [], "{at:?}: every step is atomic");
    work(&survivor).await.unwrap();
    assert_all_done_once(&survivor, at).await;
    (count, is_cut)
}

#[tokio::test]
async fn at_every_point_of_every_procedure_a_cut_loses_nothing_and_repeats_nothing() {
    let server = Redis::start();
    let mut points = 0;
    for (name, cut) in [("before", Cut::Before as fn(usize) -> Cut), ("after", Cut::After)] {
        for number in 0.. {
            let (count, is_cut) = cut_off(&server, name, cut(number)).await;
            if !is_cut {
                assert!(number >= count, "command {number} of {count} was not cut");
                break;
            }
            points += 1;
        }
    }
    println!("{points} points");
    assert!(points > 60, "{points}");
}
