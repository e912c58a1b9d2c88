//! The commands that the script and the library send exist in the oldest Redis that is supported, which the tests do not run on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::path::Path;

const OLDEST: (u32, u32) = (6, 2);

/// The version of Redis that introduced each command, by the documentation of Redis.
const COMMANDS: &[(&str, (u32, u32))] = &[
    ("BLPOP", (2, 0)),
    ("CONFIG", (2, 0)),
    ("DEL", (1, 0)),
    ("EVAL", (2, 6)),
    ("EVALSHA", (2, 6)),
    ("EXISTS", (1, 0)),
    ("GET", (1, 0)),
    ("HDEL", (2, 0)),
    ("HEXISTS", (2, 0)),
    ("HGET", (2, 0)),
    ("HGETALL", (2, 0)),
    ("HINCRBY", (2, 0)),
    ("HKEYS", (2, 0)),
    ("HLEN", (2, 0)),
    ("HMGET", (2, 0)),
    ("HSCAN", (2, 8)),
    // With several fields in one command: 4.0.
    ("HSET", (4, 0)),
    ("HSETNX", (2, 0)),
    ("HSTRLEN", (3, 2)),
    ("INCR", (1, 0)),
    ("INFO", (1, 0)),
    ("LINDEX", (1, 0)),
    ("LLEN", (1, 0)),
    ("LPOP", (1, 0)),
    ("LRANGE", (1, 0)),
    ("LREM", (1, 0)),
    ("LTRIM", (1, 0)),
    ("PEXPIRE", (2, 6)),
    ("PING", (1, 0)),
    ("PTTL", (2, 6)),
    ("ROLE", (2, 8)),
    ("RPUSH", (1, 0)),
    ("SADD", (1, 0)),
    ("SCAN", (2, 8)),
    ("SCARD", (1, 0)),
    ("SENTINEL", (2, 8)),
    // With NX and PX in one command: 2.6.12.
    ("SET", (2, 6)),
    ("SMEMBERS", (1, 0)),
    ("SREM", (1, 0)),
    ("SSCAN", (2, 8)),
    ("TIME", (2, 6)),
    ("TYPE", (1, 0)),
    ("WAIT", (3, 0)),
    ("ZADD", (1, 2)),
    ("ZCARD", (1, 2)),
    ("ZCOUNT", (2, 0)),
    ("ZRANGE", (1, 2)),
    ("ZRANGEBYSCORE", (1, 0)),
    ("ZREM", (1, 2)),
    ("ZREMRANGEBYSCORE", (1, 2)),
    ("ZSCORE", (1, 2)),
    // Options of these commands.
    ("LIMIT", (1, 2)),
    ("NX", (2, 6)),
    ("PX", (2, 6)),
    ("WITHSCORES", (1, 2)),
];

/// The first text in quotes after each of these words.
fn after(source: &str, words: &str, quote: char) -> BTreeSet<String> {
    let calls = source.split(words).skip(1);
    calls.filter_map(|rest| rest.trim_start().strip_prefix(quote)?.split(quote).next()).map(str::to_owned).collect()
}

fn introduced(name: &str) -> (u32, u32) {
    let found = COMMANDS.iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("{name}: add it to the list, with the version that introduced it")).1
}

#[test]
fn every_command_is_in_redis_6_2() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let script: String = [read("scheduler.lua"), read("shared_fetcher.lua")].join("\n");
    let script: String = script.lines().filter_map(|line| line.split("--").next()).collect::<Vec<_>>().join("\n");
    let mut names = after(&script, "redis.call(", '\'');
    assert!(names.len() > 20, "{names:?}");
    let capitals = script.split('\'').skip(1).step_by(2);
    let is_capital = |text: &&str| text.len() > 1 && text.chars().all(|letter| letter.is_ascii_uppercase());
    names.extend(capitals.filter(is_capital).map(str::to_owned));
    for file in ["connection.rs", "script.rs", "server.rs", "link/server.rs", "link/sentinel.rs"] {
        let source = read(file);
        names.extend(after(&source, "redis::cmd(", '"').into_iter().chain(after(&source, "self.command(", '"')));
    }
    let newer: Vec<&String> = names.iter().filter(|name| introduced(name) > OLDEST).collect();
    assert!(newer.is_empty(), "newer than Redis 6.2: {newer:?}");
}
