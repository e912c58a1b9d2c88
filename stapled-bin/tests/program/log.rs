//! The log: few lines for one fault of many certificates, its forms, and its level at run time.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use serde_json::Value;
use stapled_ca::Profile;
use stapled_ca::lab::Fault;
use stapled_tests::Private;

use crate::world::{PATIENCE, Running, World, until};

const COUNT: usize = 300;

/// Issues certificates whose responder refuses connections.
fn issue_many(world: &World) {
    for number in 0..COUNT {
        world.issue(
            &format!("{number}.pem"),
            &Profile::server(&format!("{number}.example")).ocsp_url("http://127.0.0.1:1/"),
        );
    }
}

/// The number in `name=NUMBER` of a line.
fn number(line: &str, name: &str) -> usize {
    let value = line.split(&format!(" {name}=")).nth(1).and_then(|rest| rest.split(' ').next());
    value.and_then(|value| value.parse().ok()).unwrap_or(0)
}

#[test]
fn a_dead_ca_of_hundreds_of_certificates_is_a_handful_of_lines() {
    let world = World::new();
    issue_many(&world);
    let running = Running::start(world.command(&["--cert-paths", "certs"]));
    let failures = || -> Vec<String> {
        running.words().lines().filter(|line| line.contains("event=renewal_failed")).map(str::to_owned).collect()
    };
    let told = || failures().iter().map(|line| number(line, "count").max(1)).sum::<usize>();
    assert!(until(PATIENCE * 2, || told() >= COUNT), "{}", running.words());
    let lines = failures();
    assert!(lines.len() <= 15, "{} lines:\n{}", lines.len(), lines.join("\n"));
    let together = lines.iter().find(|line| line.contains(" more certificates (")).unwrap();
    assert!(together.contains("responder=127.0.0.1:1 ") && together.contains(" among=\""), "{together}");
    assert!(running.words().lines().count() <= 30, "{}", running.words());
    // What still waits is told at the end.
    running.signal("TERM");
    let ended = running.end(PATIENCE);
    assert_eq!(ended.code, 0, "{ended:?}");
}

#[test]
fn the_recovery_of_many_certificates_is_a_handful_of_lines() {
    let world = World::new();
    for number in 0..COUNT {
        world.issue(&format!("{number}.pem"), &world.profile(&format!("{number}.example")));
    }
    world.lab.fault_all(Fault::TryLater);
    let running = Running::start(world.command(&["--cert-paths", "certs"]));
    assert!(until(PATIENCE, || running.said("event=renewal_failed")), "{}", running.words());
    world.lab.clear_all();
    running.signal("HUP");
    assert!(until(PATIENCE * 2, || world.run(&["status"]).code == 0), "{}", running.words());
    running.signal("TERM");
    let ended = running.end(PATIENCE);
    let of =
        |event: &str| ended.err.lines().filter(|line| line.contains(&format!("event={event} "))).collect::<Vec<_>>();
    for event in ["renewed", "delivered"] {
        let lines = of(event);
        assert!((1..=10).contains(&lines.len()), "{}", lines.join("\n"));
        // The reload may come between a delivery and its record: then it is made twice.
        let count = lines.iter().map(|line| number(line, "count").max(1)).sum::<usize>();
        assert!((COUNT..2 * COUNT).contains(&count), "{event}: {count}");
    }
}

#[test]
fn the_level_changes_at_run_time() {
    let world = World::new();
    world.issue("a.pem", &world.profile("a.example"));
    let running = Running::start(world.command(&["--cert-paths", "certs"]));
    assert!(until(PATIENCE, || world.run(&["status"]).code == 0), "{}", running.words());
    let level = |arguments: &[&str]| {
        let ended = world.run(&[&["log-level"], arguments].concat());
        (ended.code, ended.out)
    };
    assert_eq!(level(&[]), (0, "log level 3\n".to_owned()));
    assert!(!running.said("DEBUG"), "{}", running.words());
    assert_eq!(level(&["4"]), (0, "log level 4\n".to_owned()));
    assert!(until(PATIENCE, || running.said("event=log_level")), "{}", running.words());
    running.signal("HUP");
    assert!(until(PATIENCE, || running.said("event=reloading")), "{}", running.words());
    assert_eq!(level(&[]), (0, "log level 4\n".to_owned()), "a reload keeps it");
    assert_eq!(level(&["1"]), (0, "log level 1\n".to_owned()));
    assert!(until(PATIENCE, || running.said("the log level is 1, and was 4")), "{}", running.words());
    let count = running.words().lines().count();
    running.signal("HUP");
    assert!(until(PATIENCE, || world.run(&["status"]).code == 0));
    assert_eq!(world.run(&["log-level", "5"]).code, 2);
    running.signal("TERM");
    let ended = running.end(PATIENCE);
    assert_eq!(ended.err.lines().count(), count, "nothing but errors: {}", ended.err);
}

#[test]
fn json_is_one_object_on_a_line_in_every_output() {
    let world = World::new();
    let bad = world.issue("bad.pem", &world.profile("bad.example").must_staple(true));
    world.lab.fault(bad.serial(), Fault::TryLater);
    world.issue("good.pem", &world.profile("good.example"));
    let running =
        Running::start(world.command(&["-p", "certs", "--log-format", "json", "--logdir", "logs", "--verbosity", "4"]));
    assert!(until(PATIENCE, || running.said("renewal_failed") && running.said("delivered")), "{}", running.words());
    running.signal("TERM");
    let ended = running.end(PATIENCE);
    let objects: Vec<Value> = ended.err.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for object in &objects {
        for name in ["time", "level", "event", "code", "certificate", "responder", "server", "text"] {
            assert!(object.get(name).is_some(), "{name}: {object}");
        }
    }
    let failed = objects.iter().find(|object| object["event"] == "renewal_failed").unwrap();
    let address = world.lab.address().to_string();
    for (name, value) in [
        ("level", "error"),
        ("code", "error_status:try_later"),
        ("certificate", "bad.example"),
        ("responder", address.as_str()),
    ] {
        assert_eq!(failed[name], value, "{failed}");
    }
    assert_eq!(failed["outage"], true);
    assert!(objects.iter().any(|object| object["event"] == "delivered" && object["server"] == "files"));
    let files = crate::world::contents(&world.path("logs"));
    assert!(
        files.lines().count() == objects.len() && files.lines().all(|line| serde_json::from_str::<Value>(line).is_ok())
    );
}

#[test]
fn the_journal_gets_fields() {
    let Some(private) = Private::find() else { return };
    if !private.is_inside("log::the_journal_gets_fields") {
        return;
    }
    // A /run of this test, which the programs that it starts see as well.
    private.mount(Path::new("/run"), 1024);
    let world = World::new();
    world.issue("a.pem", &world.profile("a.example"));
    let arguments = ["--log-format", "journald", "--verbosity", "3"];
    let ended = world.one_off(&arguments);
    assert_ne!(ended.code, 0, "{ended:?}");
    assert!(
        ended.err.contains("--log-format journald: no journal listens at /run/systemd/journal/socket"),
        "{ended:?}"
    );
    fs::create_dir_all("/run/systemd/journal").unwrap();
    let journal = UnixDatagram::bind("/run/systemd/journal/socket").unwrap();
    let ended = world.one_off(&arguments);
    assert_eq!(ended.code, 0, "{ended:?}");
    // All datagrams have arrived: the program has ended.
    journal.set_nonblocking(true).unwrap();
    let (mut datagrams, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
    while let Ok(length) = journal.recv(&mut buffer) {
        datagrams.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
    }
    let renewed = datagrams.iter().find(|datagram| datagram.contains("STAPLED_EVENT=renewed\n")).unwrap();
    for line in ["PRIORITY=6", "SYSLOG_IDENTIFIER=stapled", "STAPLED_CERTIFICATE=a.example"] {
        assert!(renewed.lines().any(|said| said == line), "{line}: {renewed}");
    }
    assert!(!ended.err.contains("event="), "standard error has no log: {ended:?}");
}
