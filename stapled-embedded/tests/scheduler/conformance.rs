//! The conformance suite of schedulers.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use stapled_core::clock::Clock;
use stapled_core::clock::simulated::SimulatedClock;
use stapled_core::conformance::Harness;
use stapled_core::scheduler::Scheduler;
use stapled_core::time::Timestamp;
use stapled_embedded::EmbeddedScheduler;

struct Embedded {
    clock: Arc<SimulatedClock>,
    scheduler: Arc<EmbeddedScheduler>,
    _directory: tempfile::TempDir,
}

impl Embedded {
    fn new() -> Self {
        let clock = Arc::new(SimulatedClock::starting_at(Timestamp::from_unix(1_700_000_000)));
        let directory = tempfile::tempdir().unwrap();
        let scheduler = EmbeddedScheduler::open_with_clock(directory.path().join("file"), clock.clone()).unwrap();
        Embedded { clock, scheduler: Arc::new(scheduler), _directory: directory }
    }
}

#[async_trait]
impl Harness for Embedded {
    fn scheduler(&self) -> Arc<dyn Scheduler> {
        self.scheduler.clone()
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn advance(&self, by: Duration) {
        tokio::time::advance(by).await;
    }

    async fn settle(&self) {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    async fn set_clock(&self, to: Timestamp) -> bool {
        self.clock.set(to);
        true
    }
}

stapled_core::scheduler_conformance! {
    #[tokio::test(start_paused = true)] => Embedded::new()
}
