//! Tests of `stapled` in one pass: exit codes and summary.

use serde_json::Value;
use stapled_ca::lab::{Fault, Lab};
use stapled_tests::{Cert, Ended, Haproxy, Stapled, World, with_each_haproxy};

fn once(world: &World, arguments: &[&str]) -> Ended {
    Stapled::of(world).certs([world.certs()]).args(["--one-off"]).args(arguments).run()
}

/// The rows and the totals of the summary.
fn read(finished: &Ended) -> (Vec<Value>, Value) {
    let mut objects: Vec<Value> =
        finished.out.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect();
    let totals = objects.pop().expect("totals")["totals"].clone();
    assert_eq!(totals["exit_code"], finished.code, "{finished:?}");
    (objects, totals)
}

fn row<'r>(rows: &'r [Value], cert: &Cert) -> &'r Value {
    rows.iter().find(|row| row["certificate"] == cert.host.as_str()).expect("a row")
}

#[test]
fn the_exit_code_and_the_summary_show_the_result() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let good = world.cert("good", &lab.url());
        world.cert_with("plain", |profile| profile);
        let haproxy = Haproxy::of(binary, &world, "a").start();
        let socket = haproxy.socket();
        let sockets = ["--haproxy-sockets", socket.to_str().unwrap()];
        let json = [&sockets[..], &["--json"]].concat();

        let finished = once(&world, &sockets);
        assert_eq!(finished.code, 0, "{finished:?}");
        assert!(finished.out.ends_with("2 in all, 1 good, 1 without OCSP URL\n"), "{finished:?}");
        assert_eq!(haproxy.staple(&good), good.staple_file());
        assert!(haproxy.staple(&good).is_some());
        let (rows, totals) = read(&once(&world, &json));
        assert_eq!((&totals["total"], &totals["good"], &totals["not_applicable"]), (&2.into(), &1.into(), &1.into()));
        let of_good = row(&rows, &good);
        assert_eq!(of_good["state"], "good");
        assert_eq!(of_good["files"], Value::from(vec![good.name()]));
        let servers = of_good["servers"].as_array().unwrap();
        assert!(servers.len() == 2 && servers.iter().all(|server| server["state"] == "confirmed"), "{of_good}");

        let failed = world.cert("failed", &lab.url());
        lab.fault(failed.issued.serial(), Fault::TryLater);
        let finished = once(&world, &sockets);
        assert_eq!(finished.code, 1, "{finished:?}");
        assert!(finished.out.contains("error_status:try_later"), "{finished:?}");
        let (rows, totals) = read(&once(&world, &json));
        assert_eq!((&totals["good"], &totals["failed"]), (&1.into(), &1.into()));
        assert_eq!(row(&rows, &failed)["state"], "failed");
        assert_eq!(row(&rows, &failed)["reason"], "error_status:try_later");

        // A revoked certificate counts before a failed one in the exit code.
        let revoked = world.cert("revoked", &lab.url());
        lab.revoke(revoked.issued.serial()).unwrap();
        let finished = once(&world, &sockets);
        assert_eq!(finished.code, 3, "{finished:?}");
        assert!(finished.out.contains("REVOKED"), "{finished:?}");
        let (rows, totals) = read(&once(&world, &json));
        assert_eq!((&totals["good"], &totals["failed"], &totals["revoked"]), (&1.into(), &1.into(), &1.into()));
        assert_eq!(row(&rows, &revoked)["state"], "revoked");
        assert_eq!(revoked.staple_file(), None);

        // In quiet mode, only problems are printed, on standard error.
        let finished = once(&world, &[&sockets[..], &["--quiet"]].concat());
        assert_eq!((finished.code, finished.out.as_str()), (3, ""), "{finished:?}");
        assert!(finished.err.contains(&revoked.host), "{finished:?}");
    });
}

#[test]
fn passes_without_certificates_or_with_wrong_arguments_have_their_exit_codes() {
    let world = World::new();
    let finished = once(&world, &[]);
    assert_eq!(finished.code, 1, "{finished:?}");
    assert!(finished.out.contains("no certificates"), "{finished:?}");
    assert!(finished.err.contains("ERROR") && finished.err.contains("event=no_certificates"), "{finished:?}");

    let missing = world.path("missing");
    let finished = Stapled::of(&world).certs([&missing]).args(["--one-off"]).run();
    assert_eq!(finished.code, 1, "{finished:?}");
    assert!(finished.out.contains("path_missing"), "{finished:?}");
    assert!(finished.out.contains(missing.to_str().unwrap()), "{finished:?}");

    for arguments in
        [&["--one-off"][..], &["--no-such-option"], &["--cert-paths", "a", "b", "--haproxy-sockets", "/1", "/2", "/3"]]
    {
        let finished = Stapled::of(&world).args(arguments).run();
        assert_eq!(finished.code, 2, "{finished:?}");
        assert!(finished.out.is_empty() && !finished.err.is_empty(), "{finished:?}");
    }
}
