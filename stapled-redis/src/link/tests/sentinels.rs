//! Primaries that sentinels watch.

use redis::cmd;
use stapled_tests::{RedisSentinels, free_port};

use super::{open, until_it_works};

#[tokio::test]
async fn after_a_failover_commands_go_to_the_new_primary() {
    let mut group = RedisSentinels::start(&[], "s3cr3t");
    // The first sentinel of the address never answers, and the second one is down.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let more = format!("@{},127.0.0.1:{},", silent.local_addr().unwrap(), free_port());
    let address = group.address().replacen('@', &more, 1);
    let link = open(&address).await.unwrap();
    let blocking = link.own(super::DEADLINES.command);
    cmd("SET").arg("k").arg("1").exec_async(&mut link.clone()).await.unwrap();
    cmd("BLPOP").arg("l").arg("0.01").exec_async(&mut blocking.clone()).await.unwrap();
    group.servers[0].kill();
    group.kill_sentinel();
    group.wait_for_failover();
    until_it_works(cmd("SET").arg("k").arg("2"), &link).await;
    until_it_works(cmd("BLPOP").arg("l").arg("0.01"), &blocking).await;
    assert_eq!(group.servers[1].ask_with("s3cr3t", &["GET", "k"]), "2");
    // The server that was the primary comes back, and sentinels make it a replica. Nothing is written to it.
    group.servers[0].restart();
    until_it_works(cmd("SET").arg("k").arg("3"), &open(&address).await.unwrap()).await;
    assert_eq!(group.servers[1].ask_with("s3cr3t", &["GET", "k"]), "3");
}

#[tokio::test]
async fn a_primary_that_became_a_replica_is_left_at_once() {
    let group = RedisSentinels::start(&[], "");
    let link = open(&group.address()).await.unwrap();
    group.fail_over();
    until_it_works(cmd("SET").arg("k").arg("v"), &link).await;
    assert_eq!(group.servers[1].ask(&["GET", "k"]), "v");
}

#[tokio::test]
async fn the_documented_permissions_on_sentinels_suffice() {
    let group = RedisSentinels::start(&[], "s3cr3t");
    let document = include_str!("../../../../docs/redis.md");
    let (_, permission) = document.split_once("The sentinels' user needs\n`").unwrap();
    let (permission, _) = permission.split_once('`').unwrap();
    group.ask_sentinels(&["ACL", "SETUSER", "asker", "reset", "on", ">4sk", permission]);
    let (address, _) =
        group.address().split_once('?').map(|(left, right)| (left.to_owned(), right.to_owned())).unwrap();
    open(&format!("{address}?sentinel_user=asker&sentinel_password=4sk")).await.unwrap();
}

#[tokio::test]
async fn errors_name_each_sentinel_and_no_password() {
    let group = RedisSentinels::start(&[], "s3cr3t");
    let address = group.address();
    for (address, words) in [
        (address.replace("main", "other"), "it knows no primary of the name other"),
        (address.replace("s3cr3t-sentinel", "n3v3r"), "it refuses the user or the sentinel_password"),
        (address.replace("?sentinel_password=s3cr3t-sentinel", ""), "it wants a password; add the sentinel_password"),
        (address.replace(":s3cr3t@", ""), "it wants a password; add the password"),
        (address.replace(":s3cr3t@", ":n3v3r@"), "it refuses the user or the password"),
        (format!("redis+sentinel://127.0.0.1:{}/main", free_port()), "Connection refused"),
    ] {
        let error = open(&address).await.err().unwrap().to_string();
        assert!(error.contains(words) && error.contains("sentinel 127.0.0.1:"), "{address}: {error}");
        assert!(!error.contains("s3cr3t") && !error.contains("n3v3r"), "{error}");
    }
}
