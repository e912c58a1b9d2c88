//! `stapled status`: the answers of the daemon, the rights of its socket, and that clients do not delay it.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use serde_json::Value;
use stapled_ca::lab::Fault;

use crate::world::{Ended, PATIENCE, Running, World, until};

const SOCKET: &str = "control.sock";

fn start(world: &World, more: &[&str]) -> Running {
    let running = Running::start(world.command(&[&["--cert-paths", "certs"], more].concat()));
    assert!(until(PATIENCE, || world.path(SOCKET).exists()));
    running
}

fn status(world: &World, arguments: &[&str]) -> Ended {
    world.run(&[&["status"], arguments].concat())
}

/// Waits for an exit code, and returns the output with it.
fn status_with(world: &World, code: i32, arguments: &[&str]) -> Ended {
    let mut ended = status(world, arguments);
    let came = until(PATIENCE, || {
        ended = status(world, arguments);
        ended.code == code
    });
    assert!(came, "{ended:?}");
    ended
}

fn row(ended: &Ended, name: &str) -> Value {
    let (rows, _) = ended.rows_and_last();
    rows.into_iter().find(|row| row["certificate"] == name).unwrap_or_else(|| panic!("no {name}: {ended:?}"))
}

#[test]
fn every_certificate_has_state_reason_since_next_try_and_servers() {
    let world = World::new();
    world.issue("good.pem", &world.profile("good.example"));
    let running = start(&world, &[]);
    let ended = status_with(&world, 0, &["--json"]);
    let good = row(&ended, "good.example");
    assert_eq!(good["state"], "good");
    for (key, value) in [("reason", &Value::Null), ("outage", &false.into()), ("must_staple", &false.into())] {
        assert_eq!(&good[key], value, "{key}: {good}");
    }
    for key in ["serial", "since", "next_try", "staple_until"] {
        assert!(good[key].is_string(), "{key}: {good}");
    }
    let server = &good["servers"][0];
    assert_eq!((&server["server"], &server["state"]), (&"files".into(), &"confirmed".into()));
    assert!(server["since"].is_string() && server["served_until"] == good["staple_until"], "{server}");
    let (_, last) = ended.rows_and_last();
    assert_eq!((&last["totals"]["good"], &last["totals"]["exit_code"]), (&1.into(), &0.into()));
    assert!(last["daemon"]["pid"].is_number() && last["daemon"]["since"].is_string(), "{last}");

    // Problems in words and with their code; outages stand first.
    let must = world.ca.issue(&world.profile("must.example").must_staple(true)).unwrap();
    world.lab.fault(must.serial(), Fault::TryLater);
    must.write_bundle(&world.path("certs/must.pem")).unwrap();
    fs::write(world.path("certs/rubbish.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        .unwrap();
    running.signal("HUP");
    assert!(until(PATIENCE, || {
        let ended = status(&world, &["--json"]);
        ended.out.contains("error_status:try_later") && ended.out.contains("malformed_certificate")
    }));
    let ended = status(&world, &["--json"]);
    assert_eq!(ended.code, 1);
    let must = row(&ended, "must.example");
    assert_eq!((&must["state"], &must["outage"]), (&"failed".into(), &true.into()));
    assert_eq!(must["reason"], "error_status:try_later");
    assert!(must["next_try"].is_string() && must["staple_until"].is_null(), "{must}");
    let (rows, last) = ended.rows_and_last();
    let rubbish = rows.iter().find(|row| row["reason"] == "malformed_certificate").unwrap();
    assert!(rubbish["since"].is_string() && rubbish["next_try"].is_string(), "{rubbish}");
    assert_eq!(last["totals"]["outages"], 1);
    let table = status(&world, &[]);
    let lines: Vec<&str> = table.out.lines().map(str::trim).collect();
    for words in ["CERTIFICATE", "SINCE", "NEXT TRY", "SERVERS"] {
        assert!(lines[0].contains(words), "{words}: {table:?}");
    }
    assert!(lines[1].starts_with("must.example") && lines[1].contains("OUTAGE: failed (error_status:try_later)"));
    assert!(table.out.contains("OUTAGE: 1 must-staple without a staple; 3 in all"), "{table:?}");
    assert!(lines.last().unwrap().starts_with("stapled "), "{table:?}");

    world.lab.revoke(&row(&ended, "good.example")["serial"].as_str().unwrap().parse().unwrap()).unwrap();
    let ended = world.one_off(&["--no-recycle"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    running.signal("TERM");
    running.end(PATIENCE);
    assert!(!world.path(SOCKET).exists(), "left behind");
}

#[test]
fn one_certificate_is_found_by_name_serial_number_and_file() {
    let world = World::new();
    let a = world.issue("a.pem", &world.profile("a.example"));
    let b = world.issue("b.pem", &world.profile("b.example"));
    world.lab.fault(b.serial(), Fault::TryLater);
    let running = start(&world, &[]);
    status_with(&world, 0, &["a.example"]);
    status_with(&world, 1, &["b.example"]);
    let whole = world.path("certs/a.pem").to_str().unwrap().to_owned();
    let serial = a.serial().to_string();
    for name in ["a.example", &serial, "certs/a.pem", &whole] {
        let ended = status(&world, &[name, "--json"]);
        assert_eq!(ended.code, 0, "{name}: {ended:?}");
        let (rows, last) = ended.rows_and_last();
        assert_eq!((rows.len(), &last["totals"]["total"]), (1, &1.into()), "{name}");
    }
    let ended = status(&world, &["nobody.example"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.err.contains("nothing is known of nobody.example"), "{ended:?}");
    running.signal("TERM");
    running.end(PATIENCE);
}

#[test]
fn without_a_daemon_the_exit_code_is_4_and_with_wrong_arguments_2() {
    let world = World::new();
    let ended = status(&world, &[]);
    assert_eq!((ended.code, ended.out.as_str()), (4, ""), "{ended:?}");
    assert!(ended.err.contains("control.sock: no stapler answers there: No such file"), "{ended:?}");
    assert_eq!(status(&world, &["--no-such"]).code, 2);
    assert_eq!(status(&world, &["--config", "nowhere.conf"]).code, 2);
    // A server that takes the question and gives another answer, or none.
    for (answer, words) in
        [("{}\n", "the answer broke off"), ("", "the answer broke off"), ("{\"error\":\"no\"}\n", ": no")]
    {
        let path = world.path("other.sock");
        let _ = fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        let speaker = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut question = String::new();
            stream.read_to_string(&mut question).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let ended = status(&world, &["--control-socket", "other.sock"]);
        speaker.join().unwrap();
        assert_eq!(ended.code, 4, "{answer}: {ended:?}");
        assert!(ended.err.contains(words), "{answer}: {ended:?}");
    }
}

#[test]
fn a_configured_socket_is_required_and_the_usual_one_is_optional() {
    let world = World::new();
    let mut first = Running::start(world.command(&["--cert-paths", "certs", "--control-socket", "named.sock"]));
    assert!(until(PATIENCE, || world.path("named.sock").exists()));
    assert_eq!(fs::metadata(world.path("named.sock")).unwrap().permissions().mode() & 0o777, 0o600);
    fs::write(world.path("x.conf"), "control-socket = \"named.sock\"").unwrap();
    // Without a certificate, nothing is in order.
    let ended = status_with(&world, 1, &["--config", "x.conf"]);
    assert!(
        until(PATIENCE, || status(&world, &["--config", "x.conf"]).err.contains("no certificates found")),
        "{ended:?}"
    );
    world.issue("a.pem", &world.profile("a.example"));
    status_with(&world, 0, &["--config", "x.conf"]);

    let second = world.run(&["--cert-paths", "certs", "--control-socket", "named.sock"]);
    assert_eq!(second.code, 1, "{second:?}");
    assert!(second.err.contains("named.sock: another process answers there"), "{second:?}");
    // A killed daemon leaves its socket, and the next one replaces it.
    first.kill();
    assert!(world.path("named.sock").exists());
    let third = Running::start(world.command(&["--cert-paths", "certs", "--control-socket", "named.sock"]));
    status_with(&world, 0, &["--control-socket", "named.sock"]);

    fs::write(world.path("file"), "precious").unwrap();
    for (path, words) in
        [("file", "a file that is no socket has this path"), ("nowhere/x.sock", "cannot be created: No such file")]
    {
        let ended = world.run(&["--cert-paths", "certs", "--control-socket", path]);
        assert_eq!(ended.code, 1, "{ended:?}");
        assert!(ended.err.contains(words), "{ended:?}");
    }
    assert_eq!(fs::read(world.path("file")).unwrap(), b"precious");
    // Two daemons with the usual path: the second runs without a socket.
    let fourth = start(&world, &[]);
    let fifth = Running::start(world.command(&["--cert-paths", "certs"]));
    assert!(until(PATIENCE, || fifth.said("event=control_unavailable")));
    for running in [third, fourth, fifth] {
        running.signal("TERM");
        assert_eq!(running.end(PATIENCE).code, 0);
    }
}

#[test]
fn bad_questions_and_slow_readers_delay_nothing() {
    let world = World::new();
    for number in 0..50 {
        world.issue(&format!("{number}.pem"), &world.profile(&format!("{number}.example")));
    }
    let running = start(&world, &[]);
    status_with(&world, 0, &[]);
    let connect = || {
        let stream = UnixStream::connect(world.path(SOCKET)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    let said = |question: &[u8]| {
        let mut stream = connect();
        // The daemon may stop reading before the end of the question.
        let _ = stream.write_all(question);
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    };
    for question in
        [&b"\n"[..], b"{\"status\":{}}x\n", b"{\"reboot\":{}}\n", b"\xff\xff\n", b"{\"status\":{\"of\":7}}\n"]
    {
        assert!(said(question).starts_with("{\"error\":\"not a question: "), "{question:?}");
    }
    assert!(!said(&[b'['; 300_000]).contains("totals"), "too long a question");
    assert!(said(b"{\"status\":{\"of\":[]}}\n").contains("totals"));
    // More silent clients than are answered at once, and one that reads nothing: others wait five seconds for them.
    let silent: Vec<UnixStream> = (0..20).map(|_| connect()).collect();
    let asked = Instant::now();
    assert_eq!(status(&world, &[]).code, 0);
    assert!(asked.elapsed() < Duration::from_secs(18), "{:?}", asked.elapsed());
    // Renewals continued meanwhile, and the daemon ends at once.
    world.issue("new.pem", &world.profile("new.example"));
    assert!(until(PATIENCE, || world.staple("new.pem").exists()));
    let silent_too: Vec<UnixStream> = (0..20).map(|_| connect()).collect();
    let asked = Instant::now();
    running.signal("TERM");
    assert_eq!(running.end(PATIENCE).code, 0);
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    drop((silent, silent_too));
}
