//! Every kind of address, and a user with the documented permissions.

#[cfg(feature = "cluster")]
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use stapled_redis::SharedFetcher;
use stapled_tests::{Redis, RedisSentinels};

use crate::SECOND;
use crate::ca::{Ca, Mood};

fn process(address: &str, ca: &Arc<Ca>) -> SharedFetcher<Arc<Ca>> {
    SharedFetcher::new(Arc::clone(ca), &address.parse().unwrap())
}

#[cfg(feature = "cluster")]
#[tokio::test]
async fn the_answers_of_a_fleet_are_spread_over_a_cluster() {
    let cluster = stapled_tests::RedisCluster::start(&[]);
    let cas: Vec<_> = (0..20).map(|_| Ca::new()).collect();
    for ca in &cas {
        for _ in 0..2 {
            ca.ask(&process(&cluster.address(3), ca), None).await.unwrap();
        }
        assert_eq!(ca.asked(), 1);
    }
    let used: BTreeSet<usize> = cluster.keys().into_values().collect();
    assert_eq!(used.len(), 3, "{used:?}");
}

#[tokio::test]
async fn after_a_failover_answers_are_shared_again() {
    let sentinels = RedisSentinels::start(&[], "");
    let ca = Ca::new();
    let (first, second) = (process(&sentinels.address(), &ca), process(&sentinels.address(), &ca));
    ca.ask(&first, None).await.unwrap();
    ca.ask(&second, None).await.unwrap();
    assert_eq!(ca.asked(), 1);
    sentinels.fail_over();
    sentinels.wait_for_failover();
    let shared = async {
        loop {
            // Each asks itself as long as its Redis is left alone.
            ca.ask(&first, Some(Duration::ZERO)).await.unwrap();
            let asked = ca.asked();
            ca.ask(&second, None).await.unwrap();
            if ca.asked() == asked {
                return;
            }
            tokio::time::sleep(SECOND / 5).await;
        }
    };
    tokio::time::timeout(120 * SECOND, shared).await.expect("answers are shared");
}

#[tokio::test]
async fn the_documented_permissions_suffice_and_none_is_superfluous() {
    let document = include_str!("../../../docs/redis.md");
    let lines: Vec<&str> = document.lines().skip_while(|line| !line.starts_with("ACL SETUSER cache ")).collect();
    let end = lines.iter().position(|line| line.starts_with("```")).unwrap();
    let text = lines[..end].join(" ").replace('\\', "");
    let words: Vec<&str> = text.split_whitespace().collect();
    let left_out = |word: &str| word.starts_with('+').then(|| word.to_owned());
    // The whole line, and then each time one permission less.
    for missing in std::iter::once(None).chain(words.iter().filter_map(|word| left_out(word)).map(Some)) {
        let redis = Redis::start();
        let allowed: Vec<&str> = words.iter().copied().filter(|word| Some(*word) != missing.as_deref()).collect();
        redis.ask(&allowed);
        let address = redis.address_of("cache", "PASSWORD");
        let ca = Ca::new();
        for _ in 0..2 {
            ca.ask(&process(&address, &ca), None).await.unwrap();
        }
        // A lease that nobody holds any more, and one of another type.
        let lease = format!("{}:asking", redis.ask(&["KEYS", "stapled:answer:*"]).lines().next().unwrap_or("none"));
        redis.ask(&["DEL", &lease]);
        redis.ask(&["RPUSH", &lease, "x"]);
        ca.ask(&process(&address, &ca), Some(Duration::ZERO)).await.unwrap();
        // What is kept is too old for the next questions.
        redis.advance(2 * SECOND);
        ca.set(Mood::Hangs);
        let hanging = process(&address, &ca);
        let asked = ca.asked();
        let waiting = {
            let ca = Arc::clone(&ca);
            tokio::spawn(async move { ca.ask(&hanging, Some(SECOND)).await })
        };
        ca.until_asked(asked + 1).await;
        let second = process(&address, &ca).patience(Duration::ZERO);
        ca.set(Mood::Good);
        ca.ask(&second, Some(SECOND)).await.unwrap();
        waiting.abort();
        let log = redis.ask(&["ACL", "LOG"]);
        assert_eq!(log.is_empty(), missing.is_none(), "without {missing:?}: {log}");
    }
}
