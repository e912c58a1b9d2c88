//! `--shared-cache`: several processes share the answers of a responder through a real Redis.

use std::fs;

use stapled_tests::Redis;

use crate::world::World;

/// Two passes of two processes that have copies of the same certificates.
fn two_passes(world: &World, arguments: &[&str]) -> [stapled_tests::Ended; 2] {
    world.issue("a.pem", &world.profile("a.example"));
    world.issue("b.pem", &world.profile("b.example"));
    fs::create_dir(world.path("copies")).unwrap();
    for file in ["a.pem", "b.pem"] {
        fs::copy(world.certs().join(file), world.path("copies").join(file)).unwrap();
    }
    ["certs", "copies"]
        .map(|folder| world.run(&[&["--one-off", "--verbosity", "4", "--cert-paths", folder], arguments].concat()))
}

#[test]
fn two_processes_ask_once() {
    let (world, redis) = (World::new(), Redis::start());
    let [first, second] = two_passes(&world, &["--shared-cache", &redis.address()]);
    assert_eq!((first.code, second.code, world.lab.requests().len()), (0, 0, 2), "{second:?}");
    for file in ["a.pem.ocsp", "b.pem.ocsp"] {
        let staple = |folder: &str| fs::read(world.path(folder).join(file)).unwrap();
        assert_eq!(staple("certs"), staple("copies"));
    }
    assert!(second.err.contains("asked by another process"), "{}", second.err);
    assert!(!first.err.contains("asked by another process"), "{}", first.err);
}

#[test]
fn without_redis_each_asks_and_says_so() {
    let world = World::new();
    let [first, second] = two_passes(&world, &["--shared-cache", "redis+unix:///nowhere/redis.sock"]);
    assert_eq!((first.code, second.code, world.lab.requests().len()), (0, 0, 4));
    for ended in [first, second] {
        assert_eq!(ended.err.matches("event=shared_cache_failed").count(), 1, "{}", ended.err);
    }
}

#[test]
fn a_password_stands_in_the_file_and_nowhere_else() {
    let (world, redis) = (World::new(), Redis::start_with(&["--requirepass", "Geheimnis"]));
    let address = redis.address().replace("redis+unix://", "redis+unix://:Geheimnis@");
    let of_sentinels = "redis+sentinel://127.0.0.1:1/primary?sentinel_password=Geheimnis";
    for address in [address.as_str(), of_sentinels] {
        let ended = world.one_off(&["--shared-cache", address]);
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.err.contains("--shared-cache") && ended.err.contains("configuration file"), "{}", ended.err);
        assert!(!ended.err.contains("Geheimnis"), "{}", ended.err);
    }

    fs::write(world.path("right.conf"), format!("shared-cache = \"{address}\"\n")).unwrap();
    let [first, second] = two_passes(&world, &["--config", "right.conf"]);
    assert_eq!((first.code, second.code, world.lab.requests().len()), (0, 0, 2), "{second:?}");
    fs::write(world.path("wrong.conf"), format!("shared-cache = \"{}\"\n", address.replace("Geheimnis", "Geheimniss")))
        .unwrap();
    let refused = world.one_off(&["--no-recycle", "--verbosity", "4", "--config", "wrong.conf"]);
    assert_eq!((refused.code, world.lab.requests().len()), (0, 4));
    assert!(refused.err.contains("event=shared_cache_failed"), "{}", refused.err);
    for ended in [first, second, refused] {
        assert!(!ended.err.contains("Geheimnis") && !ended.out.contains("Geheimnis"), "{ended:?}");
    }
}

#[test]
fn an_address_that_is_none_is_refused_with_advice() {
    let world = World::new();
    for (address, advice) in [
        ("cache.example:6379", "must begin with redis://"),
        ("redis://cache.example:port/", "HOST:PORT"),
        ("redis://cache.example/main", "/NUMBER"),
    ] {
        let ended = world.one_off(&["--shared-cache", address]);
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.err.contains("--shared-cache") && ended.err.contains(advice), "{address}: {}", ended.err);
    }
}
