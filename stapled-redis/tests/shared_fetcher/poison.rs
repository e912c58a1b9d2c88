//! Redis contains what no process wrote: each of these costs a question at most.

use std::time::Duration;

use stapled_tests::Redis;

use crate::ca::{Ca, Mood};
use crate::{HOUR, process};

/// The key of the one answer, and of its lease.
async fn keys(redis: &Redis, ca: &std::sync::Arc<Ca>) -> (String, String) {
    ca.ask(&process(redis, ca), None).await.unwrap();
    let key = redis.ask(&["KEYS", "stapled:answer:*"]);
    (key.clone(), format!("{key}:asking"))
}

fn set_field(redis: &Redis, key: &str, field: &str, value: &[u8]) {
    let mut connection = redis::Client::open(redis.address()).unwrap().get_connection().unwrap();
    redis::cmd("HSET").arg(key).arg(field).arg(value).exec(&mut connection).unwrap();
}

/// Whether the next process asks the responder, and the one after it takes its answer.
async fn is_mended(redis: &Redis, ca: &std::sync::Arc<Ca>) -> bool {
    let before = ca.asked();
    let asked = ca.ask(&process(redis, ca), Some(HOUR)).await.unwrap();
    let taken = ca.ask(&process(redis, ca), Some(HOUR)).await.unwrap();
    ca.asked() - before == 1 && asked.body == taken.body
}

#[tokio::test]
async fn a_response_that_is_not_valid_is_replaced() {
    let (redis, ca, stranger) = (Redis::start(), Ca::new(), Ca::new());
    let (key, _) = keys(&redis, &ca).await;
    let expired = ca.respond_ended();
    let large = vec![0x30; 100_000];
    let poison: [(&str, &[u8]); 6] = [
        ("nothing", b""),
        ("garbage", b"garbage"),
        ("of another certificate", &stranger.respond(Mood::Good)),
        ("unknown", &ca.respond(Mood::Unknown)),
        ("expired", &expired),
        ("too large", &large),
    ];
    for (what, response) in poison {
        set_field(&redis, &key, "response", response);
        assert!(is_mended(&redis, &ca).await, "{what}");
    }
}

#[tokio::test]
async fn a_time_that_is_not_one_makes_an_answer_not_young() {
    let (redis, ca) = (Redis::start(), Ca::new());
    let (key, _) = keys(&redis, &ca).await;
    let in_a_day = (redis.now().unix_millis() + 86_400_000).to_string();
    for asked_at in ["", "soon", "nan", "inf", "-inf", "1e400", "0", &in_a_day] {
        set_field(&redis, &key, "asked_at", asked_at.as_bytes());
        assert!(is_mended(&redis, &ca).await, "{asked_at}");
    }
    redis.ask(&["HDEL", &key, "asked_at"]);
    assert!(is_mended(&redis, &ca).await);
    // The rest of an answer does no harm.
    set_field(&redis, &key, "caches", b"-5");
    assert_eq!(ca.ask(&process(&redis, &ca), Some(HOUR)).await.unwrap().max_age, None);
}

#[tokio::test]
async fn keys_of_other_types_are_replaced() {
    let (redis, ca) = (Redis::start(), Ca::new());
    let (key, lease) = keys(&redis, &ca).await;
    for make in [["SET", &key, "text"], ["RPUSH", &key, "list"], ["SADD", &key, "set"]] {
        redis.ask(&["DEL", &key]);
        redis.ask(&make);
        assert!(is_mended(&redis, &ca).await, "{make:?}");
    }
    // A lease of nobody, without an end or with one far away.
    for make in [vec!["SET", &lease, "x"], vec!["RPUSH", &lease, "x"], vec!["SET", &lease, "x", "PX", "86400000"]] {
        redis.ask(&["DEL", &key]);
        redis.ask(&make);
        assert!(is_mended(&redis, &ca).await, "{make:?}");
    }
}

/// Whoever can write to Redis can repeat an old answer that is still valid, as anyone on the way of plain HTTP can. The staple
/// that a process holds is not replaced by it, and a process that saw a revocation keeps it: that is the renewer's rule.
#[tokio::test]
async fn an_answer_that_is_valid_is_taken_whoever_wrote_it() {
    let (redis, ca) = (Redis::start(), Ca::new());
    let old = ca.respond(Mood::Good);
    let (key, _) = keys(&redis, &ca).await;
    set_field(&redis, &key, "response", &old);
    let taken = ca.ask(&process(&redis, &ca), Some(HOUR)).await.unwrap();
    assert_eq!(taken.body, Some(old));
    // A question that allows no age ends that.
    let fresh = ca.ask(&process(&redis, &ca), Some(Duration::ZERO)).await.unwrap();
    assert_eq!(ca.ask(&process(&redis, &ca), Some(HOUR)).await.unwrap().body, fresh.body);
}
