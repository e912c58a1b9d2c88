//! Tests of a HAProxy that differs from its configuration. Its process counts: certificates that were loaded at run time
//! are stapled, and so are served certificates whose files have other contents by now.

use std::fs;
use std::time::Duration;

use stapled_ca::Profile;
use stapled_ca::lab::Lab;
use stapled_tests::{Cert, Haproxy, Stapled, World, wait_until, with_each_haproxy};

/// A lab whose answers are renewed soon: HAProxy accepts none that ends within five minutes.
fn hasty(world: &World) -> Lab {
    Lab::builder().authority(&world.ca).validity(Duration::from_secs(306)).start().unwrap()
}

fn stapled(world: &World, haproxy: &Haproxy) -> stapled_tests::StapledCommand {
    Stapled::of(world).args(["--minimum-interval", "1", "--haproxy-config"]).args([haproxy.configuration_file()])
}

/// Waits until the CA was asked twice more about a certificate that HAProxy staples meanwhile.
fn is_kept_fresh(haproxy: &Haproxy, cert: &Cert, lab: &Lab) {
    let asked_for = || lab.requests_for(cert.issued.serial());
    let at = asked_for();
    wait_until("it is renewed again and again", || {
        assert!(haproxy.staple(cert).is_some(), "it is stapled all the time");
        asked_for() >= at + 2
    });
}

/// `new ssl cert` and `add ssl crt-list`, without a line in any file.
#[test]
fn certificates_loaded_at_run_time_are_stapled() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let first = world.cert("first", &lab.url());
        let list = world.path("list");
        fs::write(&list, format!("{}\n", first.name())).unwrap();
        let haproxy = Haproxy::of(binary, &world, "a").crt_list(&list).start();
        let stapled = stapled(&world, &haproxy).start();
        haproxy.wait_for_staple(&first);
        // Everything agrees, so no warning is logged.
        assert_eq!(stapled.lines(&["WARN"]), [""; 0]);

        let new = world.issue(&world.path("elsewhere/new.pem"), |profile| profile.ocsp_url(lab.url()));
        new.write();
        haproxy.load(&new, true);
        let said = haproxy.ask(&format!("add ssl crt-list {} {}", list.display(), new.name()));
        assert!(said.contains("Success!"), "{said}");
        haproxy.wait_for_staple(&new);
        assert_eq!([&first, &new].map(|cert| lab.requests_for(cert.issued.serial())), [1, 1]);

        // The operator learns that a reload loses the certificate. Nothing else is wrong.
        let finished = Stapled::asked(&world)
            .args(["check", "--config", "empty.conf", "--haproxy-config"])
            .args([haproxy.configuration_file()])
            .run();
        assert_eq!(finished.code, 0, "{finished:?}");
        let told = format!("\n{}\n", new.name());
        assert!(finished.out.contains(&told), "{finished:?}");
        assert!(finished.out.contains("note         not_in_configuration: "), "{finished:?}");
        stapled.stop();
    });
}

/// A file is renewed, and HAProxy loads it much later: the certificate that HAProxy still serves is renewed meanwhile.
#[test]
fn a_served_certificate_is_renewed_even_if_its_file_has_another() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = hasty(&world);
        let cert = world.cert("a", &lab.url());
        let mut haproxy = Haproxy::of(binary, &world, "a").start();
        let stapled = stapled(&world, &haproxy).start();
        let before = haproxy.wait_for_staple(&cert);
        // `stapled` must have read the certificate from its file by now: the renewal overwrites the file.
        stapled.wait_for_line(&["event=scanned", ".admin"]);

        let new = world.renewal_of(&cert, &lab.url());
        new.write();
        stapled.wait_for_line(&["code=served_differs", cert.name(), "reload HAProxy"]);
        is_kept_fresh(&haproxy, &cert, &lab);
        wait_until("the renewed one is stapled", || haproxy.staple(&cert).is_some_and(|staple| staple != before));
        // A certificate that was read once stays known, whatever is read later.
        stapled.signal("HUP");
        stapled.wait_for_line(&["event=reloaded"]);
        is_kept_fresh(&haproxy, &cert, &lab);
        // The staple for the next start is already in its file.
        assert!(lab.requests_for(new.issued.serial()) >= 1);
        wait_until("its response is in the file", || new.staple_file().is_some());

        haproxy.restart();
        haproxy.wait_for_staple(&new);
        stapled.stop();
    });
}

/// The same with a path beside the socket: the path has the new certificate alone.
#[test]
fn a_served_certificate_is_renewed_even_if_the_path_has_another() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = hasty(&world);
        let cert = world.cert("a", &lab.url());
        let mut haproxy = Haproxy::of(binary, &world, "a").start();
        let stapled = Stapled::of(&world)
            .args(["--minimum-interval", "1", "--no-staple-files"])
            .certs([world.certs()])
            .sockets([haproxy.socket()])
            .start();
        haproxy.wait_for_staple(&cert);
        stapled.wait_for_line(&["event=scanned", ".admin"]);
        let new = world.renewal_of(&cert, &lab.url());
        new.write();
        stapled.wait_for_line(&["code=served_differs", cert.name(), "reload HAProxy"]);
        is_kept_fresh(&haproxy, &cert, &lab);
        haproxy.restart();
        haproxy.wait_for_staple(&new);
        stapled.stop();
    });
}

/// A file is renewed and HAProxy is not told: `status` has one row with one remedy, and a must-staple certificate whose former one
/// HAProxy serves with its staple is no outage.
#[test]
fn a_renewed_certificate_that_is_not_loaded_is_one_row() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let must_staple = |profile: Profile| profile.ocsp_url(lab.url()).must_staple(true);
        let cert = world.cert_with("a", must_staple);
        let mut haproxy = Haproxy::of(binary, &world, "a").start();
        let by_configuration = stapled(&world, &haproxy).args(["--control-socket", "c.sock"]).start();
        let by_socket = Stapled::of(&world)
            .args(["--no-staple-files", "--control-socket", "s.sock"])
            .sockets([haproxy.socket()])
            .start();
        let by_path = Stapled::of(&world)
            .args(["--no-staple-files", "--control-socket", "p.sock"])
            .certs([world.certs()])
            .sockets([haproxy.socket()])
            .start();
        haproxy.wait_for_staple(&cert);
        for stapled in [&by_configuration, &by_socket, &by_path] {
            stapled.wait_for_line(&["event=scanned", ".admin"]);
            stapled.wait_for_line(&["event=delivered", ".admin"]);
        }
        let renewed = Cert { issued: world.ca.issue(&must_staple(Profile::server(&cert.host))).unwrap(), ..cert };
        renewed.write();
        for (stapled, socket) in [(&by_configuration, "c.sock"), (&by_socket, "s.sock"), (&by_path, "p.sock")] {
            stapled.wait_for_line(&["code=certificate_differs"]);
            stapled.wait_for_line(&["code=served_differs"]);
            assert_eq!(stapled.lines(&["ERROR"]), [""; 0], "no outage");
            let finished = Stapled::asked(&world).args(["status", "--json", "--control-socket", socket]).run();
            let (rows, last) = finished.rows_and_last();
            assert_eq!((rows.len(), &last["totals"]["undelivered"]), (1, &1.into()), "{finished:?}");
            assert_eq!(
                (&rows[0]["serial"], &rows[0]["outage"]),
                (&renewed.chain().end_entity().serial_hex().into(), &false.into()),
                "{finished:?}"
            );
            let finished = Stapled::asked(&world).args(["status", "--control-socket", socket]).run();
            assert_eq!(finished.out.matches("reload it").count(), 1, "{finished:?}");
            assert!(!finished.out.contains("OUTAGE"), "{finished:?}");
        }
        haproxy.restart();
        haproxy.wait_for_staple(&renewed);
        wait_until("nothing is wrong", || {
            let status = |socket| Stapled::asked(&world).args(["status", "--control-socket", socket]).run().code;
            ["c.sock", "s.sock", "p.sock"].iter().all(|socket| status(socket) == 0)
        });
        [by_configuration, by_socket, by_path].into_iter().for_each(Stapled::stop);
    });
}

/// A renewal that HAProxy loads within seconds causes no warning.
#[test]
fn an_ordinary_renewal_causes_no_warning() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let mut certs: Vec<_> = (0..3).map(|number| world.cert(&format!("c{number}"), &lab.url())).collect();
        let mut haproxy = Haproxy::of(binary, &world, "a").start();
        let by_configuration = stapled(&world, &haproxy).start();
        let by_socket = Stapled::of(&world)
            .args(["--no-staple-files", "--control-socket", "other.sock"])
            .sockets([haproxy.socket()])
            .start();
        certs.iter().for_each(|cert| drop(haproxy.wait_for_staple(cert)));
        for round in 0..4 {
            for cert in &mut certs {
                *cert = world.renewal_of(cert, &lab.url());
                cert.write();
            }
            // The delay between a renewal and the reload varies between programs.
            std::thread::sleep(Duration::from_millis(round * 700));
            match round % 2 {
                0 => certs.iter().for_each(|cert| haproxy.load(cert, false)),
                _ => haproxy.restart(),
            }
            certs.iter().for_each(|cert| drop(haproxy.wait_for_staple(cert)));
        }
        for stapled in [by_configuration, by_socket] {
            assert_eq!(stapled.lines(&["certificate_differs"]), [""; 0]);
            assert_eq!(stapled.lines(&["served_differs"]), [""; 0]);
            stapled.stop();
        }
    });
}

/// The configuration changes, and HAProxy continues with the one that it read.
#[test]
fn a_socket_is_used_while_haproxy_listens_there() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = hasty(&world);
        let cert = world.cert("a", &lab.url());
        let mut haproxy = Haproxy::of(binary, &world, "a").start();
        let stapled = stapled(&world, &haproxy).start();
        let mut before = haproxy.wait_for_staple(&cert);
        let file = haproxy.configuration_file();
        let text = fs::read_to_string(&file).unwrap();
        let moved = text.replace(haproxy.socket().to_str().unwrap(), world.path("moved.sock").to_str().unwrap());
        assert_ne!(moved, text);
        fs::write(&file, &moved).unwrap();
        stapled.wait_for_line(&["event=sockets_changed"]);
        for _ in 0..2 {
            wait_until("renewals arrive", || haproxy.staple(&cert).expect("a staple") != before);
            before = haproxy.wait_for_staple(&cert);
        }
        // Once no process listens at the old socket, no more attempts are made there.
        haproxy.end();
        wait_until("it is let go of", || stapled.lines(&["event=sockets_changed"]).len() == 2);
        stapled.stop();
    });
}

/// A HAProxy that hangs when its certificate is revoked.
#[test]
fn a_failed_withdrawal_is_reported() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = hasty(&world);
        let cert = world.cert("a", &lab.url());
        let haproxy = Haproxy::of(binary, &world, "a").start();
        let stapled = stapled(&world, &haproxy).start();
        haproxy.wait_for_staple(&cert);
        haproxy.freeze();
        lab.revoke(cert.issued.serial()).unwrap();
        stapled.wait_for_line(&["event=revoked", "is taken out of service"]);
        let line = stapled.wait_for_line(&["ERROR", "event=delivery_failed", "may still have its staple in service"]);
        assert!(line.contains("could not be withdrawn (the certificate is revoked)"), "{line}");
        haproxy.thaw();
        wait_until("it is withdrawn", || haproxy.staple(&cert).is_none());
        stapled.wait_for_line(&["event=withdrawn", "the certificate is revoked"]);
        stapled.stop();
    });
}

/// Relative paths start in HAProxy's working directory, whatever the working directory of `stapled` is.
#[test]
fn the_running_haproxy_gives_the_base_of_relative_paths() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let cert = world.cert("a", &lab.url());
        let haproxy = Haproxy::of(binary, &world, "a")
            .configuration(
                "global\n  stats socket @ADMIN level admin\n@DEFAULTSfrontend tls\n  bind unix@@TLS ssl crt certs/a.pem\n",
            )
            .start();
        fs::create_dir(world.path("elsewhere")).unwrap();
        let elsewhere = world.path("elsewhere").display().to_string();
        let stapled = stapled(&world, &haproxy).by(["env", "-C", &elsewhere]).start();
        haproxy.wait_for_staple(&cert);
        cert.wait_for_file();
        stapled.stop();
        let once = || {
            let once = Stapled::of(&world).by(["env", "-C", &elsewhere]).args(["--one-off", "--haproxy-config"]);
            once.args([haproxy.configuration_file()]).run()
        };
        let finished = once();
        assert_eq!(finished.code, 0, "{finished:?}");
    });
}
