//! Redis contains what no process wrote: each of these costs a question at most.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use stapled_tests::Redis;

use crate::ca::{Ca, Mood};
use crate::{HOUR, process};

/// The key of the one answer, and of its lease.
async fn keys(redis: &Redis, ca: &Arc<Ca>) -> (String, String) {
    ca.ask(&process(redis, ca), None).await.unwrap();
    let key = redis.ask(&["KEYS", "stapled:answer:*"]);
    (key.clone(), format!("{key}:asking"))
}

fn set_field(redis: &Redis, key: &str, field: &str, value: &[u8]) {
    let mut connection = redis::Client::open(redis.address()).unwrap().get_connection().unwrap();
    redis::cmd("HSET").arg(key).arg(field).arg(value).exec(&mut connection).unwrap();
}

/// Whether the next process asks the responder, and the one after it takes its answer.
async fn is_mended(redis: &Redis, ca: &Arc<Ca>) -> bool {
    is_mended_for(redis, ca, Some(HOUR)).await
}

/// The same, for questions with this limit of the age.
async fn is_mended_for(redis: &Redis, ca: &Arc<Ca>, max_age: Option<Duration>) -> bool {
    let before = ca.asked();
    let asked = ca.ask(&process(redis, ca), max_age).await.unwrap();
    let taken = ca.ask(&process(redis, ca), max_age).await.unwrap();
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
    for asked_at in ["", "soon", "nan", "-nan", "inf", "-inf", "1e400", "-1e400", "-1e14", &in_a_day] {
        for max_age in [None, Some(HOUR)] {
            set_field(&redis, &key, "asked_at", asked_at.as_bytes());
            assert!(is_mended_for(&redis, &ca, max_age).await, "{asked_at}, {max_age:?}");
        }
    }
    // A fraction of a millisecond is no harm.
    let now = format!("{}.5", redis.now().unix_millis() - 1000);
    set_field(&redis, &key, "asked_at", now.as_bytes());
    let asked = ca.asked();
    ca.ask(&process(&redis, &ca), Some(HOUR)).await.unwrap();
    assert_eq!(ca.asked(), asked);
    redis.ask(&["HDEL", &key, "asked_at"]);
    assert!(is_mended(&redis, &ca).await);
    // The rest of an answer does no harm.
    let asked = ca.asked();
    for caches in [&b"-5"[..], b"\xff\xfe", b"99999999999999999999"] {
        set_field(&redis, &key, "caches", caches);
        assert_eq!(ca.ask(&process(&redis, &ca), Some(HOUR)).await.unwrap().max_age, None);
    }
    assert_eq!(ca.asked(), asked);
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

#[tokio::test]
async fn a_writer_of_wrong_answers_holds_nobody_up() {
    let (redis, ca) = (Redis::start(), Ca::new());
    let (key, _) = keys(&redis, &ca).await;
    let (address, end) = (redis.address(), Arc::new(AtomicBool::new(false)));
    let (begun, writes) = std::sync::mpsc::channel();
    let writer = {
        let end = Arc::clone(&end);
        std::thread::spawn(move || {
            let mut connection = redis::Client::open(address).unwrap().get_connection().unwrap();
            for number in 0_u64.. {
                redis::cmd("HSET").arg(&key).arg("response").arg(number).exec(&mut connection).unwrap();
                let _ = begun.send(());
                if end.load(Ordering::SeqCst) {
                    return;
                }
            }
        })
    };
    writes.recv().unwrap();
    for _ in 0..20 {
        tokio::time::timeout(Duration::from_secs(60), ca.ask(&process(&redis, &ca), Some(HOUR)))
            .await
            .unwrap()
            .unwrap();
    }
    end.store(true, Ordering::SeqCst);
    writer.join().unwrap();
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
