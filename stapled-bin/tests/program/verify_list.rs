//! `stapled verify --list`: a line of JSON for each line, whatever the others hold.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use serde_json::Value;
use stapled_ca::ocsp::{HashAlgorithm, ResponseBuilder};

use crate::world::{Ended, PATIENCE, Running, World};

/// Files of a good and a revoked certificate, and of an expired response.
fn files() -> World {
    let world = World::new();
    let issued = world.issue("a.pem", &world.profile("a.example"));
    let id = world.ca.cert_id(issued.serial(), HashAlgorithm::Sha1);
    fs::write(world.path("issuer.pem"), world.ca.certificate_pem()).unwrap();
    let save = |name: &str, builder: ResponseBuilder| fs::write(world.path(name), builder.build().unwrap()).unwrap();
    save("good one.der", ResponseBuilder::new(&world.ca).good(&id));
    save("revoked.der", ResponseBuilder::new(&world.ca).revoked(&id, 1_700_000_000, None));
    save("old.der", ResponseBuilder::new(&world.ca).good(&id).this_update(1_800_000_000).next_update(1_800_003_600));
    world
}

fn verify(world: &World, list: &str, more: &[&str]) -> Ended {
    fs::write(world.path("list"), list).unwrap();
    world.run(&[&["verify", "--list", "list"], more].concat())
}

fn objects(ended: &Ended) -> Vec<Value> {
    ended.out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

#[test]
fn each_line_has_a_verdict_that_names_it_and_the_worst_decides() {
    let world = files();
    let good = "\"good one.der\" certs/a.pem issuer.pem";
    let list = format!(
        "# response, certificate, issuer, time\n\n{good}\ngood one.der\tcerts/a.pem\tissuer.pem\nrevoked.der certs/a.pem issuer.pem -\n\
         old.der certs/a.pem issuer.pem 1800000060\nold.der certs/a.pem issuer.pem 2027-01-15T08:01:00Z\n"
    );
    let ended = verify(&world, &list, &[]);
    let objects_ = objects(&ended);
    let words: Vec<_> =
        objects_.iter().map(|one| (one["line"].as_u64().unwrap(), one["status"].as_str().unwrap_or("-"))).collect();
    assert_eq!(words, [(3, "good"), (4, "good"), (5, "revoked"), (6, "good"), (7, "good")], "{ended:?}");
    assert_eq!(objects_[0]["input"], good);
    assert_eq!(ended.code, 10, "{ended:?}");

    let list = format!(
        "nowhere.der certs/a.pem issuer.pem\nx y\n{good} soon\n\"open certs/a.pem\n{}\n{good}",
        "x".repeat(100_000)
    );
    let ended = verify(&world, &list, &[]);
    let reasons: Vec<_> =
        objects(&ended).iter().map(|one| one["reason"].as_str().unwrap_or("good").to_owned()).collect();
    assert_eq!(reasons, ["unreadable_file", "malformed", "malformed", "malformed", "malformed", "good"], "{ended:?}");
    assert_eq!(ended.code, 20);
    assert_eq!(verify(&world, &format!("{good}\n"), &[]).code, 0);
    let ended = verify(&world, &format!("{good}\n"), &["--at", "1000000000"]);
    assert_eq!((ended.code, objects(&ended)[0]["reason"].as_str()), (20, Some("not_yet_valid")), "{ended:?}");
    for arguments in
        [&["verify", "--list", "nowhere"][..], &["verify", "--list", "list", "--cert", "x"], &["verify", "--cert", "x"]]
    {
        assert_eq!(world.run(arguments).code, 2, "{arguments:?}");
    }
}

#[test]
fn verdicts_come_while_the_list_is_written() {
    let world = files();
    let mut command = world.command(&["verify", "--list", "-"]);
    command.stdin(Stdio::piped());
    let mut running = Running::start(command);
    for number in 1..=3 {
        let stdin = running.stdin().as_mut().unwrap();
        stdin.write_all(b"\"good one.der\" certs/a.pem issuer.pem\n").unwrap();
        stdin.flush().unwrap();
        running.line(&format!("{{\"line\":{number},"));
    }
    drop(running.stdin().take());
    assert_eq!(running.end(PATIENCE).code, 0);
}
