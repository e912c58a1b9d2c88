//! Responses that a former certificate or a former process left beside certificates, and `stapled clean`.

use std::fs;

use stapled_ca::lab::Fault;
use stapled_ca::ocsp::{HashAlgorithm, ResponseBuilder};
use stapled_ca::{Issued, Profile};

use crate::world::{PATIENCE, Running, World, until};

/// A response about a certificate that has ended.
fn ended_response(world: &World, about: &Issued) -> Vec<u8> {
    let id = world.ca.cert_id(about.serial(), HashAlgorithm::Sha1);
    let response = ResponseBuilder::new(&world.ca).good(&id).this_update(1_700_000_000).next_update(1_700_100_000);
    response.build().unwrap()
}

/// What is beside the certificates: `a` has a former response that has ended, `b` one about a former certificate, `c` names no
/// responder and has one about a former certificate, `old` has ended with its response; `d` has a file that is no response, `e`
/// a link. The CA gives a staple for `good` alone.
fn left_behind() -> World {
    let world = World::new();
    world.issue("good.pem", &world.profile("good.example"));
    let former = world.issue("b.pem", &world.profile("b.example"));
    let response = |about: &Issued| ended_response(&world, about);
    let a = world.issue("a.pem", &world.profile("a.example"));
    fs::write(world.staple("a.pem"), response(&a)).unwrap();
    let b = world.issue("b.pem", &world.profile("b.example"));
    fs::write(world.staple("b.pem"), response(&former)).unwrap();
    world.issue("c.pem", &Profile::server("c.example"));
    fs::write(world.staple("c.pem"), response(&former)).unwrap();
    let old = world.issue("old.pem", &world.profile("old.example").valid_between(1_600_000_000, 1_700_000_000));
    fs::write(world.staple("old.pem"), response(&old)).unwrap();
    let d = world.issue("d.pem", &world.profile("d.example"));
    fs::write(world.staple("d.pem"), "a note").unwrap();
    let e = world.issue("e.pem", &world.profile("e.example"));
    fs::write(world.path("target"), response(&e)).unwrap();
    std::os::unix::fs::symlink(world.path("target"), world.staple("e.pem")).unwrap();
    for about in [&a, &b, &d, &e] {
        world.lab.fault(about.serial(), Fault::Unauthorized);
    }
    let text = format!("frontend f\n  bind :1 ssl crt {}\n", world.path("certs").display());
    fs::write(world.path("h.cfg"), text).unwrap();
    world
}

/// The certificates that have a staple file.
fn with_file(world: &World) -> Vec<String> {
    let files = ["a", "b", "c", "d", "e", "good", "old"].into_iter();
    files.filter(|name| world.staple(&format!("{name}.pem")).symlink_metadata().is_ok()).map(str::to_owned).collect()
}

const MODES: [&[&str]; 2] = [&["-p", "certs"], &["--haproxy-config", "h.cfg", "--no-haproxy-sockets"]];

#[test]
fn one_pass_removes_what_was_left_behind_though_the_ca_gives_no_staple() {
    for mode in MODES {
        let world = left_behind();
        let ended = world.run(&[&["--one-off", "--verbosity", "3"], mode].concat());
        assert_eq!(with_file(&world), ["d", "e", "good"], "{mode:?}: {ended:?}");
        assert!(world.path("target").exists());
        for (name, why) in
            [("a", "it ended at"), ("b", "it is about another certificate"), ("c", "another"), ("old", "it ended")]
        {
            let line = format!("{} is removed: {why}", world.staple(&format!("{name}.pem")).display());
            let is_told = ended
                .err
                .lines()
                .any(|told| told.contains(&format!("certs/{name}.pem.ocsp is removed")) && told.contains(why));
            assert!(is_told, "{line}: {ended:?}");
        }
    }
}

#[test]
fn the_daemon_removes_what_was_left_behind_also_after_a_renewal() {
    for mode in MODES {
        let world = left_behind();
        let running = Running::start(world.command(mode));
        assert!(until(PATIENCE, || with_file(&world) == ["d", "e", "good"]), "{:?}", with_file(&world));
        // A renewed certificate, whose CA does not answer yet.
        let staple = fs::read(world.staple("good.pem")).unwrap();
        let renewed = world.ca.issue(&world.profile("good.example")).unwrap();
        world.lab.fault(renewed.serial(), Fault::Unauthorized);
        renewed.write_bundle(&world.path("certs/good.pem")).unwrap();
        assert!(until(PATIENCE, || !world.staple("good.pem").exists()));
        world.lab.clear(renewed.serial());
        running.signal("TERM");
        running.end(PATIENCE);
        assert!(!staple.is_empty());
    }
}

#[test]
fn clean_removes_the_same_and_says_what_stays() {
    for mode in MODES {
        let world = left_behind();
        let named = world.run(&[&["clean", "--dry-run"], mode].concat());
        assert_eq!((named.code, with_file(&world).len()), (1, 6), "{named:?}");
        assert!(named.out.contains("would remove") && named.out.contains("4 to be removed"), "{named:?}");
        let cleaned = world.run(&[&["clean", "--json"], mode].concat());
        assert_eq!(cleaned.code, 1, "the note and the link stay: {cleaned:?}");
        assert_eq!(with_file(&world), ["d", "e"]);
        let mut told: Vec<String> = cleaned
            .out
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .map(|row| format!("{} {} {}", row["name"], row["action"], row["reason"]).replace('"', ""))
            .collect();
        told.sort();
        let expected = [
            "a.example removed expired",
            "b.example removed no_matching_certid",
            "c.example removed no_matching_certid",
            "d.example kept malformed",
            "e.example kept symbolic_link",
            "old.example removed expired",
        ];
        assert_eq!(told, expected);
        for name in ["d", "e"] {
            fs::remove_file(world.staple(&format!("{name}.pem"))).unwrap();
        }
        let quiet = world.run(&[&["clean", "--quiet"], mode].concat());
        assert_eq!((quiet.code, quiet.out.as_str(), quiet.err.as_str()), (0, "", ""));
    }
}

/// The command of the shipped unit, with another configuration file.
#[test]
fn the_unit_cleans_before_haproxy_starts() {
    let unit = include_str!("../../dist/stapled-clean.service");
    let value = |key: &str| unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap();
    assert_eq!((value("Before"), value("Type"), value("WantedBy")), ("haproxy.service", "oneshot", "haproxy.service"));
    let world = left_behind();
    fs::write(world.path("stapled.conf"), "cert-paths = [\"certs/a.pem\"]\n").unwrap();
    let command = value("ExecStart").strip_prefix("/usr/bin/stapled ").unwrap();
    let command = command.replace("/etc/stapled/stapled.conf", "stapled.conf");
    let ended = world.run(&command.split(' ').collect::<Vec<_>>());
    assert_eq!((ended.code, world.staple("a.pem").exists()), (0, false), "{ended:?}");
    assert!(world.staple("b.pem").exists(), "another certificate's: {ended:?}");
}
