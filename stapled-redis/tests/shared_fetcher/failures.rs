//! Redis fails in every way: the process asks the responder itself, in time, and says so.

use std::io::Write;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use stapled_core::event::{Event, Observer};
use stapled_core::sink::{Delivered, SinkError, Site, StapleSink};
use stapled_core::source::{CertSource, Scan, SourceError};
use stapled_core::staple::Staple;
use stapled_core::stapler::Stapler;
use stapled_redis::SharedFetcher;
use stapled_tests::Redis;
use tokio::sync::Notify;

use crate::ca::Ca;
use crate::{SECOND, process};

/// A question takes no longer than this because of Redis: connecting and one command, on a loaded machine.
const IN_TIME: Duration = Duration::from_secs(8);

/// A stapler with nothing to do, which hands its reporter to the fetcher.
struct Observed {
    told: Arc<Told>,
    _running: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Told {
    events: Mutex<Vec<String>>,
    more: Notify,
}

struct Nothing;

#[async_trait]
impl CertSource for Nothing {
    async fn scan(&self) -> Result<Scan, SourceError> {
        Ok(Scan::of([]))
    }
}

#[async_trait]
impl StapleSink for Nothing {
    async fn deliver(&self, _: &Staple, _: &[Site]) -> Result<Delivered, SinkError> {
        Ok(Delivered::Confirmed)
    }
}

impl Observer for Told {
    fn observe(&self, event: &Event) {
        self.events.lock().unwrap().push(format!("{} {}", event.kind.name(), event.kind));
        self.more.notify_waiters();
    }
}

impl Observed {
    fn start(fetcher: &Arc<SharedFetcher<Arc<Ca>>>) -> Self {
        let told = Arc::<Told>::default();
        let stapler = Stapler::builder().source(Nothing).sink(Nothing).fetcher(Arc::clone(fetcher));
        let stapler = stapler.shared_observer(Arc::clone(&told) as Arc<dyn Observer>).build().unwrap();
        Observed { told, _running: tokio::spawn(stapler.run(std::future::pending())) }
    }

    /// The events of this name, so far.
    fn told(&self, name: &str) -> Vec<String> {
        let events = self.told.events.lock().unwrap();
        events.iter().filter(|event| event.starts_with(name)).cloned().collect()
    }
}

/// Asks three times through a Redis that fails: each question reaches the responder in time, and one warning is told.
async fn asks_itself(address: &str, words: &str) {
    let ca = Ca::new();
    let fetcher = Arc::new(SharedFetcher::new(Arc::clone(&ca), &address.parse().unwrap()));
    let observed = Observed::start(&fetcher);
    for number in 1..=3 {
        let began = Instant::now();
        ca.ask(&fetcher, None).await.unwrap();
        assert!(began.elapsed() < IN_TIME, "{address}: {:?}", began.elapsed());
        assert_eq!(ca.asked(), number, "{address}");
    }
    let told = observed.told("shared_cache_failed");
    assert_eq!(told.len(), 1, "{address}: {told:?}");
    assert!(told[0].contains(words), "{told:?}");
    // The server may have written any text.
    assert!(told[0].len() < 1000 && !told[0].contains(char::is_control), "{told:?}");
}

#[tokio::test]
async fn a_server_that_is_not_there() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    asks_itself(&format!("redis://127.0.0.1:{port}/"), "refused").await;
    asks_itself("redis+unix:///nowhere/socket", "No such file").await;
}

#[tokio::test]
async fn a_server_that_accepts_and_says_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    asks_itself(&format!("redis://{}/", listener.local_addr().unwrap()), "within").await;
    let redis = Redis::start();
    redis.freeze();
    asks_itself(&redis.address(), "within").await;
    redis.thaw();
}

#[tokio::test]
async fn a_server_that_answers_nonsense() {
    let long = format!("-ERR \u{1b}[2J{}\r\n", "x".repeat(10_000));
    for nonsense in
        [long.as_str(), "HTTP/1.1 400 Bad Request\r\n\r\n", "*1\r\n$-5\r\n", "$999999999999\r\n", "*-9\r\n", "\0\0\0"]
    {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let nonsense = nonsense.repeat(9);
        std::thread::spawn(move || {
            let mut open = Vec::new();
            while let Ok((mut client, _)) = listener.accept() {
                let _ = client.write_all(nonsense.as_bytes());
                open.push(client);
            }
        });
        asks_itself(&format!("redis://{address}/"), "").await;
    }
}

#[tokio::test]
async fn a_server_that_is_full_read_only_or_closed_to_this_user() {
    let redis = Redis::start();
    redis.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    asks_itself(&redis.address(), "memory").await;
    let redis = Redis::start();
    redis.ask(&["REPLICAOF", "127.0.0.1", "1"]);
    asks_itself(&redis.address(), "").await;
    let redis = Redis::start_with(&["--requirepass", "secret-of-the-test"]);
    asks_itself(&redis.address(), "").await;
    let redis = Redis::start();
    redis.ask(&["ACL", "SETUSER", "default", "-eval", "-evalsha"]);
    asks_itself(&redis.address(), "").await;
}

/// An answer that was shared before is taken although nothing can be written.
#[tokio::test]
async fn a_full_server_still_gives_what_it_has() {
    let (redis, ca) = (Redis::start(), Ca::new());
    ca.ask(&process(&redis, &ca), None).await.unwrap();
    redis.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    ca.ask(&process(&redis, &ca), None).await.unwrap();
    assert_eq!(ca.asked(), 1);
}

#[tokio::test]
async fn a_server_that_comes_back_is_used_again_and_both_are_told_once() {
    let (mut redis, ca) = (Redis::start(), Ca::new());
    let fetcher = Arc::new(process(&redis, &ca));
    let observed = Observed::start(&fetcher);
    ca.ask(&fetcher, None).await.unwrap();
    redis.kill();
    ca.ask(&fetcher, None).await.unwrap();
    ca.ask(&fetcher, None).await.unwrap();
    assert_eq!(ca.asked(), 3);
    redis.restart();
    // It is left alone for a second after the failure.
    let works = async {
        loop {
            let more = observed.told.more.notified();
            if !observed.told("shared_cache_works").is_empty() {
                return;
            }
            ca.ask(&fetcher, None).await.unwrap();
            let _ = tokio::time::timeout(SECOND / 5, more).await;
        }
    };
    tokio::time::timeout(60 * SECOND, works).await.expect("Redis is used again");
    let asked = ca.asked();
    ca.ask(&process(&redis, &ca), None).await.unwrap();
    assert_eq!(ca.asked(), asked);
    assert_eq!([observed.told("shared_cache_failed").len(), observed.told("shared_cache_works").len()], [1, 1]);
}
