//! Tests of the operator's actions: a change of the configuration, a status request, a wait, a stop.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use stapled_ca::lab::{Fault, Lab};
use stapled_tests::{
    Cert, Haproxy, LONG, Stapled, StapledCommand, World, wait_until, wait_until_within, with_each_haproxy,
};

/// The certificates in the output of `stapled status`, and its exit code.
fn status(world: &World) -> (Vec<Value>, i32) {
    let finished = Stapled::asked(world).args(["status", "--json"]).run();
    let objects = finished.out.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect();
    (objects, finished.code)
}

fn write_config(world: &World, text: &str) {
    std::fs::write(world.path("empty.conf"), text).unwrap();
}

#[test]
fn a_changed_configuration_loses_no_staple_and_asks_no_ca() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let certs: Vec<Cert> = (0..20).map(|number| world.cert(&format!("c{number}"), &lab.url())).collect();
        let (first, second) = (Haproxy::of(binary, &world, "a").start(), Haproxy::of(binary, &world, "b").start());
        let config = |sockets: &[&Path], more: &str| {
            let sockets: Vec<String> = sockets.iter().map(|socket| socket.display().to_string()).collect();
            let text = "cert-paths = \"certs\"\nno-staple-files = true\nno-recycle = true\n";
            write_config(&world, &format!("{text}haproxy-sockets = \"{}\"\n{more}", sockets.join(",")));
        };
        // The staple comes from memory: no file has it.
        config(&[&first.socket()], "");
        let stapled = Stapled::of(&world).start();
        certs.iter().for_each(|cert| drop(first.wait_for_staple(cert)));
        assert_eq!(lab.requests().len(), certs.len());
        let held: Vec<_> = certs.iter().map(|cert| first.staple(cert)).collect();

        let (is_over, handshakes) = (AtomicBool::new(false), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            let watch = scope.spawn(|| {
                while !is_over.load(Ordering::SeqCst) {
                    for (cert, held) in certs.iter().zip(&held) {
                        assert_eq!(&first.staple(cert), held, "{} lost its staple", cert.host);
                        handshakes.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
            let reloads = |count: usize| wait_until("it holds", || stapled.lines(&["event=reloaded"]).len() >= count);
            for count in 1..=5 {
                match count % 2 {
                    1 => config(&[&first.socket(), &second.socket()], "minimum-validity = 100\n"),
                    _ => config(&[&first.socket()], ""),
                }
                stapled.signal("HUP");
                reloads(count);
            }
            certs.iter().for_each(|cert| drop(second.wait_for_staple(cert)));
            // A configuration with an error changes nothing.
            config(&[&first.socket()], "minimum-validty = 1\n");
            stapled.signal("HUP");
            let line = stapled.wait_for_line(&["event=reload_refused"]);
            assert!(line.contains("empty.conf:5:1: there is no setting \"minimum-validty\""), "{line}");
            let before = handshakes.load(Ordering::SeqCst);
            wait_until("some more handshakes", || handshakes.load(Ordering::SeqCst) > before + 2 * certs.len());
            is_over.store(true, Ordering::SeqCst);
            watch.join().expect("a handshake without its staple");
        });
        assert_eq!(lab.requests().len(), certs.len(), "the CA was asked for what is known");
        assert_eq!(stapled.lines(&["event=withdrawn"]), [""; 0]);
        stapled.stop();
    });
}

#[test]
fn sigterm_ends_the_daemon_within_seconds_while_haproxy_and_the_ca_hang() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let certs: Vec<Cert> = (0..30).map(|number| world.cert(&format!("c{number}"), &lab.url())).collect();
        let haproxy = Haproxy::of(binary, &world, "a").start();
        lab.fault(certs[0].issued.serial(), Fault::Hang);
        // The frozen HAProxy accepts connections and commands, and does not answer.
        haproxy.freeze();
        let stapled = Stapled::of(&world).certs([world.certs()]).sockets([haproxy.socket()]).start();
        wait_until("files are written", || certs[1..].iter().all(|cert| cert.staple_file().is_some()));
        let asked = Instant::now();
        stapled.stop();
        assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
        haproxy.thaw();
        // The stop leaves no partial work that blocks the next process.
        lab.clear_all();
        let stapled = Stapled::of(&world).certs([world.certs()]).sockets([haproxy.socket()]).start();
        wait_until_within(LONG, "all are stapled", || certs.iter().all(|cert| haproxy.staple(cert).is_some()));
        stapled.stop();
    });
}

#[test]
fn waiting_ends_when_haproxy_has_its_staples() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let must = world.cert_with("must", |profile| profile.ocsp_url(lab.url()).must_staple(true));
        lab.fault_times(must.issued.serial(), Fault::TryLater, 6);
        let haproxy = Haproxy::of(binary, &world, "a");
        let socket = haproxy.socket();
        let gate = || Stapled::of(&world).certs([world.certs()]).sockets([&socket]).args(["--one-off", "--quiet"]);
        let finished = gate().args(["--wait", "2"]).run();
        assert_eq!(finished.code, 1, "{finished:?}");
        assert!(finished.err.contains("MUST-STAPLE"), "{finished:?}");
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| gate().args(["--wait", "60"]).run());
            wait_until("it was asked for", || must.staple_file().is_some());
            assert!(!waiting.is_finished(), "open without a server");
            let _ = std::fs::remove_file(must.staple_path());
            let haproxy = haproxy.start();
            let finished = waiting.join().unwrap();
            assert_eq!(finished.code, 0, "{finished:?}");
            assert!(haproxy.staple(&must).is_some());
        });
    });
}

/// Clients get the staple from HAProxy. The file is for its next start.
#[test]
fn a_file_that_cannot_be_written_is_no_outage_while_haproxy_has_the_staple() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let must = world.cert_with("must", |profile| profile.ocsp_url(lab.url()).must_staple(true));
        let haproxy = Haproxy::of(binary, &world, "a").start();
        // No user can write a file there.
        std::fs::create_dir(must.staple_path()).unwrap();
        let row = |command: StapledCommand| -> Value {
            let finished = command.args(["--one-off", "--json"]).run();
            assert_eq!(finished.code, 1, "{finished:?}");
            serde_json::from_str(finished.out.lines().next().unwrap()).unwrap()
        };
        let with_haproxy = row(Stapled::of(&world).certs([world.certs()]).sockets([haproxy.socket()]));
        assert_eq!((&with_haproxy["state"], &with_haproxy["outage"]), (&"good".into(), &false.into()));
        assert!(haproxy.staple(&must).is_some());
        let by_file_alone = row(Stapled::of(&world).certs([world.certs()]));
        assert_eq!((&by_file_alone["state"], &by_file_alone["outage"]), (&"good".into(), &true.into()));
        std::fs::remove_dir(must.staple_path()).unwrap();
        // The file is written, and HAProxy lacks the staple.
        let missing = row(Stapled::of(&world).certs([world.certs()]).sockets([world.path("missing.sock")]));
        assert_eq!((&missing["state"], &missing["outage"]), (&"good".into(), &true.into()));
        assert!(must.staple_file().is_some());
    });
}

#[test]
fn status_shows_each_server() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let must = world.cert_with("must", |profile| profile.ocsp_url(lab.url()).must_staple(true));
        let haproxy = Haproxy::of(binary, &world, "a").start();
        let missing = world.path("missing.sock");
        let sockets = format!("{},{}", haproxy.socket().display(), missing.display());
        let stapled = Stapled::of(&world).certs([world.certs()]).sockets([&sockets]).start();
        haproxy.wait_for_staple(&must);
        stapled.wait_for_line(&["event=delivery_failed", "outage=true", "ERROR"]);
        let (objects, code) = status(&world);
        assert_eq!(code, 1);
        let row = &objects[0];
        assert_eq!((&row["state"], &row["outage"]), (&"good".into(), &true.into()), "{row}");
        let servers = row["servers"].as_array().unwrap();
        let server = |name: &Path| servers.iter().find(|server| server["server"] == name.to_str().unwrap()).unwrap();
        let (there, absent) = (server(&haproxy.socket()), server(&missing));
        assert_eq!((&there["state"], &there["reason"]), (&"confirmed".into(), &Value::Null));
        assert_eq!((&absent["state"], &absent["reason"]), (&"failed".into(), &"socket_missing".into()));
        assert!(absent["since"].is_string() && absent["next_try"].is_string() && absent["served_until"].is_null());
        stapled.stop();
        assert_eq!(status(&world).1, 4);
    });
}
