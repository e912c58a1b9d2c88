//! `--one-off --wait`: exit code 0 only when every certificate that should have a staple has one.

use std::fs;
use std::time::{Duration, Instant};

use stapled_ca::lab::Fault;

use crate::world::{PATIENCE, Running, World, until};

#[test]
fn the_pass_ends_with_0_when_the_last_staple_is_there() {
    let world = World::new();
    for number in 0..5 {
        world.issue(&format!("{number}.pem"), &world.profile(&format!("{number}.example")));
    }
    let late = world.issue("late.pem", &world.profile("late.example").must_staple(true));
    world.lab.fault(late.serial(), Fault::TryLater);
    let running = Running::start(world.command(&["--one-off", "--wait", "60", "--cert-paths", "certs"]));
    let asked_for_late = || world.lab.requests_for(late.serial());
    assert!(until(PATIENCE, || asked_for_late() >= 4), "it does not try again: {}", running.words());
    assert!(running.said("1 still missing: tried again, for "), "{}", running.words());
    world.lab.clear(late.serial());
    let ended = running.end(PATIENCE);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.out.ends_with("6 in all, 6 good\n") && world.staple("late.pem").exists(), "{ended:?}");
    assert_eq!(world.lab.requests().len(), 5 + asked_for_late(), "only what was missing is asked for again");
    // If nothing is missing, the pass ends at once.
    let began = Instant::now();
    assert_eq!(world.one_off(&["--wait", "60"]).code, 0);
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn the_pass_ends_with_1_when_the_time_is_up() {
    let world = World::new();
    let bad = world.issue("bad.pem", &world.profile("bad.example"));
    for fault in [Fault::TryLater, Fault::Hang] {
        world.lab.fault(bad.serial(), fault);
        let began = Instant::now();
        let ended = world.one_off(&["--wait", "3", "--json"]);
        assert_eq!(ended.code, 1, "{ended:?}");
        let took = began.elapsed();
        assert!((Duration::from_secs(3)..Duration::from_secs(9)).contains(&took), "{took:?}");
        let (rows, totals) = ended.json();
        assert_eq!((rows.len(), &totals["exit_code"]), (1, &1.into()));
    }
}

#[test]
fn the_pass_waits_for_servers_and_for_files() {
    let world = World::new();
    let lonely = world.ca.issue(&world.profile("lonely.example")).unwrap();
    fs::write(world.path("certs/lonely.pem"), lonely.certificate_pem()).unwrap();
    let arguments = ["--one-off", "--wait", "60", "--no-fetch-issuers", "-p", "certs"];
    let running = Running::start(world.command(&arguments));
    assert!(until(PATIENCE, || running.said("still missing")), "{}", running.words());
    // A deploy script that writes the issuer's file later.
    fs::write(world.path("certs/lonely.pem.issuer"), world.ca.certificate_pem()).unwrap();
    let ended = running.end(PATIENCE);
    assert_eq!(ended.code, 0, "{ended:?}");
    // A server that never starts.
    let ended = world.one_off(&["--wait", "2", "-s", "/nowhere/admin.sock"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.out.contains("1 of 2; /nowhere/admin.sock: socket_missing"), "{ended:?}");
}

#[test]
fn the_pass_does_not_wait_for_problems_that_only_people_can_solve() {
    let world = World::new();
    world.issue("good.pem", &world.profile("good.example"));
    let revoked = world.issue("revoked.pem", &world.profile("revoked.example"));
    world.lab.revoke(revoked.serial()).unwrap();
    world.issue("must.pem", &stapled_ca::Profile::server("must.example").must_staple(true));
    let began = Instant::now();
    let ended = world.one_off(&["--wait", "60"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    // Must-staple certificates stand first.
    let rows: Vec<&str> = ended.out.lines().map(str::trim).collect();
    assert!(rows[1].starts_with("must.example") && rows[1].contains("OUTAGE"), "{ended:?}");
    let ended = world.run(&["-p", "certs", "--wait", "5"]);
    assert!(ended.code == 2 && ended.err.contains("--wait: belongs to --one-off"), "{ended:?}");
}

#[test]
fn the_wait_can_be_interrupted() {
    let world = World::new();
    let bad = world.issue("bad.pem", &world.profile("bad.example"));
    world.lab.fault(bad.serial(), Fault::TryLater);
    let running = Running::start(world.command(&["--one-off", "--wait", "600", "-p", "certs"]));
    assert!(until(PATIENCE, || running.said("still missing")));
    running.signal("TERM");
    assert_eq!(running.end(Duration::from_secs(5)).code, 143);
}
