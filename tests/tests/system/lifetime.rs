//! Tests of responses that end, and of certificates that are revoked.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use stapled_ca::lab::Lab;
use stapled_tests::{Haproxy, LONG, Stapled, World, wait_for_within, wait_until, with_each_haproxy};

/// The seconds for which a response is of use: HAProxy staples it until 300 s before its end.
const USABLE: u64 = 24;

#[test]
fn a_staple_is_renewed_before_it_ends_and_there_is_always_one() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::builder().authority(&world.ca).validity(Duration::from_secs(300 + USABLE)).start().unwrap();
        let cert = world.cert("a", &lab.url());
        let haproxy = Haproxy::of(binary, &world, "a").start();
        let stapled = Stapled::of(&world)
            .certs([world.certs()])
            .sockets([haproxy.socket()])
            .args(["--minimum-interval", "1"])
            .start();
        let mut held = haproxy.wait_for_staple(&cert);
        for _ in 0..2 {
            let next = wait_for_within(LONG, "a new staple", || {
                let staple = haproxy.staple(&cert).expect("a gap without a staple");
                (staple != held).then_some(staple)
            });
            wait_until("its file follows", || cert.staple_file().as_ref() == Some(&next));
            held = next;
        }
        let asked = lab.requests();
        let pauses: Vec<u64> = asked.windows(2).map(|two| two[1].at_ms - two[0].at_ms).collect();
        let half = USABLE * 1000 / 2;
        assert!(pauses.iter().all(|pause| (half * 8 / 10..=half * 11 / 10).contains(pause)), "{pauses:?}");
        stapled.stop();
    });
}

/// With the usual minimum interval, HAProxy staples each response for a minute.
#[test]
fn responses_of_six_minutes_leave_no_gap() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::builder().authority(&world.ca).validity(Duration::from_secs(360)).start().unwrap();
        let cert = world.cert_with("a", |profile| profile.ocsp_url(lab.url()).must_staple(true));
        let haproxy = Haproxy::of(binary, &world, "a").start();
        let stapled = Stapled::of(&world).certs([world.certs()]).sockets([haproxy.socket()]).start();
        let first = haproxy.wait_for_staple(&cert);
        wait_for_within(2 * LONG, "a new staple", || {
            let staple = haproxy.staple(&cert).expect("a gap without a staple");
            (staple != first).then_some(staple)
        });
        assert_eq!(stapled.lines(&["event=withdrawn"]), [""; 0]);
        stapled.stop();
    });
}

#[test]
fn responses_that_haproxy_does_not_send_are_reported_at_once() {
    with_each_haproxy(|binary| {
        for (seconds, event) in [(120, "event=delivery_failed"), (310, "event=short_lived")] {
            let world = World::new();
            let lab = Lab::builder().authority(&world.ca).validity(Duration::from_secs(seconds)).start().unwrap();
            let cert = world.cert_with("a", |profile| profile.ocsp_url(lab.url()).must_staple(true));
            let haproxy = Haproxy::of(binary, &world, "a").start();
            let stapled = Stapled::of(&world).certs([world.certs()]).sockets([haproxy.socket()]).start();
            let line = stapled.wait_for_line(&[event, "code=expires_too_soon", &cert.host]);
            assert!(line.contains("ERROR") && line.contains("last 300 s") && line.contains("outage=true"), "{line}");
            if seconds == 310 {
                let line = stapled.wait_for_line(&["event=withdrawn", "code=expires_too_soon", &cert.host]);
                assert!(!line.contains("could not be renewed"), "{line}");
            }
            cert.wait_for_file();
            stapled.stop();
        }
    });
}

#[test]
fn a_revoked_certificate_loses_its_staple_for_good() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::builder().authority(&world.ca).validity(Duration::from_secs(300 + USABLE)).start().unwrap();
        let other_lab = Lab::start([&world.ca]).unwrap();
        let (revoked, good) = (world.cert("revoked", &lab.url()), world.cert("good", &other_lab.url()));
        let mut haproxy = Haproxy::of(binary, &world, "a").start();
        let stapled = Stapled::of(&world)
            .certs([world.certs()])
            .sockets([haproxy.socket()])
            .args(["--minimum-interval", "1"])
            .start();
        let last = haproxy.wait_for_staple(&revoked);
        haproxy.wait_for_staple(&good);
        // A revoked certificate is asked for again at half of the answer's validity.
        lab.set_validity(Duration::from_secs(10));
        lab.revoke(revoked.issued.serial()).unwrap();

        let line = stapled.wait_for_line(&["event=revoked", &revoked.host]);
        assert!(line.contains("ERROR") && line.contains("REVOKED"), "{line}");
        wait_until("HAProxy serves no staple any more", || haproxy.staple(&revoked).is_none());
        wait_until("its file is gone", || revoked.staple_file().is_none());
        stapled.wait_for_line(&["event=withdrawn", &revoked.host, "sink=/"]);

        // HAProxy has forgotten the revoked certificate's staple, and does not get it again. The other certificate's
        // staple shows that the delivery ran. It must not come from a file.
        let losses = stapled.lines(&["event=server_lost"]).len();
        haproxy.end();
        let _ = std::fs::remove_file(good.staple_path());
        haproxy.restart();
        wait_until("the loss is noticed", || stapled.lines(&["event=server_lost"]).len() > losses);
        haproxy.wait_for_staple(&good);
        assert_eq!(haproxy.staple(&revoked), None);
        let asked = lab.requests_for(revoked.issued.serial());
        wait_until("it is asked for once more", || lab.requests_for(revoked.issued.serial()) > asked);
        haproxy.wait_for_staple(&good);
        assert_ne!(haproxy.staple(&revoked), Some(last));
        assert_eq!(haproxy.staple(&revoked), None);
        stapled.stop();

        // A file on the disk does not bring it back either.
        let stapled = Stapled::of(&world).certs([world.certs()]).sockets([haproxy.socket()]).start();
        stapled.wait_for_line(&["event=revoked", &revoked.host]);
        assert_eq!(haproxy.staple(&revoked), None);
        assert_eq!(revoked.staple_file(), None);
        stapled.stop();
    });
}

/// The environments with which the hook of [`write_hook`] ran for events of this name.
fn hook_runs(world: &World, event: &str) -> Vec<Vec<String>> {
    let entries = std::fs::read_dir(world.path("hook-runs")).unwrap().map(|entry| entry.unwrap().path());
    let runs = entries.filter(|path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with(&format!("{event}.")) && !name.ends_with(".new")
    });
    runs.map(|path| std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()).collect()
}

/// Writes a hook that saves its environment, and returns its path.
fn write_hook(world: &World) -> PathBuf {
    let (folder, path) = (world.path("hook-runs"), world.path("hook"));
    std::fs::create_dir(&folder).unwrap();
    let script = format!(
        "#!/bin/sh\nfile={}/$STAPLED_EVENT.$$\n/usr/bin/env | /bin/grep ^STAPLED_ >$file.new\n/bin/mv $file.new $file\n",
        folder.display()
    );
    // Another process writes the hook: the system does not run a file that is open for writing, and a child of another
    // test may still have this process's descriptor.
    let mut shell = std::process::Command::new("/bin/sh");
    shell.args(["-c", "printf %s \"$1\" >\"$2\" && chmod 755 \"$2\"", "sh", &script, path.to_str().unwrap()]);
    assert!(shell.status().unwrap().success());
    path
}

#[test]
fn the_hook_runs_when_another_client_staples_a_revoked_certificate_again() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::builder().authority(&world.ca).validity(Duration::from_secs(86_400)).start().unwrap();
        let cert = world.cert("revoked", &lab.url());
        let haproxy = Haproxy::of(binary, &world, "a").start();
        let stapled = Stapled::of(&world)
            .certs([world.certs()])
            .sockets([haproxy.socket()])
            .args([OsString::from("--hook"), write_hook(&world).into()])
            .start();
        let last = haproxy.wait_for_staple(&cert);
        lab.revoke(cert.issued.serial()).unwrap();
        let renewed = Stapled::asked(&world).args(["renew", &cert.host]).run();
        assert_eq!(renewed.code, 0, "{renewed:?}");
        wait_until("HAProxy serves no staple any more", || haproxy.staple(&cert).is_none());

        let pushed = base64::engine::general_purpose::STANDARD.encode(&last);
        let reply = haproxy.ask(&format!("set ssl ocsp-response {pushed}"));
        assert!(reply.contains("updated"), "{reply}");
        // HAProxy's responses are compared with the delivered ones once a minute.
        let run = |event: &str| {
            wait_for_within(2 * LONG, &format!("the hook runs for {event}"), || hook_runs(&world, event).pop())
        };
        let serial = format!("STAPLED_SERIAL={}", cert.issued.serial());
        for (event, severity, code) in [
            ("revoked", "error", "revoked"),
            ("withdrawn", "warning", "revoked"),
            ("withdrawn_again", "warning", "withdrawn_again"),
        ] {
            let environment = run(event);
            for variable in [&format!("STAPLED_SEVERITY={severity}"), &format!("STAPLED_CODE={code}"), &serial] {
                assert!(environment.contains(variable), "{event}: {variable}: {environment:?}");
            }
        }
        let server = format!("STAPLED_SERVER={}", haproxy.socket().display());
        assert!(run("withdrawn_again").contains(&server), "{:?}", run("withdrawn_again"));
        assert_eq!(haproxy.staple(&cert), None);
        stapled.stop();
    });
}
