//! Tests of answers that must not be accepted: none of them reaches a client, and the log has the reason.

use std::time::Duration;

use stapled_ca::lab::{Fault, Lab};
use stapled_tests::{Cert, Haproxy, LONG, Stapled, World, wait_until, with_each_haproxy};

/// The faults of a responder, each with its reason code in the log.
fn wrong_answers() -> Vec<(Fault, &'static str)> {
    vec![
        (Fault::WrongSigner, "responder_wrong_issuer"),
        (Fault::SiblingSigner, "responder_missing_eku"),
        (Fault::BadSignature, "bad_signature"),
        (Fault::WrongCertificate, "no_matching_certid"),
        (Fault::Expired, "expired"),
        (Fault::NotYetValid, "not_yet_valid"),
        (Fault::NoNextUpdate, "missing_next_update"),
        (Fault::Garbage, "malformed"),
        (Fault::Empty, "malformed"),
        (Fault::Oversized(300_000), "too_large"),
        (Fault::Truncated, "http_broken"),
        (Fault::Unknown, "unknown"),
        (Fault::TryLater, "error_status:try_later"),
        (Fault::RedirectLoop, "bad_redirect"),
    ]
}

/// A separate lab for each fault: a failing host is avoided for a while, for every certificate.
fn world_with_faults(validity: Duration) -> (World, Vec<(Cert, Lab, Fault, &'static str)>) {
    let world = World::new();
    let certs = wrong_answers()
        .into_iter()
        .map(|(fault, code)| {
            let lab = Lab::builder().authority(&world.ca).validity(validity).start().unwrap();
            let kind = fault.to_string();
            let cert = world.cert(kind.split(':').next().unwrap().replace('_', "-").as_str(), &lab.url());
            (cert, lab, fault, code)
        })
        .collect();
    (world, certs)
}

#[test]
fn no_wrong_answer_is_ever_stapled() {
    with_each_haproxy(|binary| {
        let (world, certs) = world_with_faults(Duration::from_secs(86_400));
        let haproxy = Haproxy::of(binary, &world, "a").start();
        for (_, lab, fault, _) in &certs {
            lab.fault_all(fault.clone());
        }
        let stapled = Stapled::of(&world).certs([world.certs()]).sockets([haproxy.socket()]).start();
        let mut wrong = Vec::new();
        for (cert, _, fault, code) in &certs {
            let line = stapled.wait_for_line(&["event=renewal_failed", &cert.host]);
            if !line.contains(&format!("code={code} ")) {
                wrong.push(format!("{fault}: not {code}: {line}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        for (cert, _, fault, _) in &certs {
            assert_eq!(haproxy.staple(cert), None, "{fault} is stapled");
            assert_eq!(cert.staple_file(), None, "{fault} is in a file");
        }
        stapled.stop();
    });
}

#[test]
fn no_wrong_answer_replaces_a_good_staple() {
    with_each_haproxy(|binary| {
        // HAProxy uses the staple for 40 s; the renewal comes after 20 s.
        let (world, certs) = world_with_faults(Duration::from_secs(340));
        let haproxy = Haproxy::of(binary, &world, "a").start();
        let stapled = Stapled::of(&world)
            .certs([world.certs()])
            .sockets([haproxy.socket()])
            .args(["--minimum-interval", "1"])
            .start();
        let held: Vec<_> = certs
            .iter()
            .map(|(cert, lab, fault, _)| {
                let staple = haproxy.wait_for_staple(cert);
                lab.fault_all(fault.clone());
                staple
            })
            .collect();
        for ((cert, _, fault, code), held) in certs.iter().zip(&held) {
            let line = stapled.wait_for_line_within(LONG, &["event=renewal_failed", &cert.host]);
            assert!(line.contains(&format!("code={code} ")), "{fault}: not {code}: {line}");
            assert!(line.contains("the staple held is good until"), "{line}");
            assert!(haproxy.staple(cert).as_ref() == Some(held), "{fault}: the good staple is gone");
            assert!(cert.staple_file().as_ref() == Some(held), "{fault}: the good file is gone");
        }
        stapled.stop();
    });
}

#[test]
fn an_answer_that_haproxy_cannot_use_replaces_no_good_staple() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::builder().authority(&world.ca).validity(Duration::from_secs(360)).start().unwrap();
        let cert = world.cert("a", &lab.url());
        let mut haproxy = Haproxy::of(binary, &world, "a").start();
        let stapled = Stapled::of(&world)
            .certs([world.certs()])
            .sockets([haproxy.socket()])
            .args(["--minimum-interval", "1"])
            .start();
        let held = haproxy.wait_for_staple(&cert);
        // The response is verified and good, but it has an answer about another certificate too.
        lab.fault_all(Fault::Multiple);
        stapled.wait_for_line_within(LONG, &["code=several_responses", &cert.host]);
        assert_eq!(haproxy.staple(&cert).as_ref(), Some(&held));
        wait_until("the good file is there", || cert.staple_file().as_ref() == Some(&held));
        haproxy.restart();
        assert_eq!(haproxy.wait_for_staple(&cert), held);
        stapled.stop();
    });
}
