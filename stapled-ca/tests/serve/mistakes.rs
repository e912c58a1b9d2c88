//! What users get wrong.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use stapled_tests::Redis;

use crate::world::{CA, Ended, World};

fn run(arguments: &[&str]) -> Ended {
    Command::new(CA).args(arguments).output().unwrap().into()
}

#[test]
fn a_password_in_an_argument_is_refused() {
    let ended = run(&["status", "--redis", "redis://:s3cr3t@127.0.0.1:1/"]);
    assert!(ended.code == 1 && ended.error.contains("--redis-file"), "{ended:?}");
    assert!(!ended.error.contains("s3cr3t"));
}

#[test]
fn a_redis_that_may_lose_sessions_is_refused_unless_that_is_accepted() {
    let redis = Redis::start();
    let refused = run(&["status", "--redis", &redis.address()]);
    assert!(refused.code == 1 && refused.error.contains("appendfsync always"), "{refused:?}");
    assert!(refused.error.contains("--accept-loss"), "{refused:?}");
    let accepted = run(&["status", "--accept-loss", "--redis", &redis.address()]);
    assert_eq!(accepted.code, 0, "{accepted:?}");
}

#[test]
fn work_says_what_it_needs() {
    const ID: &str = "00000000000000000000000000000000";
    for (arguments, needed) in [
        (&["work", "issue"][..], "--redis"),
        (&["work", "signing"][..], "makechallenge"),
        (&["sessions", "list"][..], "--dir"),
        (&["submit", "--server", "ca.test", "a.csr"][..], "http://ADDRESS:PORT"),
        (&["submit", "--server", "http://127.0.0.1:1", "/none.csr"][..], "/none.csr"),
        (&["submit", "--server", "http://127.0.0.1:1", "a", "--webroot", "w"][..], "--out"),
        (
            &["submit", "--server", "http://127.0.0.1:1", "a", "--webroot", "/none", "-o", "a.crt"][..],
            "no directory /none",
        ),
        (&["submit", "--server", "http://127.0.0.1:1", "a", "--webroot", "/tmp", "-o", "/none/a"][..], "write /none/a"),
        (&["submit", "--server", "http://127.0.0.1:1", "a", "--webroot", "/tmp", "-o", "/tmp"][..], "is a directory"),
        (&["fetch", "--server", "http://127.0.0.1:1", ID, "-o", "/none/a"][..], "its directory does not exist"),
        (&["submit", "--server", "http://127.0.0.1:1", "a", "--key", "short"][..], "32 to 128 random letters"),
        (&["submit", "--server", "http://127.0.0.1:1", "a", "--wait", "18446744073709551615"][..], "86400"),
        (&["sessions", "retry", "--dir", "ca"][..], "<SESSION>"),
        (&["ready", "--server", "http://127.0.0.1:1", ID][..], "cannot connect to http://127.0.0.1:1"),
    ] {
        let ended = run(arguments);
        assert!(ended.code > 0 && ended.error.contains(needed), "{arguments:?}: {ended:?}");
    }
}

#[test]
fn rules_that_would_match_no_name_are_refused() {
    for (argument, wrong) in
        [("--allow-name", ".example.org"), ("--block-name", "*.example.org"), ("--block-name", "10.0.0.1")]
    {
        let ended = run(&["serve", "--dir", "/nonexistent", argument, wrong]);
        assert_eq!(ended.code, 2, "{ended:?}");
        for part in [argument, &format!("'{wrong}'"), "write a name such as example.org"] {
            assert!(ended.error.contains(part), "{part}: {ended:?}");
        }
    }
}

#[test]
fn requests_that_cannot_be_certified_are_refused_with_a_reason() {
    let world = World::on_a_file();
    let url = world.url();
    std::fs::write(world.path("no.csr"), "no request").unwrap();
    let ended = world.run(&["submit", "--server", &url, "no.csr"]);
    assert!(ended.code == 1 && ended.error.contains("bad_request"), "{ended:?}");
    let unknown = world.run(&["fetch", "--server", &url, &"0".repeat(32), "-o", "a.crt"]);
    assert!(unknown.code == 1 && unknown.error.contains("there is no session"), "{unknown:?}");
    let no_name = world.run(&["fetch", "--server", &url, "../status", "-o", "a.crt"]);
    assert!(no_name.code == 2 && no_name.error.contains("32 hexadecimal digits"), "{no_name:?}");
}

/// Directories in which no session was ever made.
#[test]
fn commands_of_operators_make_no_store() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path().to_str().unwrap();
    let session = "0".repeat(32);
    for arguments in [
        &["status"][..],
        &["sessions", "list"],
        &["sessions", "show", &session],
        &["sessions", "retry", "--all"],
        &["sessions", "kill", &session],
        &["recover"],
    ] {
        let ended = run(&[arguments, &["--dir", dir]].concat());
        assert!(ended.code == 1 && ended.error.contains("there are no sessions in"), "{arguments:?}: {ended:?}");
        assert_eq!(std::fs::read_dir(dir).unwrap().count(), 0, "{arguments:?}");
    }
}

#[test]
fn one_process_serves_the_sessions_of_a_directory() {
    let world = World::on_a_file();
    let ended = world.run(&["serve", "--dir", "ca", "--listen", "127.0.0.1:0", "--intake", "127.0.0.1:0"]);
    assert!(ended.code == 1 && ended.error.contains("does `stapled-ca serve` run there already?"), "{ended:?}");
    let far = world.run(&["serve", "--dir", "ca", "--metrics", "0.0.0.0:1"]);
    assert!(far.code == 2 && far.error.contains("not a loopback address"), "{far:?}");
}

#[test]
fn metrics_are_in_the_openmetrics_format() {
    let world = World::on_a_file();
    let mut other = Command::new(CA)
        .args(["serve", "--dir", "ca", "--listen", "127.0.0.1:0", "--metrics", world.path("metrics").to_str().unwrap()])
        .current_dir(world.directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines: Vec<String> =
        BufReader::new(other.stdout.take().unwrap()).lines().take(2).map(|line| line.unwrap()).collect();
    assert!(lines[1].starts_with("metrics at /"), "{lines:?}");
    let mut stream = UnixStream::connect(world.path("metrics")).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    other.kill().unwrap();
    other.wait().unwrap();
    assert!(text.contains("application/openmetrics-text") && text.ends_with("# EOF\n"), "{text}");
    assert!(text.contains("\nstapled_ca_ocsp_questions_total 0\n") && text.contains("\nstapled_ca_up 1\n"), "{text}");
}
