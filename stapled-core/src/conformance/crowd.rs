//! Many concurrent workers, some of which crash.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::{Harness, SHORT, commit, counts, task};
use crate::scheduler::{Scheduler, SchedulerError, Step};

const TASKS: usize = 300;
const WORKERS: usize = 12;
/// The number of attempts at every seventh task that crash their worker before one succeeds.
const DEATHS: u32 = 3;

#[derive(Default)]
struct Done {
    first: Mutex<BTreeMap<String, u32>>,
    second: Mutex<BTreeMap<String, u32>>,
    count: AtomicUsize,
}

pub async fn every_task_is_done_once_and_none_is_lost_with_its_worker(harness: &dyn Harness) {
    let done = Arc::new(Done::default());
    let workers: Vec<_> =
        (0..WORKERS).map(|number| tokio::spawn(work(harness.scheduler(), number, done.clone()))).collect();
    for chunk in 0..TASKS / 50 {
        let step = (0..50).fold(Step::intake(), |step, n| step.put(task("first", &(chunk * 50 + n).to_string())));
        commit(harness, step).await;
    }
    // Lost tasks return after a while.
    for _ in 0..1000 {
        if done.count.load(Ordering::SeqCst) == 2 * TASKS {
            break;
        }
        harness.settle().await;
        harness.advance(SHORT).await;
    }
    workers.iter().for_each(|worker| worker.abort());
    for stage in [&done.first, &done.second] {
        let stage = stage.lock().unwrap();
        assert_eq!(stage.len(), TASKS, "none is lost");
        let repeated: Vec<_> = stage.iter().filter(|(_, times)| **times != 1).collect();
        assert!(repeated.is_empty(), "committed more than once: {repeated:?}");
    }
    assert_eq!(counts(harness, "first").await, (0, 0, 0, 0));
    assert_eq!(counts(harness, "second").await, (0, 0, 0, 0));
}

async fn work(scheduler: Arc<dyn Scheduler>, number: usize, done: Arc<Done>) {
    let from =
        if number.is_multiple_of(2) { ["first".into(), "second".into()] } else { ["second".into(), "first".into()] };
    loop {
        for lease in scheduler.take(&from, 1 + number % 5, SHORT).await.unwrap() {
            let subject = lease.task().subject.as_str().to_owned();
            if subject.parse::<usize>().unwrap().is_multiple_of(7) && lease.task().attempt < DEATHS {
                continue;
            }
            tokio::task::yield_now().await;
            let first = lease.task().queue.as_str() == "first";
            let step = Step::finish(&lease);
            let step = if first { step.put(task("second", &subject)) } else { step };
            match scheduler.commit(step).await {
                Ok(()) => {
                    let stage = if first { &done.first } else { &done.second };
                    *stage.lock().unwrap().entry(subject).or_default() += 1;
                    done.count.fetch_add(1, Ordering::SeqCst);
                }
                // The lease lapsed during the work: another worker does the task.
                Err(SchedulerError::Fenced { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}
