//! Tests of passes that are repeated until nothing is missing, and of a running stapler that another one replaces.

use std::future::{pending, ready};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stapled_core::Stapler;
use stapled_core::inventory::standing::Standing;
use stapled_core::scheduler::SchedulerError;
use stapled_core::stapler::passes::{Passed, passes};
use stapled_core::stapler::running::Running;

use crate::world::{HOUR, MINUTE, Mood, World};

/// The staplers of passes, counted.
fn staplers<'w>(world: &'w World, made: &'w AtomicUsize) -> impl FnMut() -> Result<Stapler, SchedulerError> + 'w {
    || {
        made.fetch_add(1, Ordering::Relaxed);
        Ok(world.builder().build().unwrap())
    }
}

#[tokio::test(start_paused = true)]
async fn passes_are_repeated_until_nothing_is_missing() {
    let world = World::new();
    world.add("a.test");
    world.ca.set(Mood::Down);
    let (made, mut told) = (AtomicUsize::new(0), Vec::new());
    let back = |missing, left: Duration| {
        told.push((missing, left));
        if told.len() == 2 {
            world.ca.set(Mood::Good);
        }
    };
    let passed = passes(staplers(&world, &made), Some(MINUTE), back, pending()).await.unwrap();
    assert!(matches!(passed, Passed::Done(_)), "{passed:?}");
    assert_eq!(made.load(Ordering::Relaxed), 3);
    assert!(matches!(told[..], [(1, first), (1, second)] if first <= MINUTE && second < first), "{told:?}");
    assert!(world.server.response_of("a.test").is_some());
}

#[tokio::test(start_paused = true)]
async fn passes_end_with_their_time_and_when_they_are_stopped() {
    let world = World::new();
    world.add("a.test");
    world.ca.set(Mood::Down);
    let made = AtomicUsize::new(0);
    let passed = passes(staplers(&world, &made), None, |_, _| panic!("one pass"), pending()).await.unwrap();
    assert!(matches!(passed, Passed::Done(_)) && made.load(Ordering::Relaxed) == 1, "{passed:?}");
    let passed = passes(staplers(&world, &made), Some(MINUTE), |_, _| {}, pending()).await.unwrap();
    let Passed::Done(inventory) = passed else { panic!("{passed:?}") };
    assert!(inventory.certificates().iter().all(|one| matches!(one.standing, Standing::Failing { .. })));
    assert!(made.load(Ordering::Relaxed) > 3, "passes until the time is up: {made:?}");

    world.ca.set(Mood::Hang);
    let passed = passes(staplers(&world, &made), Some(Duration::from_secs(2)), |_, _| {}, pending()).await.unwrap();
    assert!(matches!(passed, Passed::CutOff(_)), "{passed:?}");
    let passed = passes(staplers(&world, &made), Some(MINUTE), |_, _| {}, ready(())).await.unwrap();
    assert!(matches!(passed, Passed::Stopped), "{passed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_running_stapler_is_replaced_with_all_that_it_knew() {
    let world = World::new();
    world.add("a.test");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let watching = Arc::clone(&seen);
    let running = Running::start(world.builder().build().unwrap());
    let running = running.watched_by(move |handle| watching.lock().unwrap().push(handle.clone()));
    let first = running.handle();
    world.pass(MINUTE).await;
    let asked = world.ca.asked();
    assert!(asked > 0 && seen.lock().unwrap().is_empty());

    let next = world.builder().build().unwrap();
    let second = next.handle();
    let running = running.replace(next).await;
    assert!(running.handle().is_same(&second) && first.ready().await.is_err(), "two never run at once");
    assert!(matches!(seen.lock().unwrap().as_slice(), [handle] if handle.is_same(&second)));
    second.ready().await.unwrap();
    assert_eq!(world.ca.asked(), asked, "its staple is known");
    running.stop().await;
    world.pass(HOUR).await;
    assert!(second.ready().await.is_err());
    assert_eq!(world.ca.asked(), asked);
}
