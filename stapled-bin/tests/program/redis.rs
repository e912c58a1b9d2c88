//! `stapled redis`: the status and the repairs of a scheduler on a real server, and the mistakes of users.

use std::time::Duration;

use serde_json::Value;
use stapled_ca::{Authority, Profile};
use stapled_core::scheduler::{QueueRules, Record, Scheduler, Step};
use stapled_core::task::{Cause, Task};
use stapled_redis::RedisScheduler;
use stapled_tests::{Redis, free_port};

use crate::world::{Ended, PATIENCE, Running, command_in};

const SECRET: &str = "s3cr3tMARKER";

/// Runs the program to its end, with the address in the environment.
fn run_with(server: &Redis, address: Option<&str>, arguments: &[&str]) -> Ended {
    let mut command = command_in(server.directory(), &[&["redis"], arguments].concat());
    if let Some(address) = address {
        command.env("STAPLED_REDIS", address);
    }
    Running::start(command).end(PATIENCE)
}

fn run(server: &Redis, arguments: &[&str]) -> Ended {
    run_with(server, Some(&server.address()), &[arguments, &["--prefix", "ca"]].concat())
}

/// A scheduler `ca`: in the queue `issue`, two parked tasks and a due one; and a subject in the state `testing`.
fn fill(server: &Redis) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let scheduler = RedisScheduler::connect(&server.address(), "ca").await.unwrap();
        scheduler.configure(&"issue".into(), QueueRules::new().park_after(3)).await.unwrap();
        let parked = |name: &str| {
            Task::new("issue".into(), name.into()).attempt(3).cause(Cause::Other("the key is weak".into()))
        };
        let step = Step::intake().put(parked("a.example")).put(parked("b.example"));
        let due = Task::new("issue".into(), "c.example".into());
        scheduler.commit(step.put(due).record(Record::new("d.example".into(), "testing"))).await.unwrap();
    });
}

#[test]
fn the_status_shows_problems_and_retry_ends_them() {
    let server = Redis::start();
    fill(&server);
    let ended = run(&server, &["status"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.out.starts_with("PROBLEM  queue issue: 2 parked"), "{ended:?}");
    for words in ["the key is weak", "QUEUE", "1 in state testing", "nothing is on the disk", "prefix ca, schema 1"] {
        assert!(ended.out.contains(words), "{words}: {ended:?}");
    }
    let ended = run(&server, &["status", "--json", "--interval", "1"]);
    let status: Value = serde_json::from_str(&ended.out).unwrap();
    let issue = &status["queues"][0];
    assert_eq!((&issue["queue"], &issue["parked"], &issue["due"]), (&"issue".into(), &2.into(), &1.into()));
    assert_eq!(issue["parked_tasks"][0]["cause"], "the key is weak");
    assert_eq!((&issue["rates"]["taken"], &status["durability"]), (&0.0.into(), &"none".into()));
    assert!(status["problems"][0].as_str().unwrap().contains("2 parked"), "{status}");

    let ended = run(&server, &["retry", "issue", "a.example", "c.example"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.out.contains("c.example: has no parked task in queue issue"), "{ended:?}");
    assert!(ended.out.ends_with("are due again: 1\n"), "{ended:?}");
    let ended = run(&server, &["retry", "issue", "--all"]);
    assert_eq!((ended.code, ended.out.as_str()), (0, "tasks of queue issue that are due again: 1\n"));
    let ended = run(&server, &["status"]);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{ended:?}");
    assert!(ended.out.starts_with("QUEUE"), "{ended:?}");
    assert!(ended.out.lines().all(|line| line.chars().count() <= 80), "{ended:?}");
}

#[test]
fn recover_puts_what_is_missing_by_the_mapping_of_its_caller() {
    let server = Redis::start();
    fill(&server);
    server.ask(&["DEL", "{ca}:queue:issue"]);
    let plan = run(&server, &["recover", "--dry-run"]);
    assert_eq!(plan.code, 1, "{plan:?}");
    for words in ["issue: c.example, which was in no order", "nothing was changed", "1 in state testing", "  d.example"]
    {
        assert!(plan.out.contains(words), "{words}: {plan:?}");
    }
    let done = run(&server, &["recover", "--state", "testing=testchallenge"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.out.contains("testchallenge: d.example, in state testing\ntasks put again: 2\n"), "{done:?}");
    assert_eq!(server.ask(&["LRANGE", "{ca}:queue:testchallenge", "0", "-1"]), "d.example");
    let again = run(&server, &["recover", "--dry-run", "--state", "testing=testchallenge"]);
    assert_eq!((again.code, again.out.as_str()), (0, "tasks to put again: 0; nothing was changed\n"));
    let wrong = run(&server, &["recover", "--state", "testing"]);
    assert_eq!(wrong.code, 2, "{wrong:?}");
    assert!(wrong.err.contains("STATE=QUEUE is needed"), "{wrong:?}");
}

#[test]
fn mistakes_get_advice() {
    let server = Redis::start();
    fill(&server);
    let nowhere = run_with(&server, None, &["status", "--address", "redis+unix:///nowhere/redis.sock"]);
    assert_eq!((nowhere.code, nowhere.out.as_str()), (4, ""), "{nowhere:?}");
    assert!(nowhere.err.contains("/nowhere/redis.sock"), "{nowhere:?}");
    let wrong = run_with(&server, Some(&server.address()), &["status", "--prefix", "cb"]);
    assert_eq!((wrong.code, wrong.out.as_str()), (4, ""), "{wrong:?}");
    assert!(wrong.err.contains("no scheduler under the prefix cb in Redis; there are: ca"), "{wrong:?}");
    for (queue, words) in [("isue", "did you mean issue?"), ("nothing-like-it", "`stapled redis status` lists them")] {
        let unknown = run(&server, &["retry", queue, "--all"]);
        assert_eq!(unknown.code, 2, "{unknown:?}");
        assert!(unknown.err.contains(words), "{unknown:?}");
    }
    let unnamed = run_with(&server, None, &["status"]);
    assert_eq!(unnamed.code, 2, "{unnamed:?}");
    assert!(unnamed.err.contains("--address") && unnamed.err.contains("STAPLED_REDIS"), "{unnamed:?}");
    assert_eq!(run(&server, &["retry", "issue"]).code, 2, "neither subjects nor --all");
    assert_eq!(run_with(&server, None, &["status", "--address", "127.0.0.1"]).code, 2);
}

#[test]
fn passwords_come_from_files_and_are_never_shown() {
    let server = Redis::start_with(&["--save", "", "--requirepass", SECRET]);
    let address = |password: &str| format!("redis+unix://:{password}@{}", server.socket().display());
    let file = server.directory().join("address");
    let with_file = |password: &str| {
        std::fs::write(&file, address(password) + "\n").unwrap();
        run_with(&server, None, &["status", "--address-file", file.to_str().unwrap()])
    };
    let argument = run_with(&server, None, &["status", "--address", &address(SECRET)]);
    assert_eq!(argument.code, 2, "{argument:?}");
    assert!(argument.err.contains("--address-file"), "{argument:?}");
    let good = with_file(SECRET);
    assert_eq!(good.code, 4, "{good:?}");
    assert!(good.err.contains("no scheduler under the prefix stapled"), "{good:?}");
    let wrong = with_file("n3v3r");
    assert_eq!(wrong.code, 4, "{wrong:?}");
    let variable = run_with(&server, Some(&address(SECRET)), &["status"]);
    assert!(variable.err.contains("no scheduler"), "{variable:?}");
    for ended in [argument, good, wrong, variable] {
        let shown = ended.out.clone() + &ended.err;
        assert!(!shown.contains(SECRET) && !shown.contains("n3v3r"), "{ended:?}");
    }
}

#[test]
fn a_server_that_does_not_answer_is_left_after_seconds() {
    let server = Redis::start();
    server.freeze();
    let started = std::time::Instant::now();
    let ended = run(&server, &["status"]);
    server.thaw();
    assert_eq!(ended.code, 4, "{ended:?}");
    assert!(started.elapsed() < Duration::from_secs(25), "{:?}", started.elapsed());
}

#[test]
fn the_help_of_each_command_has_examples_and_exit_codes() {
    let server = Redis::start();
    for command in ["status", "recover", "retry"] {
        let help = run_with(&server, None, &[command, "--help"]).out;
        for words in ["Examples:", "Exit codes:", "--address-file", "--prefix"] {
            assert!(help.contains(words), "{command}: {words}: {help}");
        }
    }
}

#[test]
fn a_server_with_tls_is_asked_with_the_files_of_the_address() {
    let files = tempfile::tempdir().unwrap();
    let path = |name: &str| files.path().join(name).display().to_string();
    let authority = Authority::root("Redis Root").create().unwrap();
    let issued = authority.issue(&Profile::server("localhost")).unwrap();
    for (name, text) in
        [("ca", authority.root_pem()), ("cert", issued.certificate_pem()), ("key", issued.key_pem().to_string())]
    {
        std::fs::write(path(name), text).unwrap();
    }
    let (port, ca, cert, key) = (free_port().to_string(), path("ca"), path("cert"), path("key"));
    let tls = ["--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-ca-cert-file", &ca, "--tls-auth-clients", "no"];
    let server = Redis::start_with(&[&["--save", "", "--appendonly", "no", "--tls-port", &port], &tls[..]].concat());
    fill(&server);
    let address = format!("rediss://localhost:{port}/");
    let trusting = format!("{address}?ca={ca}");
    let ended = run_with(&server, Some(&trusting), &["status", "--prefix", "ca"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.out.contains("queue issue: 2 parked"), "{ended:?}");
    assert_eq!(run_with(&server, Some(&trusting), &["recover", "--dry-run", "--prefix", "ca"]).code, 0);
    let ended = run_with(&server, Some(&address), &["status", "--prefix", "ca"]);
    assert!(ended.code > 1 && ended.err.contains("invalid peer certificate"), "{ended:?}");
}
