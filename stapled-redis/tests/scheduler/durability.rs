//! The steps that survive the end of redis-server, by its settings. `docs/redis.md` has the table.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use stapled_core::scheduler::{Record, Scheduler, Step};
use stapled_core::task::{Subject, Task};
use stapled_redis::{Recovery, RedisScheduler};
use stapled_tests::{Redis, free_port, how_many, wait_until};

use crate::pipeline::{LEASE, assert_all_done_once, queue_of, work};

const ALWAYS: [&str; 6] = ["--save", "", "--appendonly", "yes", "--appendfsync", "always"];
const EVERYSEC: [&str; 6] = ["--save", "", "--appendonly", "yes", "--appendfsync", "everysec"];
const SNAPSHOTS: [&str; 5] = ["--save", "3600", "1", "--appendonly", "no"];

async fn connect(server: &Redis) -> RedisScheduler {
    RedisScheduler::connect(&server.address(), "test").await.unwrap()
}

fn intake(number: usize) -> Step<'static> {
    let subject = Subject::from(number.to_string().as_str());
    Step::intake().record(Record::new(subject.clone(), "in issue")).put(Task::new("issue".into(), subject))
}

/// Puts subjects until the server is gone. Returns how many were acknowledged.
async fn put_until_the_end(scheduler: &RedisScheduler, acknowledged: &AtomicUsize) {
    for number in 0.. {
        if scheduler.commit(intake(number)).await.is_err() {
            return;
        }
        acknowledged.store(number + 1, Ordering::SeqCst);
    }
}

/// The subjects on record, and those that have a task.
async fn kept(server: &Redis) -> (BTreeSet<String>, BTreeSet<String>) {
    let scheduler = connect(server).await;
    assert_eq!(scheduler.recover(Recovery::DryRun, queue_of).await.unwrap(), [], "records and tasks agree");
    let lines = |text: String| text.lines().map(str::to_owned).collect();
    (lines(server.ask(&["SMEMBERS", "{test}:active"])), lines(server.ask(&["LRANGE", "{test}:queue:issue", "0", "-1"])))
}

/// The steps that a kill of the server may cost.
#[derive(Clone, Copy, PartialEq)]
enum Cost {
    Nothing,
    /// The last steps.
    LastSteps,
}

async fn what_a_kill_leaves_is_whole(settings: &[&str], cost: Cost) {
    for round in 0..how_many(50, 4) {
        let mut server = Redis::start_with(settings);
        let scheduler = connect(&server).await;
        let acknowledged = AtomicUsize::new(0);
        let kill = async {
            while acknowledged.load(Ordering::SeqCst) == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            tokio::time::sleep(Duration::from_millis(13 * round as u64)).await;
            // A thread of its own: the worker goes on meanwhile.
            tokio::task::block_in_place(|| server.kill());
        };
        tokio::join!(put_until_the_end(&scheduler, &acknowledged), kill);
        server.restart();
        let (records, tasks) = kept(&server).await;
        assert_eq!(records, tasks);
        // No step is kept without those before it. The step whose reply was lost may have been taken.
        assert_eq!(records, (0..records.len()).map(|number| number.to_string()).collect());
        let acknowledged = acknowledged.into_inner();
        let least = if cost == Cost::Nothing { acknowledged } else { 0 };
        assert!((least..=acknowledged + 1).contains(&records.len()), "{acknowledged}, kept {}", records.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_appendfsync_always_every_acknowledged_step_survives_a_kill() {
    what_a_kill_leaves_is_whole(&ALWAYS, Cost::Nothing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_appendfsync_everysec_a_kill_of_the_process_costs_the_last_steps_at_most() {
    what_a_kill_leaves_is_whole(&EVERYSEC, Cost::LastSteps).await;
}

#[tokio::test]
async fn with_snapshots_alone_what_came_after_the_last_one_is_lost() {
    let mut server = Redis::start_with(&SNAPSHOTS);
    let scheduler = connect(&server).await;
    for number in 0..10 {
        scheduler.commit(intake(number)).await.unwrap();
    }
    server.ask(&["SAVE"]);
    for number in 10..20 {
        scheduler.commit(intake(number)).await.unwrap();
    }
    server.kill();
    server.restart();
    let (records, tasks) = kept(&server).await;
    assert_eq!(records, (0..10).map(|number: usize| number.to_string()).collect());
    assert_eq!(records, tasks);
}

/// A primary and its replica.
fn pair() -> (Redis, Redis) {
    let port = free_port().to_string();
    let primary = Redis::start_with(&["--port", &port, "--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0"]);
    let replica = Redis::start_with(&["--replicaof", "127.0.0.1", &port.to_string()]);
    wait_until("the replica follows", || replica.ask(&["INFO", "replication"]).contains("master_link_status:up"));
    (primary, replica)
}

/// The subjects on record after the primary is gone and the replica has taken its place.
async fn after_failover(mut primary: Redis, replica: &Redis) -> BTreeSet<String> {
    primary.kill();
    replica.thaw();
    replica.ask(&["REPLICAOF", "NO", "ONE"]);
    kept(replica).await.0
}

#[tokio::test]
async fn a_failover_loses_what_the_replica_has_not_got() {
    let (primary, replica) = pair();
    let scheduler = connect(&primary).await.replicas(1, LEASE);
    scheduler.commit(intake(0)).await.unwrap();
    // The link between the two is cut, as at the beginning of a failover.
    replica.ask(&["REPLICAOF", "NO", "ONE"]);
    connect(&primary).await.commit(intake(1)).await.unwrap();
    assert_eq!(after_failover(primary, &replica).await, BTreeSet::from(["0".to_owned()]));
}

#[tokio::test]
async fn a_step_that_waits_for_a_replica_survives_a_failover() {
    let (primary, replica) = pair();
    let scheduler = connect(&primary).await.replicas(1, LEASE);
    for number in 0..10 {
        scheduler.commit(intake(number)).await.unwrap();
    }
    replica.freeze();
    let impatient = connect(&primary).await.replicas(1, Duration::from_millis(200));
    let refused = impatient.commit(intake(10)).await.unwrap_err().to_string();
    assert!(refused.contains("only 0 of 1 replicas"), "{refused}");
    let kept = after_failover(primary, &replica).await;
    assert!((0..10).all(|number: usize| kept.contains(&number.to_string())), "{kept:?}");
}

/// The end of the append-only file.
fn append_only_file(directory: &Path) -> std::path::PathBuf {
    directory.join("appendonlydir").join("appendonly.aof.1.incr.aof")
}

/// A machine that loses power loses the end of the file that was not synced yet, at any octet.
#[tokio::test]
async fn whatever_the_lost_end_of_the_file_every_step_is_there_wholly_or_not_at_all() {
    let mut server = Redis::start_with(&ALWAYS);
    let worker = connect(&server).await;
    work(&worker).await.unwrap();
    server.kill();
    let file = append_only_file(server.directory());
    let whole = std::fs::read(&file).unwrap();
    let cuts = how_many(400, 40);
    for cut in 0..cuts {
        let length = whole.len() * cut / cuts;
        std::fs::write(&file, &whole[..length]).unwrap();
        server.restart();
        let survivor = connect(&server).await;
        server.advance(LEASE + LEASE);
        assert_eq!(survivor.recover(Recovery::Run, queue_of).await.unwrap(), [], "cut at {length}");
        work(&survivor).await.unwrap();
        assert_all_done_once(&survivor, length).await;
        server.kill();
        std::fs::remove_dir_all(server.directory().join("appendonlydir")).unwrap();
        std::fs::create_dir(server.directory().join("appendonlydir")).unwrap();
        std::fs::write(file.with_file_name("appendonly.aof.manifest"), "file appendonly.aof.1.incr.aof seq 1 type i\n")
            .unwrap();
    }
}
