//! Tests of a running HAProxy alone: `stapled` knows only its socket, and HAProxy's own configuration explains the
//! loaded certificates.

use std::fs;
use std::path::Path;

use serde_json::Value;
use stapled_ca::Profile;
use stapled_ca::lab::Lab;
use stapled_tests::{
    Cert, Haproxy, LONG, Stapled, StapledCommand, World, has_stores, wait_for, wait_until, with_each_haproxy,
};

/// Writes the file of a certificate without the chain.
fn make_lonely(cert: &Cert) {
    fs::write(&cert.path, cert.issued.certificate_pem() + &cert.issued.key_pem()).unwrap();
}

fn issuer(cert: &Cert) -> String {
    let bundle = cert.issued.bundle_pem();
    bundle.replace(&cert.issued.certificate_pem(), "").replace(&cert.issued.key_pem(), "")
}

/// The output of `stapled check` with this argument: its exit code, and an object for each certificate.
fn check(world: &World, by: &str, with: &Path) -> (i32, Vec<Value>) {
    let finished = Stapled::asked(world).args(["check", "--config", "empty.conf", "--json", by]).args([with]).run();
    let objects = finished.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (finished.code, objects)
}

fn names(objects: &[Value]) -> Vec<&str> {
    objects.iter().map(|object| object["certificate"].as_str().unwrap()).collect()
}

/// Both certificates get their staples. In this folder, only one has a staple file, and HAProxy then starts with it.
fn expect_one_file(folder: &Path, haproxy: &mut Haproxy, stapled: Stapled, short: &Cert, lonely: &Cert) {
    haproxy.wait_for_staple(short);
    haproxy.wait_for_staple(lonely);
    wait_for("the file", || fs::read(folder.join("short.ocsp")).ok());
    stapled.stop();
    let responses: Vec<String> = World::listing(folder).into_iter().filter(|name| name.ends_with(".ocsp")).collect();
    assert_eq!(responses, ["short.ocsp"]);
    haproxy.restart();
    assert!(haproxy.staple(short).is_some());
    assert!(haproxy.staple(lonely).is_none());
}

/// Staple files are where this HAProxy looks for them, but not where they would prevent its start: beside a certificate
/// whose issuer HAProxy does not look for.
#[test]
fn haproxy_starts_again_with_what_it_looks_for() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let folder = world.path("loaded");
        fs::create_dir(&folder).unwrap();
        let issue = |name: &str| world.issue(&folder.join(name), |profile| profile.ocsp_url(lab.url()));
        let (short, lonely, client) = (issue("short.crt"), issue("lonely.pem"), issue("client.pem"));
        [&short, &client].iter().for_each(|cert| cert.write());
        make_lonely(&lonely);
        // The configuration tells HAProxy not to look for it.
        fs::write(folder.join("lonely.pem.issuer"), issuer(&short)).unwrap();
        let mut haproxy = Haproxy::of(binary, &world, "a")
            .configuration(
                "global\n  stats socket @ADMIN level admin\n  crt-base @D/loaded\n  ssl-load-extra-files ocsp\n  \
                 ssl-load-extra-del-ext\n@DEFAULTSfrontend tls\n  bind unix@@TLS ssl crt short.crt crt lonely.pem\n\
                 backend b\n  server s 127.0.0.1:1 ssl verify none crt client.pem\n",
            )
            .start();

        // Certificates for connections to servers need no staple, whatever lists them.
        for (by, with) in [("--haproxy-sockets", haproxy.socket()), ("--haproxy-config", haproxy.configuration_file())]
        {
            let (code, objects) = check(&world, by, &with);
            assert_eq!(code, 0, "{by}: {objects:?}");
            assert_eq!(names(&objects), [lonely.name(), short.name()], "{by}");
            let staple = folder.join("short.ocsp");
            assert_eq!(objects[1]["staple_file"].as_str(), staple.to_str(), "{by}");
        }

        let stapled = Stapled::of(&world).sockets([haproxy.socket()]).start();
        expect_one_file(&folder, &mut haproxy, stapled, &short, &lonely);
        assert_eq!(lab.requests().len(), 2);
    });
}

/// The same with paths: HAProxy's configuration, which its socket names, says where HAProxy looks beside them.
#[test]
fn certificates_in_paths_are_read_as_haproxy_reads_them() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let folder = world.path("loaded");
        fs::create_dir(&folder).unwrap();
        let issue = |name: &str| world.issue(&folder.join(name), |profile| profile.ocsp_url(lab.url()));
        let (short, lonely) = (issue("short.crt"), issue("lonely.pem"));
        short.write();
        make_lonely(&lonely);
        // The configuration tells HAProxy not to look for it.
        fs::write(folder.join("lonely.issuer"), issuer(&short)).unwrap();
        fs::write(folder.join("lonely.pem.issuer"), issuer(&short)).unwrap();
        let mut haproxy = Haproxy::of(binary, &world, "a")
            .configuration(
                "global\n  stats socket @ADMIN level admin\n  ssl-load-extra-files ocsp\n  ssl-load-extra-del-ext\n\
                 @DEFAULTSfrontend tls\n  bind unix@@TLS ssl crt @D/loaded/short.crt crt @D/loaded/lonely.pem\n",
            )
            .start();
        let finished = Stapled::asked(&world)
            .args(["check", "--config", "empty.conf", "--json", "--cert-paths"])
            .args([&folder])
            .args(["--haproxy-sockets".as_ref(), haproxy.socket().as_os_str()])
            .run();
        let staple_file = format!("\"staple_file\":\"{}\"", folder.join("short.ocsp").display());
        assert!(finished.code == 0 && finished.out.contains(&staple_file), "{finished:?}");

        let stapled = Stapled::of(&world).certs([&folder]).sockets([haproxy.socket()]).start();
        expect_one_file(&folder, &mut haproxy, stapled, &short, &lonely);
        assert_eq!(lab.requests().len(), 2);
    });
}

/// Names of a store contain no file, and a chain may be in another place: the configuration has both.
#[test]
fn certificates_are_found_by_the_names_of_a_store_and_their_issuer_in_a_directory_of_chains() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let folder = world.path("store");
        let chains = world.path("chains");
        [&folder, &chains].iter().for_each(|folder| fs::create_dir(folder).unwrap());
        let issue = |name: &str| world.issue(&folder.join(name), |profile| profile.ocsp_url(lab.url()));
        let (named, other) = (issue("named.pem"), issue("other.pem"));
        [&named, &other].iter().for_each(|cert| make_lonely(cert));
        fs::write(chains.join("ca.pem"), issuer(&named)).unwrap();
        let (store, words) = match has_stores(binary) {
            true => ("crt-store web\n  crt-base \"${STORE}\"\n  load crt named.pem alias x\n", "crt @web/x"),
            false => ("", "crt named.pem"),
        };
        let mut haproxy = Haproxy::of(binary, &world, "a")
            .configuration(&format!(
                "global\n  stats socket @ADMIN level admin\n  setenv STORE @D/store\n  crt-base @D/store\n  \
                 issuers-chain-path @D/chains\n@DEFAULTS{store}frontend tls\n  bind unix@@TLS ssl {words} crt other.pem\n"
            ))
            .start();
        let (code, objects) = check(&world, "--haproxy-sockets", &haproxy.socket());
        assert_eq!(code, 0, "{objects:?}");
        let files: Vec<_> = objects.iter().map(|object| object["file"].as_str().unwrap()).collect();
        assert!(files.contains(&named.name()) && files.contains(&other.name()), "{files:?}");

        let stapled = Stapled::of(&world).sockets([haproxy.socket()]).start();
        haproxy.wait_for_staple(&named);
        haproxy.wait_for_staple(&other);
        wait_for("the file", || other.staple_file());
        stapled.stop();
        haproxy.restart();
        assert!(haproxy.staple(&other).is_some());
        // A store has only the files that are named.
        assert_eq!(haproxy.staple(&named).is_some(), !has_stores(binary));
    });
}

/// A certificate that another version of HAProxy would load instead is not a problem for the operator. Without a
/// running HAProxy, both are shown.
#[test]
fn certificates_under_a_condition_may_be_absent() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let (one, other) = (world.cert_with("one", |profile| profile), world.cert_with("other", |profile| profile));
        let haproxy = Haproxy::of(binary, &world, "a")
            .configuration(&format!(
                "global\n  stats socket @ADMIN level admin\n@DEFAULTSfrontend tls\n.if version_atleast(2.4)\n  bind unix@@TLS ssl \
                 crt {}\n.else\n  bind unix@@TLS ssl crt {}\n.endif\n",
                one.name(),
                other.name()
            ))
            .start();
        let (code, objects) = check(&world, "--haproxy-config", &haproxy.configuration_file());
        assert_eq!((code, names(&objects)), (0, vec![one.name()]), "{objects:?}");
        let file = haproxy.configuration_file();
        drop(haproxy);
        let (code, objects) = check(&world, "--haproxy-config", &file);
        assert_eq!((code, names(&objects)), (1, vec![one.name(), other.name()]), "{objects:?}");
    });
}

/// The running HAProxy decides questions that its configuration leaves open: a certificate gets no staple until HAProxy
/// has loaded it.
#[test]
fn the_running_haproxy_decides_undecided_conditions() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let (one, other) = (world.cert("one", &lab.url()), world.cert("other", &lab.url()));
        let text = |condition: &str| {
            format!(
                "global\n  stats socket @ADMIN level admin\n@DEFAULTSfrontend tls\n.if version_atleast({condition})\n  bind \
                 unix@@TLS ssl crt {}\n.else\n  bind unix@@TLS ssl crt {}\n.endif\n",
                one.name(),
                other.name()
            )
        };
        let mut haproxy = Haproxy::of(binary, &world, "a").configuration(&text("2.4")).start();
        let by_configuration = || Stapled::of(&world).args(["--haproxy-config".into(), haproxy.configuration_file()]);
        let stapled = by_configuration().start();
        haproxy.wait_for_staple(&one);
        // Both certificates, which may be needed, are asked for at once. Then HAProxy has decided.
        stapled.wait_for_line(&["event=scanned", "haproxy-a.cfg", "1 files", "1 gone"]);
        let finished = by_configuration().args(["--one-off"]).run();
        assert_eq!(finished.code, 0, "{finished:?}");

        haproxy.restart_with(&text("99.9"));
        haproxy.wait_for_staple(&other);
        stapled.wait_for_line(&["event=scanned", "haproxy-a.cfg", "1 files", "1 new", "1 gone"]);
        stapled.stop();
    });
}

/// `--ignore` counts in every mode: an ignored certificate gets no staple, by no sink, and no list has it.
#[test]
fn ignored_certificates_are_left_alone_in_every_mode() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let folder = world.path("certs");
        fs::create_dir_all(folder.join("old")).unwrap();
        let [wanted, ignored, old] = ["a.pem", "b.pem", "old/c.pem"].map(|name| {
            let cert = world.issue(&folder.join(name), |profile| profile.ocsp_url(lab.url()));
            cert.write();
            cert
        });
        let haproxy = Haproxy::of(binary, &world, "a")
            .bind(&format!("crt {} crt {}", folder.display(), old.path.display()))
            .start();
        let (socket, configuration) = (haproxy.socket(), haproxy.configuration_file());
        let ignoring = ["-i", "b.pem", "-i", "old/"];
        let modes = [
            [Path::new("-s"), &socket].to_vec(),
            [Path::new("--haproxy-config"), &configuration].to_vec(),
            [Path::new("-p"), &folder, Path::new("-s"), &socket].to_vec(),
        ];
        for arguments in &modes {
            let command = Stapled::asked(&world).args(["check", "--config", "empty.conf", "--json"]);
            let finished = command.args(ignoring).args(arguments).run();
            let objects = finished.out.lines().map(|line| serde_json::from_str(line).unwrap());
            let objects: Vec<Value> = objects.collect();
            assert_eq!((finished.code, names(&objects)), (0, vec![wanted.name()]), "{arguments:?}: {finished:?}");

            let finished = Stapled::of(&world).args(["--one-off", "--json"]).args(ignoring).args(arguments).run();
            assert_eq!(finished.code, 0, "{finished:?}");
            assert!(finished.out.contains(wanted.name()), "{finished:?}");
            for other in [&ignored, &old] {
                assert!(!finished.out.contains(other.name()), "{finished:?}");
                assert!(other.staple_file().is_none() && haproxy.staple(other).is_none(), "{arguments:?}");
            }
            assert!(haproxy.staple(&wanted).is_some());
        }
        // Without patterns, all of them are wanted.
        let finished = Stapled::of(&world).args(["--one-off", "--json"]).args(&modes[0]).run();
        assert!(finished.out.contains(ignored.name()) && finished.out.contains(old.name()), "{finished:?}");
        assert!(haproxy.staple(&ignored).is_some());
    });
}

/// HAProxy loads every file of a directory but for a few extensions. What it serves beside the files of the watched paths is
/// stapled if it lies below one of them, and told otherwise.
#[test]
fn what_haproxy_serves_beside_the_paths_is_stapled_or_told() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let [plain, shop, bank, org, other, private] =
            ["certs/a.pem", "certs/b.pem.rsa", "certs/bank.bundle", "certs/example.org", "q/other.pem", "q/none.pem"]
                .map(|name| {
                    let profile = |profile: Profile| match name {
                        "q/none.pem" => profile,
                        _ => profile.ocsp_url(lab.url()).must_staple(name.ends_with(".rsa")),
                    };
                    let cert = world.issue(&world.path(name), profile);
                    cert.write();
                    cert
                });
        let bind = format!("crt {} crt {} crt {}", world.certs().display(), other.name(), private.name());
        let haproxy = Haproxy::of(binary, &world, "a").bind(&bind).start();
        let socket = haproxy.socket();
        let command = |command: StapledCommand| command.certs([world.certs()]).sockets([&socket]);
        let check = || command(Stapled::asked(&world).args(["check", "--config", "empty.conf", "--json"]));

        let finished = check().run();
        let objects: Vec<Value> = finished.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let mut found = names(&objects);
        found.sort_unstable();
        let mut taken = [&plain, &shop, &bank, &org].map(Cert::name);
        taken.sort_unstable();
        assert_eq!((finished.code, found), (1, taken.to_vec()), "{finished:?}");
        let problems: Vec<&str> = finished.err.lines().filter(|line| line.contains("problem not_in_paths")).collect();
        assert!(problems.len() == 1 && problems[0].contains(other.name()), "{finished:?}");
        // Only a note for what needs none.
        assert!(finished.err.contains("none.pem"), "{finished:?}");

        // Each file is one place, and has one row.
        let finished = command(Stapled::of(&world).args(["--one-off", "--json"])).run();
        assert_eq!(finished.code, 1, "{finished:?}");
        let rows: Vec<Value> = finished.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for cert in [&plain, &shop, &bank, &org] {
            let row: Vec<&Value> = rows.iter().filter(|row| row["files"] == serde_json::json!([cert.name()])).collect();
            assert!(row.len() == 1 && row[0]["state"] == "good", "{finished:?}");
            assert!(haproxy.staple(cert).is_some() && cert.staple_file().is_some(), "{}", cert.name());
        }
        let untaken: Vec<&Value> = rows.iter().filter(|row| row["reason"] == "not_in_paths").collect();
        assert!(untaken.len() == 1 && untaken[0]["files"][0] == other.name(), "{finished:?}");
        assert!(haproxy.staple(&other).is_none());
        assert!(!finished.out.contains("none.pem"), "{finished:?}");

        // An ignored certificate is neither.
        let finished = command(Stapled::of(&world).args(["--one-off", "-i", "other.pem", "bank.bundle"])).run();
        assert_eq!(finished.code, 0, "{finished:?}");
        assert!(!finished.out.contains("bank"), "{finished:?}");
        assert_eq!(check().args(["-i", "other.pem"]).run().code, 0);

        // The daemon tells it once. It is over when a watched file holds the certificate, too.
        let stapled = command(Stapled::of(&world)).start();
        let told = ["event=source_problem", "not_in_paths", other.name()];
        assert!(stapled.wait_for_line_within(LONG, &told).contains("WARN"));
        let status = || Stapled::asked(&world).args(["status", "--json"]).run();
        assert!(status().out.contains("not_in_paths"));
        fs::copy(&other.path, world.certs().join("copy.pem")).unwrap();
        wait_until("the problem is over", || !status().out.contains("not_in_paths"));
        haproxy.wait_for_staple(&other);
        assert_eq!(stapled.lines(&told).len(), 1, "{}", stapled.log());
        stapled.stop();
    });
}
