//! The progress of long work: a bar on a terminal, a line every few seconds elsewhere, nothing for programs that read.

use std::fs::{self, File};
use std::io::Write;
use std::process::Command;
use std::time::Duration;

use stapled_ca::lab::Fault;
use stapled_ca::ocsp::{HashAlgorithm, ResponseBuilder};
use stapled_tests::{Hanging, HangingFile};

use crate::world::{PATIENCE, Running, World, until};

/// Certificates of which the last one's answer takes this time.
fn with_a_slow_answer(count: usize, delay: Duration) -> World {
    let world = World::new();
    for number in 1..count {
        world.issue(&format!("{number}.pem"), &world.profile(&format!("{number}.example")));
    }
    let slow = world.issue("slow.pem", &world.profile("slow.example"));
    world.lab.fault(slow.serial(), Fault::Delay(delay));
    world
}

/// Starts the program on a terminal of its own.
fn on_a_terminal(world: &World, arguments: &str) -> Running {
    let program = world.command(&[]);
    let line = format!("stty cols 100 rows 24; exec '{}' {arguments}", program.get_program().to_str().unwrap());
    // The output of the terminal goes to standard error, which the test reads.
    let mut script = Command::new("sh");
    script
        .args(["-c", "exec script --quiet --return --command \"$0\" /dev/null >&2", &line])
        .current_dir(world.path(""));
    script.env("HOME", world.path("home")).env("RUNTIME_DIRECTORY", world.path("")).env("TERM", "xterm");
    Running::start(script)
}

const ONE_OFF: [&str; 3] = ["--one-off", "--cert-paths", "certs"];

#[test]
fn a_terminal_shows_a_bar_with_rate_and_remaining_time_until_the_end() {
    for (more, last) in [(" > out", "5 in all, 5 good\n"), (" --json > out", "}\n")] {
        let world = with_a_slow_answer(5, Duration::from_secs(3));
        let running = on_a_terminal(&world, &(ONE_OFF.join(" ") + more));
        let is_shown =
            |line: &str| line.contains("4 of 5 certificates, ") && line.contains("/s, ") && line.contains(" left");
        assert!(until(PATIENCE, || running.words().split('\r').any(is_shown)), "{}", running.words());
        let ended = running.end(PATIENCE);
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(ended.err.trim_end_matches('\r').ends_with("\u{1b}[2K"), "the bar is gone: {ended:?}");
        let out = fs::read_to_string(world.path("out")).unwrap();
        assert!(out.ends_with(last) && !out.contains('\u{1b}'), "{out}");
    }
}

#[test]
fn lines_for_programs_on_a_terminal_have_no_bar_between_them() {
    let world = with_a_slow_answer(3, Duration::from_secs(2));
    let ended = on_a_terminal(&world, &(ONE_OFF.join(" ") + " --json")).end(PATIENCE);
    assert!(ended.code == 0 && !ended.err.contains('\u{1b}') && !ended.err.contains(" of 3"), "{ended:?}");
}

#[test]
fn elsewhere_a_line_comes_every_few_seconds_and_nothing_with_quiet_or_json() {
    let more: [&[&str]; 4] = [&[], &["--quiet"], &["--json"], &["--log-format", "json"]];
    let passes = more.map(|more| {
        let world = with_a_slow_answer(5, Duration::from_secs(7));
        (more, Running::start(world.command(&[&ONE_OFF, more].concat())), world)
    });
    for (more, running, _world) in passes {
        let ended = running.end(PATIENCE);
        assert_eq!(ended.code, 0, "{ended:?}");
        let lines: Vec<&str> = ended.err.lines().filter(|line| line.contains(" of 5 certificates")).collect();
        assert_eq!(lines.is_empty(), !more.is_empty(), "{more:?}: {ended:?}");
        // A busy machine takes longer than five seconds for a line.
        let is_whole = |line: &&str| {
            line.starts_with("4 of 5 certificates, 0.") && line.contains("/s, ") && line.ends_with(" s left")
        };
        assert!(lines.len() < 5 && lines.iter().all(is_whole) && !ended.err.contains('\u{1b}'), "{ended:?}");
    }
}

#[test]
fn a_check_tells_how_many_files_it_has_read() {
    let world = World::new();
    world.issue("a.pem", &world.profile("a.example"));
    fs::create_dir(world.path("hung")).unwrap();
    let hung = HangingFile { name: "b.pem".to_owned(), contents: None };
    let Some(hanging) = Hanging::mount(&world.path("hung"), vec![hung]) else { return };
    let running = Running::start(world.command(&["check", "-p", "certs", "-p", "hung"]));
    assert!(until(PATIENCE, || running.said("1 of 2 certificates, 0.")), "{}", running.words());
    // Dropped before the process, which the system ends when its reads have ended.
    drop(hanging);
    assert_eq!(running.end(PATIENCE).code, 1);
}

#[test]
fn a_start_that_takes_long_is_told_every_few_seconds_until_everything_was_tried() {
    let world = with_a_slow_answer(3, Duration::from_secs(7));
    let running = Running::start(world.command(&["--cert-paths", "certs"]));
    assert!(until(PATIENCE, || running.said("starting: 2 of 3 certificates, 0.")), "{}", running.words());
    assert!(until(PATIENCE, || world.staple("slow.pem").exists()), "{}", running.words());
    running.signal("TERM");
    let ended = running.end(PATIENCE);
    assert!(!ended.err.contains("starting: 3 of 3"), "{ended:?}");
}

#[test]
fn renewals_that_are_waited_for_are_counted_on_a_terminal() {
    let world = World::new();
    let issued = world.issue("a.pem", &world.profile("a.example"));
    let running = Running::start(world.command(&["--cert-paths", "certs"]));
    assert!(until(PATIENCE, || world.staple("a.pem").exists()), "{}", running.words());
    world.lab.fault(issued.serial(), Fault::Delay(Duration::from_secs(3)));
    let renewal = on_a_terminal(&world, "renew --all --wait=60 > out");
    assert!(until(PATIENCE, || renewal.said("0 of 1 certificates")), "{}", renewal.words());
    let ended = renewal.end(PATIENCE);
    assert_eq!(ended.code, 0, "{ended:?}");
    running.signal("TERM");
}

#[test]
fn a_list_whose_verdicts_go_to_a_file_is_counted_on_the_terminal() {
    let world = World::new();
    let issued = world.issue("a.pem", &world.profile("a.example"));
    let id = world.ca.cert_id(issued.serial(), HashAlgorithm::Sha1);
    fs::write(world.path("a.der"), ResponseBuilder::new(&world.ca).good(&id).build().unwrap()).unwrap();
    fs::write(world.path("issuer.pem"), world.ca.certificate_pem()).unwrap();
    // The list is a pipe, so the work lasts until the test ends it, and the number of lines is not known.
    assert!(Command::new("mkfifo").arg(world.path("list")).status().unwrap().success());
    let running = on_a_terminal(&world, "verify --list list > out");
    let mut list = File::options().write(true).open(world.path("list")).unwrap();
    for _ in 0..3 {
        list.write_all(b"a.der certs/a.pem issuer.pem\n").unwrap();
    }
    assert!(until(PATIENCE, || running.said("2 responses, ")), "{}", running.words());
    drop(list);
    assert_eq!(running.end(PATIENCE).code, 0);
    assert_eq!(fs::read_to_string(world.path("out")).unwrap().lines().count(), 3);
}
