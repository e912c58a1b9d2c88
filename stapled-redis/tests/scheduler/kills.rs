//! Workers that are processes of their own, and redis-server, killed and stopped at random instants.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use stapled_core::scheduler::Scheduler;
use stapled_redis::{Recovery, RedisScheduler};
use stapled_tests::{PATIENCE, Redis, how_many, signal_to, wait_until_within};

use crate::pipeline::{LEASE, SUBJECTS, assert_all_done_once, queue_of, work};

const ADDRESS: &str = "STAPLED_TEST_REDIS";
const PREFIX: &str = "STAPLED_TEST_PREFIX";

/// A worker process: this test program, which runs [`a_worker_works_everything_off`] alone. Its drop kills it.
struct Worker(Child);

impl Worker {
    fn start(server: &Redis, prefix: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "kills::a_worker_works_everything_off"])
            .env(ADDRESS, server.address())
            .env(PREFIX, prefix);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Worker(command.spawn().unwrap())
    }

    fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// As a process of its own, works until it is killed, and connects again after every error. Otherwise works once.
#[tokio::test]
async fn a_worker_works_everything_off() {
    let (Ok(address), Ok(prefix)) = (std::env::var(ADDRESS), std::env::var(PREFIX)) else {
        let server = Redis::start();
        let scheduler = RedisScheduler::connect(&server.address(), "test").await.unwrap();
        work(&scheduler).await.unwrap();
        assert_all_done_once(&scheduler, "without kills").await;
        return;
    };
    loop {
        if let Ok(scheduler) = RedisScheduler::connect(&address, &prefix).await {
            let _ = work(&scheduler.patience(Duration::from_millis(100))).await;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn is_all_done(address: &str, prefix: &str) -> bool {
    let Ok(scheduler) = RedisScheduler::connect(address, prefix).await else { return false };
    let Ok(census) = scheduler.census().await else { return false };
    let tasks = census.queues.values().map(|queue| queue.waiting + queue.due + queue.leased + queue.parked);
    tasks.sum::<u64>() == 0 && census.resting.get("finished") == Some(&(SUBJECTS.len() as u64))
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_of_workers_and_of_the_server_lose_nothing_and_repeat_nothing() {
    let rounds = how_many(500, 10);
    let mut dice = StdRng::seed_from_u64(0x5eed);
    let mut server = Redis::start_with(&["--save", "", "--appendonly", "yes", "--appendfsync", "everysec"]);
    for round in 0..rounds {
        let prefix = format!("round-{round}");
        let mut workers = [Worker::start(&server, &prefix), Worker::start(&server, &prefix)];
        for _ in 0..dice.random_range(1..4) {
            tokio::time::sleep(Duration::from_millis(dice.random_range(0..120))).await;
            let one = dice.random_range(0..workers.len());
            match dice.random_range(0..3) {
                0 => {
                    workers[one].kill();
                    workers[one] = Worker::start(&server, &prefix);
                }
                1 => {
                    server.kill();
                    server.restart();
                }
                _ => {
                    // It sleeps past its lease, and goes on where it was.
                    signal_to(workers[one].0.id(), "STOP");
                    server.advance(LEASE + LEASE);
                    tokio::time::sleep(Duration::from_millis(dice.random_range(0..60))).await;
                    signal_to(workers[one].0.id(), "CONT");
                }
            }
        }
        let address = server.address();
        let runtime = tokio::runtime::Handle::current();
        tokio::task::block_in_place(|| {
            wait_until_within(PATIENCE, &format!("round {round} is done"), || {
                // The leases of the dead lapse.
                server.advance(LEASE);
                runtime.block_on(is_all_done(&address, &prefix))
            });
        });
        drop(workers);
        let survivor = RedisScheduler::connect(&address, &prefix).await.unwrap();
        assert_eq!(survivor.recover(Recovery::Run, queue_of).await.unwrap(), [], "round {round}");
        assert_all_done_once(&survivor, round).await;
    }
    println!("{rounds} rounds");
}
