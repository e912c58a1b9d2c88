//! Tests of staple files: complete at any moment, with the right modes, and read again.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use stapled_ca::lab::Lab;
use stapled_core::ocsp::OcspResponse;
use stapled_tests::{Cert, Stapled, World, wait_until};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Checks that every existing staple file is a complete response about its certificate.
fn assert_whole(certs: &[Cert], when: &str) {
    for cert in certs {
        let Some(bytes) = cert.staple_file() else { continue };
        let response = OcspResponse::from_der(&bytes);
        let Ok(OcspResponse::Basic(basic)) = response else { panic!("{when}: {} is not whole", cert.host) };
        assert_eq!(basic.responses.len(), 1, "{when}: {}", cert.host);
    }
    // The file that was being written at the kill has another name, which no server reads.
    for name in World::listing(certs[0].path.parent().unwrap()) {
        let is_unfinished = name.starts_with('.') && name.ends_with(".tmp");
        assert!(is_unfinished || name.ends_with(".pem") || name.ends_with(".pem.ocsp"), "{when}: {name}");
    }
}

#[test]
fn staple_files_have_the_certificates_mode_and_leave_no_other_file() {
    let world = World::new();
    let lab = Lab::start([&world.ca]).unwrap();
    let (secret, shared) = (world.cert("secret", &lab.url()), world.cert("shared", &lab.url()));
    for (cert, mode) in [(&secret, 0o600), (&shared, 0o664)] {
        std::fs::set_permissions(&cert.path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let run = || Stapled::of(&world).certs([world.certs()]).args(["--one-off", "--no-recycle"]).run();
    let finished = run();
    assert_eq!(finished.code, 0, "{finished:?}");
    assert_eq!(mode(&secret.staple_path()), 0o600);
    assert_eq!(mode(&shared.staple_path()), 0o644, "nobody else may write it");
    let names = ["secret.pem", "secret.pem.ocsp", "shared.pem", "shared.pem.ocsp"];
    assert_eq!(World::listing(&world.certs()), names);

    // The mode that an administrator set is kept when the file is replaced.
    std::fs::set_permissions(secret.staple_path(), std::fs::Permissions::from_mode(0o640)).unwrap();
    let before = secret.staple_file();
    let finished = run();
    assert_eq!(finished.code, 0, "{finished:?}");
    assert_ne!(secret.staple_file(), before);
    assert_eq!(mode(&secret.staple_path()), 0o640);
    assert_eq!(World::listing(&world.certs()), names);
}

/// A deployment replaces a whole directory by one without the files that were written into the old one.
#[test]
fn a_replaced_directory_gets_its_staples_again() {
    let world = World::new();
    let lab = Lab::start([&world.ca]).unwrap();
    let certs: Vec<Cert> = (0..3).map(|number| world.cert(&format!("c{number}"), &lab.url())).collect();
    let stapled = Stapled::of(&world).certs([world.certs()]).args(["--minimum-interval", "1"]).start();
    certs.iter().for_each(|cert| drop(cert.wait_for_file()));
    lab.forget_requests();
    let (new, old) = (world.path("new"), world.path("old"));
    std::fs::create_dir(&new).unwrap();
    for cert in &certs {
        std::fs::copy(&cert.path, new.join(cert.path.file_name().unwrap())).unwrap();
    }
    std::fs::rename(world.certs(), &old).unwrap();
    std::fs::rename(&new, world.certs()).unwrap();
    certs.iter().for_each(|cert| drop(cert.wait_for_file()));
    // The same for one file that is removed.
    std::fs::remove_file(certs[0].staple_path()).unwrap();
    certs[0].wait_for_file();
    // The removal may be due to a known revocation, so the CA has been asked once for each certificate.
    assert_eq!(lab.requests().len(), certs.len() + 1);
    stapled.stop();
}

#[test]
fn kept_staples_are_used_again_unless_an_option_forbids_it() {
    let world = World::new();
    let lab = Lab::start([&world.ca]).unwrap();
    let certs: Vec<Cert> = (0..5).map(|number| world.cert(&format!("c{number}"), &lab.url())).collect();
    let run = |extra: &[&str]| {
        lab.forget_requests();
        let finished = Stapled::of(&world).certs([world.certs()]).args(["--one-off"]).args(extra).run();
        assert_eq!(finished.code, 0, "{finished:?}");
        lab.requests().len()
    };
    assert_eq!(run(&[]), 5);
    let kept: Vec<_> = certs.iter().map(Cert::staple_file).collect();
    assert_eq!(run(&[]), 0);
    assert_eq!(certs.iter().map(Cert::staple_file).collect::<Vec<_>>(), kept);
    assert_eq!(run(&["--no-recycle"]), 5);
    // Files on the disk are trusted no more than the network.
    std::fs::write(certs[0].staple_path(), certs[1].staple_file().unwrap()).unwrap();
    let mut damaged = certs[2].staple_file().unwrap();
    *damaged.last_mut().unwrap() ^= 1;
    std::fs::write(certs[2].staple_path(), damaged).unwrap();
    std::fs::write(certs[3].staple_path(), b"").unwrap();
    assert_eq!(run(&[]), 3);
    assert_whole(&certs, "in the end");
    assert_eq!(run(&[]), 0);
}

#[test]
fn one_pass_asks_when_the_daemon_would_and_keeps_staples_after_a_failure() {
    let world = World::new();
    // The answer was produced in advance, two hours ago, and is good for a week.
    let lab = Lab::builder()
        .authority(&world.ca)
        .backdate(Duration::from_secs(2 * 3600))
        .validity(Duration::from_secs(7 * 86_400))
        .start()
        .unwrap();
    let cert = world.cert("a", &lab.url());
    let run = |extra: &[&str]| {
        lab.forget_requests();
        let finished = Stapled::of(&world).certs([world.certs()]).args(["--one-off"]).args(extra).run();
        (finished.code, lab.requests().len())
    };
    assert_eq!(run(&[]), (0, 1));
    assert_eq!(run(&[]), (0, 1), "it is older than an hour");
    assert_eq!(run(&["--maximum-interval", "86400"]), (0, 0));
    let kept = cert.staple_file();
    drop(lab);
    let finished = Stapled::of(&world).certs([world.certs()]).args(["--one-off"]).run();
    assert_eq!(finished.code, 1, "{finished:?}");
    assert!(kept.is_some() && cert.staple_file() == kept);
}

#[test]
fn a_kill_at_any_instant_leaves_complete_files() {
    let world = World::new();
    let lab = Lab::start([&world.ca]).unwrap();
    let certs: Vec<Cert> = (0..40).map(|number| world.cert(&format!("c{number}"), &lab.url())).collect();
    let written = || certs.iter().filter(|cert| cert.staple_file().is_some()).count();

    // The duration of a whole pass, so that later passes can be killed in the middle.
    let stapled = Stapled::of(&world).certs([world.certs()]);
    let start = Instant::now();
    let stapled = stapled.start();
    wait_until("all files are written", || written() == certs.len());
    let pass = start.elapsed();
    stapled.kill();

    let mut partly = 0;
    for round in 0..rounds() {
        let when = format!("killed in round {round}");
        // Every other round starts without files: they are created, not replaced.
        if round % 2 == 0 {
            certs.iter().for_each(|cert| drop(std::fs::remove_file(cert.staple_path())));
        }
        let stapled = Stapled::of(&world).certs([world.certs()]).args(["--no-recycle"]).start();
        std::thread::sleep(instant(pass, round));
        stapled.kill();
        assert_whole(&certs, &when);
        partly += usize::from((1..certs.len()).contains(&written()));
    }
    assert!(partly > 0, "no round was cut off in the midst: this proves nothing");

    // Staples that were written before the end are not requested again.
    certs.iter().skip(certs.len() / 2).for_each(|cert| drop(std::fs::remove_file(cert.staple_path())));
    let kept: Vec<_> =
        certs.iter().filter(|cert| cert.staple_file().is_some()).map(|cert| cert.issued.serial()).collect();
    lab.forget_requests();
    let finished = Stapled::of(&world).certs([world.certs()]).args(["--one-off"]).run();
    assert_eq!(finished.code, 0, "{finished:?}");
    assert_eq!(lab.requests().len(), certs.len() - kept.len());
    assert!(kept.iter().all(|serial| lab.requests_for(serial) == 0));
}

/// The number of kills; larger under `make prove`.
fn rounds() -> u32 {
    if stapled_tests::is_full_proof() { 200 } else { 20 }
}

/// A random instant during a pass or shortly after it, spread over all parts of the pass.
fn instant(pass: Duration, round: u32) -> Duration {
    let chance = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().subsec_nanos() % 1000;
    pass * (round * 1000 + chance) / 18_000
}
