//! Tests of `stapled check`: its statements about HAProxy are true, and it changes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use stapled_ca::lab::Lab;
use stapled_tests::{Cert, Ended, Haproxy, Stapled, World, has_stores, wait_for, with_each_haproxy};

/// Runs a check with these arguments.
fn check<A: AsRef<std::ffi::OsStr>>(world: &World, arguments: impl IntoIterator<Item = A>) -> Ended {
    Stapled::asked(world).args(["check", "--config", "empty.conf"]).args(arguments).run()
}

/// Runs a check of this HAProxy's configuration. Returns the exit code and the JSON objects.
fn check_configuration(world: &World, haproxy: &Haproxy) -> (i32, Vec<Value>) {
    as_json(&check(world, ["--json".as_ref(), "--haproxy-config".as_ref(), haproxy.configuration_file().as_os_str()]))
}

fn as_json(finished: &Ended) -> (i32, Vec<Value>) {
    let object = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    (finished.code, finished.out.lines().map(object).collect())
}

/// The reasons of an object's problems that need the operator.
fn reasons(object: &Value) -> Vec<&str> {
    let problems = object["problems"].as_array().unwrap_or_else(|| panic!("{object}"));
    let needing = problems.iter().filter(|problem| problem["needs_operator"] == true);
    let mut reasons: Vec<&str> = needing.map(|problem| problem["reason"].as_str().unwrap()).collect();
    assert_eq!(object["needs_operator"], !reasons.is_empty(), "{object}");
    for problem in problems {
        assert!(problem["what"].as_str().is_some_and(|what| !what.is_empty()), "{problem}");
        let has_remedy = problem["remedy"].as_str().is_some_and(|remedy| !remedy.is_empty());
        assert!(has_remedy || problem["needs_operator"] == false, "{problem}");
    }
    reasons.sort_unstable();
    reasons
}

fn object_of<'a>(objects: &'a [Value], cert: &Cert) -> &'a Value {
    let name = cert.name();
    objects.iter().find(|object| object["certificate"] == name).unwrap_or_else(|| panic!("{name}: {objects:?}"))
}

/// The names that HAProxy lists.
fn listed(haproxy: &Haproxy) -> Vec<String> {
    let list = haproxy.ask("show ssl cert");
    let names = list.lines().filter(|line| !line.is_empty() && !line.starts_with(['#', '*']));
    let mut names: Vec<String> = names.map(str::to_owned).collect();
    names.sort();
    names
}

/// HAProxy's complete output about certificates and responses.
fn shown(haproxy: &Haproxy) -> String {
    let names = listed(haproxy);
    let certificates = names.iter().map(|name| haproxy.ask(&format!("show ssl cert {name}")));
    certificates.chain([haproxy.ask("show ssl cert"), haproxy.ask("show ssl ocsp-response")]).collect()
}

/// Every file below a directory, with its metadata and contents. HAProxy's logs are left out.
fn tree(directory: &Path) -> BTreeMap<PathBuf, (u64, u32, i64, i64, Vec<u8>)> {
    let mut tree = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        if metadata.is_dir() {
            tree.extend(self::tree(&path));
        }
        if path.extension().is_some_and(|extension| extension == "log") {
            continue;
        }
        let contents = if metadata.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        let facts = (metadata.ino(), metadata.mode(), metadata.mtime(), metadata.mtime_nsec(), contents);
        tree.insert(path, facts);
    }
    tree
}

/// Removes the chain from a certificate's file.
fn make_lonely(cert: &Cert) {
    fs::write(&cert.path, cert.issued.certificate_pem() + &cert.issued.key_pem()).unwrap();
}

fn beside(cert: &Cert, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", cert.name()))
}

/// Nothing needs the operator, before and after a run of `stapled`. The names are HAProxy's, nothing is changed, and no
/// CA is asked.
#[test]
fn a_correct_setup_has_no_problems_and_is_not_changed() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let plain = world.cert("plain", &lab.url());
        let must = world.cert_with("must", |profile| profile.ocsp_url(lab.url()).must_staple(true));
        let lonely = world.cert("lonely", &lab.url());
        make_lonely(&lonely);
        let without_url = world.cert_with("without-url", |profile| profile);
        let haproxy = Haproxy::of(binary, &world, "a").start();
        let before = (tree(&world.path("")), shown(&haproxy));

        let (code, objects) = check_configuration(&world, &haproxy);
        assert_eq!(code, 0, "{objects:?}");
        let mut names: Vec<&str> = objects.iter().map(|object| object["certificate"].as_str().unwrap()).collect();
        names.sort_unstable();
        assert_eq!(names, listed(&haproxy));
        let socket = haproxy.socket().display().to_string();
        for (cert, found_in, by_haproxy, first) in [
            (&plain, Some(plain.name()), true, "yes"),
            (&must, Some(must.name()), true, "yes"),
            (&lonely, None, false, "yes"),
            (&without_url, Some(without_url.name()), true, "not_needed"),
        ] {
            let object = object_of(&objects, cert);
            assert_eq!(object["file"], cert.name());
            assert_eq!(object["name"], cert.host);
            assert_eq!(object["sockets"], serde_json::json!([socket]));
            assert_eq!(object["issuer"], "CN=Test CA");
            match found_in {
                Some(found_in) => assert_eq!(object["issuer_found_in"], found_in),
                None => {
                    assert!(object["issuer_found_in"].as_str().unwrap().starts_with(world.certs().to_str().unwrap()))
                }
            }
            assert_eq!(object["issuer_found_by_haproxy"], by_haproxy, "{object}");
            assert_eq!(object["must_staple"], cert.host == must.host);
            let has_url = cert.host != without_url.host;
            assert_eq!(object["ocsp_urls"].as_array().unwrap().len(), usize::from(has_url));
            assert_eq!(object["first_staple"], first, "{object}");
            assert_eq!(object["staple"], Value::Null);
            assert_eq!(reasons(object), [""; 0], "{object}");
        }
        // The text output, for every other way to name certificates.
        let config = haproxy.configuration_file().display().to_string();
        let certs = world.certs().display().to_string();
        for arguments in [
            vec!["--haproxy-config", &config],
            vec!["--haproxy-sockets", &socket],
            vec!["--cert-paths", &certs, "--haproxy-sockets", &socket],
            vec!["--haproxy-config", &config, "--cert-paths", &certs, "--haproxy-sockets", &socket],
            vec!["--cert-paths", &certs],
        ] {
            let finished = check(&world, &arguments);
            // Without a socket, HAProxy never gets a staple for the certificate without a chain.
            let expected = i32::from(!arguments.iter().any(|argument| argument.starts_with("--haproxy")));
            assert_eq!(finished.code, expected, "{arguments:?}: {finished:?}");
            assert!(finished.out.contains(&format!("{}\n", plain.name())), "{finished:?}");
            let (_, mut objects) = as_json(&check(&world, arguments.iter().copied().chain(["--json"])));
            objects.retain(|object| object["file"] != lonely.name());
            assert_eq!(objects.len(), 3, "{arguments:?}");
            assert!(objects.iter().all(|object| reasons(object).is_empty()), "{arguments:?}: {objects:?}");
        }
        assert!(before == (tree(&world.path("")), shown(&haproxy)), "something has changed");
        assert_eq!(lab.requests().len(), 0, "the CA was asked");

        let finished = Stapled::of(&world).args(["--one-off", "--haproxy-config", &config]).run();
        assert_eq!(finished.code, 0, "{finished:?}");
        let before = (tree(&world.path("")), shown(&haproxy));
        let (code, objects) = check_configuration(&world, &haproxy);
        assert_eq!(code, 0, "{objects:?}");
        for cert in [&plain, &must] {
            let object = object_of(&objects, cert);
            assert_eq!((&object["first_staple"], &object["staple"]), (&"already".into(), &"good".into()), "{object}");
            assert!(object["staple_until"].is_string(), "{object}");
        }
        assert_eq!(object_of(&objects, &lonely)["first_staple"], "already");
        assert!(before == (tree(&world.path("")), shown(&haproxy)), "something has changed");
    });
}

/// The prediction about a first staple comes true.
#[test]
fn predictions_of_first_staples_are_right() {
    with_each_haproxy(|binary| {
        for level in ["admin", "operator"] {
            let world = World::new();
            let lab = Lab::start([&world.ca]).unwrap();
            let plain = world.cert("plain", &lab.url());
            let lonely = world.cert("lonely", &lab.url());
            make_lonely(&lonely);
            let misled = world.cert("misled", &lab.url());
            fs::write(beside(&misled, ".issuer"), plain.issued.certificate_pem()).unwrap();
            let known = world.cert("known", &lab.url());
            // With this file, HAProxy accepts responses from its start on. HAProxy 2.6 does so too, but does not report
            // it.
            fs::write(beside(&known, ".ocsp"), "").unwrap();
            let is_told = has_stores(binary);
            let haproxy = Haproxy::of(binary, &world, "a")
                .configuration(&format!(
                    "global\n  stats socket @ADMIN level {level}\n@DEFAULTSfrontend tls\n  bind unix@@TLS ssl crt @D/certs\n"
                ))
                .start();
            let (_, objects) = check_configuration(&world, &haproxy);
            let stapled = Stapled::of(&world)
                .args(["--one-off", "--no-staple-files", "--haproxy-config"])
                .args([haproxy.configuration_file()])
                .run();
            for cert in [&plain, &lonely, &misled, &known] {
                let foretold = object_of(&objects, cert)["first_staple"].as_str().unwrap();
                let is_known = cert.host == known.host;
                let expected = match level {
                    _ if is_known && is_told => "already",
                    "admin" => "yes",
                    _ => "no",
                };
                assert_eq!(foretold, expected, "{}", cert.host);
                let is_there = haproxy.staple(cert).is_some();
                assert_eq!(is_there, is_known || foretold != "no", "{}: {foretold}: {stapled:?}", cert.host);
            }
        }
    });
}

/// The defects of certificates and of the files beside them.
#[test]
fn defects_of_certificates_are_reported() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
        let url = lab.url();
        let fine = world.cert("fine", &url);
        let expired = world.cert_with("expired", |profile| profile.ocsp_url(&url).valid_between(now - 99, now - 9));
        let early = world.cert_with("early", |profile| profile.ocsp_url(&url).valid_between(now + 999, now + 9999));
        let must = world.cert_with("must", |profile| profile.must_staple(true));
        let misled = world.cert("misled", &url);
        fs::write(beside(&misled, ".issuer"), fine.issued.certificate_pem()).unwrap();
        let renewed = world.cert("renewed", &url);
        let gone = world.cert("gone", &url);
        let lonely = world.cert("lonely", &url);
        make_lonely(&lonely);
        let old = world.cert("old", &url);
        let haproxy = Haproxy::of(binary, &world, "a").start();
        // Changes that HAProxy does not know of:
        let in_its_place = world.renewal_of(&renewed, &url);
        in_its_place.write();
        fs::remove_file(&gone.path).unwrap();
        let new = world.cert("new", &url);
        fs::write(beside(&lonely, ".ocsp"), "").unwrap();
        fs::write(beside(&old, ".ocsp"), "rubbish").unwrap();

        let (code, objects) = check_configuration(&world, &haproxy);
        assert_eq!(code, 1);
        for (cert, expected) in [
            (&fine, ""),
            (&expired, "certificate_expired"),
            (&early, "certificate_not_yet_valid"),
            (&must, "must_staple_without_url"),
            (&misled, "wrong_issuer_file"),
            (&renewed, "served_differs"),
            (&gone, "unreadable_certificate"),
            (&new, "not_loaded"),
            (&lonely, "staple_without_issuer"),
            (&old, ""),
        ] {
            let object = object_of(&objects, cert);
            assert_eq!(reasons(object).join(" "), expected, "{object}");
        }
        assert_eq!(objects.len(), 10);
        let of_old = &object_of(&objects, &old)["problems"][0];
        assert_eq!((&of_old["reason"], &of_old["needs_operator"]), (&"staple_file_unusable".into(), &false.into()));
        // In the text output, problems for the operator come last, with the remedy.
        let words = check(&world, ["--haproxy-config".as_ref(), haproxy.configuration_file().as_os_str()]);
        assert_eq!(words.code, 1);
        let at = |text: &str| words.out.find(text).unwrap_or_else(|| panic!("{text}: {}", words.out));
        assert!(at(&format!("{}\n", fine.name())) < at("PROBLEM"));
        assert!(words.out.contains("10 certificates, of which 8 need you; "), "{}", words.out);
        // The running process alone gives the same report about the served certificates.
        let (code, objects) = as_json(&check(&world, ["--json".as_ref(), "-s".as_ref(), haproxy.socket().as_os_str()]));
        assert_eq!(code, 1);
        let mut names: Vec<&str> = objects.iter().map(|object| object["certificate"].as_str().unwrap()).collect();
        names.sort_unstable();
        assert_eq!(names, listed(&haproxy));
        assert_eq!(reasons(object_of(&objects, &renewed)), ["served_differs"]);
        assert_eq!(reasons(object_of(&objects, &gone)), ["unreadable_certificate"]);

        // The report about a response without an issuer is true.
        for cert in [&expired, &early, &must, &misled, &renewed, &old, &new] {
            fs::remove_file(&cert.path).unwrap();
        }
        let starts = || {
            let mut command = std::process::Command::new(binary);
            command.arg("-c").arg("-f").arg(haproxy.configuration_file()).current_dir(world.path(""));
            command.output().unwrap().status.success()
        };
        assert!(!starts(), "HAProxy would start after all");
        fs::remove_file(beside(&lonely, ".ocsp")).unwrap();
        assert!(starts());
    });
}

/// A file that this user may not read, though HAProxy, which started as another user, could: the file is named, and the
/// others are checked all the same.
#[test]
fn an_unreadable_file_is_reported() {
    let world = World::new();
    let lab = Lab::start([&world.ca]).unwrap();
    let (secret, open) = (world.cert("secret", &lab.url()), world.cert("open", &lab.url()));
    fs::set_permissions(&secret.path, fs::Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(&open.path, fs::Permissions::from_mode(0o644)).unwrap();
    let mut command = Stapled::asked(&world);
    // Root may read everything, so the check runs as another user.
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        fs::set_permissions(world.path(""), fs::Permissions::from_mode(0o755)).unwrap();
        command = command.by(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]);
    }
    let finished =
        command.args(["check", "--config", "empty.conf", "--json"]).args(["-p".as_ref(), world.certs().as_os_str()]);
    // A file that may not be written is reported too.
    fs::set_permissions(world.certs(), fs::Permissions::from_mode(0o555)).unwrap();
    let finished = finished.run();
    fs::set_permissions(world.certs(), fs::Permissions::from_mode(0o755)).unwrap();
    let (code, objects) = as_json(&finished);
    assert_eq!(code, 1);
    assert_eq!(reasons(object_of(&objects, &open)), ["no_permission"]);
    let object = object_of(&objects, &secret);
    assert_eq!(reasons(object), ["unreadable_file"]);
    let problem = &object["problems"][0];
    assert!(problem["what"].as_str().unwrap().contains("Permission denied"), "{problem}");
    assert!(problem["remedy"].as_str().unwrap().contains("let this user read it"), "{problem}");
}

/// Common mistakes: the wrong path, a level that is too low, no socket at all.
#[test]
fn common_mistakes_are_reported_with_a_remedy() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let cert = world.cert("a", &lab.url());
        let certs = world.certs();
        let text = |socket: &str| {
            format!(
                "global\n  stats socket @ADMIN level user\n{socket}@DEFAULTSfrontend tls\n  bind unix@@TLS ssl crt @D/certs\n"
            )
        };
        let mut haproxy = Haproxy::of(binary, &world, "a").configuration(&text("")).start();

        let nobody = world.path("nobody.sock");
        let finished = check(&world, ["-p".as_ref(), certs.as_os_str(), "-s".as_ref(), nobody.as_os_str()]);
        assert_eq!(finished.code, 1, "{finished:?}");
        assert!(finished.out.contains("PROBLEM      socket_missing: "), "{finished:?}");
        assert!(finished.out.contains("remedy     start HAProxy, and see that its configuration has"), "{finished:?}");
        assert!(finished.out.contains("first staple unknown (socket_missing)"), "{finished:?}");

        // At the level user, HAProxy does not even list its certificates.
        let (code, objects) = check_configuration(&world, &haproxy);
        assert_eq!((code, objects.len()), (1, 1));
        let object = object_of(&objects, &cert);
        assert_eq!((reasons(object), &object["first_staple"]), (vec!["permission_denied"], &"unknown".into()));
        let remedy = object["problems"][0]["remedy"].as_str().unwrap();
        assert!(remedy.contains("level admin"), "{remedy}");
        let socket = haproxy.socket().display().to_string();
        let finished = check(&world, ["-s", &socket, "--json"]);
        assert_eq!((finished.code, finished.out.as_str()), (1, ""), "{finished:?}");
        assert!(finished.err.starts_with("stapled: problem permission_denied: "), "{finished:?}");

        // At the level operator, HAProxy lists its certificates, and accepts no first staple.
        let file = haproxy.configuration_file();
        haproxy.restart_with(&text("  stats socket @D/operator.sock level operator\n"));
        let operator = world.path("operator.sock");
        for arguments in [
            ["-s".as_ref(), operator.as_os_str(), "--json".as_ref()],
            ["--haproxy-config".as_ref(), file.as_os_str(), "--json".as_ref()],
        ] {
            let (code, objects) = as_json(&check(&world, arguments));
            assert_eq!((code, objects.len()), (1, 1));
            let object = object_of(&objects, &cert);
            assert!(reasons(object).contains(&"socket_level"), "{object}");
            let problems = object["problems"].as_array().unwrap();
            let level = problems.iter().find(|problem| problem["reason"] == "socket_level").unwrap();
            assert!(level["remedy"].as_str().unwrap().contains("`level admin`"), "{level}");
        }

        // Without a socket, the report has the line to add.
        let without = world.path("without.cfg");
        fs::write(&without, format!("frontend tls\n  bind :1 ssl crt {}\n", certs.display())).unwrap();
        let finished = check(&world, ["--haproxy-config".as_ref(), without.as_os_str()]);
        assert_eq!(finished.code, 1, "{finished:?}");
        assert!(finished.out.contains("PROBLEM      no_admin_socket: "), "{finished:?}");
        assert!(
            finished.out.contains("remedy     add `stats socket /run/haproxy/admin.sock level admin` to `global`"),
            "{finished:?}"
        );

        // Arguments that cannot be checked at all.
        for (arguments, word) in [
            (vec!["--haproxy-config", "nowhere.cfg"], "cannot be read"),
            (vec![], "nothing to do"),
            (vec!["--haproxy-sockets", "fd@3"], "cannot be connected to"),
            (vec!["certs"], "unexpected argument"),
        ] {
            let finished = check(&world, &arguments);
            assert_eq!((finished.code, finished.out.as_str()), (2, ""), "{arguments:?}: {finished:?}");
            assert!(finished.err.contains(word), "{arguments:?}: {finished:?}");
        }
    });
}

/// An unfinished change of another program blocks deliveries. In quiet mode, only problems for the operator are
/// reported.
#[test]
fn an_unfinished_change_is_reported() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let cert = world.cert("a", &lab.url());
        let haproxy = Haproxy::of(binary, &world, "a").start();
        let file = haproxy.configuration_file();
        let quietly = || check(&world, ["--quiet".as_ref(), "--haproxy-config".as_ref(), file.as_os_str()]);
        let finished = quietly();
        assert_eq!((finished.code, &*finished.out, &*finished.err), (0, "", ""), "{finished:?}");
        let pem = fs::read_to_string(&cert.path).unwrap();
        let pem: String = pem.lines().filter(|line| !line.is_empty()).map(|line| format!("{line}\n")).collect();
        let reply = haproxy.ask(&format!("set ssl cert {} <<\n{pem}\n", cert.name()));
        assert!(reply.contains("Transaction created"), "{reply}");
        let before = shown(&haproxy);
        let (code, objects) = check_configuration(&world, &haproxy);
        assert_eq!(code, 1);
        let object = object_of(&objects, &cert);
        assert_eq!(reasons(object), ["foreign_transaction"]);
        assert_eq!(object["first_staple"], "no");
        let finished = quietly();
        assert_eq!((finished.code, &*finished.out), (1, ""), "{finished:?}");
        assert!(finished.err.starts_with("stapled: problem foreign_transaction: "), "{finished:?}");
        assert!(finished.err.contains(&format!("`abort ssl cert {}`", cert.name())), "{finished:?}");
        assert!(before == shown(&haproxy), "the change is not ours to end");
        haproxy.ask(&format!("abort ssl cert {}", cert.name()));
        assert_eq!(quietly().code, 0);
    });
}

/// The HAProxy behind a socket started with another configuration than the one that names the socket.
#[test]
fn a_configuration_other_than_the_running_one_is_reported() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let cert = world.cert("a", &lab.url());
        let haproxy = Haproxy::of(binary, &world, "a").start();
        let copy = world.path("copy.cfg");
        fs::copy(haproxy.configuration_file(), &copy).unwrap();
        let (code, objects) =
            as_json(&check(&world, ["--json".as_ref(), "--haproxy-config".as_ref(), copy.as_os_str()]));
        assert_eq!(code, 1);
        let object = object_of(&objects, &cert);
        assert_eq!(reasons(object), ["other_configuration"]);
        let problems = object["problems"].as_array().unwrap();
        let other = problems.iter().find(|problem| problem["reason"] == "other_configuration").unwrap();
        let what = other["what"].as_str().unwrap();
        let started_with =
            format!("started with {}, not with {}", haproxy.configuration_file().display(), copy.display());
        assert!(what.contains(&started_with), "{what}");
        // Another path to the same file is the same configuration.
        let link = world.path("link.cfg");
        std::os::unix::fs::symlink(haproxy.configuration_file(), &link).unwrap();
        let finished = check(&world, ["--haproxy-config".as_ref(), link.as_os_str()]);
        assert_eq!(finished.code, 0, "{finished:?}");
    });
}

/// Certificates with relative paths: the running HAProxy confirms the assumed base directory.
#[test]
fn relative_paths_are_confirmed_by_the_running_haproxy() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let cert = world.cert("a", &lab.url());
        let text =
            "global\n  stats socket @ADMIN level admin\n@DEFAULTSfrontend tls\n  bind unix@@TLS ssl crt certs/a.pem\n";
        let haproxy = Haproxy::of(binary, &world, "a").configuration(text).start();
        let file = haproxy.configuration_file();
        let arguments = ["--haproxy-config".as_ref(), file.as_os_str()];
        let finished = check(&world, arguments);
        assert_eq!(finished.code, 0, "{finished:?}");
        assert!(!finished.out.contains("relative_path"), "{finished:?}");
        let (_, objects) = check_configuration(&world, &haproxy);
        assert_eq!(objects[0]["certificate"], "certs/a.pem");
        assert_eq!(objects[0]["file"], cert.name());
        // A certificate that is given by its path is reported under HAProxy's name as well.
        let (code, objects) = as_json(&check(
            &world,
            ["--json".as_ref(), "-p".as_ref(), world.certs().as_os_str(), "-s".as_ref(), haproxy.socket().as_os_str()],
        ));
        assert_eq!((code, objects.len()), (0, 1));
        assert_eq!(objects[0]["certificate"], "certs/a.pem");

        // Relative paths start in HAProxy's working directory, whatever the check's own is.
        fs::create_dir(world.path("elsewhere")).unwrap();
        let elsewhere = || {
            Stapled::asked(&world)
                .by(["env", "-C", world.path("elsewhere").to_str().unwrap()])
                .args(["check", "--json", "--config", world.path("empty.conf").to_str().unwrap()])
                .args(arguments)
                .run()
        };
        let finished = elsewhere();
        assert_eq!(finished.code, 0, "{finished:?}");
        assert!(finished.out.contains(&format!("\"file\":\"{}\"", cert.name())), "{finished:?}");
        // Without a running HAProxy, they cannot be resolved.
        drop(haproxy);
        let finished = elsewhere();
        assert_eq!(finished.code, 1, "{finished:?}");
        assert!(finished.err.contains("crt_missing") && finished.err.contains("relative_path"), "{finished:?}");
    });
}

/// Names of a certificate store: the configuration has their files, for every way to name them. Without it, the report
/// has a remedy.
#[test]
fn names_of_a_certificate_store() {
    with_each_haproxy(|binary| {
        if !has_stores(binary) {
            return;
        }
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let cert = world.cert("a", &lab.url());
        fs::write(world.path("ca.pem"), world.ca.certificate_pem()).unwrap();
        make_lonely(&cert);
        let text = "global\n  stats socket @ADMIN level admin\ncrt-store web\n  load crt @D/certs/a.pem issuer @D/ca.pem \
                    alias mine\n@DEFAULTSfrontend tls\n  bind unix@@TLS ssl crt @web/mine\n";
        let haproxy = Haproxy::of(binary, &world, "a").configuration(text).start();
        let (code, objects) = check_configuration(&world, &haproxy);
        assert_eq!((code, objects.len()), (0, 1), "{objects:?}");
        let object = &objects[0];
        assert_eq!((&object["certificate"], &object["file"]), (&"@web/mine".into(), &cert.name().into()));
        assert_eq!(object["issuer_found_in"], world.path("ca.pem").to_str().unwrap());
        assert_eq!(object["first_staple"], "yes");
        let (code, objects) = as_json(&check(&world, ["--json".as_ref(), "-s".as_ref(), haproxy.socket().as_os_str()]));
        assert_eq!((code, reasons(&objects[0])), (0, vec![]));
        assert_eq!(objects[0]["file"], cert.name());
        // The configuration that HAProxy started with may be unreadable by now.
        fs::rename(haproxy.configuration_file(), world.path("moved.cfg")).unwrap();
        let (code, objects) = as_json(&check(&world, ["--json".as_ref(), "-s".as_ref(), haproxy.socket().as_os_str()]));
        match (code, &reasons(&objects[0])[..]) {
            (1, ["unreadable_certificate"]) => {
                let remedy = objects[0]["problems"][0]["remedy"].as_str().unwrap();
                assert!(remedy.contains("--haproxy-config"), "{objects:?}");
            }
            // Newer versions report the file themselves, but not the issuer's.
            told => assert_eq!((told, objects[0]["file"].as_str()), ((1, &["issuer_missing"][..]), Some(cert.name()))),
        }
    });
}

/// Behind a master, the current worker answers.
#[test]
fn the_worker_behind_a_master_is_asked() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let cert = world.cert("a", &lab.url());
        let haproxy = Haproxy::of(binary, &world, "a").master_worker().start();
        let master = haproxy.master_address();
        // A master that has just started its worker may not list it yet.
        let objects = wait_for("the master tells of its worker", || {
            let (code, objects) = as_json(&check(&world, ["--json", "-s", &master]));
            (code == 0).then_some(objects)
        });
        let object = object_of(&objects, &cert);
        assert_eq!((&object["first_staple"], &object["sockets"]), (&"yes".into(), &serde_json::json!([master])));
    });
}

/// A HAProxy that hangs costs its deadline, and nothing else.
#[test]
fn a_haproxy_that_hangs_costs_its_deadline() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let cert = world.cert("a", &lab.url());
        let living = Haproxy::of(binary, &world, "living").start();
        let hanging = Haproxy::of(binary, &world, "hanging").start();
        hanging.freeze();
        let begun = Instant::now();
        let sockets = format!("{},{}", living.socket().display(), hanging.socket().display());
        let finished = check(
            &world,
            ["--json".as_ref(), "-p".as_ref(), world.certs().as_os_str(), "-s".as_ref(), sockets.as_ref()],
        );
        let took = begun.elapsed();
        hanging.thaw();
        let (code, objects) = as_json(&finished);
        assert_eq!((code, objects.len()), (1, 1), "{finished:?}");
        let object = object_of(&objects, &cert);
        assert_eq!(reasons(object), ["reply_timeout"]);
        assert_eq!(
            (&object["first_staple"], &object["first_staple_reason"]),
            (&"unknown".into(), &"reply_timeout".into())
        );
        assert!(took < Duration::from_secs(20), "{took:?}");
    });
}
