//! Running HAProxys compared with configurations and paths.

use std::collections::HashMap;

use super::super::report::{Answer, CertificateReport};
use super::*;
use crate::codes;
use crate::running::ignored::Ignored;

/// The running HAProxy compared with its configuration.
#[test]
fn the_running_haproxy_and_its_configuration() {
    let world = World::new();
    let one = world.cert("one.pem", |profile| profile);
    let two = world.cert("two.pem", |profile| profile);
    let gone = world.cert("gone.pem", |profile| profile);
    let before = world.issue(|profile| profile).0;
    world.haproxy(&["one.pem", "two.pem"]);
    let check = |adapt: &dyn Fn(&mut Inputs)| world.check(&["--haproxy-config", "@/h.cfg"], |inputs| adapt(inputs));
    let shown = |answered: &Report| -> Vec<String> {
        let name = |row: &CertificateReport| row.certificate.rsplit('/').next().unwrap().to_owned();
        answered.certificates.iter().map(|row| format!("{} {}", name(row), told(&row.findings).join(" "))).collect()
    };
    let with = |snapshot: ProcessSnapshot| check(&move |inputs| inputs.processes[0].snapshot = Ok(snapshot.clone()));

    let all = world.loaded(&[("one.pem", &one), ("two.pem", &two)]);
    assert_eq!(shown(&with(all.clone())), ["one.pem ", "two.pem "]);
    assert!(!with(all.clone()).needs_operator());

    let answered = with(world.loaded(&[("one.pem", &before), ("gone.pem", &gone)]));
    let differences = [
        // The invented HAProxy has no scan of the files that it serves.
        "gone.pem not_in_configuration unreadable_file!",
        "one.pem served_differs!",
        "two.pem not_loaded!",
    ];
    assert_eq!(shown(&answered), differences);
    let firsts: Vec<_> =
        answered.certificates.iter().map(|row| row.first_staple.code.map(|code| code.as_str())).collect();
    assert_eq!(firsts, [Some("unreadable_file"), Some("served_differs"), Some("not_loaded")]);
    // A certificate that it has loaded and uses nowhere needs nothing.
    let mut unused = world.loaded(&[("one.pem", &one), ("two.pem", &two), ("gone.pem", &gone)]);
    unused.certificates[2].is_used = false;
    let answered = with(unused);
    assert_eq!(shown(&answered), ["gone.pem not_in_configuration", "one.pem ", "two.pem "]);
    assert_eq!(answered.certificates[0].first_staple.code, Some(codes::CERTIFICATE_UNUSED));
    assert!(!answered.needs_operator());
    // The stapler gives it staples by its path.
    let by_path = world.check(&["--haproxy-config", "@/h.cfg", "-p", "@/gone.pem", "-s", "@/admin.sock"], |inputs| {
        inputs.processes[0].snapshot = Ok(world.loaded(&[("one.pem", &one), ("two.pem", &two), ("gone.pem", &gone)]));
    });
    assert_eq!(shown(&by_path), ["gone.pem ", "one.pem ", "two.pem "]);

    // Level, and which configuration.
    let mut snapshot = all.clone();
    snapshot.level = Some(Level::Operator);
    snapshot.configuration_files = vec!["/elsewhere/other.cfg".into()];
    let answered = with(snapshot);
    assert_eq!(told(answered.general()), ["other_configuration!", "socket_level!"]);
    assert_eq!(answered.certificates[0].first_staple.code, Some(codes::SOCKET_LEVEL));
    // The problems of a socket concern its certificates.
    for certificate in &answered.certificates {
        assert_eq!(told(answered.about(certificate)), ["other_configuration!", "socket_level!"]);
    }

    // A certificate that takes responses takes the next ones at a lower level, too.
    let mut snapshot = all.clone();
    snapshot.level = Some(Level::Operator);
    snapshot.certificates[0].takes_responses = true;
    assert_eq!(first(&with(snapshot)), "Already");

    // A relative path begins where HAProxy was started; where that is unknown, there is no finding.
    let mut snapshot = all.clone();
    snapshot.configuration_files = vec!["h.cfg".into()];
    assert!(!with(snapshot.clone()).needs_operator());
    snapshot.working_directory = Some(world.path(""));
    assert!(!with(snapshot.clone()).needs_operator());
    snapshot.working_directory = Some("/elsewhere".into());
    assert!(!with(snapshot).needs_operator());

    let nobody = check(&|_| {});
    assert_eq!(told(nobody.general()), ["socket_missing!"]);
    assert_eq!(shown(&nobody), ["one.pem ", "two.pem "], "that is told once");
    assert_eq!(first(&nobody), "Unknown socket_missing");
}

/// A transaction of another client that has not ended prevents first staples.
#[test]
fn a_foreign_transaction_prevents_first_staples() {
    let world = World::new();
    let one = world.cert("one.pem", |profile| profile);
    let two = world.cert("two.pem", |profile| profile);
    world.haproxy(&["one.pem", "two.pem"]);
    let answered = world.check(&["--haproxy-config", "@/h.cfg"], |inputs| {
        let mut snapshot = world.loaded(&[("one.pem", &one), ("two.pem", &two)]);
        snapshot.certificates[1].takes_responses = true;
        snapshot.transaction = Some("/elsewhere.pem".to_owned());
        inputs.processes[0].snapshot = Ok(snapshot);
    });
    assert_eq!(told(answered.general()), ["foreign_transaction!"]);
    let firsts: Vec<_> = answered.certificates.iter().map(|row| row.first_staple.answer).collect();
    assert_eq!(firsts, [Answer::No, Answer::Already]);
}

/// Without transactions, a first staple comes with a reload.
#[test]
fn without_transactions_a_first_staple_takes_a_reload() {
    let world = World::new();
    let one = world.cert("one.pem", |profile| profile);
    let two = world.cert("two.pem", |profile| profile);
    world.haproxy(&["one.pem", "two.pem"]);
    for (transactions, version, expected) in [
        ("never", "3.0.11", ["transactions_off!", ""]),
        ("isolated", "2.6.12", ["transactions_off!", ""]),
        ("isolated", "3.0.11", ["", ""]),
    ] {
        let arguments = ["--haproxy-config", "@/h.cfg", "--haproxy-transactions", transactions];
        let answered = world.check(&arguments, |inputs| {
            let mut snapshot = world.loaded(&[("one.pem", &one), ("two.pem", &two)]);
            snapshot.version = version.to_owned();
            snapshot.certificates[1].takes_responses = true;
            inputs.processes[0].snapshot = Ok(snapshot);
        });
        let shown = answered.certificates.iter().map(|row| told(&row.findings).join(" ")).collect::<Vec<_>>();
        assert_eq!(shown, expected, "{transactions} {version}");
        for problem in &answered.certificates[0].findings {
            assert!(problem.remedy().is_some_and(|remedy| remedy.contains("reload HAProxy")), "{problem:?}");
            assert!(problem.socket.is_some(), "{problem:?}");
        }
    }
}

/// Certificates of paths have the names under which HAProxy lists them.
#[test]
fn paths_and_a_running_haproxy() {
    let world = World::new();
    let one = world.cert("p/one.pem", |profile| profile);
    world.cert("p/two.pem", |profile| profile);
    let other = world.cert("q/other.pem", |profile| profile);
    let now = SystemClock.now().unix();
    world.cert("p/old.pem", |profile| profile.valid_between(now - 9, now - 2));
    let mut snapshot = world.loaded(&[("p/one.pem", &one), ("q/other.pem", &other)]);
    // By a relative path.
    snapshot.certificates[0].name = "p/one.pem".to_owned();
    let answered =
        world.check(&["-p", "@/p", "-s", "@/s"], |inputs| inputs.processes[0].snapshot = Ok(snapshot.clone()));
    let shown: HashMap<&str, Vec<String>> =
        answered.certificates.iter().map(|row| (row.certificate.as_str(), told(&row.findings))).collect();
    assert_eq!(shown.len(), 3);
    assert_eq!(shown["p/one.pem"], [""; 0]);
    assert_eq!(shown[world.path("p/two.pem").to_str().unwrap()], ["not_loaded!"]);
    assert_eq!(shown[world.path("p/old.pem").to_str().unwrap()], ["certificate_expired", "not_loaded!"]);
    assert_eq!(told(answered.general()), ["not_in_paths"]);
    // For files only, none of that counts.
    let answered = world.check(&["-p", "@/p"], |_| {});
    assert!(!answered.needs_operator());
    let answered = world.check(&["-p", "@/nowhere"], |_| {});
    assert_eq!(told(answered.general()), ["path_missing!"]);
    std::fs::create_dir(world.path("empty")).unwrap();
    let answered = world.check(&["-p", "@/empty"], |_| {});
    assert_eq!(told(answered.general()), ["no_certificates!"]);
}

/// What an operator ignores is in no list, whatever names it.
#[test]
fn ignored_certificates_are_in_no_list() {
    let world = World::new();
    let one = world.cert("one.pem", |profile| profile);
    world.cert("private/two.pem", |profile| profile.must_staple(true));
    world.haproxy(&["one.pem", "private/two.pem"]);
    let gone = world.cert("gone.pem", |profile| profile);
    let names = |answered: &Report| {
        let name = |row: &CertificateReport| row.certificate.rsplit('/').next().unwrap().to_owned();
        let mut names: Vec<String> = answered.certificates.iter().map(name).collect();
        names.sort();
        names
    };
    let check = |more: &[&str]| {
        world.check(&[&["--haproxy-config", "@/h.cfg"], more].concat(), |inputs| {
            // As `gather` has it from a HAProxy that has not loaded the other one.
            inputs.processes[0].snapshot = Ok(world.loaded(&[("one.pem", &one)]));
        })
    };
    let answered = check(&[]);
    assert_eq!(names(&answered), ["one.pem", "two.pem"]);
    assert!(answered.needs_operator());
    let answered = check(&["-i", "private/"]);
    assert_eq!(names(&answered), ["one.pem"]);
    assert!(!answered.needs_operator(), "{answered}");
    // By a path, too.
    let by_path = world.check(&["-p", "@", "-i", "one.pem", "-i", "/nowhere/*"], |_| {});
    assert_eq!(names(&by_path), ["gone.pem"]);

    // What a process has loaded, under an absolute name, under a relative one, and beyond its configuration.
    let mut snapshot = world.loaded(&[("one.pem", &one), ("gone.pem", &gone)]);
    snapshot.certificates[0].name = "one.pem".to_owned();
    let left = |pattern: &'static str| {
        let source = DirectorySource::new("/").ignore([pattern]).unwrap();
        let mut left = snapshot.clone();
        Ignored::by(move |file| source.ignores(file)).remove_from_process(&mut left, None);
        left.certificates.into_iter().map(|served| served.serial).collect::<Vec<_>>()
    };
    assert_eq!(left("one.pem"), [gone.serial_hex()]);
    assert_eq!(left("/**/gone.pem"), [one.serial_hex()]);
}
