//! The permissions that docs/redis.md names suffice, and none of them is superfluous.

use std::time::Duration;

use stapled_core::scheduler::{Expect, QueueRules, Record, Scheduler, SchedulerError, Step, Which};
use stapled_core::task::{Due, Queue, Task};
use stapled_redis::{Recovery, RedisScheduler};
use stapled_tests::Redis;

pub(crate) const USER: &str = "stapled";
pub(crate) const PASSWORD: &str = "s3cr3t";

/// The words of the line in docs/redis.md that begins with this user, without `ACL SETUSER`.
fn documented(user: &str) -> Vec<String> {
    let document = include_str!("../../../docs/redis.md");
    let begin = format!("ACL SETUSER {user} ");
    let lines: Vec<&str> = document.lines().skip_while(|line| !line.starts_with(&begin)).collect();
    let end = lines.iter().position(|line| line.starts_with("```")).unwrap();
    let words = lines[..end].join(" ").replace('\\', "").replace("PASSWORD", PASSWORD);
    words.split_whitespace().skip(2).map(str::to_owned).collect()
}

fn set_user(server: &Redis, words: &[String]) {
    let command: Vec<&str> = ["ACL", "SETUSER"].into_iter().chain(words.iter().map(String::as_str)).collect();
    server.ask(&command);
}

/// Makes the user of a scheduler with this prefix.
pub(crate) fn allow_scheduler(server: &Redis, prefix: &str) {
    let words: Vec<String> =
        documented(USER).iter().map(|word| word.replace("~{stapled}", &format!("~{{{prefix}}}"))).collect();
    set_user(server, &words);
}

fn task(queue: &str, subject: &str) -> Task {
    Task::new(queue.into(), subject.into())
}

/// Uses every procedure and every command.
async fn use_everything(address: &str) -> Result<(), SchedulerError> {
    let scheduler = RedisScheduler::connect(address, "stapled").await?.patience(Duration::from_millis(10));
    let scheduler = scheduler.replicas(0, Duration::from_millis(10));
    let (queue, hour) = (Queue::from("q"), Duration::from_secs(3600));
    let rules = QueueRules::default();
    scheduler.configure(&queue, rules).await?;
    let later = |subject: &str| task("q", subject).due(Due::After(hour));
    let record = Record::new("a".into(), "waits").expecting(Expect::Nothing);
    scheduler.commit(Step::intake().record(record).put(task("q", "a")).put(later("b")).put(later("c"))).await?;
    let lease = scheduler.take(std::slice::from_ref(&queue), 1, hour).await?.remove(0);
    scheduler.extend(&lease, hour).await?;
    scheduler.commit(Step::finish(&lease)).await?;
    scheduler.recorded(&"a".into()).await?;
    scheduler.hasten(Which::Subject(&"b".into())).await?;
    scheduler.census().await?;
    scheduler.parked(&queue).await?;
    scheduler.recover(Recovery::Run, |_| Some("q".into())).await?;
    scheduler.cancel(Which::Queue(&queue)).await?;
    Ok(())
}

#[test]
fn the_documented_commands_are_those_in_use() {
    let script = include_str!("../../src/scheduler.lua");
    let calls = script.split("redis.call(").skip(1).filter_map(|call| call.split('\'').nth(1));
    let mut used: Vec<String> = calls.map(str::to_lowercase).collect();
    // Those of the connection.
    used.extend(["evalsha", "eval", "blpop", "wait", "sscan", "hscan", "zscan", "lrange"].map(str::to_owned));
    used.sort();
    used.dedup();
    let mut allowed: Vec<String> =
        documented(USER).iter().filter_map(|word| word.strip_prefix('+')).map(str::to_owned).collect();
    allowed.sort();
    assert_eq!(allowed, used);
}

#[tokio::test]
async fn the_documented_permissions_suffice() {
    let server = Redis::start();
    allow_scheduler(&server, "stapled");
    use_everything(&server.address_of(USER, PASSWORD)).await.unwrap();
}

#[tokio::test]
async fn keys_of_others_are_out_of_reach_and_the_error_shows_no_password() {
    let server = Redis::start();
    allow_scheduler(&server, "other");
    let error = use_everything(&server.address_of(USER, PASSWORD)).await.unwrap_err().to_string();
    assert!(error.contains("NoPerm") && !error.contains(PASSWORD), "{error}");
    let error = use_everything(&server.address_of(USER, "n3v3r")).await.unwrap_err().to_string();
    assert!(error.contains("it refuses the user or the password") && !error.contains("n3v3r"), "{error}");
}
