//! A store that is away for a while.

use crate::world::{World, eventually};

#[test]
fn an_outage_of_redis_is_logged_once_with_its_end() {
    let mut world = World::on_redis();
    let count = |world: &World, text: &str| std::fs::read_to_string(world.path("log")).unwrap().matches(text).count();
    let (begin, end) = ("the store of the sessions does not answer", "the store of the sessions answers again");
    assert_eq!((count(&world, begin), count(&world, end)), (0, 0));
    for outage in 1..=2 {
        world.redis.as_mut().unwrap().kill();
        eventually("the outage is logged", || count(&world, begin) == outage);
        world.redis.as_mut().unwrap().restart();
        eventually("its end is logged", || count(&world, end) == outage);
        // The daemons work again.
        let name = format!("after-{outage}");
        let output = world.client(&name).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!((count(&world, begin), count(&world, end)), (outage, outage));
    }
}
