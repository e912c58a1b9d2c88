//! Sinks and sources with futures that are dropped at any point: no report is lost, and no change is undone.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support;
use stapled_core::sink::{Delivered, Lost, StapleSink, Withdrawal, Withdrawn};
use stapled_core::source::CertSource;
use stapled_haproxy::{HaproxySink, HaproxySource};
use stapled_tests::{Cert, PATIENCE, World, polled};

use crate::workers::{self, master};
use crate::{Address, Answer, Fake, HOUR, UPDATED, fingerprint, say, usual};

/// More polls than any call takes.
const MOST: usize = 60;
const UNKNOWN: &str = "Certificate ID does not match any certificate.\n\n> ";

async fn soon<F: Future>(future: F, what: &str) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: it never happens"))
}

/// The first report of a sink whose future was dropped after this number of polls before.
async fn told(sink: &HaproxySink, times: usize) -> Lost {
    match soon(polled(sink.lost(), times), "polls").await {
        Some(lost) => lost,
        None => soon(sink.lost(), &format!("dropped after {times} polls, the loss is told")).await,
    }
}

/// Shows one certificate, as long as it has it.
fn shows(world: &World, cert: &Cert) -> impl Fn(&str, bool) -> Option<Answer> + Send + Sync + use<> {
    let (name, serial) = (cert.name().to_owned(), cert.chain().end_entity().serial_hex());
    let key = world.staple(cert, HOUR).facts().cert_id.to_der();
    let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let print = fingerprint(cert.issued.der());
    move |line, has_it| match line {
        "show ssl cert" if has_it => Some(say(&format!("# filename\n{name}\n\n> "))),
        "show ssl cert" => Some(say("# filename\n\n> ")),
        line if line.starts_with("show ssl cert ") && has_it => Some(say(&format!(
            "Filename: {name}\nStatus: Used\nSerial: {serial}\nSHA1 FingerPrint: {print}\nOCSP Response Key: {key}\n\n> "
        ))),
        line if line.starts_with("show ssl cert ") => {
            Some(say("Can't display the certificate: Not found or the certificate is a bundle!\n\n> "))
        }
        _ => None,
    }
}

#[tokio::test]
async fn another_process_is_reported_wherever_the_future_was_dropped() {
    for times in 1..MOST {
        let pid = Arc::new(AtomicUsize::new(1));
        let current = Arc::clone(&pid);
        let fake = Fake::new(move |line, _| usual(line, current.load(Ordering::SeqCst)));
        let (cert, sink) = (fake.world.cert_file("a.pem"), fake.sink());
        sink.deliver(&fake.world.staple(&cert, HOUR), &[cert.site()]).await.expect("a delivery");
        pid.store(2, Ordering::SeqCst);
        assert_eq!(told(&sink, times).await, Lost::Everything);
    }
}

#[tokio::test]
async fn a_missing_certificate_is_reported_wherever_the_future_was_dropped() {
    for times in 1..MOST {
        let world = support::world();
        let cert = world.cert_file("a.pem");
        let (has_it, shows) = (Arc::new(AtomicBool::new(true)), shows(&world, &cert));
        let is_there = Arc::clone(&has_it);
        let fake =
            Fake::new(move |line, _| shows(line, is_there.load(Ordering::SeqCst)).unwrap_or_else(|| usual(line, 1)));
        let sink = fake.sink();
        sink.deliver(&world.staple(&cert, HOUR), &[cert.site()]).await.expect("a delivery");
        has_it.store(false, Ordering::SeqCst);
        assert_eq!(told(&sink, times).await, Lost::Certificates(vec![cert.chain().subject().clone()]));
    }
}

#[tokio::test]
async fn another_staple_is_reported_wherever_the_future_was_dropped() {
    for times in 1..MOST {
        let is_replaced = Arc::new(AtomicBool::new(false));
        let now = Arc::clone(&is_replaced);
        let fake = Fake::new(move |line, _| match line {
            line if line.starts_with("show ssl ocsp-response ") && now.load(Ordering::SeqCst) => say(UNKNOWN),
            line => usual(line, 1),
        });
        let cert = fake.world.cert_file("a.pem");
        let sink = HaproxySink::builder(Address::unix(&fake.socket))
            .look_interval(Duration::from_millis(20))
            .compare_interval(Duration::from_millis(100))
            .build();
        sink.deliver(&fake.world.staple(&cert, HOUR), &[cert.site()]).await.expect("a delivery");
        is_replaced.store(true, Ordering::SeqCst);
        let told = told(&sink, times).await;
        assert!(!matches!(told, Lost::Retry | Lost::Everything), "{told:?}");
    }
}

/// Behind a master, each of two workers has lost a staple: both losses are reported.
#[tokio::test]
async fn a_loss_of_a_worker_is_reported_wherever_the_future_was_dropped() {
    for times in 1..MOST {
        let world = support::world();
        let cert = world.cert_file("a.pem");
        let (has_it, shows) = (Arc::new(AtomicUsize::new(0)), shows(&world, &cert));
        let gone_from = Arc::clone(&has_it);
        let fake = master(move |line, worker| {
            shows(line, gone_from.load(Ordering::SeqCst) != worker).unwrap_or_else(|| usual(line, worker))
        });
        let sink = workers::sink(&fake);
        let (staple, site) = (world.staple(&cert, HOUR), [cert.site()]);
        sink.deliver(&staple, &site).await.expect("a delivery");
        // The first that is asked, and the last.
        let gone = 11 + times % 2;
        has_it.store(gone, Ordering::SeqCst);
        assert_eq!(told(&sink, times).await, Lost::Certificates(vec![cert.chain().subject().clone()]), "{gone}");
    }
}

/// A sink reports once that a delivery can be retried: here the first worker loads the missing certificate.
#[tokio::test]
async fn a_possible_retry_is_reported_wherever_the_future_was_dropped() {
    for times in 1..MOST {
        let world = support::world();
        let cert = world.cert_file("a.pem");
        let (has_it, shows) = (Arc::new(AtomicBool::new(false)), shows(&world, &cert));
        let is_there = Arc::clone(&has_it);
        let fake = master(move |line, worker| {
            let has_it = worker == 12 || is_there.load(Ordering::SeqCst);
            match line {
                line if line.starts_with("set ssl ocsp-response ") && !has_it => {
                    say("OCSP single response: Certificate ID does not match any certificate or issuer.\n\n> ")
                }
                "abort ssl cert /" => say("No ongoing transaction!\n\n> "),
                line => shows(line, has_it).unwrap_or_else(|| usual(line, worker)),
            }
        });
        let sink = workers::sink(&fake);
        let (staple, site) = (world.staple(&cert, HOUR), [cert.site()]);
        sink.deliver(&staple, &site).await.expect_err("one worker has not loaded it");
        has_it.store(true, Ordering::SeqCst);
        assert_eq!(told(&sink, times).await, Lost::Retry);
        assert_eq!(sink.deliver(&staple, &site).await.expect("a delivery"), Delivered::Confirmed);
    }
}

/// The call after a dropped delivery or withdrawal sends the last command to HAProxy.
#[tokio::test]
async fn the_call_after_a_dropped_delivery_sends_the_last_command() {
    let pushed: Arc<Mutex<Vec<String>>> = Arc::default();
    let heard = Arc::clone(&pushed);
    let fake = Fake::new(move |line, _| match line.strip_prefix("set ssl ocsp-response ") {
        Some(response) => {
            heard.lock().expect("a lock").push(response.to_owned());
            say(UPDATED)
        }
        None => usual(line, 1),
    });
    let last = || pushed.lock().expect("a lock").last().cloned().expect("something");
    let base64 = |bytes: &[u8]| {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.encode(bytes)
    };
    let (cert, sink) = (fake.world.cert_file("a.pem"), fake.sink());
    let site = [cert.site()];
    for times in 1..MOST {
        let (dropped, next) = (fake.world.staple(&cert, HOUR), fake.world.staple(&cert, 2 * HOUR));
        soon(polled(sink.deliver(&dropped, &site), times), "polls").await;
        let withdrawn = sink.withdraw(&cert.chain(), &site, Withdrawal::Revoked).await.expect("a withdrawal");
        assert_eq!(withdrawn, Withdrawn::Confirmed);
        assert_ne!(last(), base64(dropped.response()), "{times} polls: a delivery undid a withdrawal");
        soon(polled(sink.withdraw(&cert.chain(), &site, Withdrawal::Expiring), times), "polls").await;
        assert_eq!(sink.deliver(&next, &site).await.expect("a delivery"), Delivered::Confirmed);
        assert_eq!(last(), base64(next.response()), "{times} polls: a withdrawal undid a delivery");
    }
}

/// A process that loads one certificate more on demand.
fn growing() -> (Fake, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(1));
    let loaded = Arc::clone(&count);
    let fake = Fake::new(move |line, _| match line {
        "show ssl cert" => {
            let names = (0..loaded.load(Ordering::SeqCst)).map(|number| format!("/nowhere/{number}.pem\n"));
            say(&format!("# filename\n{}\n> ", names.collect::<String>()))
        }
        line if line.starts_with("show ssl cert ") => say("Status: Used\nSerial: 01\nSHA1 FingerPrint: AA\n\n> "),
        "show env" => say("HAPROXY_CFGFILES=a.cfg\n\n> "),
        line => usual(line, 1),
    });
    (fake, count)
}

#[tokio::test]
async fn a_new_certificate_is_hinted_at_wherever_the_future_was_dropped() {
    let (fake, count) = growing();
    let source = HaproxySource::new(&Address::unix(&fake.socket)).look_interval(Duration::from_millis(20));
    source.scan().await.expect("a scan");
    for times in 1..MOST {
        let more = count.fetch_add(1, Ordering::SeqCst) + 1;
        soon(polled(source.changed(), times), "polls").await;
        soon(source.changed(), &format!("dropped after {times} polls, the hint comes")).await;
        // Dropped, the scan is as if there had been none.
        if soon(polled(source.scan(), times), "polls").await.is_none() {
            soon(source.changed(), &format!("a scan was dropped after {times} polls, the hint comes")).await;
            let scan = source.scan().await.expect("a scan");
            assert_eq!(scan.problems.len() + scan.sightings.len(), more, "{times} polls: {scan:?}");
        }
    }
}
