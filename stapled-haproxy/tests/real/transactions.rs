//! First staples while other clients change certificates.

use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use stapled_core::sink::{Delivered, Lost, StapleSink};
use stapled_haproxy::{Address, HaproxySink, Transactions, codes};

use crate::support::{self, lost};
use crate::{HOUR, crt, deliver, failure, no_transaction};
use stapled_tests::{Cert, Haproxy, ask, binaries, how_many, version};

#[tokio::test]
async fn a_foreign_transaction_is_left_alone() {
    for binary in binaries() {
        let world = support::world();
        let (cert, other) = (world.cert_file("a.pem"), world.cert_file("b.pem"));
        let haproxy = support::start(&world, &binary, &format!("{} {}", crt(&cert), crt(&other)));
        let sink = support::sink_of(&haproxy);
        for foreign in [&cert, &other] {
            let said = haproxy.ask(&format!("set ssl cert {} <<\n{}\n", foreign.name(), foreign.issued.bundle_pem()));
            assert!(said.contains("Transaction created"), "{said}");
            let before = haproxy.ask(&format!("show ssl cert *{}", foreign.name()));
            assert_eq!(failure(&world, &sink, &cert).await.code(), codes::FOREIGN_TRANSACTION);
            assert_eq!(haproxy.ask(&format!("show ssl cert *{}", foreign.name())), before);
            assert!(haproxy.ask(&format!("commit ssl cert {}", foreign.name())).contains("Success!"));
        }
        let response = deliver(&world, &sink, &cert).await;
        assert_eq!(haproxy.staple(&cert), Some(response));
    }
}

#[tokio::test]
async fn the_end_of_a_foreign_transaction_is_noticed() {
    for binary in binaries() {
        let world = support::world();
        let (cert, other) = (world.cert_file("a.pem"), world.cert_file("b.pem"));
        let haproxy = support::start(&world, &binary, &format!("{} {}", crt(&cert), crt(&other)));
        let sink = support::sink_of(&haproxy);
        haproxy.ask(&format!("set ssl cert {} <<\n{}\n", other.name(), other.issued.bundle_pem()));
        assert_eq!(failure(&world, &sink, &cert).await.code(), codes::FOREIGN_TRANSACTION);
        assert!(tokio::time::timeout(Duration::from_millis(200), sink.lost()).await.is_err(), "it goes on");
        assert!(haproxy.ask(&format!("commit ssl cert {}", other.name())).contains("Success!"));
        assert_eq!(lost(&sink).await, Lost::Retry);
        deliver(&world, &sink, &cert).await;
    }
}

#[tokio::test]
async fn no_transaction_is_begun_if_none_is_allowed() {
    for binary in binaries() {
        let world = support::world();
        let cert = world.cert_file("a.pem");
        let haproxy = support::start_with(&world, &binary, &crt(&cert), "", &["-W"]);
        let sink = HaproxySink::builder(Address::unix(haproxy.socket())).look_interval(Duration::from_millis(20));
        let never = sink.transactions(Transactions::Never).build();
        let before = haproxy.ask(&format!("show ssl cert {}", cert.name()));
        let error = failure(&world, &never, &cert).await;
        assert_eq!(error.code(), codes::TRANSACTIONS_OFF, "{error}");
        assert!(error.to_string().contains("reload HAProxy"), "{error}");
        no_transaction(&haproxy);
        assert_eq!(haproxy.ask(&format!("show ssl cert {}", cert.name())), before);
        assert_eq!(haproxy.staple(&cert), None);
        assert!(tokio::time::timeout(Duration::from_millis(200), never.lost()).await.is_err(), "nothing happens");

        // With a file at the next start, all later ones are taken.
        std::fs::write(world.path("a.pem.ocsp"), world.staple(&cert, 2 * HOUR).response()).expect("a file");
        haproxy.reload();
        assert_eq!(lost(&never).await, Lost::Everything);
        let response = deliver(&world, &never, &cert).await;
        assert_eq!(haproxy.staple(&cert), Some(response));
    }
}

#[tokio::test]
async fn a_transaction_is_begun_only_in_isolation_if_set() {
    for binary in binaries() {
        let world = support::world();
        let cert = world.cert_file("a.pem");
        let haproxy = support::start(&world, &binary, &crt(&cert));
        let sink = HaproxySink::builder(Address::unix(haproxy.socket()));
        let isolated = sink.transactions(Transactions::Isolated).build();
        if version(&binary) < (3, 0) {
            assert_eq!(failure(&world, &isolated, &cert).await.code(), codes::TRANSACTIONS_OFF);
            assert_eq!(haproxy.staple(&cert), None);
        } else {
            let response = deliver(&world, &isolated, &cert).await;
            assert_eq!(haproxy.staple(&cert), Some(response));
        }
    }
}

/// A client that changes a certificate hundreds of times each second and ignores other clients.
struct Rude {
    is_over: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Rude {
    fn start(haproxy: &Haproxy, cert: &Cert, threads: usize) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let start = |_| {
            let (is_over, socket) = (Arc::clone(&is_over), haproxy.socket().clone());
            let (name, pem) = (cert.name().to_owned(), cert.issued.bundle_pem());
            std::thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    ask(&socket, &format!("set ssl cert {name} <<\n{pem}\n"));
                    ask(&socket, &format!("commit ssl cert {name}"));
                    // Leaves other clients some time.
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
        haproxy.try_ask(&format!("abort ssl cert {}", cert.name()));
    }
}

/// Delivers first staples while another client keeps setting a certificate; returns the number of mixed-up certificates.
async fn first_staples_beside_a_rude_client(binary: &str, threads: &str, behind_a_master: bool, count: usize) -> usize {
    let world = support::world();
    let certs = world.many_certs("certs", count);
    let other = world.cert_file("certs/other.pem");
    let bind = format!("crt {}", world.path("certs").display());
    let master = world.path("master.sock");
    let arguments: &[&str] = if behind_a_master { &["-W", "-S", master.to_str().expect("text")] } else { &[] };
    let haproxy = support::start_with(&world, binary, &bind, threads, arguments);
    let sink = if behind_a_master { support::master_sink_of(&haproxy) } else { support::sink_of(&haproxy) };
    let mut mixed_up = Vec::new();
    let rude = Rude::start(&haproxy, &other, 1);
    for cert in &certs {
        // Whether it succeeds in all this is not the question.
        if let Err(error) = sink.deliver(&world.staple(cert, HOUR), &[cert.site()]).await
            && error.code() == codes::CERTIFICATE_MIXED_UP
        {
            assert!(error.to_string().contains("RELOAD"), "{error}");
            mixed_up.push(cert.name());
        }
    }
    rude.end(&haproxy, &other);
    for cert in &certs {
        let shown = haproxy.ask(&format!("show ssl cert {}", cert.name()));
        let is_right = shown.contains(&format!("DNS:{}\n", cert.host));
        assert_eq!(is_right, !mixed_up.contains(&cert.name()), "{binary}: {}: {shown}", cert.name());
        if is_right {
            deliver(&world, &sink, cert).await;
        }
    }
    no_transaction(&haproxy);
    mixed_up.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_part_never_gets_another_name() {
    let count = how_many(2_000, 60);
    for binary in binaries() {
        let is_old = version(&binary) < (3, 0);
        assert_eq!(first_staples_beside_a_rude_client(&binary, "nbthread 1", false, count).await, 0, "{binary}");
        // Before 3.0 a foreign part may rarely come between; that is an error.
        let mixed_up = first_staples_beside_a_rude_client(&binary, "nbthread 2", false, count).await;
        println!("{binary}: {mixed_up} of {count} mixed up with two threads");
        assert!(mixed_up <= if is_old { count / 20 } else { 0 }, "{binary}: {mixed_up} of {count}");
        // A master hands on one command after the other: before 3.0 the worker's own socket is used for them.
        let mixed_up = first_staples_beside_a_rude_client(&binary, "", true, count / 2).await;
        println!("{binary}: {mixed_up} of {} mixed up behind a master", count / 2);
        assert!(mixed_up <= if is_old { count / 40 } else { 0 }, "{binary}: {mixed_up}");
    }
}

/// Delivers to a HAProxy while another client changes the same certificate. Returns how HAProxy crashed, if it did.
async fn the_same_name_beside_a_rude_client(binary: &str, threads: &str) -> Option<ExitStatus> {
    let world = support::world();
    let cert = world.cert_file("a.pem");
    let mut haproxy = support::start_with(&world, binary, &crt(&cert), threads, &[]);
    let sink = support::sink_of(&haproxy);
    let rude = Rude::start(&haproxy, &cert, 1);
    for _ in 0..60 {
        if let Err(error) = sink.deliver(&world.staple(&cert, HOUR), &[cert.site()]).await {
            let expected = [codes::FOREIGN_TRANSACTION, codes::COMMIT_FAILED, codes::NOT_CONFIRMED];
            if !expected.contains(&error.code()) {
                rude.end(&haproxy, &cert);
                return Some(haproxy.crash().unwrap_or_else(|| panic!("{binary}: {error}")));
            }
        }
    }
    rude.end(&haproxy, &cert);
    // The last change may not be known yet.
    loop {
        let staple = world.staple(&cert, HOUR);
        match sink.deliver(&staple, &[cert.site()]).await {
            Ok(delivered) => assert_eq!(delivered, Delivered::Confirmed, "{binary}"),
            Err(error) => return Some(haproxy.crash().unwrap_or_else(|| panic!("{binary}: {error}"))),
        }
        if haproxy.staple(&cert).as_deref() == Some(staple.response()) {
            break;
        }
        assert_eq!(lost(&sink).await, Lost::Certificates(vec![cert.chain().subject().clone()]), "{binary}");
    }
    no_transaction(&haproxy);
    None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_part_for_the_same_name_stays_with_its_client() {
    for binary in binaries() {
        let crash = the_same_name_beside_a_rude_client(&binary, "nbthread 1").await;
        assert_eq!(crash, None, "{binary}");
        // A HAProxy with threads may crash when two clients change one certificate at once. No client can prevent that.
        let mut crashes = 0;
        while let Some(crash) = the_same_name_beside_a_rude_client(&binary, "").await {
            println!("{binary}: {crash}");
            crashes += 1;
            assert!(crashes < 5, "{binary}");
        }
    }
}
