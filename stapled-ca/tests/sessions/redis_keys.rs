//! The keys of sessions in Redis, as an operator sees them with `redis-cli`.

use crate::world::World;

#[tokio::test]
async fn a_session_can_be_followed_by_its_keys() {
    let world = World::on_redis().await;
    let ask = |command: &[&str]| world.redis().ask(command);
    let id = world.submit(&["a.example", "b.example"]).await;
    let (session, challenge) = (format!("ca:{id}"), format!("ca:{id}:1"));
    assert_eq!(ask(&["LRANGE", "ca:active-requests", "0", "-1"]), id.as_str());
    assert_eq!(ask(&["LRANGE", "ca:pending-makechallenge", "0", "-1"]), id.as_str());
    assert_eq!(ask(&["HMGET", &session, "live", "state", "challenges"]), "True\nmakechallenge\n0");
    assert!(ask(&["HGET", &session, "csr"]).starts_with("-----BEGIN CERTIFICATE REQUEST-----"));
    assert!(ask(&["HGET", &session, "created"]).parse::<u64>().is_ok());
    assert_eq!(ask(&["LRANGE", &format!("{session}:names"), "0", "-1"]), "a.example\nb.example");

    world.settle().await;
    assert_eq!(ask(&["HMGET", &session, "state", "challenges"]), "testchallenge\n4");
    assert_eq!(ask(&["HMGET", &challenge, "type", "name", "satisfied", "failed"]), "4\na.example\nFalse\nFalse");
    assert!(ask(&["HGET", &challenge, "data"]).starts_with(r#"{"version":1,"token":""#));
    assert_eq!(ask(&["LLEN", "ca:pending-testchallenge"]), "0");
    world.sessions.ready(&id, None).await.unwrap();
    assert_eq!(ask(&["LRANGE", "ca:pending-testchallenge", "0", "-1"]), id.as_str());
    let daemons = world.daemons();
    for (daemon, queue) in [(1, "ca:pending-issue"), (2, "ca:pending-done")] {
        crate::world::settle(&world.sessions, &*world.store, &daemons[daemon..=daemon]).await.unwrap();
        assert_eq!(ask(&["LRANGE", queue, "0", "-1"]), id.as_str());
    }
    assert_eq!(ask(&["HGET", &challenge, "satisfied"]), "True");
    world.settle().await;
    assert_eq!(ask(&["LLEN", "ca:active-requests"]), "0");
    assert!(ask(&["HGET", &session, "cert"]).starts_with("-----BEGIN CERTIFICATE-----"));

    let dead = world.submit(&["c.example"]).await;
    world.sessions.end(&dead, stapled_ca::session::End::Killed, "by hand").await.unwrap();
    assert_eq!(ask(&["HMGET", &format!("ca:{dead}"), "live", "state", "reason"]), "False\nkilled\nby hand");
    world.sessions.thanks(&id).await.unwrap();
    assert_eq!(ask(&["KEYS", &format!("*{id}*")]), "");
}
