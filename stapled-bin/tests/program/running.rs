//! The daemon: in the foreground, in the background, and its end.

use std::fs;
use std::io::Read;
use std::process::Stdio;
use std::time::{Duration, Instant};

use stapled_ca::lab::Fault;

use crate::manager::Manager;
use crate::world::{PATIENCE, Running, World, contents, signal_to, until};

#[test]
fn sigterm_and_sigint_end_the_daemon_within_seconds() {
    for signal in ["TERM", "INT"] {
        let world = World::new();
        world.issue("a.pem", &world.profile("a.example"));
        let running = Running::start(world.command(&["--cert-paths", "certs"]));
        assert!(until(PATIENCE, || world.staple("a.pem").exists()));
        running.signal("HUP");
        let asked = Instant::now();
        running.signal(signal);
        let ended = running.end(PATIENCE);
        assert_eq!((ended.code, ended.out.as_str()), (0, ""), "{ended:?}");
        assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
        assert!(ended.err.contains("event=renewed") && ended.err.contains("event=stopped"), "{}", ended.err);
    }
}

#[test]
fn a_responder_that_hangs_does_not_delay_the_end() {
    let world = World::new();
    let issued = world.issue("a.pem", &world.profile("a.example"));
    world.lab.fault(issued.serial(), Fault::Hang);
    let running = Running::start(world.command(&["--cert-paths", "certs"]));
    assert!(world.lab.wait_until(PATIENCE, |requests| !requests.is_empty()));
    running.signal("TERM");
    running.signal("TERM");
    let asked = Instant::now();
    let ended = running.end(PATIENCE);
    assert!(matches!(ended.code, 0 | 143), "{ended:?}");
    assert!(asked.elapsed() < Duration::from_secs(7), "{:?}", asked.elapsed());
}

#[test]
fn the_exit_code_of_an_interrupted_pass_names_the_signal() {
    let world = World::new();
    let issued = world.issue("a.pem", &world.profile("a.example"));
    world.lab.fault(issued.serial(), Fault::Hang);
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        world.lab.forget_requests();
        let running = Running::start(world.command(&["--one-off", "--cert-paths", "certs"]));
        assert!(world.lab.wait_until(PATIENCE, |requests| !requests.is_empty()));
        running.signal(signal);
        let ended = running.end(Duration::from_secs(5));
        assert_eq!(ended.code, code, "{ended:?}");
    }
}

#[test]
fn new_certificates_are_found() {
    let world = World::new();
    let running = Running::start(world.command(&["--cert-paths", "certs", "--refresh-interval", "1"]));
    world.issue("a.pem", &world.profile("a.example"));
    assert!(until(PATIENCE, || world.staple("a.pem").exists()));
    running.signal("TERM");
    assert_eq!(running.end(PATIENCE).code, 0);
}

#[test]
fn in_the_background_the_daemon_runs_until_a_signal() {
    let world = World::new();
    world.issue("a.pem", &world.profile("a.example"));
    let arguments = ["--daemon", "--cert-paths", "certs", "--pid-file", "pid", "--logdir", "logs"];
    let ended = world.run(&arguments);
    assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), (0, "", ""));
    let pid: u32 = fs::read_to_string(world.path("pid")).unwrap().trim().parse().unwrap();
    assert!(until(PATIENCE, || world.staple("a.pem").exists()));
    let again = world.run(&arguments);
    assert_eq!(again.code, 1, "{again:?}");
    assert!(again.err.contains(&format!("another process uses this file (process {pid})")), "{again:?}");
    signal_to(pid, "TERM");
    assert!(until(PATIENCE, || !world.path("pid").exists()), "{}", contents(&world.path("logs")));
    assert!(until(PATIENCE, || contents(&world.path("logs")).contains("event=stopped")));
}

#[test]
fn start_errors_are_printed_before_the_daemon_goes_to_the_background() {
    let world = World::new();
    fs::write(world.path("file"), "").unwrap();
    for (arguments, code, words) in [
        (["--pid-file", "nowhere/pid"], 1, "nowhere/pid: No such file"),
        (["--logdir", "file"], 2, "cannot log there"),
        (["--ignore", "./x"], 2, "a pattern is not relative"),
    ] {
        let ended = world.run(&[&["--daemon", "--cert-paths", "certs"], &arguments[..]].concat());
        assert_eq!(ended.code, code, "{ended:?}");
        assert!(ended.err.contains(words), "{ended:?}");
    }
}

#[test]
fn a_full_log_pipe_delays_nothing() {
    let world = World::new();
    for number in 0..300 {
        world.issue(&format!("{number}.pem"), &world.profile(&format!("{number}.example")));
    }
    // Far more lines than fit into a pipe.
    let mut command = world.command(&["--cert-paths", "certs", "--verbosity", "4"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let all_written = || (0..300).all(|number| world.staple(&format!("{number}.pem")).exists());
    assert!(until(PATIENCE, all_written), "it waits for whoever reads its log");
    child.kill().unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    child.wait().unwrap();
    assert!(said.len() >= 60_000, "the pipe was never full: this proves nothing ({} bytes)", said.len());
}

#[test]
fn the_state_is_reported_to_systemd() {
    let world = World::new();
    world.issue("a.pem", &world.profile("a.example"));
    let manager = Manager::at(world.path("notify").to_str().unwrap());
    let mut command = world.command(&["--cert-paths", "certs"]);
    command.env("NOTIFY_SOCKET", world.path("notify"));
    let running = Running::start(command);
    let mut messages = manager.told_until("READY");
    assert_eq!(messages.last().unwrap(), "READY=1\n");
    // The first line may say that the certificate is not processed yet, and each may come before the daemon is ready.
    while !messages.iter().any(|message| message.starts_with("STATUS=1 certificate, next renewal in ")) {
        messages = manager.told_until("STATUS");
    }
    running.signal("TERM");
    assert_eq!(manager.told("STOPPING"), "STOPPING=1\n");
    assert_eq!(running.end(PATIENCE).code, 0);
}

#[test]
fn signs_of_life_come_while_the_daemon_runs() {
    let world = World::new();
    let address = format!("@stapled-test-{}", std::process::id());
    let manager = Manager::at(&address);
    let mut command = world.command(&["--cert-paths", "certs"]);
    command.env("NOTIFY_SOCKET", &address).env("WATCHDOG_USEC", "200000");
    let running = Running::start(command);
    for _ in 0..3 {
        assert_eq!(manager.told("WATCHDOG"), "WATCHDOG=1\n");
    }
    running.signal("STOP");
    manager.wait_for_silence(Duration::from_millis(500));
    running.signal("CONT");
    assert_eq!(manager.told("WATCHDOG"), "WATCHDOG=1\n");
    running.signal("TERM");
    assert_eq!(running.end(PATIENCE).code, 0);

    // The sign is asked of another process.
    let mut command = world.command(&["--cert-paths", "certs"]);
    command.env("NOTIFY_SOCKET", &address).env("WATCHDOG_USEC", "200000").env("WATCHDOG_PID", "1");
    let running = Running::start(command);
    assert_eq!(manager.told("READY"), "READY=1\n");
    running.signal("TERM");
    assert!(!manager.told_until("STOPPING").iter().any(|message| message.starts_with("WATCHDOG")));
    assert_eq!(running.end(PATIENCE).code, 0);
}

#[test]
fn a_failed_renewal_is_one_warning_and_quiet_leaves_only_errors() {
    let world = World::new();
    let issued = world.issue("a.pem", &world.profile("a.example"));
    world.lab.fault(issued.serial(), Fault::TryLater);
    let must = world.issue("b.pem", &world.profile("b.example").must_staple(true));
    world.lab.fault(must.serial(), Fault::TryLater);
    let running = Running::start(world.command(&["--cert-paths", "certs", "--quiet", "--logdir", "logs"]));
    let log = world.path("logs");
    assert!(until(PATIENCE, || contents(&log).matches("event=renewal_failed").count() == 2), "{}", contents(&log));
    running.signal("TERM");
    let ended = running.end(PATIENCE);
    assert_eq!(ended.err.lines().count(), 1, "{}", ended.err);
    assert!(ended.err.contains("MUST-STAPLE b.example: renewal failed"), "{}", ended.err);
}
