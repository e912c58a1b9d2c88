//! Limits of the machine, and large numbers: they are told, and nothing is lost.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::world::{PATIENCE, Running, World, until};

/// Long enough for a second attempt at what has failed once.
const SECOND_ATTEMPT: Duration = Duration::from_secs(90);

/// The number in a line of `/proc/PID/status`.
fn status_of(process: u32, name: &str) -> usize {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_start_matches(':').trim().parse().unwrap()
}

fn open_files_of(process: u32) -> usize {
    fs::read_dir(format!("/proc/{process}/fd")).unwrap().count()
}

#[test]
fn few_open_files_are_told_and_cost_no_staple() {
    let world = World::new();
    let files: Vec<String> = (0..60).map(|number| format!("{number}.pem")).collect();
    for file in &files {
        world.issue(file, &world.profile(&file.replace("pem", "example")));
    }
    let program = world.command(&["-p", "certs", "--renewal-threads", "64", "--concurrent-per-responder", "64"]);
    let mut limited = Command::new("/usr/bin/prlimit");
    limited.arg("--nofile=64:64").arg("--").arg(program.get_program()).args(program.get_args());
    limited.current_dir(world.path("")).env_clear().env("HOME", world.path("home"));
    limited.env("RUNTIME_DIRECTORY", world.path(""));
    let running = Running::start(limited);
    let missing = || files.iter().filter(|file| !world.staple(file).exists()).count();
    assert!(until(SECOND_ATTEMPT, || missing() == 0), "{} are missing: {}", missing(), running.words());
    assert!(running.said("at most 64 files may be open") && running.said("LimitNOFILE="), "{}", running.words());
    running.signal("TERM");
    assert_eq!(running.end(PATIENCE).code, 0);
}

#[test]
fn ten_thousand_configurations_cost_seconds_and_few_open_files() {
    let world = World::new();
    world.issue("a.pem", &world.profile("a.example"));
    fs::create_dir(world.path("haproxy")).unwrap();
    let certificate = world.path("certs/a.pem");
    for number in 0..9_999 {
        let text = format!("frontend f{number}\n bind :{} ssl crt {}\n", 1000 + number, certificate.display());
        fs::write(world.path(&format!("haproxy/{number:05}.cfg")), text).unwrap();
    }
    let running = Running::start(world.command(&["--haproxy-config", "haproxy", "--no-haproxy-sockets"]));
    assert!(until(PATIENCE, || world.staple("a.pem").exists()), "{}", running.words());
    assert!(open_files_of(running.id()) < 100, "{}", open_files_of(running.id()));
    // A change is noticed.
    world.issue("b.pem", &world.profile("b.example"));
    let text = format!("frontend f\n bind :999 ssl crt {}\n", world.path("certs/b.pem").display());
    fs::write(world.path("haproxy/new.cfg"), text).unwrap();
    assert!(until(PATIENCE, || world.staple("b.pem").exists()), "{}", running.words());
    // One more is too many, and is told.
    fs::write(world.path("haproxy/more.cfg"), "").unwrap();
    assert!(until(PATIENCE, || running.said("more than 10000 files")), "{}", running.words());
    running.signal("TERM");
    assert_eq!(running.end(PATIENCE).code, 0);
}

#[test]
fn a_thousand_reloads_lose_nothing_and_leave_nothing_behind() {
    let world = World::new();
    world.issue("a.pem", &world.profile("a.example"));
    let running = Running::start(world.command(&["-p", "certs"]));
    assert!(until(PATIENCE, || world.staple("a.pem").exists()), "{}", running.words());
    for number in 0..1000 {
        running.signal("HUP");
        if number == 500 {
            world.issue("b.pem", &world.profile("b.example"));
        }
    }
    world.issue("c.pem", &world.profile("c.example"));
    for file in ["b.pem", "c.pem"] {
        assert!(until(PATIENCE, || world.staple(file).exists()), "{file}: {}", running.words());
    }
    assert!(running.said("event=reloaded"), "{}", running.words());
    assert!(world.staple("a.pem").exists());
    let (threads, files) = (status_of(running.id(), "Threads"), open_files_of(running.id()));
    assert!(threads < 100 && files < 100, "{threads} threads, {files} open files");
    running.signal("TERM");
    assert_eq!(running.end(PATIENCE).code, 0);
}
