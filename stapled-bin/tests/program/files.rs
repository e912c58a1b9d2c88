//! Files in directories that are no certificates: they are reported, cost little, and delay nothing.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::world::{Ended, PATIENCE, Running, World, until};

/// One pass over `certs` with limited memory and a summary in JSON.
fn pass(world: &World, megabytes: u64, arguments: &[&str]) -> Ended {
    let program = world.command(&[&["--one-off", "--json", "--cert-paths", "certs"], arguments].concat());
    let mut limited = Command::new("/usr/bin/prlimit");
    // A larger allocation fails.
    limited.arg(format!("--data={}", megabytes << 20)).arg("--").arg(program.get_program()).args(program.get_args());
    limited.current_dir(world.path("")).env_clear().env("HOME", world.path("home"));
    limited.env("RUNTIME_DIRECTORY", world.path(""));
    Running::start(limited).end(PATIENCE)
}

fn row<'r>(rows: &'r [Value], file: &str) -> &'r Value {
    let is_of = |row: &&Value| row.pointer("/files/0").unwrap().as_str().unwrap().ends_with(file);
    rows.iter().find(is_of).unwrap_or_else(|| panic!("no {file}: {rows:?}"))
}

#[test]
fn special_files_are_reported_and_never_opened() {
    let world = World::new();
    world.issue("good.pem", &world.profile("good.example"));
    let path = |name: &str| world.path("certs").join(name);
    assert!(Command::new("mkfifo").arg(path("fifo.pem")).status().unwrap().success());
    symlink("/dev/zero", path("device.pem")).unwrap();
    symlink("loop.pem", path("loop.pem")).unwrap();
    symlink("there.pem", path("back.pem")).unwrap();
    symlink("back.pem", path("there.pem")).unwrap();
    symlink("nowhere.pem", path("dangling.pem")).unwrap();
    fs::create_dir(path("deep")).unwrap();
    symlink("..", path("deep/up")).unwrap();
    std::os::unix::net::UnixListener::bind(path("socket.pem")).unwrap();
    fs::create_dir(path("directory.pem")).unwrap();
    let began = Instant::now();
    let ended = pass(&world, 512, &["--recursive"]);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(ended.code, 1, "{ended:?}");
    let (rows, totals) = ended.json();
    for (file, code) in [
        ("fifo.pem", "not_a_file"),
        ("device.pem", "not_a_file"),
        ("socket.pem", "not_a_file"),
        ("certs/loop.pem", "symlink_loop"),
        ("back.pem", "symlink_loop"),
        ("there.pem", "symlink_loop"),
        ("dangling.pem", "dangling_link"),
        ("deep/up", "symlink_loop"),
    ] {
        let row = row(&rows, file);
        assert_eq!((&row["state"], &row["reason"]), (&"unreadable".into(), &code.into()), "{row}");
        assert!(row["since"].is_string());
        assert!(row["what"].as_str().unwrap().contains(file), "{row}");
    }
    assert_eq!((&row(&rows, "good.pem")["state"], &totals["good"]), (&"good".into(), &1.into()));
    assert!(world.staple("good.pem").exists());
}

#[test]
fn a_file_of_a_gigabyte_is_not_read() {
    let world = World::new();
    world.issue("good.pem", &world.profile("good.example"));
    for number in 0..8 {
        File::create(world.path(&format!("certs/huge{number}.pem"))).unwrap().set_len(1 << 30).unwrap();
    }
    // Also as an issuer beside a certificate.
    File::create(world.path("certs/good.pem.issuer")).unwrap().set_len(1 << 30).unwrap();
    let began = Instant::now();
    let ended = pass(&world, 512, &[]);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(ended.code, 1, "{ended:?}");
    let (rows, totals) = ended.json();
    assert_eq!((rows.len(), &totals["good"], &totals["problem"]), (9, &1.into(), &8.into()));
    assert_eq!(row(&rows, "huge3.pem")["reason"], "too_large");
}

/// A key in a directory is nothing to tell. A path that is named, and holds nothing but a key, gets no staple.
#[test]
fn a_file_of_a_key_is_silent_in_a_directory_and_a_failure_where_it_is_named() {
    let world = World::new();
    let issued = world.issue("good.pem", &world.profile("good.example"));
    fs::write(world.path("certs/good.key.pem"), issued.key_pem()).unwrap();
    fs::write(world.path("certs/dh.pem"), "-----BEGIN DH PARAMETERS-----\nMAA=\n-----END DH PARAMETERS-----\n")
        .unwrap();
    let of_files =
        |ended: &Ended| ["good.key.pem", "dh.pem"].map(|file| (ended.out.clone() + &ended.err).contains(file));
    for command in [&["--one-off", "--verbosity", "4"][..], &["check"]] {
        let ended = world.run(&[command, &["-p", "certs"]].concat());
        assert_eq!((ended.code, of_files(&ended)), (0, [false, false]), "{ended:?}");
        let ended = world.run(&[command, &["-p", "certs", "-p", "certs/good.key.pem"]].concat());
        assert_eq!((ended.code, of_files(&ended)), (1, [true, false]), "{ended:?}");
        let words = ended.out.clone() + &ended.err;
        assert!(words.contains("no_certificate") && words.contains("nothing but a private key"), "{ended:?}");
    }
    // The daemon has no fault to try again.
    let running = Running::start(world.command(&["-p", "certs", "--refresh-interval", "1", "--verbosity", "4"]));
    assert!(until(PATIENCE, || running.words().matches("0 new or changed").count() >= 2), "{}", running.words());
    running.signal("TERM");
    let words = running.end(PATIENCE).err;
    assert!(!words.contains("good.key.pem") && !words.contains("dh.pem"), "{words}");
}

/// Appliances and people make certificates of servers that say that they are CAs'.
#[test]
fn a_certificate_that_says_it_is_a_cas_is_stapled_if_its_key_is_in_the_file() {
    let world = World::new();
    let appliance = world.ca.intermediate("appliance.example").ocsp_url(world.lab.url()).create().unwrap();
    let chain = appliance.certificate_pem() + &world.ca.certificate_pem();
    fs::write(world.path("certs/bundle.pem"), &chain).unwrap();
    fs::write(world.path("certs/appliance.pem"), chain + &appliance.key().to_pem()).unwrap();
    let ended = world.one_off(&["--json"]);
    let (rows, totals) = ended.json();
    assert_eq!((ended.code, rows.len(), &totals["good"]), (0, 1, &1.into()), "{ended:?}");
    assert!(world.staple("appliance.pem").exists() && !world.staple("bundle.pem").exists());
    let ended = world.run(&["check", "-p", "certs"]);
    assert!(ended.code == 0 && ended.out.contains("appliance.pem") && !ended.out.contains("bundle.pem"), "{ended:?}");
}

/// Commands to HAProxy are text.
#[test]
fn a_name_that_is_not_utf8_has_a_reason_of_its_own() {
    use std::os::unix::ffi::OsStrExt;
    let world = World::new();
    world.issue("x.pem", &world.profile("x.example"));
    let odd = std::ffi::OsStr::from_bytes(b"caf\xe9.pem");
    fs::rename(world.path("certs/x.pem"), world.path("certs").join(odd)).unwrap();
    // No HAProxy is needed to say so.
    let socket = world.path("haproxy.sock");
    let ended = world.run(&["check", "-p", "certs", "-s", socket.to_str().unwrap()]);
    assert!(ended.code == 1 && ended.out.contains("name_not_utf8"), "{ended:?}");
    assert!(ended.out.contains("not UTF-8") && ended.out.contains("rename the file"), "{ended:?}");
    assert_eq!(world.one_off(&[]).code, 0);
    let staple = std::ffi::OsStr::from_bytes(b"caf\xe9.pem.ocsp");
    assert!(world.path("certs").join(staple).exists());
    // Also where it is the path that is named.
    let mut command = world.command(&["--one-off", "-p"]);
    command.arg(world.path("certs").join(odd));
    let ended = Running::start(command).end(PATIENCE);
    assert_eq!(ended.code, 0, "{ended:?}");
}

#[test]
fn ten_thousand_files_without_certificates_cost_seconds() {
    let world = World::new();
    let key = world.issue("good.pem", &world.profile("good.example")).key_pem();
    for number in 0..10_000 {
        let (name, text) = match number % 4 {
            0 => (format!("{number}.pem"), key.as_str()),
            1 => (format!("{number}.pem"), ""),
            2 => (format!("{number}.crt"), "no certificate\n"),
            _ => (format!("{number}.txt"), "no extension of ours\n"),
        };
        fs::write(world.path("certs").join(name), text).unwrap();
    }
    let began = Instant::now();
    let ended = pass(&world, 512, &[]);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(15), "{took:?}");
    assert_eq!(ended.code, 0, "{:?}", ended.err);
    let (rows, totals) = ended.json();
    // A key is no certificate's place, and needs no row.
    assert_eq!((rows.len(), &totals["good"], &totals["no_certificate"]), (5001, &1.into(), &5000.into()));
    // The daemon reads them once, not at every scan.
    let running = Running::start(world.command(&["-p", "certs", "--refresh-interval", "1", "--verbosity", "4"]));
    assert!(until(PATIENCE, || running.words().matches("0 new or changed").count() >= 3), "{}", running.words());
    world.issue("new.pem", &world.profile("new.example"));
    assert!(until(PATIENCE, || world.staple("new.pem").exists()));
    running.signal("TERM");
    let words = running.end(PATIENCE).err;
    assert_eq!(words.matches("/1.pem: ").count(), 1, "told once");
    assert_eq!(words.matches("/0.pem: ").count(), 0, "a key");
}

/// Opening a FIFO waits for another program, which may never come.
#[test]
fn a_fifo_in_place_of_a_file_of_the_program_is_refused_at_once() {
    let world = World::new();
    fs::write(world.path("x.conf"), "cert-paths = \"certs\"\n").unwrap();
    let made = |path: &str| assert!(Command::new("mkfifo").arg(world.path(path)).status().unwrap().success());
    for path in ["fifo.conf", "control.lock", "pid"] {
        made(path);
    }
    for (arguments, said) in [
        (&["--config", "fifo.conf"][..], "fifo.conf"),
        (&["--config", "x.conf", "--control-socket", "control"], "control"),
        (&["--config", "x.conf", "--pid-file", "pid"], "/pid: not"),
    ] {
        let ended = world.run(arguments);
        assert_ne!(ended.code, 0, "{ended:?}");
        assert!(ended.err.contains(said) && ended.err.contains("not a regular file"), "{ended:?}");
    }
}

#[test]
fn a_pid_file_is_not_written_through_a_link() {
    let world = World::new();
    fs::write(world.path("precious"), "contents").unwrap();
    symlink("precious", world.path("pid")).unwrap();
    let ended = world.run(&["--cert-paths", "certs", "--pid-file", "pid"]);
    assert_ne!(ended.code, 0, "{ended:?}");
    assert!(ended.err.contains("symbolic link"), "{ended:?}");
    assert_eq!(fs::read_to_string(world.path("precious")).unwrap(), "contents");
}
