//! The link on real servers, and on listeners that never answer.

mod access;
#[cfg(feature = "cluster")]
mod cluster;
mod sentinels;
#[cfg(feature = "tls")]
mod tls;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use redis::aio::ConnectionLike;
use redis::{Cmd, RedisResult, cmd, pipe};
use stapled_tests::Redis;
use tokio::net::TcpListener;

use super::{Deadlines, Link};

const DEADLINES: Deadlines = Deadlines { connect: Duration::from_secs(20), command: Duration::from_secs(20) };
/// For servers that do not answer.
const SHORT: Deadlines = Deadlines { connect: Duration::from_millis(300), command: Duration::from_millis(300) };

fn lazy(server: &Redis, deadlines: Deadlines) -> Link {
    Link::lazy(&server.address().parse().unwrap(), deadlines)
}

async fn open(address: &str) -> RedisResult<Link> {
    Link::open(&address.parse().unwrap(), DEADLINES).await
}

/// Sends the command until it succeeds. The failures meanwhile are those of servers that are gone.
async fn until_it_works(what: &Cmd, link: &Link) {
    let works = async {
        while what.exec_async(&mut link.clone()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), works).await.expect("it never works");
}

async fn ping(link: &Link) -> RedisResult<String> {
    cmd("PING").query_async(&mut link.clone()).await
}

/// The id of the connection on the server.
async fn id(link: &Link) -> u64 {
    cmd("CLIENT").arg("ID").query_async(&mut link.clone()).await.unwrap()
}

#[test]
fn a_lazy_link_needs_no_runtime_and_no_server() {
    let link = Link::lazy(&"redis://127.0.0.1:1/3".parse().unwrap(), DEADLINES);
    assert_eq!(link.get_db(), 3);
    let error = futures_util::FutureExt::now_or_never(ping(&link)).unwrap().unwrap_err();
    assert!(error.to_string().contains("needs a runtime"), "{error}");
}

#[tokio::test]
async fn concurrent_commands_share_one_connection() {
    let server = Redis::start();
    let link = lazy(&server, DEADLINES);
    let ids = join_all((0..50).map(|_| id(&link))).await;
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_ne!(id(&link.own(Duration::from_secs(20))).await, ids[0]);
}

#[tokio::test]
async fn commands_pipelines_and_scripts_work() {
    let server = Redis::start();
    let mut link = Link::open(&server.address().parse().unwrap(), DEADLINES).await.unwrap();
    let (one, two): (u64, u64) = pipe().incr("n", 1).incr("n", 1).query_async(&mut link).await.unwrap();
    assert_eq!((one, two), (1, 2));
    let script = redis::Script::new("return redis.call('INCR', KEYS[1])");
    assert_eq!(script.key("n").invoke_async::<u64>(&mut link).await.unwrap(), 3);
}

#[tokio::test]
async fn a_link_comes_back_after_its_server() {
    let mut server = Redis::start();
    let link = lazy(&server, DEADLINES);
    ping(&link).await.unwrap();
    server.kill();
    ping(&link).await.unwrap_err();
    let error = ping(&link).await.unwrap_err().to_string();
    assert!(error.contains(&server.address()), "{error}");
    server.restart();
    ping(&link).await.unwrap();
}

#[tokio::test]
async fn a_server_that_hangs_is_left() {
    let server = Redis::start();
    let link = lazy(&server, SHORT);
    // The machine may be too busy for the short deadline.
    while ping(&link).await.is_err() {}
    server.freeze();
    ping(&link).await.unwrap_err();
    ping(&link).await.unwrap_err();
    server.thaw();
    while ping(&link).await.is_err() {}
}

#[tokio::test]
async fn concurrent_commands_share_one_attempt_that_fails() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("redis://u:s3cr3t@{}", listener.local_addr().unwrap());
    let accepted = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&accepted);
    let accepting = tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            open.push(stream);
        }
    });
    let link = Link::lazy(&address.parse().unwrap(), SHORT);
    for error in join_all((0..20).map(|_| ping(&link))).await {
        let error = error.unwrap_err();
        assert!(error.is_io_error() && error.to_string().contains("within 300ms"), "{error}");
        assert!(!error.to_string().contains("s3cr3t"), "{error}");
    }
    assert_eq!(accepted.load(Ordering::SeqCst), 1);
    accepting.abort();
}

#[tokio::test]
async fn an_attempt_goes_on_without_the_command_that_started_it() {
    let server = Redis::start();
    let link = lazy(&server, DEADLINES);
    assert!(futures_util::poll!(Box::pin(ping(&link))).is_pending());
    let attempt = link.0.attempt.lock().unwrap().clone().unwrap();
    ping(&link).await.unwrap();
    assert!(link.0.attempt.lock().unwrap().as_ref().unwrap().same_channel(&attempt));
}

#[tokio::test]
async fn a_replica_that_refuses_a_command_is_left() {
    let server = Redis::start();
    let mut link = lazy(&server, DEADLINES);
    let before = id(&link).await;
    server.ask(&["REPLICAOF", "127.0.0.1", "1"]);
    for error in [
        cmd("SET").arg("k").arg("v").exec_async(&mut link).await,
        pipe().set("k", "v").set("l", "v").exec_async(&mut link).await,
        redis::Script::new("return redis.call('SET', KEYS[1], 'v')").key("k").invoke_async(&mut link).await,
    ] {
        let error = error.unwrap_err();
        assert!(error.to_string().contains("read only replica"), "{error}");
    }
    assert!(id(&link).await > before + 3);
}

#[tokio::test]
async fn passwords_are_used_and_never_shown() {
    let server = Redis::start_with(&["--requirepass", "s3cr3t", "--save", ""]);
    let at = |login: &str| format!("redis+unix://{login}{}", server.socket().display()).parse().unwrap();
    Link::open(&at(":s3cr3t@"), DEADLINES).await.unwrap();
    Link::open(&at("default:s3cr3t@"), DEADLINES).await.unwrap();
    for (login, words) in
        [(":n3v3r@", "refuses the user or the password"), ("u:n3v3r@", "refuses"), ("", "wants a password")]
    {
        let error = Link::open(&at(login), DEADLINES).await.err().unwrap().to_string();
        assert!(error.contains(words) && !error.contains("n3v3r"), "{error}");
    }
}
