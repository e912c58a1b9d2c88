//! The scheduler on a primary that sentinels watch.

use std::time::Duration;

use stapled_core::scheduler::{Scheduler, Step};
use stapled_core::task::{Queue, Task};
use stapled_redis::RedisScheduler;
use stapled_tests::RedisSentinels;

use crate::access::{PASSWORD, USER, allow_scheduler};

const HOUR: Duration = Duration::from_secs(3600);
/// How long the scheduler may take to find the new primary, on a busy machine.
const SLOW: Duration = Duration::from_secs(120);

async fn put(scheduler: &RedisScheduler, subject: &str) {
    let put = async {
        while scheduler.commit(Step::intake().put(Task::new("q".into(), subject.into()))).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(SLOW, put).await.expect("no put succeeds");
}

async fn take(scheduler: &RedisScheduler) -> String {
    let from = [Queue::from("q")];
    let taken = async {
        loop {
            if let Ok(mut leases) = scheduler.take(&from, 1, HOUR).await {
                return leases.remove(0).task().subject.to_string();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(SLOW, taken).await.expect("nothing is taken")
}

#[tokio::test]
async fn after_a_failover_tasks_go_on_and_takers_are_woken() {
    let mut group = RedisSentinels::start(&[], "");
    for server in &group.servers {
        allow_scheduler(server, "test");
        server.ask(&["ACL", "SETUSER", USER, "+role"]);
    }
    let address = group.address().replacen("//", &format!("//{USER}:{PASSWORD}@"), 1);
    let connect = || async { RedisScheduler::connect(&address, "test").await.unwrap() };
    let (worker, other) = (connect().await.patience(Duration::from_millis(500)), connect().await);
    let other = other.replicas(1, Duration::from_secs(4));
    put(&other, "before").await;
    group.servers[0].kill();
    group.wait_for_failover();
    assert_eq!(take(&worker).await, "before");
    // The only replica is the primary now.
    let other = connect().await;
    let (taken, ()) = tokio::join!(take(&worker), put(&other, "after"));
    assert_eq!(taken, "after");
    // A taker that looks again after an hour only is woken by the new primary.
    let patient = connect().await.patience(HOUR);
    let (taken, ()) = tokio::join!(take(&patient), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        put(&other, "later").await;
    });
    assert_eq!(taken, "later");
}
