//! Clusters.

use std::time::Duration;

use futures_util::future::join_all;
use redis::{RedisResult, cmd, pipe};
use stapled_tests::RedisCluster;

use super::{Deadlines, Link, open, until_it_works};

async fn set(link: &Link, key: &str, value: &str) -> RedisResult<()> {
    cmd("SET").arg(key).arg(value).exec_async(&mut link.clone()).await
}

async fn get(link: &Link, key: &str) -> RedisResult<String> {
    cmd("GET").arg(key).query_async(&mut link.clone()).await
}

#[tokio::test]
async fn commands_pipelines_and_scripts_go_to_the_nodes_of_their_keys() {
    let cluster = RedisCluster::start(&[]);
    let mut link = open(&cluster.address(1)).await.unwrap();
    let keys = [cluster.key_of(0, "a"), cluster.key_of(1, "b"), cluster.key_of(2, "c")];
    for key in &keys {
        set(&link, key, "1").await.unwrap();
        let script = redis::Script::new("return redis.call('INCR', KEYS[1])");
        assert_eq!(script.key(key).invoke_async::<u64>(&mut link).await.unwrap(), 2);
        let (three, four): (u64, u64) = pipe().incr(key, 1).incr(key, 1).query_async(&mut link).await.unwrap();
        assert_eq!((three, four), (3, 4));
    }
    let where_they_are: Vec<usize> = keys.iter().map(|key| cluster.keys()[key]).collect();
    assert_eq!(where_they_are, [0, 1, 2]);
    let mut own = link.own(super::DEADLINES.command);
    cmd("RPUSH").arg("list").arg("v").exec_async(&mut link).await.unwrap();
    let (_, popped): (String, String) = cmd("BLPOP").arg("list").arg(10).query_async(&mut own).await.unwrap();
    assert_eq!(popped, "v");
}

#[tokio::test]
async fn without_one_node_commands_for_other_keys_go_on() {
    let mut cluster = RedisCluster::start(&["--cluster-node-timeout", "3000"]);
    let link = open(&cluster.address(3)).await.unwrap();
    let keys = [cluster.key_of(0, "a"), cluster.key_of(1, "b"), cluster.key_of(2, "c")];
    for key in &keys {
        set(&link, key, "1").await.unwrap();
    }
    cluster.nodes[1].kill();
    get(&link, &keys[1]).await.unwrap_err();
    for round in 0..20 {
        for key in [&keys[0], &keys[2]] {
            until_it_works(cmd("SET").arg(key).arg(round), &link).await;
            assert_eq!(get(&link, key).await.unwrap(), round.to_string());
        }
        let error = get(&link, &keys[1]).await.unwrap_err();
        assert!(!error.to_string().is_empty());
    }
    // A new link needs no node that is down.
    let other = open(&cluster.address(3)).await.unwrap();
    until_it_works(cmd("SET").arg(&keys[0]).arg("v"), &other).await;
    cluster.nodes[1].restart();
    until_it_works(cmd("SET").arg(&keys[1]).arg("v"), &link).await;
}

#[tokio::test]
async fn a_node_that_hangs_leaves_the_others_usable() {
    let cluster = RedisCluster::start(&["--cluster-node-timeout", "3000"]);
    let deadlines = Deadlines { connect: Duration::from_secs(9), command: Duration::from_secs(3) };
    let link = Link::lazy(&cluster.address(3).parse().unwrap(), deadlines);
    let keys = [cluster.key_of(0, "a"), cluster.key_of(1, "b"), cluster.key_of(2, "c")];
    for key in &keys {
        until_it_works(cmd("SET").arg(key).arg("v"), &link).await;
    }
    cluster.nodes[1].freeze();
    for _ in 0..3 {
        get(&link, &keys[1]).await.unwrap_err();
        for key in [&keys[0], &keys[2]] {
            until_it_works(cmd("GET").arg(key), &link).await;
        }
    }
    cluster.nodes[1].thaw();
    until_it_works(cmd("GET").arg(&keys[1]), &link).await;
}

#[tokio::test]
async fn a_node_without_the_key_is_an_error_that_says_what_to_do() {
    let cluster = RedisCluster::start(&[]);
    let address = cluster.address(1).replacen("+cluster", "", 1);
    let error = set(&open(&address).await.unwrap(), &cluster.key_of(1, "a"), "v").await.unwrap_err();
    let error = crate::error::RedisError::from(error).to_string();
    assert!(error.contains("write redis+cluster://"), "{error}");
}

#[tokio::test]
async fn a_slot_that_moves_is_followed() {
    let cluster = RedisCluster::start(&[]);
    let link = open(&cluster.address(3)).await.unwrap();
    let keys: Vec<String> = (0..4).map(|number| format!("{{tag}}{number}")).collect();
    let (slot, from) = (cluster.slot(&keys[0]), cluster.node_of(&keys[0]));
    let to = (from + 1) % 3;
    for key in &keys {
        set(&link, key, "v").await.unwrap();
    }
    cluster.begin_move(slot, from, to);
    for key in &keys[..2] {
        cluster.move_key(key, from, to);
    }
    for key in &keys {
        assert_eq!(get(&link, key).await.unwrap(), "v", "{key}");
    }
    // A script could see a half of its keys.
    let script = redis::Script::new("return redis.call('INCR', KEYS[1])");
    let error = script.key("{tag}new").invoke_async::<u64>(&mut link.clone()).await.unwrap_err();
    assert!(error.to_string().starts_with("Ask"), "{error}");
    for key in &keys[2..] {
        cluster.move_key(key, from, to);
    }
    cluster.end_move(slot, to);
    for result in join_all(keys.iter().map(|key| get(&link, key))).await {
        assert_eq!(result.unwrap(), "v");
    }
    assert_eq!(script.key("{tag}new").invoke_async::<u64>(&mut link.clone()).await.unwrap(), 1);
    assert_eq!(cluster.keys()["{tag}new"], to);
}

#[tokio::test]
async fn a_cluster_that_is_not_there_is_an_error_without_password() {
    let cluster = RedisCluster::start(&[]);
    for node in &cluster.nodes {
        node.ask(&["CONFIG", "SET", "requirepass", "s3cr3t"]);
    }
    let link = open(&cluster.address(3).replacen("//", "//:s3cr3t@", 1)).await.unwrap();
    set(&link, "k", "v").await.unwrap();
    let error = open(&cluster.address(3).replacen("//", "//:n3v3r@", 1)).await.err().unwrap().to_string();
    assert!(error.contains("authentication failed") && !error.contains("n3v3r"), "{error}");
    let error = open(&cluster.address(3)).await.err().unwrap().to_string();
    assert!(error.contains("Authentication required"), "{error}");
}
