//! The conformance suite of schedulers, on one server. The user of the scheduler has the permissions in docs/redis.md only.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use stapled_core::conformance::Harness;
use stapled_core::scheduler::Scheduler;
use stapled_core::time::Timestamp;
use stapled_redis::RedisScheduler;
use stapled_tests::Redis;

use crate::access::{PASSWORD, USER, allow_scheduler};

struct OnRedis {
    server: Redis,
    scheduler: Arc<RedisScheduler>,
}

impl OnRedis {
    async fn start() -> Self {
        let server = Redis::start();
        allow_scheduler(&server, "test");
        let scheduler = RedisScheduler::connect(&server.address_of(USER, PASSWORD), "test").await.unwrap();
        OnRedis { server, scheduler: Arc::new(scheduler.patience(Duration::from_millis(20))) }
    }
}

#[async_trait]
impl Harness for OnRedis {
    fn scheduler(&self) -> Arc<dyn Scheduler> {
        self.scheduler.clone()
    }

    fn now(&self) -> Timestamp {
        self.server.now()
    }

    async fn advance(&self, by: Duration) {
        self.server.advance(by);
    }

    // The scheduler looks again at least every 20 ms.
    async fn settle(&self) {
        tokio::time::sleep(Duration::from_millis(60)).await;
    }

    async fn set_clock(&self, to: Timestamp) -> bool {
        self.server.set_clock(to);
        true
    }

    fn leases_lapse(&self) -> bool {
        true
    }
}

stapled_core::scheduler_conformance! {
    #[tokio::test] => OnRedis::start().await
}
