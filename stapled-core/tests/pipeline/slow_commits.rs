//! A scheduler whose commits take effect at once and return late, as one in a database does: others work on the new tasks before
//! the worker that put them goes on.

use std::time::Duration;

use async_trait::async_trait;
use stapled_core::io::memory::MemoryScheduler;
use stapled_core::scheduler::census::Census;
use stapled_core::scheduler::{Lease, QueueRules, Recorded, Scheduler, SchedulerError, Step, Which};
use stapled_core::stapler::Selection;
use stapled_core::stapler::handle::Outcome;
use stapled_core::task::{Queue, Subject};

use crate::world::{MINUTE, Mood, World};

const LATE: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct SlowCommits(MemoryScheduler);

#[async_trait]
impl Scheduler for SlowCommits {
    async fn take(&self, from: &[Queue], max: usize, lease: Duration) -> Result<Vec<Lease>, SchedulerError> {
        self.0.take(from, max, lease).await
    }

    async fn extend(&self, lease: &Lease, by: Duration) -> Result<(), SchedulerError> {
        self.0.extend(lease, by).await
    }

    async fn commit(&self, step: Step<'_>) -> Result<(), SchedulerError> {
        self.0.commit(step).await?;
        // Simulated time.
        tokio::time::sleep(LATE).await;
        Ok(())
    }

    async fn recorded(&self, subject: &Subject) -> Result<Option<Recorded>, SchedulerError> {
        self.0.recorded(subject).await
    }

    async fn cancel(&self, which: Which<'_>) -> Result<u64, SchedulerError> {
        self.0.cancel(which).await
    }

    async fn hasten(&self, which: Which<'_>) -> Result<u64, SchedulerError> {
        self.0.hasten(which).await
    }

    async fn configure(&self, queue: &Queue, rules: QueueRules) -> Result<(), SchedulerError> {
        self.0.configure(queue, rules).await
    }

    async fn census(&self) -> Result<Census, SchedulerError> {
        self.0.census().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_for_a_revocation_is_told_when_the_adder_is_faster_than_the_renewer() {
    let world = World::new();
    world.add("a.test");
    let scheduler = SlowCommits(MemoryScheduler::new(world.clock.clone()));
    let handle = world.run_with_handle(world.builder().scheduler(scheduler));
    handle.ready().await.unwrap();
    for (mood, expected) in [(Mood::Revoked, Outcome::Revoked), (Mood::Revoked, Outcome::Revoked)] {
        world.ca.set(mood);
        let mut asked = handle.renew(&Selection::All).await.unwrap();
        let next = tokio::time::timeout(MINUTE, asked.next()).await.expect("the result of the renewal");
        assert_eq!(next.unwrap().unwrap().outcome, expected);
        assert!(world.server.serves.lock().unwrap().is_empty());
    }
}
