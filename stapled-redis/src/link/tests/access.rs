//! A user with few permissions.

use redis::{Script, cmd};
use stapled_tests::Redis;

use super::open;

#[tokio::test]
async fn commands_that_are_allowed_work_and_the_others_are_refused_without_a_password_in_the_error() {
    let server = Redis::start();
    let allowed = ["+get", "+set", "+del", "+pexpire", "+evalsha", "+eval", "+script|load"];
    server.ask(&[&["ACL", "SETUSER", "cache", "reset", "on", ">s3cr3t", "~cache:*"], &allowed[..]].concat());
    let mut link = open(&server.address_of("cache", "s3cr3t")).await.unwrap();
    cmd("SET").arg("cache:k").arg("v").arg("PX").arg(60_000).exec_async(&mut link).await.unwrap();
    cmd("PEXPIRE").arg("cache:k").arg(60_000).exec_async(&mut link).await.unwrap();
    assert_eq!(cmd("GET").arg("cache:k").query_async::<String>(&mut link).await.unwrap(), "v");
    // The client loads the script.
    let script = Script::new("return redis.call('DEL', KEYS[1])");
    assert_eq!(script.key("cache:k").invoke_async::<u64>(&mut link).await.unwrap(), 1);
    cmd("EVAL").arg("return redis.call('GET', KEYS[1])").arg(1).arg("cache:k").exec_async(&mut link).await.unwrap();
    for other in [cmd("GET").arg("other"), cmd("KEYS").arg("*")] {
        let error = other.exec_async(&mut link).await.unwrap_err().to_string();
        assert!(error.contains("NoPerm") && !error.contains("s3cr3t"), "{error}");
    }
}
