//! What survives the end of the process.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use stapled_core::scheduler::{Expect, QueueRules, Record, Scheduler, Step};
use stapled_core::task::{Cause, Due, Queue, Task};
use stapled_embedded::{EmbeddedError, EmbeddedScheduler};
use stapled_tests::how_many;

const MINUTE: Duration = Duration::from_secs(60);
const FILE: &str = "STAPLED_TEST_FILE";

fn task(queue: &str, subject: &str) -> Task {
    Task::new(queue.into(), subject.into())
}

#[tokio::test]
async fn a_damaged_file_is_an_error_and_stays_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let scheduler = EmbeddedScheduler::open(&path).unwrap();
    commit(&scheduler, Step::intake().put(task("q", "s"))).await;
    drop(scheduler);
    let whole = std::fs::read(&path).unwrap();
    let longer = [&whole[..], &[7; 200]].concat();
    for damaged in [&whole[..5000], &longer, b"no database at all, but some other text of some length"] {
        std::fs::write(&path, damaged).unwrap();
        let error = EmbeddedScheduler::open(&path).unwrap_err();
        assert!(!error.is_in_use() && error.to_string().contains(path.to_str().unwrap()), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), damaged);
    }
    std::fs::write(&path, whole).unwrap();
    let scheduler = EmbeddedScheduler::open(&path).unwrap();
    assert!(EmbeddedScheduler::open(&path).unwrap_err().is_in_use());
    assert_eq!(scheduler.take(&["q".into()], 2, MINUTE).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_start_finds_what_the_last_process_left() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let scheduler = EmbeddedScheduler::open(&path).unwrap();
    assert!(matches!(EmbeddedScheduler::open(&path), Err(EmbeddedError::Open { .. })), "one process at a time");
    scheduler.configure(&"q".into(), QueueRules::new().capacity(3)).await.unwrap();
    let part = BTreeMap::from([("type".to_owned(), vec![0, 255])]);
    let record = Record::new("s".into(), "state").field("a", "b").list("names", vec![b"x".to_vec()]).part("1", part);
    commit(&scheduler, Step::intake().record(record).put(task("q", "s")).put(task("q", "leased"))).await;
    commit(&scheduler, Step::intake().put(task("q", "later").due(Due::After(MINUTE)))).await;
    let leases = scheduler.take(&["q".into()], 2, MINUTE).await.unwrap();
    commit(&scheduler, Step::finish(&leases[0])).await;
    let (recorded, left) = (scheduler.recorded(&"s".into()).await.unwrap(), leases[1].task().subject.clone());
    // The process ends without giving the lease back.
    leases.into_iter().for_each(std::mem::forget);
    drop(scheduler);

    // The forgotten guards still have the file: as the next process, read a copy of it.
    let copy = directory.path().join("copy");
    std::fs::copy(&path, &copy).unwrap();
    let scheduler = EmbeddedScheduler::open(&copy).unwrap();
    assert_eq!(scheduler.recorded(&"s".into()).await.unwrap(), recorded);
    let census = scheduler.census().await.unwrap();
    let queue = &census.queues[&"q".into()];
    assert_eq!((queue.waiting, queue.due, queue.leased), (2, 0, 0));
    let full = scheduler.commit(Step::intake().put(task("q", "1")).put(task("q", "2"))).await;
    assert!(full.is_err(), "the rules are kept");
    let lease = scheduler.take(&["q".into()], 1, MINUTE).await.unwrap().remove(0);
    assert_eq!((&lease.task().subject, lease.task().attempt, &lease.task().cause), (&left, 1, &Cause::LeaseLost));
}

async fn commit(scheduler: &EmbeddedScheduler, step: Step<'_>) {
    scheduler.commit(step).await.unwrap();
}

#[tokio::test]
async fn a_file_of_another_kind_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, "not a database").unwrap();
    assert!(matches!(EmbeddedScheduler::open(&path), Err(EmbeddedError::Open { .. })));
}

#[tokio::test]
async fn missing_tasks_are_put_and_settled_subjects_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let scheduler = EmbeddedScheduler::open(directory.path().join("file")).unwrap();
    for (subject, state) in [("b", "q"), ("a", "q"), ("c", "waits"), ("d", "q")] {
        let record = Record::new(subject.into(), state);
        let record = if subject == "d" { record.settled() } else { record };
        commit(&scheduler, Step::intake().record(record)).await;
    }
    commit(&scheduler, Step::intake().put(task("q", "a"))).await;
    assert_eq!(scheduler.active().unwrap(), ["b".into(), "a".into(), "c".into()]);
    let queue_of = |recorded: &stapled_core::scheduler::Recorded| (recorded.state == "q").then(|| Queue::from("q"));
    assert_eq!(scheduler.missing(queue_of).unwrap(), [("q".into(), "b".into())]);
    assert_eq!(scheduler.recover(queue_of).unwrap(), [("q".into(), "b".into())]);
    assert_eq!(scheduler.recover(queue_of).unwrap(), []);
}

/// As a process of its own: commits numbered steps until it is killed, and prints each number after its commit.
#[tokio::test]
async fn a_writer_commits_until_it_is_killed() {
    let Ok(path) = std::env::var(FILE) else { return };
    let scheduler = EmbeddedScheduler::open(path).unwrap();
    let begin = number(&scheduler).await;
    for next in begin + 1.. {
        commit(&scheduler, numbered(next)).await;
        println!("committed {next}");
    }
}

/// A step that counts on: one record is changed, and one task moves from queue to queue.
fn numbered(next: u64) -> Step<'static> {
    let state = (next - 1).to_string();
    let expect = if next == 1 { Expect::Nothing } else { Expect::State(state) };
    let record = Record::new("s".into(), next.to_string()).expecting(expect).field("n", next.to_string());
    Step::intake().record(record).put(task("q", &next.to_string()))
}

async fn number(scheduler: &EmbeddedScheduler) -> u64 {
    let recorded = scheduler.recorded(&"s".into()).await.unwrap();
    recorded.map_or(0, |recorded| recorded.state.parse().unwrap())
}

/// The last number that a writer printed before it was killed after some lines.
fn killed_after(lines: usize, path: &Path) -> u64 {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "durability::a_writer_commits_until_it_is_killed", "--nocapture"]).env(FILE, path);
    let mut writer = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut last = 0;
    let mut numbers = BufReader::new(writer.stdout.take().unwrap()).lines();
    let mut next =
        || numbers.find_map(|line| line.unwrap().strip_prefix("committed ").map(|number| number.parse().unwrap()));
    for _ in 0..lines {
        last = next().expect("the writer goes on");
    }
    writer.kill().unwrap();
    writer.wait().unwrap();
    // What it printed before the kill counts, too.
    while let Some(number) = next() {
        last = number;
    }
    last
}

#[tokio::test]
async fn every_acknowledged_step_survives_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    for round in 0..how_many(300, 5) {
        let acknowledged = killed_after(1 + round % 7, &path);
        let scheduler = EmbeddedScheduler::open(&path).unwrap();
        let found = number(&scheduler).await;
        assert!(found == acknowledged || found == acknowledged + 1, "{found} after {acknowledged}");
        let recorded = scheduler.recorded(&"s".into()).await.unwrap().unwrap();
        assert_eq!(recorded.fields["n"], found.to_string().as_bytes(), "a step is there wholly");
        assert_eq!(scheduler.census().await.unwrap().queues[&"q".into()].due, found, "or not at all");
    }
}

#[tokio::test]
async fn only_the_owner_reads_the_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tasks");
    let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    drop(EmbeddedScheduler::open(&path).unwrap());
    assert_eq!(mode(), 0o600);
    // A file of an earlier version is made private when it is opened.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    drop(EmbeddedScheduler::open(&path).unwrap());
    assert_eq!(mode(), 0o600);
}
