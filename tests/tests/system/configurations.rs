//! Tests with HAProxy's configuration alone: it has the certificates, the issuers, the places of staples, and the admin
//! sockets.

use std::path::{Path, PathBuf};
use std::time::Duration;

use stapled_ca::lab::Lab;
use stapled_tests::{
    Cert, Haproxy, Stapled, World, free_port, has_stores, skip, wait_for, wait_until, with_each_haproxy,
};

/// The contents of a certificate's file.
#[derive(Clone, Copy, PartialEq)]
enum Contents {
    /// The certificate, its key and its chain.
    Bundle,
    /// The certificate and its key.
    Lonely,
    /// The certificate alone; its key is in another file.
    Bare,
}

fn cert(world: &World, lab: &Lab, path: &str, contents: Contents) -> Cert {
    let cert = world.issue(&world.path(path), |profile| profile.ocsp_url(lab.url()));
    std::fs::create_dir_all(cert.path.parent().unwrap()).unwrap();
    let (certificate, key) = (cert.issued.certificate_pem(), cert.issued.key_pem());
    match contents {
        Contents::Bundle => cert.issued.write_bundle(&cert.path).unwrap(),
        Contents::Lonely => std::fs::write(&cert.path, certificate + &key).unwrap(),
        Contents::Bare => std::fs::write(&cert.path, certificate).unwrap(),
    }
    cert
}

fn write(world: &World, path: &str, contents: impl AsRef<[u8]>) -> PathBuf {
    let path = world.path(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, contents).unwrap();
    path
}

/// A `stapled` with this HAProxy's configuration and no other argument.
fn stapled(world: &World, configuration: &Path) -> Stapled {
    Stapled::of(world).args(["--haproxy-config".as_ref(), configuration.as_os_str()]).start()
}

/// Certificates in all forms of a configuration: each handshake is stapled. After a restart of HAProxy without
/// `stapled`, each is stapled from the file that HAProxy finds.
#[test]
fn a_configuration_alone_is_enough() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let in_directory = cert(&world, &lab, "d d/in-directory.pem", Contents::Bundle);
        let of_bundle = cert(&world, &lab, "base/bundle.ecdsa", Contents::Bundle);
        let by_variable = cert(&world, &lab, "base/b b/by-variable.pem", Contents::Bundle);
        let in_list = cert(&world, &lab, "base/in-list.pem", Contents::Bundle);
        let without_extension = cert(&world, &lab, "base/without.crt", Contents::Bare);
        write(&world, "base/without.key", without_extension.issued.key_pem());
        write(&world, "base/without.issuer", world.ca.certificate_pem());
        let by_chain = cert(&world, &lab, "base/by-chain.pem", Contents::Lonely);
        write(&world, "chains/ca.pem", world.ca.certificate_pem());
        write(&world, "list", format!("# a list\nin-list.pem [alpn h2] {} !x.example\n", in_list.host));
        let mut certs = vec![
            (&in_directory, "d d/in-directory.pem.ocsp"),
            (&of_bundle, "base/bundle.ecdsa.ocsp"),
            (&by_variable, "base/b b/by-variable.pem.ocsp"),
            (&in_list, "base/in-list.pem.ocsp"),
            (&without_extension, "base/without.ocsp"),
            (&by_chain, "base/by-chain.pem.ocsp"),
        ];
        let in_store = cert(&world, &lab, "store/in-store.pem", Contents::Lonely);
        let mut store = String::new();
        let mut from_store = "";
        if has_stores(binary) {
            write(&world, "store/ca.pem", world.ca.certificate_pem());
            // HAProxy requires the file to exist, and ignores its contents with a warning.
            write(&world, "store/responses/x", "");
            store = "crt-store web\n  crt-base @D/store\n  load crt in-store.pem issuer ca.pem ocsp responses/x alias mine\n".to_owned();
            from_store = "crt @web/mine";
            certs.push((&in_store, "store/responses/x"));
        }
        let mut haproxy = Haproxy::of(binary, &world, "a")
            .configuration(&format!(
                "global\n  stats socket @ADMIN level admin\n  setenv NAME \"b b/by-variable\"\n  crt-base @D/base\n  ssl-load-extra-del-ext\n  \
                 issuers-chain-path @D/chains\n@DEFAULTS{store}frontend tls\n.if defined(NAME) && !defined(NOT_SET)\n  bind unix@@TLS ssl \
                 crt '@D/d d/' crt bundle crt \"$NAME.pem\" crt-list @D/list crt without.crt {from_store} crt by-chain.pem # all\n.endif\n"
            ))
            .start();
        let stapled = stapled(&world, &haproxy.configuration_file());
        for (cert, _) in &certs {
            haproxy.wait_for_staple(cert);
        }
        // The configuration is enough, and causes no warning.
        assert_eq!(stapled.lines(&["WARN"]), [""; 0]);
        let written = |path: &str| std::fs::read(world.path(path)).ok().filter(|bytes| !bytes.is_empty());
        let files: Vec<Vec<u8>> =
            certs.iter().map(|(_, path)| wait_for(&format!("{path} is written"), || written(path))).collect();
        stapled.stop();

        haproxy.restart();
        for ((cert, path), file) in certs.iter().zip(files) {
            assert!(haproxy.staple(cert) == Some(file), "HAProxy did not find {path} when it started");
        }
    });
}

/// HAProxy does not start without a response file that its configuration names. For a revoked certificate, the file is
/// empty.
#[test]
fn a_file_that_the_configuration_names_is_emptied_and_never_removed() {
    with_each_haproxy(|binary| {
        if !has_stores(binary) {
            return;
        }
        let world = World::new();
        let lab = Lab::builder().authority(&world.ca).validity(Duration::from_secs(312)).start().unwrap();
        let (in_store, in_list) =
            (cert(&world, &lab, "a.pem", Contents::Bundle), cert(&world, &lab, "b.pem", Contents::Bundle));
        let responses = [write(&world, "a.response", ""), write(&world, "b.response", "")];
        write(&world, "list", format!("{} [ocsp {}]\n", in_list.name(), responses[1].display()));
        let mut haproxy = Haproxy::of(binary, &world, "a")
            .configuration(
                "global\n  stats socket @ADMIN level admin\n@DEFAULTScrt-store\n  load crt @D/a.pem ocsp @D/a.response alias a\n\
                 frontend tls\n  bind unix@@TLS ssl crt @/a crt-list @D/list\n",
            )
            .start();
        let stapled = Stapled::of(&world)
            .args(["--haproxy-config".as_ref(), haproxy.configuration_file().as_os_str()])
            .args(["--minimum-interval", "1"])
            .start();
        for (cert, response) in [&in_store, &in_list].into_iter().zip(&responses) {
            let staple = haproxy.wait_for_staple(cert);
            wait_until("it is in its file", || std::fs::read(response).unwrap() == staple);
        }
        // A revoked certificate is asked for again at half of the answer's validity.
        lab.set_validity(Duration::from_secs(10));
        for cert in [&in_store, &in_list] {
            lab.revoke(cert.issued.serial()).unwrap();
        }
        for (cert, response) in [&in_store, &in_list].into_iter().zip(&responses) {
            stapled.wait_for_line(&["event=revoked", &cert.host]);
            wait_until("its file is empty", || std::fs::read(response).unwrap().is_empty());
        }
        stapled.stop();
        haproxy.restart();
        for cert in [&in_store, &in_list] {
            assert_eq!(haproxy.staple(cert), None);
        }
    });
}

/// With the socket alone, the files of a store are found and written.
#[test]
fn a_crt_store_is_served_from_the_socket_alone() {
    with_each_haproxy(|binary| {
        if !has_stores(binary) {
            return;
        }
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let cert = cert(&world, &lab, "store/a.pem", Contents::Lonely);
        write(&world, "store/ca.pem", world.ca.certificate_pem());
        let response = write(&world, "a.response", "");
        let mut haproxy = Haproxy::of(binary, &world, "a")
            .configuration(
                "global\n  stats socket @ADMIN level admin\n@DEFAULTScrt-store web\n  crt-base @D/store\n  load crt a.pem issuer \
                 ca.pem ocsp @D/a.response alias mine\nfrontend tls\n  bind unix@@TLS ssl crt @web/mine\n",
            )
            .start();
        let stapled = Stapled::of(&world).sockets([haproxy.socket()]).start();
        let staple = haproxy.wait_for_staple(&cert);
        wait_until("it is in the file that the configuration names", || std::fs::read(&response).unwrap() == staple);
        assert_eq!(cert.staple_file(), None);
        assert_eq!(stapled.lines(&["WARN"]), [""; 0]);
        stapled.stop();
        haproxy.restart();
        assert_eq!(haproxy.staple(&cert), Some(staple));
    });
}

/// If HAProxy would look for a response without finding the issuer, no response is written: HAProxy would not start.
#[test]
fn no_staple_file_prevents_haproxys_start() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let with_chain = cert(&world, &lab, "c/with-chain.pem", Contents::Bundle);
        let lonely = cert(&world, &lab, "c/lonely.pem", Contents::Lonely);
        // HAProxy would take the contents of the issuer file for the issuer, whatever the chain is.
        let misled = cert(&world, &lab, "c/misled.pem", Contents::Bundle);
        write(&world, "c/misled.pem.issuer", lonely.issued.certificate_pem());
        // The configuration tells HAProxy not to look there.
        let unlooked = cert(&world, &lab, "u/unlooked.pem", Contents::Lonely);
        write(&world, "u/unlooked.pem.issuer", world.ca.certificate_pem());
        let certs = [&with_chain, &lonely, &misled, &unlooked];
        let mut haproxy = Haproxy::of(binary, &world, "a")
            .configuration(
                "global\n  stats socket @ADMIN level admin\n@DEFAULTSfrontend tls\n  bind unix@@TLS ssl crt @D/c\n\
                 global\n  ssl-load-extra-files ocsp\nfrontend more\n  bind unix@@D/more ssl crt @D/u\n",
            )
            .start();
        let stapled = stapled(&world, &haproxy.configuration_file());
        for cert in [&with_chain, &lonely, &misled] {
            haproxy.wait_for_staple(cert);
        }
        with_chain.wait_for_file();
        // The staple came over the socket, so the files were tried, too.
        stapled.wait_for_line(&["issuer_not_found_by_server", "lonely"]);
        stapled.wait_for_line(&["issuer_not_found_by_server", "misled"]);
        stapled.wait_for_line(&["issuer_not_found_by_server", "unlooked"]);
        for cert in [&lonely, &misled, &unlooked] {
            assert_eq!(cert.staple_file(), None, "{}", cert.name());
        }
        haproxy.restart();
        for cert in &certs[..3] {
            haproxy.wait_for_staple(cert);
        }
        stapled.stop();
    });
}

/// A new line in a crt-list, a new file in a directory, and another list in the configuration take effect without a
/// restart.
#[test]
fn changes_of_the_configuration_take_effect_at_once() {
    let world = World::new();
    let lab = Lab::start([&world.ca]).unwrap();
    let names = ["first", "second", "third", "fourth"];
    let [first, second, third, fourth] =
        names.map(|name| cert(&world, &lab, &format!("c/{name}.pem"), Contents::Bundle));
    let list = write(&world, "lists/a", format!("{}\n", first.name()));
    let more = write(&world, "lists/b", format!("{}\n", fourth.name()));
    let text = |words: &str| {
        format!(
            "global\n  stats socket {} level admin\nfrontend f\n  bind :1 ssl crt-list {} crt {} {words}\n",
            world.path("nobody.sock").display(),
            list.display(),
            world.path("d").display()
        )
    };
    std::fs::create_dir(world.path("d")).unwrap();
    let configuration = write(&world, "etc/haproxy.cfg", text(""));
    let stapled = Stapled::of(&world)
        .args(["--refresh-interval", "3600", "--no-haproxy-sockets", "--haproxy-config"])
        .args([&configuration])
        .start();
    first.wait_for_file();
    assert_eq!(second.staple_file(), None);

    // A write in place, as some editors do it.
    std::fs::write(&list, format!("{}\n{} [alpn h2]\n", first.name(), second.name())).unwrap();
    second.wait_for_file();

    std::fs::copy(&third.path, world.path("d/third.pem")).unwrap();
    wait_until("the third is written", || world.path("d/third.pem.ocsp").exists());

    // A replacement, as configuration management does it.
    let fresh = write(&world, "etc/.fresh", text(&format!("crt-list {}", more.display())));
    std::fs::rename(fresh, &configuration).unwrap();
    fourth.wait_for_file();

    // A certificate that leaves the list loses its staple file; the others keep theirs.
    std::fs::write(&list, format!("{}\n", second.name())).unwrap();
    wait_until("the first one's file is removed", || first.staple_file().is_none());
    for cert in [&second, &fourth] {
        assert!(cert.staple_file().is_some(), "{}", cert.name());
    }
    stapled.stop();
}

/// After a change that leaves the configuration unreadable or incomplete, the earlier one stays in use.
#[test]
fn an_unreadable_configuration_keeps_the_earlier_one() {
    let world = World::new();
    let lab = Lab::start([&world.ca]).unwrap();
    let [first, second, third] =
        ["first", "second", "third"].map(|name| cert(&world, &lab, &format!("c/{name}.pem"), Contents::Bundle));
    let list = write(&world, "lists/a", format!("{}\n{}\n", first.name(), second.name()));
    let text = format!("frontend f\n  bind :1 ssl crt-list {}\n", list.display());
    let configuration = write(&world, "etc/haproxy.cfg", &text);
    let stapled = stapled(&world, &configuration);
    let kept = || assert!(first.wait_for_file() != second.wait_for_file());
    kept();

    std::fs::write(&configuration, "").unwrap();
    stapled.wait_for_line(&["configuration_unfinished", "haproxy.cfg"]);
    std::fs::remove_file(&configuration).unwrap();
    stapled.wait_for_line(&["configuration_unreadable", "haproxy.cfg"]);
    std::fs::write(&list, format!("{}\n{}", third.name(), first.name())).unwrap();
    stapled.wait_for_line(&["configuration_unfinished", "lists/a"]);
    kept();
    assert_eq!(third.staple_file(), None);

    std::fs::write(&list, format!("{}\n{}\n", third.name(), first.name())).unwrap();
    std::fs::write(&configuration, text).unwrap();
    third.wait_for_file();
    wait_until("the second one's file is removed", || second.staple_file().is_none());
    assert!(first.staple_file().is_some());
    stapled.stop();
}

/// HAProxy gets another admin socket, and further ones: they are used without a restart of `stapled`, and no CA is
/// asked again.
#[test]
fn new_admin_sockets_are_used_at_once() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let cert = cert(&world, &lab, "c/a.pem", Contents::Bundle);
        let text = |socket: &str| {
            format!(
                "global\n  stats socket @ADMIN level user\n  stats socket {socket} level admin\n@DEFAULTSfrontend tls\n  \
                 bind unix@@TLS ssl crt @D/c\n"
            )
        };
        let mut haproxy = Haproxy::of(binary, &world, "a").configuration(&text("@D/one.sock")).start();
        let stapled = Stapled::of(&world)
            .args(["--no-recycle".as_ref(), "--haproxy-config".as_ref(), haproxy.configuration_file().as_os_str()])
            .start();
        haproxy.wait_for_staple(&cert);
        cert.wait_for_file();
        // HAProxy must not read the staple from the file.
        std::fs::remove_file(cert.staple_path()).unwrap();

        haproxy.restart_with(&text("unix@@D/two.sock"));
        stapled.wait_for_line(&["sockets_changed"]);
        haproxy.wait_for_staple(&cert);
        assert_eq!(lab.requests_for(cert.issued.serial()), 1, "the CA was asked again");
        stapled.stop();
    });
}

/// Certificates of a configuration and of paths, each with their own sockets, and one certificate in both.
#[test]
fn a_configuration_and_paths_are_merged() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let of_configuration = cert(&world, &lab, "c/configured.pem", Contents::Bundle);
        let of_path = cert(&world, &lab, "p/path.pem", Contents::Bundle);
        let of_both = cert(&world, &lab, "p/both.pem", Contents::Bundle);
        let configured = Haproxy::of(binary, &world, "a")
            // The names differ from the paths of the files.
            .configuration(
                "global\n  stats socket @ADMIN level admin\n@DEFAULTSfrontend tls\n  bind unix@@TLS ssl crt c/configured.pem crt p/both.pem\n",
            )
            .start();
        let other = Haproxy::of(binary, &world, "b").crt(&world.path("p")).start();
        let stapled = Stapled::of(&world)
            .certs([world.path("p")])
            .sockets([other.socket()])
            .args(["--haproxy-config".as_ref(), configured.configuration_file().as_os_str()])
            .start();
        for (haproxy, cert) in
            [(&configured, &of_configuration), (&configured, &of_both), (&other, &of_path), (&other, &of_both)]
        {
            haproxy.wait_for_staple(cert);
        }
        // Relative names start in HAProxy's working directory, and a warning says so.
        assert_eq!(stapled.lines(&["WARN", "relative_path"]).len(), 1);
        let crossed = stapled.lines(&[&of_path.host, &format!("sink={}", configured.socket().display())]);
        assert_eq!(crossed, [""; 0], "the paths' certificates are none of the configuration's sockets' business");
        stapled.stop();
    });
}

/// One HAProxy, named by its configuration and by path and socket: it knows each certificate by one name, and gets each
/// staple under that name.
#[test]
fn a_haproxy_that_is_named_twice_is_handled_once() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let cert = cert(&world, &lab, "c/a.pem", Contents::Bundle);
        let haproxy = Haproxy::of(binary, &world, "a")
            .configuration(
                "global\n  stats socket @ADMIN level admin\n  default-path origin @D\n@DEFAULTSfrontend tls\n  bind unix@@TLS ssl crt c/a.pem\n",
            )
            .start();
        let stapled = Stapled::of(&world)
            .certs([world.path("c")])
            .sockets([haproxy.socket()])
            .args(["--haproxy-config".as_ref(), haproxy.configuration_file().as_os_str()])
            .start();
        haproxy.wait_for_staple(&cert);
        stapled.wait_for_line(&["delivered to", &format!("sink={}", haproxy.socket().display())]);
        cert.wait_for_file();
        assert_eq!(stapled.lines(&["WARN"]), [""; 0]);
        assert_eq!(stapled.lines(&["ERROR"]), [""; 0]);
        stapled.stop();
    });
}

/// The forms of admin sockets that accept connections.
#[test]
fn every_kind_of_socket_is_used() {
    with_each_haproxy(|binary| {
        let name = format!("stapled-test-{}-{}", std::process::id(), binary.len());
        let forms = [
            ("path", "@D/x.sock"),
            ("two paths", "unix@@D/x.sock,stream+unix@@D/y.sock"),
            ("IPv4", "ipv4@127.0.0.1:PORT"),
            ("all of IPv4", "*:PORT"),
            ("no host", ":PORT-PORT"),
            ("a name", "localhost:PORT"),
            ("IPv6", "[::1]:PORT"),
            ("abstract", "abns@NAME"),
        ];
        for (form, address) in forms {
            if form == "IPv6" && std::net::TcpListener::bind("[::1]:0").is_err() {
                skip("there is no IPv6 (::1)");
                continue;
            }
            let world = World::new();
            let lab = Lab::start([&world.ca]).unwrap();
            let cert = cert(&world, &lab, "c/a.pem", Contents::Bundle);
            let haproxy = Haproxy::of(binary, &world, "a")
                .configuration(&format!(
                    "global\n  stats socket @ADMIN level user\n  stats socket {} mode 600 level admin\n@DEFAULTSfrontend tls\n  \
                     bind unix@@TLS ssl crt @D/c\n",
                    address.replace("PORT", &free_port().to_string()).replace("NAME", &name)
                ))
                .start();
            let ended = Stapled::of(&world)
                .args(["--one-off".as_ref(), "--haproxy-config".as_ref(), haproxy.configuration_file().as_os_str()])
                .run();
            assert_eq!(ended.code, 0, "{form}: {ended:?}");
            assert!(haproxy.staple(&cert).is_some(), "{form}: {ended:?}");
        }
    });
}

/// A difference between the running HAProxy and its configuration is reported once, and not during a reload.
#[test]
fn a_difference_from_the_configuration_is_reported_once() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let [one, other, new] =
            ["one", "other", "new"].map(|name| cert(&world, &lab, &format!("c/{name}.pem"), Contents::Bundle));
        let text = |crt: &str| {
            format!("global\n  stats socket @ADMIN level admin\n@DEFAULTSfrontend tls\n  bind unix@@TLS ssl {crt}\n")
        };
        let both = text("crt @D/c/one.pem crt @D/c/other.pem");
        let mut haproxy = Haproxy::of(binary, &world, "a").configuration(&both).start();
        let file = haproxy.configuration_file();
        let stapled = Stapled::of(&world).args(["--refresh-interval", "1", "--haproxy-config"]).args([&file]).start();
        haproxy.wait_for_staple(&one);
        haproxy.wait_for_staple(&other);

        // A change that HAProxy does not know of, as before a forgotten reload.
        let before = std::fs::read_to_string(&file).unwrap();
        let changed = before.replace(other.name(), new.name());
        assert!(changed != before);
        std::fs::write(&file, &changed).unwrap();
        stapled.wait_for_line(&["event=configuration_differs", "code=not_loaded", new.name(), "reload HAProxy"]);
        stapled.wait_for_line(&["event=configuration_differs", "code=not_in_configuration", other.name()]);
        // Later comparisons do not repeat the report.
        let looks = || stapled.lines(&["event=configuration_differs"]).len();
        let before = looks();
        haproxy.restart_with(&text("crt @D/c/one.pem crt @D/c/new.pem"));
        stapled.wait_for_line(&["event=configuration_agrees"]);
        assert_eq!((before, looks()), (2, 2), "{}", stapled.log());
        haproxy.wait_for_staple(&new);
        stapled.stop();
    });
}
