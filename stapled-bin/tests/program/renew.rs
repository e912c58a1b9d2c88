//! `stapled renew`: the CA is asked at once, and the result is shown. A withdrawal by another process is not undone.

use std::fs;
use std::time::{Duration, Instant};

use stapled_ca::lab::Fault;

use crate::world::{Ended, PATIENCE, Running, World, until};

/// Starts the daemon, and waits until these files have staples and the status is good.
fn start(world: &World, files: &[&str]) -> Running {
    let running = Running::start(world.command(&["--cert-paths", "certs"]));
    let all_have = || files.iter().all(|file| world.staple(file).exists());
    assert!(until(PATIENCE, || all_have() && world.run(&["status"]).code == 0), "{}", running.words());
    running
}

fn renew(world: &World, arguments: &[&str]) -> Ended {
    world.run(&[&["renew"], arguments].concat())
}

/// The outcome of each certificate, by name.
fn outcomes(ended: &Ended) -> Vec<(String, String)> {
    let (rows, _) = ended.rows_and_last();
    let rows = rows.iter().filter(|row| row.get("progress").is_none());
    let mut came: Vec<_> = rows
        .map(|row| (row["certificate"].as_str().unwrap().to_owned(), row["outcome"].as_str().unwrap_or("-").to_owned()))
        .collect();
    came.sort();
    came
}

#[test]
fn the_staple_of_a_revoked_certificate_is_gone_when_the_command_returns() {
    let world = World::new();
    let a = world.issue("a.pem", &world.profile("a.example"));
    let b = world.issue("b.pem", &world.profile("b.example"));
    let running = start(&world, &["a.pem", "b.pem"]);
    world.lab.revoke(a.serial()).unwrap();
    world.lab.forget_requests();
    let ended = renew(&world, &["a.example", "--wait", "--json"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert_eq!(outcomes(&ended), [("a.example".to_owned(), "revoked".to_owned())]);
    assert!(!world.staple("a.pem").exists());
    assert_eq!(world.lab.requests_for(b.serial()), 0, "nobody asked about the other");
    assert_eq!(world.lab.requests_for(a.serial()), 1);

    let ended = renew(&world, &["--all", "--wait=20", "--json"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert_eq!(outcomes(&ended).iter().map(|(_, came)| came.as_str()).collect::<Vec<_>>(), ["revoked", "new_staple"]);
    let ended = renew(&world, &["certs/b.pem", "--wait"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    for words in ["RESULT", "b.example", "new staple", "1 of 1", "1 in all, 1 good"] {
        assert!(ended.out.contains(words), "{words}: {ended:?}");
    }
    let host = world.lab.address().to_string();
    let ended = renew(&world, &["--responder", &host, "--wait", "--json"]);
    assert_eq!((ended.code, outcomes(&ended).len()), (3, 2), "{ended:?}");
    running.signal("TERM");
}

#[test]
fn failures_and_timeouts_are_shown() {
    let world = World::new();
    let a = world.issue("a.pem", &world.profile("a.example"));
    let running = start(&world, &["a.pem"]);
    let before = fs::read(world.staple("a.pem")).unwrap();
    world.lab.fault(a.serial(), Fault::TryLater);
    let ended = renew(&world, &["a.example", "--wait", "--json"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    let (rows, last) = ended.rows_and_last();
    assert_eq!((&rows[0]["outcome"], &rows[0]["reason"]), (&"failed".into(), &"error_status:try_later".into()));
    assert_eq!(last["totals"]["failed"], 1);
    assert_eq!(fs::read(world.staple("a.pem")).unwrap(), before, "a bad answer destroys no good staple");

    world.lab.fault(a.serial(), Fault::Hang);
    let begun = Instant::now();
    let ended = renew(&world, &["a.example", "--wait=2", "--json"]);
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!((ended.code, outcomes(&ended)), (1, vec![("a.example".to_owned(), "pending".to_owned())]), "{ended:?}");
    assert!(ended.out.contains(r#"{"progress":{"done":0,"of":1}}"#), "{ended:?}");

    // Without --wait, the CA is asked and the command returns.
    let ended = renew(&world, &["--all"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.out.contains("asked about: 1"), "{ended:?}");
    running.signal("TERM");
}

#[test]
fn unknown_names_and_certificates_that_need_no_staple_are_shown() {
    let world = World::new();
    world.issue("a.pem", &world.profile("a.example"));
    world.issue("plain.pem", &stapled_ca::Profile::server("plain.example"));
    let running = start(&world, &["a.pem"]);
    let ended = renew(&world, &["nobody.example", "a.example", "--wait"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.err.contains("nothing is known of nobody.example"), "{ended:?}");
    assert!(ended.out.contains("a.example"), "{ended:?}");
    let ended = renew(&world, &["--wait", "30", "a.example"]);
    assert!(ended.code == 1 && ended.err.contains("known of 30; for a limit of time write --wait=30"), "{ended:?}");
    let ended = renew(&world, &["plain.example", "--wait"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.out.contains("no OCSP URL"), "{ended:?}");
    let ended = renew(&world, &["--responder", "ocsp.nowhere", "--wait"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.err.contains("no certificate has the responder ocsp.nowhere"), "{ended:?}");
    // A file that was created a moment ago.
    world.issue("new.pem", &world.profile("new.example"));
    let ended = renew(&world, &["certs/new.pem", "--wait", "--json"]);
    assert_eq!((ended.code, outcomes(&ended).len()), (0, 1), "{ended:?}");
    running.signal("TERM");
    running.end(PATIENCE);
    assert_eq!(renew(&world, &["--all"]).code, 4);
}

#[test]
fn messages_about_wrong_arguments_say_what_to_do() {
    let world = World::new();
    for (arguments, words) in [
        (&[][..], "<CERT|--responder <HOST>|--all>"),
        (&["--all", "a.example"], "cannot be used with"),
        (&["--wait=0", "--all"], "at least 1s is needed"),
        (&["--wait=soon", "--all"], "not a duration such as 90, 90s"),
        (&["--wait=2h", "--all"], "at most 1h is possible"),
        (&["--al"], "--all"),
    ] {
        let ended = renew(&world, arguments);
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.err.contains(words), "{words}: {ended:?}");
    }
}

/// Another stapled learns of a revocation, and removes the staple while the daemon runs.
#[test]
fn a_staple_that_another_stapled_withdrew_is_not_restored() {
    let world = World::new();
    let a = world.issue("a.pem", &world.profile("a.example"));
    let running = start(&world, &["a.pem"]);
    world.lab.revoke(a.serial()).unwrap();
    assert_eq!(world.one_off(&["--no-recycle"]).code, 3);
    assert!(!world.staple("a.pem").exists());
    let came_back = || world.staple("a.pem").exists();
    let heard = until(2 * PATIENCE, || came_back() || world.run(&["status"]).code == 3);
    assert!(heard && !came_back(), "{}", running.words());
    running.signal("TERM");
}

/// An operator removes the file while the CA does not answer: the staple is not restored without the CA's confirmation.
#[test]
fn a_removed_file_is_restored_only_after_the_ca_has_answered() {
    let world = World::new();
    let a = world.issue("a.pem", &world.profile("a.example"));
    let running = start(&world, &["a.pem"]);
    world.lab.fault(a.serial(), Fault::TryLater);
    fs::remove_file(world.staple("a.pem")).unwrap();
    let told = until(3 * PATIENCE, || world.run(&["status", "--json"]).out.contains(r#""reason":"unconfirmed""#));
    assert!(told && !world.staple("a.pem").exists(), "{}", running.words());
    world.lab.clear(a.serial());
    let ended = renew(&world, &["a.example", "--wait"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(world.staple("a.pem").exists());
    running.signal("TERM");
}
