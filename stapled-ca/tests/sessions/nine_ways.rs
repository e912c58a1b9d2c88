//! The nine ways in which the first authority of this design lost its sessions, or kept them for ever.

use std::time::Duration;

use stapled_ca::session::{Daemon, Done, Failure, State, work_on};
use stapled_core::scheduler::SchedulerError;
use stapled_core::task::Cause;

use crate::world::{DAY, HOUR, MINUTE, World, assert_queues_are_empty, csr, on_each_store, serial};

on_each_store! {
    way_1_a_daemon_that_dies_after_popping_does_not_hold_the_only_copy
    way_2_the_new_state_and_the_next_queue_are_one_step
    way_3_the_active_requests_shrink_again
    way_4_making_challenges_twice_makes_them_once
    way_5_a_done_session_survives_a_late_client
    way_6_a_failing_issue_pauses
    way_7_expiry_is_a_task
    way_8_a_session_that_many_push_is_queued_once
    way_9_stale_sessions_do_not_starve_fresh_ones
}

async fn way_1_a_daemon_that_dies_after_popping_does_not_hold_the_only_copy(world: World) {
    let id = world.submit(&["a.example"]).await;
    drop(world.store.take(&["makechallenge".into()], 1, MINUTE).await.unwrap());
    world.advance(MINUTE + MINUTE);
    let lease = world.store.take(&["makechallenge".into()], 1, MINUTE).await.unwrap().remove(0);
    assert_eq!((lease.task().subject.as_str(), &lease.task().cause), (id.as_str(), &Cause::LeaseLost));
}

async fn way_2_the_new_state_and_the_next_queue_are_one_step(world: World) {
    // `crashes` shows that no cut divides it; here, what the step has done.
    let id = world.submit(&["a.example"]).await;
    world.settle().await;
    world.sessions.ready(&id, None).await.unwrap();
    crate::world::settle(&world.sessions, &*world.store, &world.daemons()[1..2]).await.unwrap();
    assert_eq!(
        (world.state(&id).await, world.length("testchallenge").await, world.length("issue").await),
        (State::Issue, 0, 1)
    );
}

async fn way_3_the_active_requests_shrink_again(world: World) {
    for _ in 0..10 {
        world.done(&["a.example"]).await;
        let id = world.submit(&["b.example"]).await;
        world.sessions.end(&id, stapled_ca::session::End::Killed, "").await.unwrap();
    }
    assert_eq!(world.sessions.active().await.unwrap(), []);
    assert_queues_are_empty(&world).await;
    world.advance(DAY + HOUR);
    world.settle().await;
    let census = world.store.census().await.unwrap();
    assert!(census.queues.values().all(|queue| crate::world::all(queue) == 0), "{census:?}");
    assert!(census.resting.is_empty(), "{census:?}");
}

async fn way_4_making_challenges_twice_makes_them_once(world: World) {
    let id = world.submit(&["a.example"]).await;
    let late = world.store.take(&["makechallenge".into()], 1, MINUTE).await.unwrap().remove(0);
    let daemon = &world.daemons()[0];
    let before = world.session(&id).await;
    let work = daemon.work(&before).await.unwrap().unwrap();
    // The lease ends, and another daemon does the work.
    world
        .store
        .cancel(stapled_core::scheduler::Which::Task(&"makechallenge".into(), &id.as_str().into()))
        .await
        .unwrap();
    let again = stapled_core::task::Task::new("makechallenge".into(), id.as_str().into());
    world.store.commit(stapled_core::scheduler::Step::intake().put(again)).await.unwrap();
    world.settle().await;
    let made = world.session(&id).await.challenges;
    let refused = world.store.commit(stapled_core::scheduler::Step::finish(&late).record(work.record)).await;
    assert!(matches!(refused, Err(SchedulerError::Fenced { .. })), "{refused:?}");
    // And a task that comes once more finds the work done.
    let again = stapled_core::task::Task::new("makechallenge".into(), id.as_str().into());
    world.store.commit(stapled_core::scheduler::Step::intake().put(again)).await.unwrap();
    world.settle().await;
    assert_eq!(world.session(&id).await.challenges, made);
    assert_eq!(made.len(), 2);
}

async fn way_5_a_done_session_survives_a_late_client(world: World) {
    let id = world.done(&["a.example"]).await;
    for _ in 0..3 {
        world.advance(HOUR);
        world.settle().await;
        assert_eq!(world.state(&id).await, State::Done);
    }
    world.advance(DAY * 80);
    world.settle().await;
    assert!(world.fetch(&id).await.is_some());
}

async fn way_6_a_failing_issue_pauses(world: World) {
    struct Failing(Done);
    #[async_trait::async_trait]
    impl Daemon for Failing {
        fn queue(&self) -> stapled_core::task::Queue {
            "issue".into()
        }
        async fn work(&self, _: &stapled_ca::session::Session) -> Result<Option<stapled_ca::session::Work>, Failure> {
            Err(Failure::Randomness)
        }
    }
    let id = world.submit(&["a.example"]).await;
    world.settle().await;
    world.sessions.ready(&id, None).await.unwrap();
    crate::world::settle(&world.sessions, &*world.store, &world.daemons()[1..2]).await.unwrap();
    let failing = Failing(Done::new(world.sessions.clone()));
    let _ = &failing.0;
    let mut pauses = Duration::ZERO;
    for attempt in 0..10 {
        let lease = world.store.take(&["issue".into()], 1, MINUTE).await.unwrap().remove(0);
        assert_eq!(lease.task().attempt, attempt);
        work_on(&failing, &world.sessions, &lease, &|_, _| {}).await.unwrap();
        let census = world.store.census().await.unwrap();
        let queue = &census.queues[&"issue".into()];
        assert_eq!((queue.due, queue.waiting + queue.parked), (0, 1), "it spins");
        world.advance(Duration::from_secs(300));
        pauses += Duration::from_secs(300);
    }
    let census = world.store.census().await.unwrap();
    assert_eq!(census.queues[&"issue".into()].parked, 1, "it waits for an operator, or expires");
    world.advance(HOUR - pauses.min(HOUR) + MINUTE);
    world.settle().await;
    assert_eq!(world.state(&id).await, State::Dead(stapled_ca::session::End::Expired));
}

async fn way_7_expiry_is_a_task(world: World) {
    let id = world.submit(&["a.example"]).await;
    world.settle().await;
    assert_eq!(world.length("expire").await, 1);
    world.advance(HOUR + MINUTE);
    world.settle().await;
    assert_eq!(world.state(&id).await, State::Dead(stapled_ca::session::End::Expired));
}

async fn way_8_a_session_that_many_push_is_queued_once(world: World) {
    let id = world.submit(&["a.example"]).await;
    world.settle().await;
    let sessions = &world.sessions;
    let ready = (0..40).map(|_| sessions.ready(&id, None));
    for result in futures_util::future::join_all(ready).await {
        result.unwrap();
    }
    assert_eq!(world.length("testchallenge").await, 1);
    world.settle().await;
    assert_eq!(world.host.tests.lock().unwrap()["a.example"], 2, "each challenge was tested once");
}

async fn way_9_stale_sessions_do_not_starve_fresh_ones(world: World) {
    for _ in 0..30 {
        let id = world.sessions.submit(&csr(&["stale.example"]), "").await.unwrap();
        world.sessions.end(&id, stapled_ca::session::End::Killed, "").await.unwrap();
    }
    let fresh = world.submit(&["fresh.example"]).await;
    let lease = world.store.take(&["makechallenge".into()], 1, MINUTE).await.unwrap().remove(0);
    assert_eq!(lease.task().subject.as_str(), fresh.as_str());
    drop(lease);
    world.advance(MINUTE + MINUTE);
    let id = world.done(&["other.example"]).await;
    assert_eq!(Some(serial(&world.fetch(&id).await.unwrap())), world.session(&id).await.serial);
}
