//! HAProxys that do not start after a warning: what `stapled check` says of them is true, and `stapled clean` lets them start.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use stapled_ca::ocsp::{HashAlgorithm, ResponseBuilder};
use stapled_tests::{Cert, Ended, Haproxy, Stapled, World, with_each_haproxy};

/// Runs a command of `stapled` with these arguments.
fn run(world: &World, arguments: &[&str]) -> Ended {
    let command = arguments.iter().take(1).chain(&["--config", "empty.conf"]).chain(arguments.iter().skip(1));
    Stapled::asked(world).args(command).run()
}

fn staple_of(cert: &Cert) -> PathBuf {
    PathBuf::from(format!("{}.ocsp", cert.name()))
}

/// A response about this certificate.
fn response(cert: &Cert, hash: HashAlgorithm, adapt: impl FnOnce(ResponseBuilder, i64) -> ResponseBuilder) -> Vec<u8> {
    let id = cert.issuer.cert_id(cert.issued.serial(), hash);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let builder = ResponseBuilder::new(&cert.issuer).good(&id).this_update(now - 900).next_update(now + 86_400);
    adapt(builder, now).build().unwrap()
}

/// Whether HAProxy starts with this configuration.
fn starts(binary: &str, configuration: &Path) -> bool {
    Command::new(binary).arg("-c").arg("-f").arg(configuration).output().unwrap().status.success()
}

/// Each kind of file: `check` has a problem exactly where HAProxy does not start, and after `clean` it starts, unless the file
/// is no OCSP response.
#[test]
fn check_knows_what_haproxy_refuses_and_clean_removes_it() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let cert = world.cert("a", "http://127.0.0.1:9/");
        let other = world.issue(&world.path("other.pem"), |profile| profile.ocsp_url("http://127.0.0.1:9/"));
        let sha1 =
            |adapt: &dyn Fn(ResponseBuilder, i64) -> ResponseBuilder| response(&cert, HashAlgorithm::Sha1, adapt);
        let text = format!(
            "global\n zero-warning\nfrontend f\n mode http\n timeout client 9s\n bind unix@{} ssl crt {}\n",
            world.path("tls").display(),
            cert.name()
        );
        fs::write(world.path("strict.cfg"), text).unwrap();
        for (what, contents, is_removed) in [
            ("good", sha1(&|response, _| response), false),
            ("expired", sha1(&|response, now| response.next_update(now - 600)), true),
            ("other certificate", response(&other, HashAlgorithm::Sha1, |response, _| response), true),
            ("other hash", response(&cert, HashAlgorithm::Sha256, |response, _| response), true),
            ("try later", vec![0x30, 3, 0x0a, 1, 3], true),
            ("empty", Vec::new(), true),
            ("large", vec![b'x'; 20_000], false),
            ("no response", b"a note".to_vec(), false),
        ] {
            fs::write(staple_of(&cert), contents).unwrap();
            let before = starts(binary, &world.path("strict.cfg"));
            assert_eq!(before, what == "good", "{what}");
            let of_configuration = ["--haproxy-config", "strict.cfg", "--no-haproxy-sockets"];
            let checked = run(&world, &[&["check"], &of_configuration[..]].concat());
            assert_eq!(checked.code == 0, before, "{what}: {checked:?}");
            assert_eq!(
                checked.out.contains("HAProxy refuses to start and to reload with it"),
                !before,
                "{what}: {checked:?}"
            );
            let cleaned = run(&world, &[&["clean"], &of_configuration[..]].concat());
            let after = starts(binary, &world.path("strict.cfg"));
            assert_eq!((cleaned.code == 0, after), (before || is_removed, before || is_removed), "{what}: {cleaned:?}");
            assert_eq!(staple_of(&cert).exists(), !is_removed, "{what}: {cleaned:?}");
        }
    });
}

/// A running HAProxy that has the option on its command line alone.
#[test]
fn the_option_of_a_running_haproxy_is_known() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let cert = world.cert("a", "http://127.0.0.1:9/");
        let haproxy = Haproxy::of(binary, &world, "").arguments(["-dW"]).start();
        fs::write(
            staple_of(&cert),
            response(&cert, HashAlgorithm::Sha1, |response, now| response.next_update(now - 9)),
        )
        .unwrap();
        let checked = run(&world, &["check", "-s", haproxy.socket().to_str().unwrap()]);
        assert_eq!(checked.code, 1, "{checked:?}");
        assert!(
            checked.out.contains("refuses to start and to reload with it (`-dW` on its command line)"),
            "{checked:?}"
        );
        // As before a reload after a renewal.
        let cleaned = run(&world, &["clean", "-s", haproxy.socket().to_str().unwrap()]);
        assert_eq!((cleaned.code, staple_of(&cert).exists()), (0, false), "{cleaned:?}");
    });
}
