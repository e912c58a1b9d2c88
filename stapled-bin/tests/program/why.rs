//! The questions of docs/why.md: each is set up for real, and its one command names the cause.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::time::Duration;

use stapled_ca::lab::Fault;
use stapled_ca::{Authority, Issued, Profile};
use stapled_tests::{Haproxy, binaries};

use crate::world::{Ended, PATIENCE, Running, World, until};

const SITE: &str = "www.example.org";

/// Runs the command of a question until its answer has these words. The document must have the same command under the
/// question.
fn answer(world: &World, question: &str, command: &str, words: &[&str]) -> Ended {
    let document = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/why.md")).unwrap();
    let section = document.split("\n## ").find(|section| section.starts_with(question));
    let section = section.unwrap_or_else(|| panic!("docs/why.md has no question {question:?}"));
    assert!(section.contains(&format!("    {command}\n")), "{question}: {command}");
    let arguments: Vec<&str> = command.split(' ').skip(1).collect();
    run_until(world, &arguments, words)
}

fn run_until(world: &World, arguments: &[&str], words: &[&str]) -> Ended {
    let mut ended = world.run(arguments);
    // A server that lacks a certificate for a moment is reported only after ten seconds.
    let came = until(PATIENCE * 2, || {
        ended = world.run(arguments);
        words.iter().all(|words| ended.out.contains(words))
    });
    assert!(came, "{words:?}: {ended:?}");
    if std::env::var_os("STAPLED_SHOW").is_some() {
        println!("$ stapled {}\n{}", arguments.join(" "), ended.out);
    }
    ended
}

/// A daemon for `certs`, whose certificates this makes.
fn daemon(world: &World, more: &[&str]) -> Running {
    Running::start(world.command(&[&["--cert-paths", "certs"], more].concat()))
}

fn site(world: &World) -> Issued {
    world.issue("www.pem", &world.profile(SITE))
}

#[test]
fn why_has_it_no_staple() {
    let world = World::new();
    world.issue("www.pem", &Profile::server(SITE));
    let other = Authority::root("Example CA").create().unwrap();
    let lonely = other.issue(&world.profile("shop.example.org")).unwrap();
    fs::write(world.path("certs/shop.pem"), lonely.certificate_pem()).unwrap();
    let _daemon = daemon(&world, &[]);
    answer(&world, "1.", "stapled status www.example.org", &["no OCSP URL"]);
    answer(
        &world,
        "2.",
        "stapled status --problems",
        &["shop.example.org", "issuer_missing", "the certificate of its issuer"],
    );
}

#[test]
fn why_does_the_ca_give_no_staple() {
    let world = World::new();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    world.issue("down.pem", &Profile::server("down.example.org").ocsp_url(format!("http://{closed}/")));
    let issued = site(&world);
    world.lab.fault(issued.serial(), Fault::Unknown);
    let signed = world.issue("signed.pem", &world.profile("signed.example.org"));
    world.lab.fault(signed.serial(), Fault::WrongSigner);
    let old = world.issue("old.pem", &world.profile("old.example.org"));
    world.lab.fault(old.serial(), Fault::Expired);
    let _daemon = daemon(&world, &[]);
    let host = closed.to_string();
    answer(&world, "3.", "stapled status --responders", &[&host, "failing", "connect_failed"]);
    answer(&world, "4.", "stapled status -v www.example.org", &["failed (unknown)", "does not know"]);
    answer(
        &world,
        "5.",
        "stapled status -v signed.example.org",
        &["failed (responder_wrong_issuer)", "may not sign for"],
    );
    answer(&world, "6.", "stapled status -v old.example.org", &["failed (expired)", "nextUpdate"]);
}

#[test]
fn why_does_haproxy_not_take_it() {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        stapled_tests::skip("a daemon of another user needs the rights of root");
        return;
    }
    let world = World::new();
    site(&world);
    let operator = world.path("operator.sock");
    let binary = &binaries()[0];
    // Without a staple file, the first staple needs a transaction, and so the level admin.
    let haproxy = Haproxy::of(binary, &world, "")
        .global(&format!("  stats socket {} level operator", operator.display()))
        .start();
    let admin = haproxy.socket().display().to_string();
    let no_files = ["--no-staple-files", "--haproxy-sockets"];
    let low = daemon(&world, &[&no_files[..], &[operator.to_str().unwrap()]].concat());
    answer(&world, "8.", "stapled status -v", &["failed (permission_denied)", "level admin"]);
    low.signal("TERM");
    low.end(PATIENCE);

    for path in ["", "certs", "certs/www.pem", "control.sock.lock"] {
        chown(world.path(path), Some(4242), Some(4242)).unwrap();
    }
    let mut command = world.command(&[&["--cert-paths", "certs"], &no_files[..], &[&admin]].concat());
    command.uid(4242).gid(4242);
    let _daemon = Running::start(command);
    answer(&world, "7.", "stapled status --problems", &["socket_permission", "admin.sock"]);
}

#[test]
fn why_does_haproxy_serve_something_else() {
    let world = World::new();
    site(&world);
    let issued = world.issue("shop.pem", &world.profile("shop.example.org"));
    let binary = &binaries()[0];
    let haproxy = Haproxy::of(binary, &world, "").crt(&world.path("certs/www.pem")).start();
    let _daemon = daemon(&world, &["--haproxy-sockets", haproxy.socket().to_str().unwrap()]);
    run_until(&world, &["status", SITE], &["2 of 2"]);
    answer(&world, "10.", "stapled status -v shop.example.org", &["failed (not_loaded)", &issued.serial().to_string()]);
    site(&world);
    answer(&world, "9.", "stapled status --problems", &[SITE, "certificate_differs", "HAProxy"]);
}

#[test]
fn when_was_it_renewed_what_is_at_risk_and_which_ca_is_slow() {
    let world = World::new();
    let issued = site(&world);
    let other = world.issue("shop.pem", &world.profile("shop.example.org"));
    world.lab.set_validity(Duration::from_secs(12 * 3600));
    world.lab.fault(other.serial(), Fault::Delay(Duration::from_millis(1500)));
    let _daemon = daemon(&world, &[]);
    run_until(&world, &["status"], &["2 in all, 2 good"]);
    answer(&world, "11.", "stapled status -v www.example.org", &["last renewal  20", " ago)", "last delivery 20"]);
    let ended = answer(&world, "12.", "stapled status --at-risk=24", &["2 in all"]);
    assert!(!ended.out.contains(SITE), "renewed in time: {ended:?}");
    world.lab.fault(issued.serial(), Fault::TryLater);
    world.run(&["renew", "--wait", SITE]);
    let ended = answer(&world, "12.", "stapled status --at-risk=24", &[SITE, "in 11 h"]);
    assert!(!ended.out.contains("shop.example.org"), "renewed in time: {ended:?}");
    world.run(&["renew", "--wait", "shop.example.org"]);
    let ended = answer(&world, "13.", "stapled status --responders", &["LATENCY"]);
    let latency =
        ended.out.split(" ms").next().and_then(|text| text.rsplit(' ').next()).and_then(|text| text.parse().ok());
    assert!(latency.is_some_and(|latency: u64| latency >= 1500), "{ended:?}");
}

#[test]
fn did_clients_get_it() {
    let world = World::new();
    site(&world);
    assert_eq!(world.one_off(&[]).code, 0);
    let _haproxy = Haproxy::of(&binaries()[0], &world, "").start();
    answer(
        &world,
        "14.",
        "stapled probe ./tls.sock --servername www.example.org",
        &["bytes: good: the certificate is good", "nextUpdate"],
    );
}
