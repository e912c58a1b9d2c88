//! How many tasks per second pass through four stages, with 1, 2 and 4 workers, beside bare round trips to the same Redis in the
//! same run, and how many round trips a task costs: `cargo bench -p stapled-redis --bench stages`.
//!
//! A stage costs two round trips at most: one that takes, which several tasks share, and one that commits. The bench fails if
//! there are more.

// A failure of the bench panics.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use stapled_core::scheduler::{Record, Scheduler, Step};
use stapled_core::task::{Queue, Task};
use stapled_redis::RedisScheduler;
use stapled_tests::Redis;

const STAGES: [&str; 4] = ["makechallenge", "testchallenge", "issue", "done"];
const TASKS: usize = 2000;
/// How many tasks a worker takes at once.
const BATCH: usize = 16;
const ROUND_TRIPS: usize = 20_000;
const LEASE: Duration = Duration::from_secs(60);

fn main() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    for (name, settings) in [
        ("nothing on disk", ["--save", "", "--appendonly", "no"].as_slice()),
        ("appendfsync everysec", &["--save", "", "--appendonly", "yes", "--appendfsync", "everysec"]),
        ("appendfsync always", &["--save", "", "--appendonly", "yes", "--appendfsync", "always"]),
    ] {
        println!("{name}:");
        for workers in [1, 2, 4] {
            let server = Redis::start_with(settings);
            runtime.block_on(measure(&server, workers));
        }
    }
}

async fn measure(server: &Redis, workers: usize) {
    let bare = round_trips_per_second(server, workers).await;
    let before = scripts(server);
    let tasks = tasks_per_second(server, workers).await;
    let of_a_task = (scripts(server) - before) as f64 / TASKS as f64;
    let of_a_stage = of_a_task / STAGES.len() as f64;
    println!(
        "  {workers} workers: {tasks:.0} tasks/s through four stages, {of_a_task:.2} round trips for each, {of_a_stage:.2} for a \
         stage; bare round trips {bare:.0}/s"
    );
    assert!(of_a_stage <= 2.0, "a stage costs {of_a_stage:.2} round trips");
}

/// How many scripts the server has run: every call of the scheduler is one. Waiting for wake-ups is not among them; workers do not
/// wait while there is work.
fn scripts(server: &Redis) -> usize {
    let statistics = server.ask(&["INFO", "commandstats"]);
    let line = statistics.lines().find(|line| line.starts_with("cmdstat_evalsha:"));
    let calls = line.and_then(|line| line.split(['=', ',']).nth(1));
    calls.map_or(0, |calls| calls.parse().unwrap())
}

/// The same number of connections, each of which sends PING and waits for the answer.
async fn round_trips_per_second(server: &Redis, workers: usize) -> f64 {
    let client = redis::Client::open(server.address()).unwrap();
    let start = Instant::now();
    let all = (0..workers).map(|_| {
        let client = client.clone();
        tokio::spawn(async move {
            let mut connection = client.get_multiplexed_async_connection().await.unwrap();
            for _ in 0..ROUND_TRIPS / workers {
                let _: String = redis::cmd("PING").query_async(&mut connection).await.unwrap();
            }
        })
    });
    for each in all.collect::<Vec<_>>() {
        each.await.unwrap();
    }
    ROUND_TRIPS as f64 / start.elapsed().as_secs_f64()
}

async fn tasks_per_second(server: &Redis, workers: usize) -> f64 {
    let intake = RedisScheduler::connect(&server.address(), "bench").await.unwrap();
    for first in (0..TASKS).step_by(1000) {
        let step = (first..first + 1000).fold(Step::intake(), |step, number| {
            let subject = number.to_string();
            step.record(Record::new(subject.as_str().into(), STAGES[0]))
                .put(Task::new(STAGES[0].into(), subject.as_str().into()))
        });
        intake.commit(step).await.unwrap();
    }
    let done = Arc::new(AtomicUsize::new(0));
    let start = Instant::now();
    let all = (0..workers).map(|_| tokio::spawn(work(server.address(), done.clone())));
    let all: Vec<_> = all.collect();
    for each in all {
        each.await.unwrap();
    }
    TASKS as f64 / start.elapsed().as_secs_f64()
}

/// A process of its own, as Redis sees it: its workers take several tasks at once and work on them side by side.
async fn work(address: String, done: Arc<AtomicUsize>) {
    let scheduler = RedisScheduler::connect(&address, "bench").await.unwrap();
    let queues: Vec<Queue> = STAGES.into_iter().map(Queue::from).collect();
    while done.load(Ordering::SeqCst) < TASKS {
        let taken = scheduler.take(&queues, BATCH, LEASE);
        let Ok(leases) = tokio::time::timeout(Duration::from_millis(50), taken).await else { continue };
        let leases = leases.unwrap();
        let commits = leases.iter().map(|lease| async {
            let subject = lease.task().subject.clone();
            let stage = STAGES.iter().position(|stage| *stage == lease.task().queue.as_str()).unwrap();
            let step = Step::finish(lease);
            let step = match STAGES.get(stage + 1) {
                Some(next) => step.record(Record::new(subject.clone(), *next)).put(Task::new((*next).into(), subject)),
                None => {
                    done.fetch_add(1, Ordering::SeqCst);
                    step.record(Record::new(subject, "finished"))
                }
            };
            scheduler.commit(step).await.unwrap();
        });
        futures_util::future::join_all(commits).await;
    }
}
