//! `--one-off`: the files, the output and the exit code of one pass.

use std::fs;

use stapled_ca::lab::Fault;

use crate::world::{PATIENCE, Running, World, contents};

fn state(row: &serde_json::Value) -> &str {
    row.get("state").unwrap().as_str().unwrap()
}

#[test]
fn every_staple_is_fetched_and_written() {
    let world = World::new();
    world.issue("a.pem", &world.profile("a.example"));
    world.issue("b.pem", &world.profile("b.example").must_staple(true));
    let ended = world.one_off(&[]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(world.staple("a.pem").exists() && world.staple("b.pem").exists());
    for words in ["a.example", "b.pem", "good", "1 of 1", "2 in all, 2 good"] {
        assert!(ended.out.contains(words), "{words}: {}", ended.out);
    }
    assert_eq!(ended.err, "", "a short pass shows no progress");
    assert!(!ended.err.contains('\u{1b}') && !ended.out.contains('\u{1b}'), "nothing for terminals: {ended:?}");
}

#[test]
fn a_directory_without_a_certificate_is_a_failure() {
    let world = World::new();
    let ended = world.one_off(&[]);
    assert_eq!((ended.code, ended.out.as_str()), (1, "no certificates\n"), "{ended:?}");
    assert!(ended.err.contains("no certificates found"), "{ended:?}");
    let issued = world.ca.issue(&world.profile("a.example")).unwrap();
    fs::write(world.path("certs/key.pem"), issued.key_pem()).unwrap();
    let ended = world.one_off(&[]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.err.contains("no certificates found"), "{ended:?}");
}

#[test]
fn certificates_that_need_no_staple_are_no_failure() {
    let world = World::new();
    world.issue("plain.pem", &stapled_ca::Profile::server("plain.example"));
    world.issue("old.pem", &world.profile("old.example").valid_between(1_600_000_000, 1_600_100_000));
    let issued = world.issue("good.pem", &world.profile("good.example"));
    fs::write(world.path("certs/key.pem"), issued.key_pem()).unwrap();
    fs::write(world.path("certs/ca.pem"), world.ca.certificate_pem()).unwrap();
    let ended = world.one_off(&["--json"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let (rows, totals) = ended.json();
    let mut states: Vec<&str> = rows.iter().map(state).collect();
    states.sort_unstable();
    assert_eq!(states, ["expired", "good", "not_applicable"]);
    assert_eq!(totals.get("exit_code").unwrap(), 0);
    assert!(!world.staple("old.pem").exists());
}

#[test]
fn every_missing_staple_is_a_failure_and_the_others_are_renewed() {
    type Break = fn(&World) -> Vec<&'static str>;
    let cases: [(&str, &str, Break); 6] = [
        ("issuer_missing", "problem", |world| {
            let elsewhere = stapled_ca::Authority::root("Elsewhere").create().unwrap();
            let lonely = elsewhere.issue(&world.profile("lonely.example")).unwrap();
            fs::write(world.path("certs/lonely.pem"), lonely.certificate_pem()).unwrap();
            vec![]
        }),
        ("path_missing", "unreadable", |_| vec!["missing"]),
        ("malformed_certificate", "problem", |world| {
            let rubbish = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
            fs::write(world.path("certs/rubbish.pem"), rubbish).unwrap();
            vec![]
        }),
        ("error_status:try_later", "failed", |world| {
            let issued = world.issue("bad.pem", &world.profile("bad.example"));
            world.lab.fault(issued.serial(), Fault::TryLater);
            vec![]
        }),
        ("", "must_staple_without_url", |world| {
            world.issue("must.pem", &stapled_ca::Profile::server("must.example").must_staple(true));
            vec![]
        }),
        ("socket_missing", "good", |_| vec!["-s", "/nowhere/a.sock"]),
    ];
    for (code, expected, break_it) in cases {
        let world = World::new();
        world.issue("good.pem", &world.profile("good.example"));
        let more = break_it(&world);
        let ended = world.one_off(&[&more[..], &["--json"]].concat());
        assert_eq!(ended.code, 1, "{code}: {ended:?}");
        let (rows, _) = ended.json();
        assert!(rows.iter().any(|row| state(row) == expected), "{expected}: {rows:?}");
        assert!(code.is_empty() || ended.out.contains(&format!("\"reason\":\"{code}\"")), "{code}: {}", ended.out);
        assert!(world.staple("good.pem").exists(), "{code}");
    }
}

#[test]
fn a_revoked_certificate_ends_with_3_whatever_else_is_wrong() {
    let world = World::new();
    let issued = world.issue("bad.pem", &world.profile("bad.example"));
    world.lab.revoke(issued.serial()).unwrap();
    world.issue("good.pem", &world.profile("good.example"));
    let ended = world.one_off(&["missing"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.out.contains("REVOKED"), "{ended:?}");
    assert!(world.staple("good.pem").exists() && !world.staple("bad.pem").exists());
}

#[test]
fn quiet_prints_nothing_but_problems() {
    let world = World::new();
    let issued = world.issue("a.pem", &world.profile("a.example"));
    let ended = world.one_off(&["--quiet"]);
    assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), (0, "", ""));
    world.lab.fault(issued.serial(), Fault::TryLater);
    let ended = world.one_off(&["--quiet", "--no-recycle"]);
    assert_eq!((ended.code, ended.out.as_str()), (1, ""));
    assert!(ended.err.starts_with("a.example: ") && ended.err.lines().count() == 2, "{}", ended.err);
}

#[test]
fn a_problem_of_several_certificates_is_printed_once() {
    let world = World::new();
    for name in ["a", "b", "c", "d"] {
        world.issue(&format!("{name}.pem"), &world.profile(&format!("{name}.example")));
    }
    let ended = world.one_off(&["-s", "/nowhere/a.sock"]);
    assert_eq!(ended.code, 1);
    assert_eq!(ended.out.matches("does not exist").count(), 1, "{}", ended.out);
    assert!(ended.out.contains("a.example, b.example and 2 more: /nowhere/a.sock does not exist"), "{}", ended.out);
}

#[test]
fn the_log_directory_gets_everything() {
    let world = World::new();
    world.issue("a.pem", &world.profile("a.example"));
    let ended = world.one_off(&["--quiet", "--logdir", "new/logs", "--verbosity", "3"]);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    let log = contents(&world.path("new/logs"));
    assert!(log.contains("event=renewed") && log.contains("certificate=a.example"), "{log}");
    assert!(!log.contains("PRIVATE"), "{log}");
    fs::write(world.path("file"), "").unwrap();
    let ended = world.one_off(&["--logdir", "file"]);
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.err.contains("file: cannot log there: ") && ended.out.is_empty(), "{ended:?}");
}

#[test]
fn control_characters_in_names_are_escaped() {
    let world = World::new();
    let profile = world
        .profile("evil.example")
        .subject([(stapled_ca::NameAttribute::CommonName, "evil\n2026-01-01 ERROR\u{1b}[31m fake".to_owned())]);
    let profile = profile.names([]);
    let issued = world.issue("a.pem", &profile);
    world.lab.fault(issued.serial(), Fault::TryLater);
    let ended = world.one_off(&["-v", "-v"]);
    assert_eq!(ended.code, 1);
    for text in [&ended.out, &ended.err] {
        assert!(!text.contains('\u{1b}') && !text.contains("\n2026-01-01"), "{text}");
    }
    assert!(ended.out.contains("evil"), "{}", ended.out);
}

#[test]
fn issuers_are_fetched_and_kept_unless_forbidden() {
    // The lab serves no caIssuers: a fetch fails, and without permission there is no fetch.
    let world = World::new();
    let profile = world.profile("a.example").ca_issuers_url("http://127.0.0.1:9/ca.der");
    let issued = world.ca.issue(&profile).unwrap();
    fs::write(world.path("certs/a.pem"), issued.certificate_pem()).unwrap();
    let ended = world.one_off(&["--issuer-dir", "issuers"]);
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("event=issuer_fetch_failed"), "{ended:?}");
    let ended = world.one_off(&["--no-fetch-issuers"]);
    assert_eq!(ended.code, 1);
    assert!(!ended.err.contains("issuer_fetch_failed"), "{ended:?}");
    fs::write(world.path("issuers/ca.der"), world.ca.certificate()).unwrap();
    let ended = world.one_off(&["--issuer-dir", "issuers"]);
    assert_eq!(ended.code, 0, "{ended:?}");
}

#[test]
fn deny_private_responders_refuses_responders_at_private_addresses() {
    let world = World::new();
    world.issue("a.pem", &world.profile("a.test"));
    let ended = world.one_off(&["--json", "--deny-private-responders"]);
    let (certificates, _) = ended.json();
    assert_eq!(ended.code, 1, "{ended:?}");
    assert_eq!(certificates[0]["reason"], "forbidden_address", "{ended:?}");
    assert!(!world.staple("a.pem").exists());
}

#[test]
fn responders_are_asked_through_the_configured_proxy() {
    let world = World::new();
    // A name that only the proxy can resolve. The responder itself is the proxy here.
    world.issue("a.pem", &stapled_ca::Profile::server("a.test").ocsp_url("http://ocsp.invalid/"));
    let proxy = world.lab.url();
    let ended = world.one_off(&["--http-proxy", &proxy, "--no-proxy", "other.test"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let ended = world.one_off(&["--no-recycle", "--http-proxy", &proxy, "--no-proxy", "ocsp.invalid"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    // Without the option, the environment names the proxy.
    let mut command = world.command(&["--one-off", "--no-recycle", "-p", "certs"]);
    command.env("http_proxy", &proxy);
    let ended = Running::start(command).end(PATIENCE);
    assert_eq!(ended.code, 0, "{ended:?}");
}
