//! Tests of the source and the sink in memory.

use stapled_core::Stapler;
use stapled_core::io::memory_sink::MemorySink;
use stapled_core::io::memory_source::MemorySource;
use stapled_core::source::Sighting;

use crate::world::{Ca, HOUR, MINUTE, Mood, World, half_life};

#[tokio::test(start_paused = true)]
async fn certificates_are_pushed_in_and_out_and_picked_up_with_their_staples() {
    let world = World::new();
    let (source, sink) = (MemorySource::new(), MemorySink::new());
    let stapler = Stapler::builder()
        .source(source.clone())
        .sink(sink.clone())
        .shared_fetcher(world.ca.clone())
        .shared_clock(world.clock.clone())
        .refresh_policy(half_life())
        .rescan_interval(HOUR);
    world.run(stapler);
    world.pass(MINUTE).await;
    assert!(sink.is_empty());

    let issued = world.ca.issue(Ca::profile("a.test"));
    let chain = [issued.der(), world.ca.authority.certificate()];
    source.put(Sighting::chain("a.test", chain));
    world.pass(MINUTE).await;
    let staple = sink.get(issued.der()).expect("a staple, long before the next regular scan");
    assert_eq!(staple.chain().end_entity().as_der(), issued.der());

    let other = world.ca.issue(Ca::profile("b.test"));
    source.put(Sighting::chain("a.test", [other.der(), world.ca.authority.certificate()]));
    world.pass(MINUTE).await;
    assert!(sink.get(issued.der()).is_none(), "its place has another certificate");
    assert!(sink.get(other.der()).is_some());

    world.ca.set(Mood::Revoked);
    world.pass(4 * 24 * HOUR).await;
    assert!(sink.is_empty(), "it is revoked");
    world.ca.set(Mood::Good);
    source.put(Sighting::chain("c.test", chain));
    world.pass(MINUTE).await;
    assert_eq!(sink.len(), 1);
    source.remove("c.test").expect("a place");
    world.pass(MINUTE).await;
    assert!(sink.is_empty());
}
