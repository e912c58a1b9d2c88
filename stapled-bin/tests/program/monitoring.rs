//! `stapled status` for people and monitoring systems: the table at 80 columns, filters, details, responders, the check for
//! Nagios, the group that may ask, and times that survive a reload and a restart.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::Command;

use serde_json::Value;
use stapled_ca::lab::Fault;

use crate::world::{Ended, PATIENCE, Running, World, until};

fn start(world: &World, more: &[&str]) -> Running {
    Running::start(world.command(&[&["--cert-paths", "certs"], more].concat()))
}

fn status(world: &World, arguments: &[&str]) -> Ended {
    world.run(&[&["status"], arguments].concat())
}

/// Waits until the answer has these words.
fn status_saying(world: &World, arguments: &[&str], words: &str) -> Ended {
    let mut ended = status(world, arguments);
    let came = until(PATIENCE, || {
        ended = status(world, arguments);
        ended.out.contains(words)
    });
    assert!(came, "{words}: {ended:?}");
    ended
}

/// The status on a terminal of this width, without one.
fn narrow(world: &World, columns: &str, arguments: &[&str]) -> Ended {
    let mut command = world.command(&[&["status"], arguments].concat());
    command.env("COLUMNS", columns);
    Running::start(command).end(PATIENCE)
}

/// A world with a good certificate, one whose CA says "try later", and one that is must-staple and has no staple.
fn mixed() -> (World, Running) {
    let world = World::new();
    world.issue("good.pem", &world.profile("good.example"));
    let failing = world.issue("failing.pem", &world.profile("failing.example"));
    world.lab.fault(failing.serial(), Fault::TryLater);
    let must = world.issue("must.pem", &world.profile("must.example").must_staple(true));
    world.lab.fault(must.serial(), Fault::WrongSigner);
    let running = start(&world, &[]);
    assert!(until(PATIENCE, || {
        let ended = status(&world, &[]);
        ended.out.contains("1 of 1") && ended.out.contains("try_later") && ended.out.contains("OUTAGE: failed")
    }));
    (world, running)
}

#[test]
fn the_table_has_failures_first_and_one_line_for_each_at_eighty_columns() {
    let (world, _running) = mixed();
    let ended = narrow(&world, "80", &[]);
    let lines: Vec<&str> = ended.out.lines().collect();
    for (line, name) in lines[1..4].iter().zip(["must.example", "failing.example", "good.example"]) {
        assert!(line.starts_with(name), "{ended:?}");
    }
    assert!(lines[..4].iter().all(|line| line.chars().count() <= 80), "{ended:?}");
    for words in ["CERTIFICATE", "STATE", "STAPLE UNTIL", "SERVERS", "NEXT TRY"] {
        assert!(lines[0].contains(words), "{words}: {ended:?}");
    }
    assert!(lines[3].contains(" in ") && !lines[3].contains('T'), "relative times: {ended:?}");
    assert!(!ended.out.contains('\x1b'), "colours outside of a terminal");
    let wide = narrow(&world, "200", &[]);
    for words in ["SINCE", "RENEWED", "DELIVERED", "FILE", "certs/good.pem"] {
        assert!(wide.out.contains(words), "{words}: {wide:?}");
    }

    let problems = status(&world, &["--problems"]);
    assert!(!problems.out.contains("good.example") && problems.out.contains("must.example"), "{problems:?}");
    assert!(problems.out.contains("3 in all") && problems.code == 1, "{problems:?}");
    let json = status(&world, &["--problems", "--json"]);
    assert_eq!(json.rows_and_last().0.len(), 2, "{json:?}");
    let at_risk = status(&world, &["--at-risk", "--json"]).rows_and_last().0;
    assert_eq!(at_risk.len(), 2, "{at_risk:?}");

    for (pattern, count) in [("*.example", 3), ("?ood.example", 1), ("*/certs/[gf]*", 0), ("*/certs/*ing.pem", 1)] {
        let ended = status(&world, &["--json", pattern]);
        assert_eq!(ended.rows_and_last().0.len(), count, "{pattern}: {ended:?}");
    }
    let several = status(&world, &["--json", "good.example", "certs/must.pem", "*ling.example"]);
    assert_eq!(several.rows_and_last().0.len(), 3, "{several:?}");
}

/// The status on a terminal, which `script` provides.
fn on_terminal(world: &World, variables: &[(&str, &str)]) -> Ended {
    let plain = world.command(&["status"]);
    let mut command = Command::new("script");
    let line = format!("{} status", plain.get_program().to_str().unwrap());
    command.args(["-qec", &line, "/dev/null"]).current_dir(world.path("")).stdin(std::process::Stdio::null());
    command.env("RUNTIME_DIRECTORY", world.path("")).env("HOME", world.path("home")).env("SHELL", "/bin/sh");
    command.env("TERM", "xterm").env_remove("NO_COLOR").env_remove("COLUMNS").envs(variables.iter().copied());
    Running::start(command).end(PATIENCE)
}

#[test]
fn colours_are_for_terminals_and_not_where_no_color_is_set() {
    if Command::new("script").arg("--version").output().is_err() {
        stapled_tests::skip("there is no terminal without `script`");
        return;
    }
    let (world, _running) = mixed();
    let ended = on_terminal(&world, &[]);
    for words in ["\x1b[32mgood\x1b[0m", "\x1b[1;31mOUTAGE: failed", "\x1b[33mfailed"] {
        assert!(ended.out.contains(words), "{words:?}: {ended:?}");
    }
    for variables in [[("NO_COLOR", "1")], [("TERM", "dumb")]] {
        let ended = on_terminal(&world, &variables);
        assert!(ended.out.contains("good.example") && !ended.out.contains('\x1b'), "{variables:?}: {ended:?}");
    }
}

#[test]
fn details_have_serial_number_last_renewal_and_last_delivery() {
    let world = World::new();
    let issued = world.issue("a.pem", &world.profile("a.example"));
    let _running = start(&world, &[]);
    status_saying(&world, &[], "1 of 1");
    let ended = status(&world, &["-v", "a.example"]);
    let serial = format!("serial number {}", issued.serial());
    for words in [&serial, "last renewal  20", "server        files: confirmed; since 20", "last delivery 20"] {
        assert!(ended.out.contains(words), "{words}: {ended:?}");
    }
    let row = status(&world, &["--json"]).rows_and_last().0.remove(0);
    assert!(row["last_renewal"].is_string() && row["servers"][0]["last_delivery"].is_string(), "{row}");
}

#[test]
fn a_check_for_nagios_has_one_line_and_the_codes_of_that_world() {
    let world = World::new();
    let check = |arguments: &[&str]| status(&world, &[&["--nagios"], arguments].concat());
    let ended = check(&[]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.out.starts_with("STAPLED UNKNOWN - ") && ended.out.contains("no stapler answers there"), "{ended:?}");
    let wrong = check(&["-w", "soon"]);
    assert_eq!(wrong.code, 3, "{wrong:?}");
    let issued = world.issue("a.pem", &world.profile("a.example"));
    let _running = start(&world, &[]);
    status_saying(&world, &["--nagios"], "STAPLED OK - 1 in all, 1 good");
    let ended = check(&["-w", "24", "-c", "6"]);
    assert_eq!((ended.code, ended.out.lines().count()), (0, 1), "{ended:?}");
    let (_, numbers) = ended.out.split_once(" | ").unwrap();
    assert!(numbers.starts_with("rows=1 good=1 ") && numbers.contains("shortest="), "{numbers}");
    assert!(numbers.contains("s;86400:;21600:;0"), "{numbers}");
    assert_eq!(check(&["nobody.example"]).code, 3);

    // A renewal that fails is no alarm as long as the staple is good for long enough.
    world.lab.fault(issued.serial(), Fault::TryLater);
    let ended = world.run(&["renew", "--wait", "a.example"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert_eq!(check(&["-w", "1", "-c", "1"]).code, 0);
    let ended = check(&["-w", "5000", "-c", "1"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(
        ended.out.starts_with("STAPLED WARNING - a.example: failed (error_status:try_later), staple ends in "),
        "{ended:?}"
    );
    assert_eq!(check(&["-w", "5000", "-c", "4000"]).code, 2);
    assert_eq!(check(&["-w", "5000", "--critical", "4000"]).code, 2);

    world.lab.clear(issued.serial());
    world.lab.revoke(issued.serial()).unwrap();
    assert_eq!(world.run(&["renew", "--wait", "a.example"]).code, 3);
    let ended = check(&[]);
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.out.starts_with("STAPLED CRITICAL - a.example: REVOKED"), "{ended:?}");
}

#[test]
fn responders_are_shown_with_latency_and_the_last_error() {
    let (world, _running) = mixed();
    let host = world.lab.address().to_string();
    let ended = status(&world, &["--responders"]);
    let line = ended.out.lines().find(|line| line.starts_with(&host)).unwrap_or_else(|| panic!("{ended:?}"));
    for words in [" ms ", "  3  "] {
        assert!(line.contains(words), "{words}: {ended:?}");
    }
    assert!(ended.out.contains("RESPONDER") && ended.out.contains("LATENCY"), "{ended:?}");
    let json = status(&world, &["--responders", "--json"]);
    let (rows, last) = json.rows_and_last();
    assert_eq!(rows[0]["responder"], host.as_str());
    assert_eq!((&rows[0]["certificates"], &rows[0]["left_alone"]), (&3.into(), &false.into()), "{rows:?}");
    assert!(rows[0]["last_milliseconds"].is_number() && rows[0]["last_success"].is_string(), "{rows:?}");
    assert!(rows[0]["last_error"].is_string() && rows[0]["reason"].is_string(), "{rows:?}");
    assert!(last["daemon"]["pid"].is_number(), "{last}");
}

#[test]
fn a_watch_shows_the_state_again_and_again() {
    let world = World::new();
    world.issue("a.pem", &world.profile("a.example"));
    let mut watch = Running::start(world.command(&["status", "--watch=1"]));
    // It goes on while no daemon answers.
    watch.line("no stapler answers there");
    let _running = start(&world, &[]);
    watch.line("1 of 1");
    world.issue("b.pem", &world.profile("b.example"));
    watch.line("b.example");
    let screens = watch.lines().iter().filter(|line| line.starts_with("stapled status at 20")).count();
    assert!(screens >= 3 && watch.is_running(), "{:?}", watch.lines());
}

#[test]
fn members_of_the_control_group_may_ask_for_the_state_and_not_for_renewals() {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        stapled_tests::skip("running commands as another user needs the rights of root");
        return;
    }
    let (user, group) = (4242, 4343);
    let world = World::new();
    fs::set_permissions(world.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    world.issue("a.pem", &world.profile("a.example"));
    let as_user = |group: u32, arguments: &[&str]| {
        let mut command: Command = world.command(arguments);
        command.uid(user).gid(group);
        Running::start(command).end(PATIENCE)
    };
    let first = start(&world, &[]);
    status_saying(&world, &[], "1 of 1");
    let ended = as_user(group, &["status"]);
    assert_eq!(ended.code, 5, "without a group: {ended:?}");
    assert_eq!(as_user(group, &["status", "--nagios"]).code, 3);
    first.signal("TERM");
    first.end(PATIENCE);

    let ended = world.run(&["--cert-paths", "certs", "--control-group", "no-such-group"]);
    assert!(ended.code == 1 && ended.err.contains("there is no group no-such-group"), "{ended:?}");
    let _running = start(&world, &["--control-group", &group.to_string()]);
    status_saying(&world, &[], "1 of 1");
    let metadata = fs::metadata(world.path("control.sock")).unwrap();
    assert_eq!((metadata.permissions().mode() & 0o777, metadata.gid()), (0o660, group));
    assert_eq!(as_user(group, &["status"]).code, 0);
    assert_eq!(as_user(group, &["status", "--responders"]).code, 0);
    assert!(as_user(group, &["status", "--nagios"]).out.starts_with("STAPLED OK"));
    let asked = world.lab.requests().len();
    let ended = as_user(group, &["renew", "--all", "--wait"]);
    assert_eq!(ended.code, 5, "{ended:?}");
    assert!(ended.err.contains("may ask for the state only"), "{ended:?}");
    assert_eq!(world.lab.requests().len(), asked);
    assert_eq!(as_user(group, &["log-level"]).out, "log level 3\n");
    let ended = as_user(group, &["log-level", "0"]);
    assert!(ended.code == 5 && ended.err.contains("may ask for the state only"), "{ended:?}");
    assert_eq!(world.run(&["log-level"]).out, "log level 3\n", "nobody of the group silences the log");
    assert_eq!(as_user(group + 1, &["status"]).code, 5);
    assert_eq!(world.run(&["renew", "--all", "--wait"]).code, 0, "root may");
}

/// What each row says about times.
fn times(world: &World) -> Vec<Value> {
    let (rows, _) = status(world, &["--json"]).rows_and_last();
    let pick = |row: &Value| {
        serde_json::json!([
            row["certificate"],
            row["files"],
            row["state"],
            row["since"],
            row["last_renewal"],
            row["servers"][0]["last_delivery"]
        ])
    };
    let mut times: Vec<Value> = rows.iter().map(pick).collect();
    times.sort_by_key(Value::to_string);
    times
}

#[test]
fn times_survive_a_reload_and_those_of_a_kept_staple_a_restart() {
    let (world, running) = mixed();
    fs::write(world.path("certs/rubbish.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        .unwrap();
    status_saying(&world, &[], "malformed_certificate");
    let before = times(&world);
    // RFC 3339 has whole seconds: in the next second, a time that began anew would differ.
    let second = stapled_tests::now();
    assert!(until(PATIENCE, || stapled_tests::now() > second));
    let configured = |world: &World| status(world, &["--json"]).rows_and_last().1["daemon"]["configured"].clone();
    let at = configured(&world);
    running.signal("HUP");
    assert!(until(PATIENCE, || configured(&world) != at && times(&world) == before), "{before:?}\n{:?}", times(&world));

    running.signal("TERM");
    running.end(PATIENCE);
    let _running = start(&world, &[]);
    status_saying(&world, &["good.example"], "1 of 1");
    let good = status(&world, &["--json", "good.example"]).rows_and_last().0.remove(0);
    let staple = world.run(&["inspect", "--json", "certs/good.pem.ocsp"]).out;
    let since = good["since"].as_str().unwrap();
    assert_eq!(good["last_renewal"], since);
    assert!(staple.contains(since), "thisUpdate: {since}: {staple}");
}
