//! The scheduler on a Cluster, with the conformance suite.

use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use stapled_core::clock::{Clock, SystemClock};
use stapled_core::conformance::Harness;
use stapled_core::scheduler::{Scheduler, SchedulerError, Step};
use stapled_core::task::{Queue, Task};
use stapled_core::time::Timestamp;
use stapled_redis::{RedisError, RedisScheduler};
use stapled_tests::RedisCluster;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::access::{PASSWORD, USER, allow_scheduler};

const HOUR: Duration = Duration::from_secs(3600);

/// One Cluster for all tests of the suite, one after the other: starting one takes longer than a test.
static SHARED: std::sync::Mutex<Weak<Shared>> = std::sync::Mutex::new(Weak::new());

struct Shared {
    cluster: RedisCluster,
    turns: Arc<Mutex<()>>,
}

struct OnCluster {
    shared: Arc<Shared>,
    node: usize,
    scheduler: Arc<RedisScheduler>,
    _turn: OwnedMutexGuard<()>,
}

impl OnCluster {
    async fn start() -> Self {
        let shared = shared();
        let turn = Arc::clone(&shared.turns).lock_owned().await;
        for node in &shared.cluster.nodes {
            node.set_clock(SystemClock.now());
            node.ask(&["FLUSHALL"]);
        }
        let scheduler = connect(&shared.cluster).await.patience(Duration::from_millis(20));
        OnCluster { node: shared.cluster.node_of("{test}"), shared, scheduler: Arc::new(scheduler), _turn: turn }
    }
}

fn shared() -> Arc<Shared> {
    let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let new = Arc::new(Shared { cluster: start(), turns: Arc::default() });
        *shared = Arc::downgrade(&new);
        new
    })
}

/// A Cluster on which the user of the scheduler has the documented permissions only.
fn start() -> RedisCluster {
    let cluster = RedisCluster::start(&[]);
    for node in &cluster.nodes {
        allow_scheduler(node, "test");
        node.ask(&["ACL", "SETUSER", USER, "+cluster|slots", "+asking"]);
    }
    cluster
}

async fn connect(cluster: &RedisCluster) -> RedisScheduler {
    let address = cluster.address(2).replacen("//", &format!("//{USER}:{PASSWORD}@"), 1);
    RedisScheduler::connect(&address, "test").await.unwrap()
}

fn intake(subject: &str) -> Step<'static> {
    Step::intake().put(Task::new("q".into(), subject.into()))
}

async fn take(scheduler: &RedisScheduler) -> String {
    let from = [Queue::from("q")];
    let taken = tokio::time::timeout(Duration::from_secs(60), scheduler.take(&from, 1, HOUR)).await;
    taken.expect("nothing is taken").unwrap().remove(0).task().subject.to_string()
}

#[async_trait]
impl Harness for OnCluster {
    fn scheduler(&self) -> Arc<dyn Scheduler> {
        self.scheduler.clone()
    }

    fn now(&self) -> Timestamp {
        self.shared.cluster.nodes[self.node].now()
    }

    async fn advance(&self, by: Duration) {
        self.shared.cluster.nodes[self.node].advance(by);
    }

    // The scheduler looks again at least every 20 ms.
    async fn settle(&self) {
        tokio::time::sleep(Duration::from_millis(60)).await;
    }

    async fn set_clock(&self, to: Timestamp) -> bool {
        self.shared.cluster.nodes[self.node].set_clock(to);
        true
    }

    fn leases_lapse(&self) -> bool {
        true
    }
}

mod suite {
    use super::OnCluster;

    stapled_core::scheduler_conformance! {
        #[tokio::test] => OnCluster::start().await
    }
}

#[tokio::test]
async fn all_keys_are_in_one_slot() {
    let cluster = start();
    let scheduler = connect(&cluster).await;
    scheduler.commit(intake("a").put(Task::new("other".into(), "b".into()))).await.unwrap();
    take(&scheduler).await;
    let keys = cluster.keys();
    assert!(keys.len() > 3, "{keys:?}");
    for (key, node) in &keys {
        assert!(key.starts_with("{test}:") && *node == cluster.node_of("{test}"), "{key} is on node {node}");
    }
    for prefix in ["stapled", "a{b", "{", "a}b", "{}", "{{}}"] {
        for key in ["clock", "queue:}{x}", "record:{y}"] {
            let (tag, key) = (format!("{{{prefix}}}"), format!("{{{prefix}}}:{key}"));
            assert_eq!(cluster.slot(&tag), cluster.slot(&key), "{key}");
        }
    }
    for prefix in ["", "}", "}a"] {
        let refused = RedisScheduler::connect(&cluster.address(1), prefix).await;
        assert!(matches!(refused, Err(RedisError::Prefix)), "{prefix:?}");
    }
}

#[tokio::test]
async fn takers_are_woken_and_missing_replicas_are_noticed() {
    let cluster = start();
    let (one, other) = (connect(&cluster).await.patience(HOUR), connect(&cluster).await);
    let (taken, ()) = tokio::join!(take(&one), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        other.commit(intake("a")).await.unwrap();
    });
    assert_eq!(taken, "a");
    let other = other.replicas(1, Duration::from_millis(100));
    let error = other.commit(intake("b")).await.unwrap_err().to_string();
    assert!(error.contains("only 0 of 1 replicas"), "{error}");
    assert_eq!(take(&one).await, "b");
}

#[tokio::test]
async fn tasks_go_on_without_another_node_and_after_their_slot_has_moved() {
    let mut cluster = start();
    let scheduler = connect(&cluster).await;
    scheduler.commit(intake("a")).await.unwrap();
    let (slot, from) = (cluster.slot("{test}"), cluster.node_of("{test}"));
    let (to, gone) = ((from + 1) % 3, (from + 2) % 3);
    cluster.begin_move(slot, from, to);
    let error = scheduler.commit(intake("b")).await.unwrap_err();
    assert!(matches!(error, SchedulerError::Store(_)), "{error}");
    for key in cluster.keys().into_keys() {
        cluster.move_key(&key, from, to);
    }
    cluster.end_move(slot, to);
    cluster.nodes[gone].kill();
    assert_eq!(take(&scheduler).await, "a");
    scheduler.commit(intake("c")).await.unwrap();
    assert_eq!(take(&scheduler).await, "c");
}
