//! A program of the operator that may refuse sessions. No test has a file that it runs: scripts are arguments of the shell.

use std::time::Duration;

use stapled_ca::session::{
    End, Hook, HookError, Issue, Limits, Policy, Refusal, SessionError, Sessions, State, work_on,
};
use stapled_core::task::Cause;
use stapled_tests::wait_until;

use crate::world::{HOUR, World, csr, on_each_store};

on_each_store! {
    the_hook_is_asked_at_the_intake_and_before_issuing
    a_hook_that_fails_before_issuing_is_asked_again_later
}

fn shell(script: &str) -> Hook {
    let mut hook = Hook::new("/bin/sh");
    hook.arguments = vec!["-c".to_owned(), script.to_owned()];
    hook
}

fn with(world: &World, hook: Hook) -> Sessions {
    let mut policy = Policy::default();
    policy.hook = Some(hook);
    Sessions::new(world.store.clone(), world.ledger.clone(), Limits::default(), policy)
}

async fn the_hook_is_asked_at_the_intake_and_before_issuing(world: World) {
    let file = world.directory.path().join("asked");
    let sessions = with(&world, shell(&format!("cat >> {0}; echo >> {0}; env >> {0}.env", file.display())));
    let id = sessions.submit(&csr(&["A.example", "192.0.2.9"]), "192.0.2.1").await.unwrap();
    let daemons = crate::world::daemons(&sessions, &world.authority, &world.host);
    crate::world::settle(&sessions, &*world.store, &daemons).await.unwrap();
    sessions.ready(&id, None).await.unwrap();
    crate::world::settle(&sessions, &*world.store, &daemons).await.unwrap();
    assert_eq!(world.state(&id).await, State::Done);
    let asked = std::fs::read_to_string(&file).unwrap();
    let asked: Vec<serde_json::Value> = asked.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(asked.len(), 2);
    let stages = [("submit", serde_json::Value::Null), ("issue", id.as_str().into())];
    for (question, (stage, session)) in asked.iter().zip(stages) {
        assert_eq!((&question["version"], &question["stage"]), (&1.into(), &stage.into()));
        assert_eq!(question["session"], session);
        assert_eq!(question["client"], "192.0.2.1");
        assert_eq!(question["names"], serde_json::json!(["a.example", "192.0.2.9"]));
        assert_eq!(question["key"].as_str().unwrap().len(), 64);
        assert_eq!(question["csr"], world.session(&id).await.csr);
    }
    // The environment is minimal: these are the shell's own.
    let environment = std::fs::read_to_string(file.with_extension("env")).unwrap();
    let names = environment.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name);
    for name in names {
        assert!(["PATH", "TZ", "PWD", "OLDPWD", "SHLVL", "_"].contains(&name), "{name}");
    }

    // It refuses before issuing only.
    let sessions = with(&world, shell("grep -q '\"stage\":\"submit\"' || { echo not today; exit 1; }"));
    let id = sessions.submit(&csr(&["a.example"]), "").await.unwrap();
    let daemons = crate::world::daemons(&sessions, &world.authority, &world.host);
    crate::world::settle(&sessions, &*world.store, &daemons).await.unwrap();
    sessions.ready(&id, None).await.unwrap();
    crate::world::settle(&sessions, &*world.store, &daemons).await.unwrap();
    let session = world.session(&id).await;
    assert_eq!((session.state, session.certificate), (State::Dead(End::Failed), None));
    assert_eq!(session.reason.as_deref(), Some("refused by the rules of this authority: not today"));
}

async fn a_hook_that_fails_before_issuing_is_asked_again_later(world: World) {
    let works = world.directory.path().join("works");
    let id = world.submit(&["a.example"]).await;
    world.settle().await;
    world.sessions.ready(&id, None).await.unwrap();
    crate::world::settle(&world.sessions, &*world.store, &world.daemons()[1..2]).await.unwrap();
    let sessions = with(&world, shell(&format!("test -e {} || exit 7", works.display())));
    let issue = Issue::new(sessions.clone(), world.authority.clone(), Default::default());
    let lease = world.store.take(&["issue".into()], 1, HOUR).await.unwrap().remove(0);
    let failures = std::sync::Mutex::new(Vec::new());
    let report = |_: &_, failure: &stapled_ca::session::Failure| failures.lock().unwrap().push(failure.to_string());
    work_on(&issue, &sessions, &lease, &report).await.unwrap();
    let failures = failures.into_inner().unwrap();
    assert_eq!(failures, ["the hook /bin/sh ended with exit status: 7: "]);
    let session = world.session(&id).await;
    assert_eq!((session.state, session.certificate), (State::Issue, None));
    assert_eq!(world.length("issue").await, 1);

    std::fs::write(works, "").unwrap();
    world.advance(HOUR / 12);
    let lease = world.store.take(&["issue".into()], 1, HOUR).await.unwrap().remove(0);
    assert_eq!(lease.task().cause, Cause::Failed("hook_failed".into()));
    work_on(&issue, &sessions, &lease, &|_, failure| panic!("{failure}")).await.unwrap();
    assert_eq!(world.state(&id).await, State::Done);
}

/// The answer at the intake.
async fn answer(world: &World, hook: Hook) -> Result<(), SessionError> {
    with(world, hook).submit(&csr(&["a.example"]), "192.0.2.1").await.map(drop)
}

#[tokio::test]
async fn the_exit_status_decides() {
    let world = World::on_a_file().await;
    for script in ["exit 0", "echo no; exit 0", "cat > /dev/null", "exec 0<&- 1>&- 2>&-"] {
        answer(&world, shell(script)).await.unwrap();
    }
    let long = format!("printf '%01000d' 0; exit 1 # {}", "x".repeat(5000));
    for (script, expected) in [
        ("echo not here; echo more; exit 1", "not here".to_owned()),
        ("printf 'a\\033[31mb\\n'; exit 1", "a\\u{1b}[31mb".to_owned()),
        ("exit 1", String::new()),
        (&*long, "0".repeat(200)),
    ] {
        match answer(&world, shell(script)).await {
            Err(SessionError::Refused(Refusal::Hook { reason })) => assert_eq!(reason, expected),
            other => panic!("{script}: {other:?}"),
        }
    }
    for script in ["exit 2", "exit 255", "kill -9 $$", "kill -15 $$", "echo yes; exit 3"] {
        let failed = answer(&world, shell(script)).await;
        assert!(matches!(failed, Err(SessionError::Hook(HookError::Ended { .. }))), "{script}: {failed:?}");
    }
    assert_eq!(world.sessions.active().await.unwrap().len(), 4, "a session that the hook did not allow is none");
}

#[tokio::test]
async fn a_hook_that_cannot_be_run_allows_nothing() {
    let world = World::on_a_file().await;
    let plain = world.directory.path().join("plain");
    std::fs::write(&plain, "#!/bin/sh\nexit 0\n").unwrap();
    for program in [world.directory.path().join("missing"), plain, world.directory.path().to_owned(), "".into()] {
        let failed = answer(&world, Hook::new(&program)).await;
        assert!(matches!(failed, Err(SessionError::Hook(HookError::Run { .. }))), "{program:?}: {failed:?}");
    }
    assert_eq!(world.sessions.active().await.unwrap(), []);
}

/// Whether the process whose number is in the file is there.
fn is_running(file: &std::path::Path) -> bool {
    let number = std::fs::read_to_string(file).unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/stat", number.trim()));
    // A process that nobody waits for stays in the table.
    status.is_ok_and(|status| !status.contains(") Z "))
}

#[tokio::test]
async fn a_hook_that_hangs_or_prints_without_end_is_killed_with_its_processes() {
    let world = World::on_a_file().await;
    for script in
        ["sleep 1000 & echo $! > FILE; wait", "sleep 1000 & echo $! > FILE; while :; do echo yes yes yes yes; done"]
    {
        let file = world.directory.path().join("process");
        let mut hook = shell(&script.replace("FILE", &file.display().to_string()));
        hook.within = Duration::from_secs(3);
        let failed = answer(&world, hook).await;
        assert!(matches!(failed, Err(SessionError::Hook(HookError::TimedOut { .. }))), "{script}: {failed:?}");
        wait_until("the process of the hook is killed", || !is_running(&file));
    }
    // A client that is gone does not leave its hook running.
    let file = world.directory.path().join("dropped");
    let hook = shell(&format!("sleep 1000 & echo $! > {0}.new; mv {0}.new {0}; wait", file.display()));
    let sessions = with(&world, hook);
    let request = csr(&["a.example"]);
    let submit = tokio::spawn(async move { sessions.submit(&request, "").await });
    crate::world::until("the hook runs", async || file.exists()).await;
    submit.abort();
    assert!(submit.await.unwrap_err().is_cancelled());
    wait_until("the process of the hook is killed", || !is_running(&file));
    assert_eq!(world.sessions.active().await.unwrap(), []);
}

#[tokio::test]
async fn a_process_that_the_hook_leaves_behind_delays_no_answer() {
    let world = World::on_a_file().await;
    let file = world.directory.path().join("left");
    let hook = shell(&format!("sleep 1000 & echo $! > {}; echo no; exit 1", file.display()));
    let refused = answer(&world, hook).await;
    assert!(matches!(&refused, Err(SessionError::Refused(Refusal::Hook { reason })) if reason == "no"), "{refused:?}");
    let number = std::fs::read_to_string(&file).unwrap();
    drop(std::process::Command::new("kill").arg(number.trim()).status());
}
