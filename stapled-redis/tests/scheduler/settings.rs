//! The settings of the server that the scheduler depends on, and the version of the keys' form.

use stapled_core::scheduler::{Record, Scheduler, Step};
use stapled_core::task::Task;
use stapled_redis::{Durability, Eviction, Loss, RedisError, RedisScheduler};
use stapled_tests::Redis;

const ALWAYS: [&str; 6] = ["--save", "", "--appendonly", "yes", "--appendfsync", "always"];

async fn connect(server: &Redis) -> Result<RedisScheduler, RedisError> {
    RedisScheduler::connect(&server.address(), "test").await
}

/// Connects as a user who may run everything but these commands.
async fn connect_without(server: &Redis, commands: &[&str]) -> RedisScheduler {
    let mut rules = vec!["ACL", "SETUSER", "worker", "reset", "on", ">secret", "~*", "&*", "+@all"];
    rules.extend(commands);
    server.ask(&rules);
    let address = format!("redis+unix://worker:secret@{}", server.socket().display());
    RedisScheduler::connect(&address, "test").await.unwrap()
}

#[tokio::test]
async fn the_durability_is_that_of_the_settings() {
    for (settings, expected) in [
        (ALWAYS.as_slice(), Durability::Always),
        (&["--save", "", "--appendonly", "yes", "--appendfsync", "everysec"], Durability::EverySecond),
        (&["--save", "", "--appendonly", "yes", "--appendfsync", "no"], Durability::OperatingSystem),
        (&["--save", "3600", "1", "--appendonly", "no"], Durability::Snapshots),
        (&["--save", "", "--appendonly", "no"], Durability::None),
    ] {
        let server = Redis::start_with(settings);
        let scheduler = connect(&server).await.unwrap();
        assert_eq!(scheduler.durability(), expected, "{settings:?}");
        let required = scheduler.require_durable(Loss::Refuse);
        match required {
            Ok(_) => assert_eq!(expected, Durability::Always),
            Err(RedisError::NotDurable { durability }) => assert_eq!(durability, expected),
            Err(error) => panic!("{settings:?}: {error}"),
        }
        assert!(connect(&server).await.unwrap().require_durable(Loss::Accept).is_ok());
    }
}

#[tokio::test]
async fn the_refusal_says_what_to_set() {
    let server = Redis::start();
    let refused = connect(&server).await.unwrap().require_durable(Loss::Refuse).unwrap_err().to_string();
    for words in ["nothing is on the disk", "`appendonly yes`", "`appendfsync always`"] {
        assert!(refused.contains(words), "{refused}");
    }
    let user = connect_without(&server, &["-config", "-info"]).await;
    let refused = user.require_durable(Loss::Refuse).unwrap_err().to_string();
    assert!(refused.contains("+config|get") && refused.contains("not known"), "{refused}");
}

#[tokio::test]
async fn a_user_who_may_not_read_the_settings_learns_what_info_tells() {
    let always = Redis::start_with(&ALWAYS);
    let nothing = Redis::start_with(&["--save", "", "--appendonly", "no", "--maxmemory-policy", "allkeys-lru"]);
    // INFO tells that there is an append-only file, but not how often it is synced.
    assert_eq!(connect_without(&always, &["-config"]).await.durability(), Durability::Unknown);
    let user = connect_without(&nothing, &["-config"]).await;
    assert_eq!(user.durability(), Durability::Snapshots);
    assert_eq!(*user.eviction(), Eviction::Policy("allkeys-lru".into()));
    let user = connect_without(&always, &["-config", "-info"]).await;
    assert_eq!((user.durability(), user.eviction()), (Durability::Unknown, &Eviction::Unknown));
    // The scheduler itself needs neither command.
    user.commit(Step::intake().put(Task::new("issue".into(), "s".into()))).await.unwrap();
    let user = connect_without(&always, &["-config", "+config|get"]).await;
    assert_eq!(user.durability(), Durability::Always);
}

#[tokio::test]
async fn another_policy_than_noeviction_is_noticed() {
    let server = Redis::start_with(&[&ALWAYS[..], &["--maxmemory-policy", "volatile-lru"]].concat());
    let scheduler = connect(&server).await.unwrap();
    assert_eq!(*scheduler.eviction(), Eviction::Policy("volatile-lru".into()));
    let refused = scheduler.require_durable(Loss::Refuse).unwrap_err();
    assert!(refused.to_string().contains("`maxmemory-policy noeviction`"), "{refused}");
    server.ask(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    let scheduler = connect(&server).await.unwrap();
    assert_eq!(*scheduler.eviction(), Eviction::Never);
    assert!(scheduler.require_durable(Loss::Refuse).is_ok());
}

#[tokio::test]
async fn a_newer_form_of_the_keys_is_refused() {
    let server = Redis::start();
    let scheduler = connect(&server).await.unwrap();
    let step = || Step::intake().record(Record::new("s".into(), "issue"));
    // Connecting alone writes nothing; the first call writes the version.
    assert_eq!(server.ask(&["KEYS", "*"]), "");
    scheduler.commit(step()).await.unwrap();
    assert_eq!(server.ask(&["HGET", "{test}:clock", "schema"]), "1");

    server.ask(&["HSET", "{test}:clock", "schema", "2"]);
    let refused = connect(&server).await.unwrap_err();
    assert!(matches!(refused, RedisError::NewerSchema { found: 2, known: 1, .. }), "{refused}");
    assert!(refused.to_string().contains("newer stapled"), "{refused}");
    // A program that was connected before changes nothing any more.
    let refused = scheduler.commit(step()).await.unwrap_err().to_string();
    assert!(refused.contains("schema 2"), "{refused}");
    // Another prefix is another scheduler.
    RedisScheduler::connect(&server.address(), "other").await.unwrap().commit(step()).await.unwrap();
    // Keys of the time before there were versions have version 1.
    server.ask(&["HDEL", "{test}:clock", "schema"]);
    connect(&server).await.unwrap().commit(step()).await.unwrap();
    assert_eq!(server.ask(&["HGET", "{test}:clock", "schema"]), "1");
}
