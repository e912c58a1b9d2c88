//! The sink against the real HAProxy.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

#[path = "../support/mod.rs"]
mod support;

mod chains;
mod losses;
mod masters;
#[cfg(feature = "metrics")]
mod statistics;
mod transactions;

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use stapled_core::reason::ReasonCode;
use stapled_core::sink::{Delivered, SinkError, StapleSink, Withdrawal, Withdrawn};
use stapled_haproxy::{Address, HaproxySink, codes};
use stapled_tests::{Cert, Haproxy, PATIENCE, World, binaries, handshake, version};
use support::sink;

const HOUR: i64 = 3600;

async fn deliver(world: &World, sink: &HaproxySink, cert: &Cert) -> Vec<u8> {
    let staple = world.staple(cert, HOUR);
    assert_eq!(sink.deliver(&staple, &[cert.site()]).await.expect("a delivery"), Delivered::Confirmed);
    staple.response().to_vec()
}

async fn failure(world: &World, sink: &HaproxySink, cert: &Cert) -> SinkError {
    sink.deliver(&world.staple(cert, HOUR), &[cert.site()]).await.expect_err("a failure")
}

fn crt(cert: &Cert) -> String {
    format!("crt \"{}\"", cert.name())
}

fn no_transaction(haproxy: &Haproxy) {
    assert!(!haproxy.ask("show ssl cert").contains('*'));
}

#[tokio::test]
async fn a_first_staple_needs_no_file_and_the_next_ones_replace_it() {
    for binary in binaries() {
        let world = support::world();
        let cert = world.cert_file("a.pem");
        let haproxy = support::start(&world, &binary, &crt(&cert));
        assert_eq!(haproxy.staple(&cert), None);
        let sink = support::sink_of(&haproxy);
        for seconds in [HOUR, 2 * HOUR] {
            let staple = world.staple(&cert, seconds);
            assert_eq!(sink.deliver(&staple, &[cert.site()]).await.expect("a delivery"), Delivered::Confirmed);
            assert_eq!(haproxy.staple(&cert).as_deref(), Some(staple.response().as_ref()));
        }
        no_transaction(&haproxy);
    }
}

#[tokio::test]
async fn a_staple_from_a_file_is_replaced() {
    for binary in binaries() {
        let world = support::world();
        let cert = world.cert_file("a.pem");
        let old = world.staple(&cert, HOUR);
        std::fs::write(world.path("a.pem.ocsp"), old.response()).expect("a file");
        let haproxy = support::start(&world, &binary, &crt(&cert));
        assert_eq!(haproxy.staple(&cert).as_deref(), Some(old.response().as_ref()));
        let new = world.staple(&cert, 2 * HOUR);
        support::sink_of(&haproxy).deliver(&new, &[cert.site()]).await.expect("a delivery");
        assert_eq!(haproxy.staple(&cert).as_deref(), Some(new.response().as_ref()));
    }
}

#[tokio::test]
async fn a_certificate_whose_issuer_haproxy_lacks_gets_both() {
    for binary in binaries() {
        let world = support::world();
        let cert = world.cert_without_chain("a.pem");
        let haproxy = support::start(&world, &binary, &crt(&cert));
        let response = deliver(&world, &support::sink_of(&haproxy), &cert).await;
        assert_eq!(haproxy.staple(&cert), Some(response));
    }
}

#[tokio::test]
async fn a_wrong_issuer_file_is_overruled() {
    for binary in binaries() {
        let world = support::world();
        let cert = world.cert_without_chain("a.pem");
        let stranger = support::world();
        std::fs::write(world.path("a.pem.issuer"), stranger.ca.certificate_pem()).expect("a file");
        let haproxy = support::start(&world, &binary, &crt(&cert));
        let response = deliver(&world, &support::sink_of(&haproxy), &cert).await;
        assert_eq!(haproxy.staple(&cert), Some(response));
        no_transaction(&haproxy);
    }
}

#[tokio::test]
async fn names_with_unusual_characters_are_escaped() {
    for binary in binaries() {
        for file in
            ["a b.pem", "a;b.pem", "it's.pem", "a&b$c#d.pem", "\u{e4}\u{1f600}.pem", "<<x.pem", "-x.pem", "a=b,c.pem"]
        {
            let world = support::world();
            let cert = world.cert_file(file);
            // A list of certificates takes names as they are, but for spaces and number signs.
            let bind = if file.contains(['$', '\'', ';', '"']) {
                format!("crt '{}'", cert.name()).replace("it's", "it'\"'\"'s")
            } else {
                crt(&cert)
            };
            let haproxy = support::start(&world, &binary, &bind);
            let response = deliver(&world, &support::sink_of(&haproxy), &cert).await;
            assert_eq!(haproxy.staple(&cert), Some(response), "{file}");
        }
    }
}

#[tokio::test]
async fn backslashes_and_control_characters() {
    for binary in binaries() {
        let world = support::world();
        let cert = world.cert_file("a\\b.pem");
        let haproxy = support::start(&world, &binary, &format!("crt '{}'", cert.name()));
        let sink = support::sink_of(&haproxy);
        let response = deliver(&world, &sink, &cert).await;
        assert_eq!(haproxy.staple(&cert), Some(response));

        let unknown = world.cert_file("unknown.pem");
        let before = haproxy.ask("show ssl cert");
        let site = unknown.site_as("x\nshow info");
        let error = sink.deliver(&world.staple(&unknown, HOUR), &[site]).await.expect_err("a refusal");
        assert_eq!(error.code(), codes::UNUSABLE_NAME);
        assert_eq!(haproxy.ask("show ssl cert"), before);
    }
}

#[tokio::test]
async fn relative_names_of_haproxy_are_found_by_their_certificate() {
    for binary in binaries() {
        let world = support::world();
        let cert = world.cert_file("certs/a.pem");
        let twin = world.cert_file("others/a.pem");
        let haproxy = support::start(&world, &binary, "crt certs/a.pem crt others/a.pem");
        let sink = support::sink_of(&haproxy);
        for cert in [&cert, &twin] {
            let response = deliver(&world, &sink, cert).await;
            assert_eq!(haproxy.staple(cert), Some(response));
        }
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_loaded_is_refused() {
    for binary in binaries() {
        let world = support::world();
        let (cert, other) = (world.cert_file("a.pem"), world.cert_file("b.pem"));
        let haproxy = support::start(&world, &binary, &crt(&cert));
        let error = failure(&world, &support::sink_of(&haproxy), &other).await;
        assert_eq!(error.code(), codes::NOT_LOADED);
        assert!(error.to_string().contains("b.pem"), "{error}");
    }
}

#[tokio::test]
async fn a_renewed_file_that_haproxy_has_not_read_is_refused() {
    for binary in binaries() {
        let world = support::world();
        let old = world.cert_file("a.pem");
        let haproxy = support::start(&world, &binary, &crt(&old));
        let renewed = world.cert_file("a.pem");
        let sink = support::sink_of(&haproxy);
        assert_eq!(failure(&world, &sink, &renewed).await.code(), codes::CERTIFICATE_DIFFERS);
        deliver(&world, &sink, &old).await;
    }
}

#[tokio::test]
async fn a_certificate_in_two_files_is_stapled_in_both() {
    for binary in binaries() {
        let world = support::world();
        let cert = world.cert_file("a.pem");
        std::fs::copy(&cert.path, world.path("b.pem")).expect("a copy");
        let second = world.path("b.pem").to_str().expect("text").to_owned();
        let folder = world.path("");
        let folder = folder.display();
        let bind = format!("{}\n  bind unix@{folder}/tls2.sock ssl crt {second}", crt(&cert));
        let first_staple = world.staple(&cert, 2 * HOUR);
        // The first is there from the start, so that pushes are taken; the second is not.
        std::fs::write(world.path("a.pem.ocsp"), first_staple.response()).expect("a file");
        let haproxy = support::start(&world, &binary, &bind);
        let staple = world.staple(&cert, HOUR);
        let sites = [cert.site(), cert.site_as(&second)];
        support::sink_of(&haproxy).deliver(&staple, &sites).await.expect("a delivery");
        for socket in ["tls.sock", "tls2.sock"] {
            assert_eq!(
                handshake(&world.path(socket), &cert.host).unwrap().staple.as_deref(),
                Some(staple.response().as_ref())
            );
        }
    }
}

#[tokio::test]
async fn a_withdrawn_staple_is_gone_at_once_and_can_come_back() {
    for binary in binaries() {
        let world = support::world();
        let cert = world.cert_file("a.pem");
        let haproxy = support::start(&world, &binary, &crt(&cert));
        let sink = support::sink_of(&haproxy);
        let chain = cert.chain();
        let withdraw = || sink.withdraw(&chain, &[], Withdrawal::Revoked);
        assert_eq!(withdraw().await.expect("nothing to withdraw"), Withdrawn::Confirmed);
        deliver(&world, &sink, &cert).await;
        assert_eq!(withdraw().await.expect("a withdrawal"), Withdrawn::Confirmed);
        assert_eq!(haproxy.staple(&cert), None);
        let response = deliver(&world, &sink, &cert).await;
        assert_eq!(haproxy.staple(&cert), Some(response));
    }
}

#[tokio::test]
async fn a_response_that_haproxy_would_not_staple_is_not_sent() {
    for binary in binaries() {
        let world = support::world();
        let cert = world.cert_file("a.pem");
        let haproxy = support::start(&world, &binary, &crt(&cert));
        let sink = support::sink_of(&haproxy);
        let good = deliver(&world, &sink, &cert).await;
        for (staple, code) in [
            (world.staple(&cert, 290), "expires_too_soon"),
            (world.staple(&cert, 303), "expires_too_soon"),
            (world.padded_staple(&cert, HOUR, 12_000), "too_large"),
        ] {
            let error = sink.deliver(&staple, &[cert.site()]).await.expect_err("a refusal");
            assert_eq!(error.code(), ReasonCode::new(code));
            assert_eq!(haproxy.staple(&cert).as_deref(), Some(good.as_slice()));
        }
    }
}

#[tokio::test]
async fn the_largest_response_fits_as_a_first_and_as_a_next_staple() {
    for binary in binaries() {
        let world = support::world();
        let cert = world.cert_file("a.pem");
        let haproxy = support::start(&world, &binary, &crt(&cert));
        let sink = support::sink_of(&haproxy);
        let most = sink.requirements().max_size;
        let small = world.padded_staple(&cert, HOUR, 1000).response().len();
        for _ in 0..2 {
            // Signatures differ by some bytes.
            let staple = world.padded_staple(&cert, HOUR, most - small + 1000 - 8);
            assert!(most - staple.response().len() < 24);
            sink.deliver(&staple, &[cert.site()]).await.expect("a delivery");
            assert_eq!(haproxy.staple(&cert).as_deref(), Some(staple.response().as_ref()));
        }
    }
}

#[tokio::test]
async fn a_lesser_level_is_named_with_its_remedy() {
    for binary in binaries() {
        for level in ["user", "operator"] {
            let world = support::world();
            let cert = world.cert_file("a.pem");
            let path = world.path("lesser.sock");
            let global = format!("stats socket {} level {level}", path.display());
            let haproxy = support::start_with(&world, &binary, &crt(&cert), &global, &[]);
            let lesser = sink(&path);
            let error = failure(&world, &lesser, &cert).await;
            assert_eq!(error.code(), codes::PERMISSION_DENIED);
            assert!(error.to_string().contains("level admin"), "{error}");
            assert_eq!(haproxy.staple(&cert), None);
            // Two sockets, one process.
            deliver(&world, &support::sink_of(&haproxy), &cert).await;
        }
    }
}

#[tokio::test]
async fn the_error_of_a_socket_says_why() {
    let world = support::world();
    let cert = world.cert_file("a.pem");
    let missing = sink(&world.path("missing.sock"));
    assert_eq!(failure(&world, &missing, &cert).await.code(), codes::SOCKET_MISSING);
    assert_eq!(failure(&world, &sink(&cert.path), &cert).await.code(), codes::NOT_A_SOCKET);
    let deaf = world.path("deaf.sock");
    drop(std::os::unix::net::UnixListener::bind(&deaf).expect("a socket"));
    assert_eq!(failure(&world, &sink(&deaf), &cert).await.code(), codes::SOCKET_REFUSED);
    let closed = world.path("closed.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&closed).expect("a socket");
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o000)).expect("a mode");
    if std::os::unix::net::UnixStream::connect(&closed).is_err() {
        assert_eq!(failure(&world, &sink(&closed), &cert).await.code(), codes::SOCKET_PERMISSION);
        return;
    }
    // Root may do anything, so the same is asked by another user.
    let mut command = std::process::Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(std::env::current_exe().expect("a path"));
    command.args(["--exact", "the_error_of_a_socket_says_why"]);
    let output = command.output().expect("setpriv");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_over_every_kind_of_address() {
    for binary in binaries() {
        let world = support::world();
        let certs: Vec<Cert> = (0..40).map(|number| world.cert_file(&format!("certs/{number}.pem"))).collect();
        let abstract_name = format!("stapled-{}", std::process::id());
        let port =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
        let mut addresses = vec![format!("abns@{abstract_name}"), format!("ipv4@127.0.0.1:{port}")];
        if version(&binary) >= (3, 1) {
            addresses.push(format!("abnsz@{abstract_name}-exact"));
        }
        let global: String =
            addresses.iter().map(|address| format!("stats socket {address} level admin\n  ")).collect();
        let bind = format!("crt {}", world.path("certs").display());
        let haproxy = support::start_with(&world, &binary, &bind, &global, &[]);
        addresses.push(haproxy.socket().display().to_string());
        let sinks: Vec<HaproxySink> = addresses
            .iter()
            .map(|address| HaproxySink::builder(address.parse::<Address>().expect("an address")).build())
            .collect();
        let mut last = None;
        for round in 0..5 {
            let staples: Vec<_> = certs.iter().map(|cert| (cert, world.staple(cert, HOUR + round))).collect();
            let mut deliveries = tokio::task::JoinSet::new();
            for (position, (cert, staple)) in staples.iter().enumerate() {
                let sink = HaproxySink::builder(sinks[position % sinks.len()].address().clone()).build();
                let (staple, site) = (staple.clone(), cert.site());
                deliveries.spawn(async move { sink.deliver(&staple, &[site]).await });
            }
            for result in deliveries.join_all().await {
                assert_eq!(result.expect("a delivery"), Delivered::Confirmed);
            }
            last = Some(staples);
        }
        for (cert, staple) in last.expect("rounds") {
            assert_eq!(haproxy.staple(cert).as_deref(), Some(staple.response().as_ref()));
        }
    }
}

#[tokio::test]
async fn an_idle_connection_ends() {
    for binary in binaries() {
        let world = support::world();
        let cert = world.cert_file("a.pem");
        let haproxy = support::start(&world, &binary, &crt(&cert));
        let sink = HaproxySink::builder(Address::unix(haproxy.socket())).keepalive(Duration::ZERO).build();
        deliver(&world, &sink, &cert).await;
        // Two sessions: the kept one, and the one that asks.
        let sessions =
            |haproxy: &Haproxy| haproxy.ask("show sess").lines().filter(|line| line.starts_with("0x")).count();
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while sessions(&haproxy) > 1 {
            assert!(tokio::time::Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        deliver(&world, &sink, &cert).await;
    }
}

#[tokio::test]
async fn a_haproxy_without_certificates_is_no_error() {
    for binary in binaries() {
        let world = support::world();
        let cert = world.cert_file("a.pem");
        let haproxy = support::start_without_certificates(&world, &binary);
        assert_eq!(failure(&world, &support::sink_of(&haproxy), &cert).await.code(), codes::NOT_LOADED);
    }
}
