//! The sink against the real HAProxy.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use stapled_core::reason::ReasonCode;
use stapled_core::sink::{Delivered, Lost, SinkError, StapleSink, Withdrawal, Withdrawn};
use stapled_haproxy::{Address, HaproxySink, codes};
use support::{Cert, Haproxy, Lab, PATIENCE, binaries, how_many, lost, sink, version, wait_for};

const HOUR: i64 = 3600;

async fn deliver(lab: &Lab, sink: &HaproxySink, cert: &Cert) -> Vec<u8> {
    let staple = lab.staple(cert, HOUR);
    assert_eq!(sink.deliver(&staple, &[cert.site()]).await.expect("a delivery"), Delivered::Confirmed);
    staple.response().to_vec()
}

async fn failure(lab: &Lab, sink: &HaproxySink, cert: &Cert) -> SinkError {
    sink.deliver(&lab.staple(cert, HOUR), &[cert.site()]).await.expect_err("a failure")
}

fn crt(cert: &Cert) -> String {
    format!("crt \"{}\"", cert.name)
}

fn no_transaction(haproxy: &Haproxy) {
    assert!(!haproxy.ask("show ssl cert").contains('*'));
}

#[tokio::test]
async fn a_first_staple_needs_no_file_and_the_next_ones_replace_it() {
    for binary in binaries() {
        let lab = Lab::new();
        let cert = lab.cert("a.pem");
        let haproxy = lab.start(&binary, &crt(&cert));
        assert_eq!(haproxy.stapled(&cert), None);
        let sink = haproxy.sink();
        for seconds in [HOUR, 2 * HOUR] {
            let staple = lab.staple(&cert, seconds);
            assert_eq!(sink.deliver(&staple, &[cert.site()]).await.expect("a delivery"), Delivered::Confirmed);
            assert_eq!(haproxy.stapled(&cert).as_deref(), Some(staple.response().as_ref()));
        }
        no_transaction(&haproxy);
    }
}

#[tokio::test]
async fn a_staple_from_a_file_is_replaced() {
    for binary in binaries() {
        let lab = Lab::new();
        let cert = lab.cert("a.pem");
        let old = lab.staple(&cert, HOUR);
        std::fs::write(lab.path("a.pem.ocsp"), old.response()).expect("a file");
        let haproxy = lab.start(&binary, &crt(&cert));
        assert_eq!(haproxy.stapled(&cert).as_deref(), Some(old.response().as_ref()));
        let new = lab.staple(&cert, 2 * HOUR);
        haproxy.sink().deliver(&new, &[cert.site()]).await.expect("a delivery");
        assert_eq!(haproxy.stapled(&cert).as_deref(), Some(new.response().as_ref()));
    }
}

#[tokio::test]
async fn a_certificate_whose_issuer_haproxy_lacks_gets_both() {
    for binary in binaries() {
        let lab = Lab::new();
        let cert = lab.lonely_cert("a.pem");
        let haproxy = lab.start(&binary, &crt(&cert));
        let response = deliver(&lab, &haproxy.sink(), &cert).await;
        assert_eq!(haproxy.stapled(&cert), Some(response));
    }
}

#[tokio::test]
async fn a_wrong_issuer_file_is_overruled() {
    for binary in binaries() {
        let lab = Lab::new();
        let cert = lab.lonely_cert("a.pem");
        let stranger = Lab::new();
        std::fs::write(lab.path("a.pem.issuer"), stranger.authority.certificate_pem()).expect("a file");
        let haproxy = lab.start(&binary, &crt(&cert));
        let response = deliver(&lab, &haproxy.sink(), &cert).await;
        assert_eq!(haproxy.stapled(&cert), Some(response));
        no_transaction(&haproxy);
    }
}

#[tokio::test]
async fn names_with_odd_characters_are_said_right() {
    for binary in binaries() {
        for file in
            ["a b.pem", "a;b.pem", "it's.pem", "a&b$c#d.pem", "\u{e4}\u{1f600}.pem", "<<x.pem", "-x.pem", "a=b,c.pem"]
        {
            let lab = Lab::new();
            let cert = lab.cert(file);
            // A list of certificates takes names as they are, but for spaces and number signs.
            let bind = if file.contains(['$', '\'', ';', '"']) {
                format!("crt '{}'", cert.name).replace("it's", "it'\"'\"'s")
            } else {
                crt(&cert)
            };
            let haproxy = lab.start(&binary, &bind);
            let response = deliver(&lab, &haproxy.sink(), &cert).await;
            assert_eq!(haproxy.stapled(&cert), Some(response), "{file}");
        }
    }
}

#[tokio::test]
async fn backslashes_and_control_characters() {
    for binary in binaries() {
        let lab = Lab::new();
        let cert = lab.cert("a\\b.pem");
        let haproxy = lab.start(&binary, &format!("crt '{}'", cert.name));
        let sink = haproxy.sink();
        let response = deliver(&lab, &sink, &cert).await;
        assert_eq!(haproxy.stapled(&cert), Some(response));

        let unknown = lab.cert("unknown.pem");
        let before = haproxy.ask("show ssl cert");
        let site = unknown.site_as("x\nshow info");
        let error = sink.deliver(&lab.staple(&unknown, HOUR), &[site]).await.expect_err("a refusal");
        assert_eq!(error.code(), codes::UNUSABLE_NAME);
        assert_eq!(haproxy.ask("show ssl cert"), before);
    }
}

#[tokio::test]
async fn relative_names_of_haproxy_are_found_by_their_certificate() {
    for binary in binaries() {
        let lab = Lab::new();
        let cert = lab.cert("certs/a.pem");
        let twin = lab.cert("others/a.pem");
        let haproxy = lab.start(&binary, "crt certs/a.pem crt others/a.pem");
        let sink = haproxy.sink();
        for cert in [&cert, &twin] {
            let response = deliver(&lab, &sink, cert).await;
            assert_eq!(haproxy.stapled(cert), Some(response));
        }
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_loaded_is_refused() {
    for binary in binaries() {
        let lab = Lab::new();
        let (cert, other) = (lab.cert("a.pem"), lab.cert("b.pem"));
        let haproxy = lab.start(&binary, &crt(&cert));
        let error = failure(&lab, &haproxy.sink(), &other).await;
        assert_eq!(error.code(), codes::NOT_LOADED);
        assert!(error.to_string().contains("b.pem"), "{error}");
    }
}

#[tokio::test]
async fn a_renewed_file_that_haproxy_has_not_read_is_refused() {
    for binary in binaries() {
        let lab = Lab::new();
        let old = lab.cert("a.pem");
        let haproxy = lab.start(&binary, &crt(&old));
        let renewed = lab.cert("a.pem");
        let sink = haproxy.sink();
        assert_eq!(failure(&lab, &sink, &renewed).await.code(), codes::CERTIFICATE_DIFFERS);
        deliver(&lab, &sink, &old).await;
    }
}

#[tokio::test]
async fn a_certificate_in_two_files_is_stapled_in_both() {
    for binary in binaries() {
        let lab = Lab::new();
        let cert = lab.cert("a.pem");
        std::fs::copy(&cert.path, lab.path("b.pem")).expect("a copy");
        let second = lab.path("b.pem").to_str().expect("text").to_owned();
        let folder = lab.folder.path().display();
        let bind = format!("{}\n  bind unix@{folder}/tls2.sock ssl crt {second}", crt(&cert));
        let first_staple = lab.staple(&cert, 2 * HOUR);
        // The first is there from the start, so that pushes are taken; the second is not.
        std::fs::write(lab.path("a.pem.ocsp"), first_staple.response()).expect("a file");
        let haproxy = lab.start(&binary, &bind);
        let staple = lab.staple(&cert, HOUR);
        let sites = [cert.site(), cert.site_as(&second)];
        haproxy.sink().deliver(&staple, &sites).await.expect("a delivery");
        for socket in ["tls.sock", "tls2.sock"] {
            assert_eq!(support::stapled(&lab.path(socket), &cert.host).as_deref(), Some(staple.response().as_ref()));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_loses_everything() {
    for binary in binaries() {
        let lab = Lab::new();
        let cert = lab.cert("a.pem");
        let haproxy = lab.start(&binary, &crt(&cert));
        let sink = haproxy.sink();
        deliver(&lab, &sink, &cert).await;
        drop(haproxy);
        let (word, haproxy) = tokio::join!(lost(&sink), async {
            let error = failure(&lab, &sink, &cert).await;
            assert!([codes::SOCKET_REFUSED, codes::SOCKET_MISSING].contains(&error.code()), "{error}");
            tokio::task::block_in_place(|| lab.launch(&binary, &[]))
        });
        assert_eq!(word, Lost::Everything);
        let response = deliver(&lab, &sink, &cert).await;
        assert_eq!(haproxy.stapled(&cert), Some(response));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_loses_everything_and_the_new_process_gets_it() {
    for binary in binaries() {
        let lab = Lab::new();
        let cert = lab.cert("a.pem");
        let haproxy = lab.start_with(&binary, &crt(&cert), "", &["-W"]);
        let sink = haproxy.sink();
        deliver(&lab, &sink, &cert).await;
        for _ in 0..3 {
            haproxy.reload();
            assert_eq!(lost(&sink).await, Lost::Everything);
            let response = deliver(&lab, &sink, &cert).await;
            assert_eq!(haproxy.stapled(&cert), Some(response));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_reload_a_kept_connection_does_not_lead_to_the_old_process() {
    for binary in binaries() {
        let lab = Lab::new();
        let cert = lab.cert("a.pem");
        let old = lab.start(&binary, &crt(&cert));
        let sink = old.sink();
        deliver(&lab, &sink, &cert).await;
        let socket = lab.path("admin.sock");
        let arguments = ["-x", socket.to_str().expect("text"), "-sf", &old.child.id().to_string()].map(str::to_owned);
        let new = lab.launch(&binary, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
        // Nobody has called lost(), and the connection was busy a moment ago.
        let response = wait_for("the new process's staple", || {
            let staple = lab.staple(&cert, HOUR);
            tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(sink.deliver(&staple, &[cert.site()]))
            })
            .expect("a delivery");
            (new.stapled(&cert).as_deref() == Some(staple.response().as_ref())).then(|| staple.response().to_vec())
        });
        assert_eq!(new.stapled(&cert), Some(response));
        assert_eq!(lost(&sink).await, Lost::Everything);
    }
}

#[tokio::test]
async fn a_certificate_that_others_replace_is_reported_lost() {
    for binary in binaries() {
        let lab = Lab::new();
        let (cert, other) = (lab.cert("a.pem"), lab.cert("b.pem"));
        let haproxy = lab.start(&binary, &format!("{} {}", crt(&cert), crt(&other)));
        let sink = haproxy.sink();
        deliver(&lab, &sink, &cert).await;
        deliver(&lab, &sink, &other).await;
        haproxy.replace(&cert);
        assert_eq!(haproxy.stapled(&cert), None);
        assert_eq!(lost(&sink).await, Lost::Certificates(vec![cert.name.as_str().into()]));
        let response = deliver(&lab, &sink, &cert).await;
        assert_eq!(haproxy.stapled(&cert), Some(response));
    }
}

#[tokio::test]
async fn a_foreign_transaction_is_left_alone() {
    for binary in binaries() {
        let lab = Lab::new();
        let (cert, other) = (lab.cert("a.pem"), lab.cert("b.pem"));
        let haproxy = lab.start(&binary, &format!("{} {}", crt(&cert), crt(&other)));
        let sink = haproxy.sink();
        for foreign in [&cert, &other] {
            let said = haproxy.ask(&format!("set ssl cert {} <<\n{}\n", foreign.name, foreign.issued.bundle_pem()));
            assert!(said.contains("Transaction created"), "{said}");
            let before = haproxy.ask(&format!("show ssl cert *{}", foreign.name));
            assert_eq!(failure(&lab, &sink, &cert).await.code(), codes::FOREIGN_TRANSACTION);
            assert_eq!(haproxy.ask(&format!("show ssl cert *{}", foreign.name)), before);
            assert!(haproxy.ask(&format!("commit ssl cert {}", foreign.name)).contains("Success!"));
        }
        let response = deliver(&lab, &sink, &cert).await;
        assert_eq!(haproxy.stapled(&cert), Some(response));
    }
}

#[tokio::test]
async fn a_withdrawn_staple_is_gone_at_once_and_can_come_back() {
    for binary in binaries() {
        let lab = Lab::new();
        let cert = lab.cert("a.pem");
        let haproxy = lab.start(&binary, &crt(&cert));
        let sink = haproxy.sink();
        let withdraw = || sink.withdraw(&cert.chain, &[], Withdrawal::Revoked);
        assert_eq!(withdraw().await.expect("nothing to withdraw"), Withdrawn::Confirmed);
        deliver(&lab, &sink, &cert).await;
        assert_eq!(withdraw().await.expect("a withdrawal"), Withdrawn::Confirmed);
        assert_eq!(haproxy.stapled(&cert), None);
        let response = deliver(&lab, &sink, &cert).await;
        assert_eq!(haproxy.stapled(&cert), Some(response));
    }
}

#[tokio::test]
async fn what_haproxy_would_not_staple_is_not_sent() {
    for binary in binaries() {
        let lab = Lab::new();
        let cert = lab.cert("a.pem");
        let haproxy = lab.start(&binary, &crt(&cert));
        let sink = haproxy.sink();
        let good = deliver(&lab, &sink, &cert).await;
        for (staple, code) in [
            (lab.staple(&cert, 290), "expires_too_soon"),
            (lab.staple(&cert, 303), "expires_too_soon"),
            (lab.padded_staple(&cert, HOUR, 12_000), "too_large"),
        ] {
            let error = sink.deliver(&staple, &[cert.site()]).await.expect_err("a refusal");
            assert_eq!(error.code(), ReasonCode::new(code));
            assert_eq!(haproxy.stapled(&cert).as_deref(), Some(good.as_slice()));
        }
    }
}

#[tokio::test]
async fn the_largest_response_fits_as_a_first_and_as_a_next_staple() {
    for binary in binaries() {
        let lab = Lab::new();
        let cert = lab.cert("a.pem");
        let haproxy = lab.start(&binary, &crt(&cert));
        let sink = haproxy.sink();
        let most = sink.requirements().max_size;
        let small = lab.padded_staple(&cert, HOUR, 1000).response().len();
        for _ in 0..2 {
            // Signatures differ by some bytes.
            let staple = lab.padded_staple(&cert, HOUR, most - small + 1000 - 8);
            assert!(most - staple.response().len() < 24);
            sink.deliver(&staple, &[cert.site()]).await.expect("a delivery");
            assert_eq!(haproxy.stapled(&cert).as_deref(), Some(staple.response().as_ref()));
        }
    }
}

#[tokio::test]
async fn a_lesser_level_is_named_with_its_remedy() {
    for binary in binaries() {
        for level in ["user", "operator"] {
            let lab = Lab::new();
            let cert = lab.cert("a.pem");
            let path = lab.path("lesser.sock");
            let global = format!("stats socket {} level {level}", path.display());
            let haproxy = lab.start_with(&binary, &crt(&cert), &global, &[]);
            let lesser = sink(&path);
            let error = failure(&lab, &lesser, &cert).await;
            assert_eq!(error.code(), codes::PERMISSION_DENIED);
            assert!(error.to_string().contains("level admin"), "{error}");
            assert_eq!(haproxy.stapled(&cert), None);
            // Two sockets, one process.
            deliver(&lab, &haproxy.sink(), &cert).await;
        }
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_socket_is_said() {
    let lab = Lab::new();
    let cert = lab.cert("a.pem");
    let missing = sink(&lab.path("missing.sock"));
    assert_eq!(failure(&lab, &missing, &cert).await.code(), codes::SOCKET_MISSING);
    assert_eq!(failure(&lab, &sink(&cert.path), &cert).await.code(), codes::NOT_A_SOCKET);
    let deaf = lab.path("deaf.sock");
    drop(std::os::unix::net::UnixListener::bind(&deaf).expect("a socket"));
    assert_eq!(failure(&lab, &sink(&deaf), &cert).await.code(), codes::SOCKET_REFUSED);
    // Root may do anything.
    let closed = lab.path("closed.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&closed).expect("a socket");
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o000)).expect("a mode");
    if std::os::unix::net::UnixStream::connect(&closed).is_err() {
        assert_eq!(failure(&lab, &sink(&closed), &cert).await.code(), codes::SOCKET_PERMISSION);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_over_every_kind_of_address() {
    for binary in binaries() {
        let lab = Lab::new();
        let certs: Vec<Cert> = (0..40).map(|number| lab.cert(&format!("certs/{number}.pem"))).collect();
        let abstract_name = format!("stapled-{}", std::process::id());
        let port =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
        let mut addresses = vec![format!("abns@{abstract_name}"), format!("ipv4@127.0.0.1:{port}")];
        if version(&binary) >= (3, 1) {
            addresses.push(format!("abnsz@{abstract_name}-exact"));
        }
        let global: String =
            addresses.iter().map(|address| format!("stats socket {address} level admin\n  ")).collect();
        let bind = format!("crt {}", lab.path("certs").display());
        let haproxy = lab.start_with(&binary, &bind, &global, &[]);
        addresses.push(haproxy.socket.display().to_string());
        let sinks: Vec<HaproxySink> = addresses
            .iter()
            .map(|address| HaproxySink::builder(address.parse::<Address>().expect("an address")).build())
            .collect();
        let mut last = None;
        for round in 0..5 {
            let staples: Vec<_> = certs.iter().map(|cert| (cert, lab.staple(cert, HOUR + round))).collect();
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
            assert_eq!(haproxy.stapled(cert).as_deref(), Some(staple.response().as_ref()));
        }
    }
}

#[tokio::test]
async fn an_idle_connection_ends() {
    for binary in binaries() {
        let lab = Lab::new();
        let cert = lab.cert("a.pem");
        let haproxy = lab.start(&binary, &crt(&cert));
        let sink = HaproxySink::builder(Address::unix(&haproxy.socket)).keepalive(Duration::ZERO).build();
        deliver(&lab, &sink, &cert).await;
        // Two sessions: the kept one, and the one that asks.
        let sessions =
            |haproxy: &Haproxy| haproxy.ask("show sess").lines().filter(|line| line.starts_with("0x")).count();
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while sessions(&haproxy) > 1 {
            assert!(tokio::time::Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        deliver(&lab, &sink, &cert).await;
    }
}

#[tokio::test]
async fn an_empty_haproxy_is_no_riddle() {
    for binary in binaries() {
        let lab = Lab::new();
        let cert = lab.cert("a.pem");
        let haproxy = lab.start_without_certificates(&binary);
        assert_eq!(failure(&lab, &haproxy.sink(), &cert).await.code(), codes::NOT_LOADED);
    }
}

#[tokio::test]
async fn hundreds_that_others_replace_are_all_reported_lost_and_come_back() {
    for binary in binaries() {
        let lab = Lab::new();
        let certs: Vec<Cert> = (0..200).map(|number| lab.cert(&format!("certs/{number}.pem"))).collect();
        let haproxy = lab.start(&binary, &format!("crt {}", lab.path("certs").display()));
        let sink = haproxy.sink();
        for cert in &certs {
            deliver(&lab, &sink, cert).await;
        }
        for round in 0..2 {
            for cert in &certs {
                haproxy.replace(cert);
            }
            let mut missing: Vec<&str> = certs.iter().map(|cert| cert.name.as_str()).collect();
            while !missing.is_empty() {
                let Lost::Certificates(names) = lost(&sink).await else { panic!("round {round}: not certificates") };
                missing.retain(|missing| names.iter().all(|name| **name != **missing));
            }
            for cert in &certs {
                let response = deliver(&lab, &sink, cert).await;
                assert_eq!(haproxy.stapled(cert), Some(response), "round {round}");
            }
        }
    }
}

#[tokio::test]
async fn a_staple_that_somebody_else_gave_is_replaced_only_by_a_newer_one() {
    for binary in binaries() {
        let lab = Lab::new();
        let cert = lab.cert("a.pem");
        let haproxy = lab.start(&binary, &crt(&cert));
        let sink = haproxy.sink();
        deliver(&lab, &sink, &cert).await;
        let push = |age: i64| {
            let response = lab.response(&cert, support::now() - age, 3 * HOUR);
            let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, response);
            assert!(haproxy.ask(&format!("set ssl ocsp-response {encoded}")).contains("updated"));
        };
        push(3000);
        assert_eq!(lost(&sink).await, Lost::Certificates(vec![cert.name.as_str().into()]));
        let response = deliver(&lab, &sink, &cert).await;
        assert_eq!(haproxy.stapled(&cert), Some(response));
        push(0);
        let nothing = tokio::time::timeout(Duration::from_millis(500), sink.lost()).await;
        assert!(nothing.is_err(), "a newer one was called a loss");
    }
}

#[tokio::test]
async fn a_certificate_that_comes_late_is_noticed() {
    for binary in binaries() {
        let lab = Lab::new();
        let old = lab.cert("a.pem");
        let haproxy = lab.start(&binary, &crt(&old));
        let renewed = lab.cert("a.pem");
        let sink = haproxy.sink();
        assert_eq!(failure(&lab, &sink, &renewed).await.code(), codes::CERTIFICATE_DIFFERS);
        assert!(tokio::time::timeout(Duration::from_millis(200), sink.lost()).await.is_err(), "nothing came yet");
        haproxy.replace(&renewed);
        assert_eq!(lost(&sink).await, Lost::Nothing, "it is not told that it can be tried again");
        deliver(&lab, &sink, &renewed).await;

        let new = lab.cert("new.pem");
        assert_eq!(failure(&lab, &sink, &new).await.code(), codes::NOT_LOADED);
        haproxy.ask(&format!("new ssl cert {}", new.name));
        haproxy.replace(&new);
        assert_eq!(lost(&sink).await, Lost::Nothing, "it is not told that it can be tried again");
    }
}

#[tokio::test]
async fn the_end_of_a_foreign_transaction_is_noticed() {
    for binary in binaries() {
        let lab = Lab::new();
        let (cert, other) = (lab.cert("a.pem"), lab.cert("b.pem"));
        let haproxy = lab.start(&binary, &format!("{} {}", crt(&cert), crt(&other)));
        let sink = haproxy.sink();
        haproxy.ask(&format!("set ssl cert {} <<\n{}\n", other.name, other.issued.bundle_pem()));
        assert_eq!(failure(&lab, &sink, &cert).await.code(), codes::FOREIGN_TRANSACTION);
        assert!(tokio::time::timeout(Duration::from_millis(200), sink.lost()).await.is_err(), "it goes on");
        assert!(haproxy.ask(&format!("commit ssl cert {}", other.name)).contains("Success!"));
        assert_eq!(lost(&sink).await, Lost::Nothing);
        deliver(&lab, &sink, &cert).await;
    }
}

/// The workers' numbers, as `show proc` lists them: current ones first.
fn workers(haproxy: &Haproxy) -> Vec<u64> {
    let reply = support::ask_at(&haproxy.master, "show proc\nquit\n").expect("an answer");
    let pids = reply.lines().filter(|line| line.contains(" worker ")).filter_map(|line| line.split_whitespace().next());
    pids.map(|pid| pid.parse().expect("a number")).collect()
}

fn next_update(haproxy: &Haproxy, pid: u64, cert: &Cert) -> Option<String> {
    let cert_id: String =
        cert.chain.cert_id(stapled_core::ocsp::CertIdHash::Sha1).to_der().iter().map(|b| format!("{b:02x}")).collect();
    let reply = haproxy.ask_worker(pid, &format!("show ssl ocsp-response {cert_id}"));
    reply.lines().find_map(|line| line.trim().strip_prefix("Next Update: ")).map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_master_every_worker_is_served_and_old_ones_are_too() {
    for binary in binaries() {
        let lab = Lab::new();
        let cert = lab.cert("a.pem");
        let master = lab.path("master.sock");
        let haproxy = lab.start_with(&binary, &crt(&cert), "", &["-W", "-S", master.to_str().expect("text")]);
        let sink = haproxy.master_sink();
        let response = deliver(&lab, &sink, &cert).await;
        assert_eq!(haproxy.stapled(&cert), Some(response));
        let lingering = haproxy.linger(&cert);

        haproxy.reload();
        assert_eq!(lost(&sink).await, Lost::Everything);
        let staple = lab.staple(&cert, 2 * HOUR);
        sink.deliver(&staple, &[cert.site()]).await.expect("a delivery");
        assert_eq!(haproxy.stapled(&cert).as_deref(), Some(staple.response().as_ref()));
        let pids = workers(&haproxy);
        assert_eq!(pids.len(), 2, "the old worker is there");
        let shown: Vec<_> = pids.iter().map(|pid| next_update(&haproxy, *pid, &cert)).collect();
        assert!(shown[0].is_some() && shown[0] == shown[1], "{shown:?}");

        // What is withdrawn is withdrawn from both.
        assert_eq!(
            sink.withdraw(&cert.chain, &[], Withdrawal::Revoked).await.expect("withdrawn"),
            Withdrawn::Confirmed
        );
        assert_eq!(haproxy.stapled(&cert), None);
        let after: Vec<_> = pids.iter().map(|pid| next_update(&haproxy, *pid, &cert)).collect();
        assert!(after[0].is_some() && after[0] == after[1] && after != shown, "{after:?}");

        // It ends: nothing is lost, and nothing fails for it.
        drop(lingering);
        wait_for("the old worker's end", || (workers(&haproxy).len() == 1).then_some(()));
        let response = deliver(&lab, &sink, &cert).await;
        assert_eq!(haproxy.stapled(&cert), Some(response));
    }
}

#[tokio::test]
async fn behind_a_master_it_is_as_with_a_socket_of_its_own() {
    for binary in binaries() {
        let lab = Lab::new();
        let certs: Vec<Cert> = (0..20).map(|number| lab.cert(&format!("certs/{number}.pem"))).collect();
        let master = lab.path("master.sock");
        let bind = format!("crt {}", lab.path("certs").display());
        let haproxy = lab.start_with(&binary, &bind, "", &["-W", "-S", master.to_str().expect("text")]);
        let sink = haproxy.master_sink();
        for cert in &certs {
            deliver(&lab, &sink, cert).await;
        }
        let most = sink.requirements().max_size;
        let small = lab.padded_staple(&certs[0], HOUR, 1000).response().len();
        let largest = lab.padded_staple(&certs[0], HOUR, most - small + 1000 - 8);
        sink.deliver(&largest, &[certs[0].site()]).await.expect("the largest response");
        assert_eq!(haproxy.stapled(&certs[0]).as_deref(), Some(largest.response().as_ref()));

        haproxy.replace(&certs[1]);
        assert_eq!(haproxy.stapled(&certs[1]), None);
        assert_eq!(lost(&sink).await, Lost::Certificates(vec![certs[1].name.as_str().into()]));
        let response = deliver(&lab, &sink, &certs[1]).await;
        assert_eq!(haproxy.stapled(&certs[1]), Some(response));

        // Addressed without its prefix, the master is recognised.
        let error = failure(&lab, &support::sink(&master), &certs[0]).await;
        assert_eq!(error.code(), codes::MASTER_SOCKET);
        assert!(error.to_string().contains("master@"), "{error}");
    }
}

#[tokio::test]
async fn behind_a_master_a_worker_without_an_admin_socket_of_its_own_gets_first_staples_too() {
    for binary in binaries() {
        let lab = Lab::new();
        let (cert, lonely) = (lab.cert("a.pem"), lab.lonely_cert("b.pem"));
        let folder = lab.folder.path().display();
        let configuration = format!(
            "global\n  stats socket {folder}/admin.sock level user\n  stats socket {folder}/other.sock level operator\n\
             defaults\n  mode http\n  timeout client 10s\n  timeout server 10s\n  timeout connect 10s\n\
             frontend f\n  bind unix@{folder}/tls.sock ssl {} {}\n",
            crt(&cert),
            crt(&lonely),
        );
        std::fs::write(lab.path("haproxy.cfg"), configuration).expect("a file");
        let master = lab.path("master.sock");
        let haproxy = lab.launch(&binary, &["-W", "-S", master.to_str().expect("text")]);
        let sink = haproxy.master_sink();
        for cert in [&cert, &lonely] {
            let response = deliver(&lab, &sink, cert).await;
            assert_eq!(haproxy.stapled(cert), Some(response), "{binary}");
        }
    }
}

#[tokio::test]
async fn a_master_without_workers_or_that_is_none_is_told() {
    let lab = Lab::new();
    let cert = lab.cert("a.pem");
    let missing = support::sink_at(Address::master(lab.path("missing.sock")));
    assert_eq!(failure(&lab, &missing, &cert).await.code(), codes::SOCKET_MISSING);
    for binary in binaries() {
        let haproxy = lab.start(&binary, &crt(&cert));
        let worker = HaproxySink::builder(Address::master(&haproxy.socket)).reply_timeout(PATIENCE).build();
        assert_eq!(failure(&lab, &worker, &cert).await.code(), codes::GARBLED_REPLY);
    }
}

/// Somebody who changes a certificate hundreds of times each second and never looks who else is at it.
struct Rude {
    is_over: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Rude {
    fn start(haproxy: &Haproxy, cert: &Cert, threads: usize) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let start = |_| {
            let (is_over, socket) = (Arc::clone(&is_over), haproxy.socket.clone());
            let (name, pem) = (cert.name.clone(), cert.issued.bundle_pem());
            std::thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    support::ask_at(&socket, &format!("set ssl cert {name} <<\n{pem}\n"));
                    support::ask_at(&socket, &format!("commit ssl cert {name}"));
                    // Leaves others some time.
                    std::thread::sleep(Duration::from_millis(1));
                }
            })
        };
        Rude { threads: (0..threads).map(start).collect(), is_over }
    }

    fn end(self, haproxy: &Haproxy, cert: &Cert) {
        self.is_over.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().expect("an end"));
        // Their last change may be a half one.
        haproxy.ask(&format!("abort ssl cert {}", cert.name));
    }
}

/// Introduces certificates while somebody sets another one all the time; returns how many were mixed up.
async fn introduced_beside_somebody_rude(binary: &str, threads: &str, behind_a_master: bool, count: usize) -> usize {
    let lab = Lab::new();
    let certs = lab.many_certs("certs", count);
    let other = lab.cert("certs/other.pem");
    let bind = format!("crt {}", lab.path("certs").display());
    let master = lab.path("master.sock");
    let arguments: &[&str] = if behind_a_master { &["-W", "-S", master.to_str().expect("text")] } else { &[] };
    let haproxy = lab.start_with(binary, &bind, threads, arguments);
    let sink = if behind_a_master { haproxy.master_sink() } else { haproxy.sink() };
    let mut mixed_up = Vec::new();
    let rude = Rude::start(&haproxy, &other, 1);
    for cert in &certs {
        // Whether it succeeds in all this is not the question.
        if let Err(error) = sink.deliver(&lab.staple(cert, HOUR), &[cert.site()]).await
            && error.code() == codes::CERTIFICATE_MIXED_UP
        {
            assert!(error.to_string().contains("RELOAD"), "{error}");
            mixed_up.push(cert.name.as_str());
        }
    }
    rude.end(&haproxy, &other);
    for cert in &certs {
        let shown = haproxy.ask(&format!("show ssl cert {}", cert.name));
        let is_right = shown.contains(&format!("DNS:{}\n", cert.host));
        assert_eq!(is_right, !mixed_up.contains(&cert.name.as_str()), "{binary}: {}: {shown}", cert.name);
        if is_right {
            deliver(&lab, &sink, cert).await;
        }
    }
    no_transaction(&haproxy);
    mixed_up.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_set_meanwhile_never_ends_up_under_another_name() {
    let count = how_many(2_000, 60);
    for binary in binaries() {
        let is_old = version(&binary) < (3, 0);
        assert_eq!(introduced_beside_somebody_rude(&binary, "nbthread 1", false, count).await, 0, "{binary}");
        // Before 3.0 another thread may get in between, rarely; then it is told.
        let mixed_up = introduced_beside_somebody_rude(&binary, "nbthread 2", false, count).await;
        println!("{binary}: {mixed_up} of {count} mixed up with two threads");
        assert!(mixed_up <= if is_old { count / 20 } else { 0 }, "{binary}: {mixed_up} of {count}");
        // A master hands on one command after the other: before 3.0 the worker's own socket is used for them.
        let mixed_up = introduced_beside_somebody_rude(&binary, "", true, count / 2).await;
        println!("{binary}: {mixed_up} of {} mixed up behind a master", count / 2);
        assert!(mixed_up <= if is_old { count / 40 } else { 0 }, "{binary}: {mixed_up}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_set_for_the_same_name_meanwhile_is_theirs() {
    for binary in binaries() {
        for threads in ["nbthread 1", ""] {
            let lab = Lab::new();
            let cert = lab.cert("a.pem");
            let haproxy = lab.start_with(&binary, &crt(&cert), threads, &[]);
            let sink = haproxy.sink();
            let rude = Rude::start(&haproxy, &cert, 1);
            for _ in 0..60 {
                if let Err(error) = sink.deliver(&lab.staple(&cert, HOUR), &[cert.site()]).await {
                    let expected = [codes::FOREIGN_TRANSACTION, codes::COMMIT_FAILED, codes::NOT_CONFIRMED];
                    assert!(expected.contains(&error.code()), "{binary}: {error}");
                }
            }
            rude.end(&haproxy, &cert);
            // What they did last may not be known yet.
            loop {
                let response = deliver(&lab, &sink, &cert).await;
                if haproxy.stapled(&cert) == Some(response) {
                    break;
                }
                assert_eq!(lost(&sink).await, Lost::Certificates(vec![cert.name.as_str().into()]), "{binary}");
            }
            no_transaction(&haproxy);
        }
    }
}
