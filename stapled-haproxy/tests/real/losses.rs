//! Staples that HAProxy loses, and changes by other clients.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use stapled_ca::ocsp::{HashAlgorithm, ResponseBuilder};
use stapled_ca::{Authority, der};
use stapled_core::event::{Event, Severity};
use stapled_core::fetch::{Answer, FetchError, OcspFetcher, Question};
use stapled_core::sink::lost::{Change, Found};
use stapled_core::sink::{Lost, StapleSink, Withdrawal};
use stapled_core::source::{CertSource, Scan, SourceError};
use stapled_core::stapler::Stapler;
use stapled_haproxy::codes;

use crate::support::{self, lost};
use crate::{HOUR, crt, deliver, failure};
use stapled_tests::{Cert, Haproxy, binaries, now, version, wait_for};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_loses_everything() {
    for binary in binaries() {
        let world = support::world();
        let cert = world.cert_file("a.pem");
        let haproxy = support::start(&world, &binary, &crt(&cert));
        let sink = support::sink_of(&haproxy);
        deliver(&world, &sink, &cert).await;
        drop(haproxy);
        let (word, haproxy) = tokio::join!(lost(&sink), async {
            let error = failure(&world, &sink, &cert).await;
            assert!([codes::SOCKET_REFUSED, codes::SOCKET_MISSING].contains(&error.code()), "{error}");
            tokio::task::block_in_place(|| support::launch(&world, &binary, &[]))
        });
        assert_eq!(word, Lost::Everything);
        let response = deliver(&world, &sink, &cert).await;
        assert_eq!(haproxy.staple(&cert), Some(response));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_loses_everything_and_the_new_process_gets_it() {
    for binary in binaries() {
        let world = support::world();
        let cert = world.cert_file("a.pem");
        let haproxy = support::start_with(&world, &binary, &crt(&cert), "", &["-W"]);
        let sink = support::sink_of(&haproxy);
        deliver(&world, &sink, &cert).await;
        for _ in 0..3 {
            haproxy.reload();
            assert_eq!(lost(&sink).await, Lost::Everything);
            let response = deliver(&world, &sink, &cert).await;
            assert_eq!(haproxy.staple(&cert), Some(response));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_reload_a_kept_connection_does_not_lead_to_the_old_process() {
    for binary in binaries() {
        let world = support::world();
        let cert = world.cert_file("a.pem");
        let old = support::start(&world, &binary, &crt(&cert));
        let sink = support::sink_of(&old);
        deliver(&world, &sink, &cert).await;
        let socket = world.path("admin.sock");
        let arguments = ["-x", socket.to_str().expect("text"), "-sf", &old.id().to_string()].map(str::to_owned);
        let new = support::launch(&world, &binary, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
        // lost() was not called, and the connection was busy a moment ago.
        let response = wait_for("the new process's staple", || {
            let staple = world.staple(&cert, HOUR);
            tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(sink.deliver(&staple, &[cert.site()]))
            })
            .expect("a delivery");
            (new.staple(&cert).as_deref() == Some(staple.response().as_ref())).then(|| staple.response().to_vec())
        });
        assert_eq!(new.staple(&cert), Some(response));
        assert_eq!(lost(&sink).await, Lost::Everything);
    }
}

#[tokio::test]
async fn a_certificate_that_another_client_replaces_is_reported_lost() {
    for binary in binaries() {
        let world = support::world();
        let (cert, other) = (world.cert_file("a.pem"), world.cert_file("b.pem"));
        let haproxy = support::start(&world, &binary, &format!("{} {}", crt(&cert), crt(&other)));
        let sink = support::sink_of(&haproxy);
        deliver(&world, &sink, &cert).await;
        deliver(&world, &sink, &other).await;
        haproxy.load(&cert, false);
        assert_eq!(haproxy.staple(&cert), None);
        assert_eq!(lost(&sink).await, Lost::Certificates(vec![cert.chain().subject().clone()]));
        let response = deliver(&world, &sink, &cert).await;
        assert_eq!(haproxy.staple(&cert), Some(response));
    }
}

#[tokio::test]
async fn hundreds_of_replaced_certificates_are_reported_lost_and_come_back() {
    for binary in binaries() {
        let world = support::world();
        let certs: Vec<Cert> = (0..200).map(|number| world.cert_file(&format!("certs/{number}.pem"))).collect();
        let haproxy = support::start(&world, &binary, &format!("crt {}", world.path("certs").display()));
        let sink = support::sink_of(&haproxy);
        for cert in &certs {
            deliver(&world, &sink, cert).await;
        }
        for round in 0..2 {
            for cert in &certs {
                haproxy.load(cert, false);
            }
            let mut missing: Vec<_> = certs.iter().map(|cert| cert.chain().subject().clone()).collect();
            while !missing.is_empty() {
                let Lost::Certificates(lost) = lost(&sink).await else { panic!("round {round}: not certificates") };
                missing.retain(|missing| !lost.contains(missing));
            }
            for cert in &certs {
                let response = deliver(&world, &sink, cert).await;
                assert_eq!(haproxy.staple(cert), Some(response), "round {round}");
            }
        }
    }
}

fn push(haproxy: &Haproxy, response: &[u8]) -> String {
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, response);
    haproxy.ask(&format!("set ssl ocsp-response {encoded}"))
}

/// The same response with these certificates beside the signature, which are not signed.
fn with_certificates(response: &[u8], certificates: &[&[u8]]) -> Vec<u8> {
    let mut outer = der::only(response, der::SEQUENCE).expect("a response").contents;
    let status = der::next(&mut outer).expect("a status").whole;
    let body = der::expect(&mut outer, 0xa0).expect("a body").contents;
    let mut body = der::only(body, der::SEQUENCE).expect("a body").contents;
    let kind = der::next(&mut body).expect("a type").whole;
    let octets = der::expect(&mut body, der::OCTET_STRING).expect("an answer").contents;
    let signed = der::only(octets, der::SEQUENCE).expect("an answer").contents;
    let basic = der::sequence(&[signed, &der::explicit(0, &der::sequence(certificates))]);
    let body = der::sequence(&[kind, &der::value(der::OCTET_STRING, &basic)]);
    der::sequence(&[status, &der::explicit(0, &body)])
}

/// A foreign response stays as long as it is as good as the delivered one.
#[tokio::test]
async fn a_foreign_response_stays_only_if_it_is_newer_and_valid() {
    for binary in binaries() {
        let world = support::world();
        let (cert, stranger) = (world.cert_file("a.pem"), Authority::root("Stranger").create().expect("an authority"));
        let haproxy = support::start(&world, &binary, &crt(&cert));
        let sink = support::sink_of(&haproxy);
        let staple = world.staple(&cert, HOUR);
        sink.deliver(&staple, &[cert.site()]).await.expect("a delivery");
        let time = now();
        // Two that ask at one time have different responses of the same times.
        let until = staple.next_update().expect("an end").unix();
        let twin = world.response(&cert, staple.this_update().unix(), until - now());
        assert!(twin != staple.response()[..] && push(&haproxy, &twin).contains("updated"));
        let nothing = tokio::time::timeout(Duration::from_millis(500), sink.lost()).await;
        assert!(nothing.is_err(), "its twin was called a loss");
        let good = world.response(&cert, time + 1, 3 * HOUR);
        let mut damaged = world.response(&cert, time + 2, 3 * HOUR);
        *damaged.last_mut().expect("a signature") ^= 1;
        let cert_id = world.ca.cert_id(cert.issued.serial(), HashAlgorithm::Sha1);
        let by = |signer: &Authority| ResponseBuilder::new(signer).this_update(time + 3).next_update(time + 3 * HOUR);
        let strange = by(&stranger).good(&cert_id).build().expect("a response");
        let revoked = by(&world.ca).revoked(&cert_id, time - 9, None);
        for (what, response) in [
            ("an older one", world.response(&cert, time - 3000, 3 * HOUR)),
            ("one that ends sooner", world.response(&cert, time + 1, 400)),
            ("a damaged one", damaged),
            ("a stranger's", strange),
            ("revoked", revoked.build().expect("a response")),
        ] {
            let said = push(&haproxy, &response);
            assert!(said.contains("updated"), "{what}: {said}");
            // A response that HAProxy shows as text cannot be judged; a response that it does not staple is a withdrawal.
            let found = match what {
                _ if version(&binary) >= (2, 8) => Found::Response(response.into()),
                "revoked" => Found::Withdrawn,
                _ => Found::Unreadable,
            };
            let change = Change::new(cert.chain().subject().clone(), found);
            assert_eq!(lost(&sink).await, Lost::Changed(vec![change]), "{what}");
            let response = deliver(&world, &sink, &cert).await;
            assert_eq!(haproxy.staple(&cert), Some(response), "{what}");
        }
        // A response that HAProxy shows as text is not verified: it stays if it comes back.
        push(&haproxy, &good);
        if version(&binary) < (2, 8) {
            let change = Change::new(cert.chain().subject().clone(), Found::Unreadable);
            assert_eq!(lost(&sink).await, Lost::Changed(vec![change]));
            deliver(&world, &sink, &cert).await;
            push(&haproxy, &good);
        }
        let nothing = tokio::time::timeout(Duration::from_millis(500), sink.lost()).await;
        assert!(nothing.is_err(), "a newer one was called a loss");
        assert_eq!(haproxy.staple(&cert), Some(good));
    }
}

/// Another stapler's withdrawal is no loss that is made good: it may know of a revocation.
#[tokio::test]
async fn a_withdrawal_by_another_stapler_is_reported() {
    for binary in binaries() {
        let world = support::world();
        let cert = world.cert_file("a.pem");
        let haproxy = support::start(&world, &binary, &crt(&cert));
        let (sink, other) = (support::sink_of(&haproxy), support::sink_of(&haproxy));
        deliver(&world, &sink, &cert).await;
        other.withdraw(&cert.chain(), &[cert.site()], Withdrawal::Revoked).await.expect("a withdrawal");
        assert_eq!(haproxy.staple(&cert), None);
        let change = Change::new(cert.chain().subject().clone(), Found::Withdrawn);
        assert_eq!(lost(&sink).await, Lost::Changed(vec![change]), "{binary}");
    }
}

/// A foreign response with certificates that no client needs is replaced each time, since some clients may refuse it.
#[tokio::test]
async fn a_longer_form_of_a_response_is_replaced() {
    for binary in binaries() {
        let world = support::world();
        let cert = world.cert_file("a.pem");
        let namesake = Authority::root(world.ca.name()).create().expect("an authority");
        let haproxy = support::start(&world, &binary, &crt(&cert));
        let sink = support::sink_of(&haproxy);
        let response = deliver(&world, &sink, &cert).await;
        let own = world.ca.certificate();
        for (what, certificates) in [
            ("the issuer's", vec![own]),
            ("a look-alike", vec![namesake.certificate(), own]),
            ("again", vec![own, own]),
        ] {
            // The same answer, and a newer one that lasts longer.
            let longer = world.longer_response(&cert, now(), 3 * HOUR, &certificates);
            for brought in [with_certificates(&response, &certificates), longer] {
                let said = push(&haproxy, &brought);
                assert!(said.contains("updated"), "{what}: {said}");
                assert_eq!(haproxy.staple(&cert), Some(brought), "{what}");
                let Lost::Changed(changes) = lost(&sink).await else { panic!("{what}: no change") };
                assert_eq!(changes.len(), 1, "{what}");
                assert_eq!(changes[0].subject, *cert.chain().subject(), "{what}");
                let response = deliver(&world, &sink, &cert).await;
                assert_eq!(haproxy.staple(&cert), Some(response), "{what}");
            }
        }
    }
}

/// A foreign staple of a revoked certificate is withdrawn again.
#[tokio::test]
async fn a_revoked_certificates_staple_is_withdrawn_again() {
    for binary in binaries() {
        let world = support::world();
        let cert = world.cert_file("a.pem");
        let haproxy = support::start(&world, &binary, &crt(&cert));
        let sink = support::sink_of(&haproxy);
        let before = deliver(&world, &sink, &cert).await;
        sink.withdraw(&cert.chain(), &[], Withdrawal::Revoked).await.expect("a withdrawal");
        // A look at the staples changes nothing.
        let look = async || tokio::time::timeout(Duration::from_millis(400), sink.lost()).await.is_err();
        assert!(look().await && haproxy.staple(&cert).is_none());
        assert!(push(&haproxy, &before).contains("updated"));
        assert_eq!(haproxy.staple(&cert), Some(before));
        assert!(look().await, "nothing is to be delivered again");
        assert_eq!(haproxy.staple(&cert), None);
        // A hold may end.
        let after = deliver(&world, &sink, &cert).await;
        assert!(look().await);
        assert_eq!(haproxy.staple(&cert), Some(after));
    }
}

/// A source of no certificates, and a fetcher of no responses.
struct Nothing;

#[async_trait::async_trait]
impl CertSource for Nothing {
    async fn scan(&self) -> Result<Scan, SourceError> {
        Ok(Scan::default())
    }
}

#[async_trait::async_trait]
impl OcspFetcher for Nothing {
    async fn fetch(&self, question: &Question<'_>) -> Result<Answer, FetchError> {
        Err(FetchError::UnsupportedUrl { url: question.url.to_owned(), why: "nothing is asked here".to_owned() })
    }
}

/// A library's user hears of it, too: by an event with the certificate.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_observer_hears_that_another_client_stapled_a_revoked_certificate() {
    for binary in binaries() {
        let world = support::world();
        let cert = world.cert_file("a.pem");
        let haproxy = support::start(&world, &binary, &crt(&cert));
        let sink = Arc::new(support::sink_of(&haproxy));
        let events: Arc<Mutex<Vec<Event>>> = Arc::default();
        let heard = Arc::clone(&events);
        let stapler = Stapler::builder()
            .source(Nothing)
            .fetcher(Nothing)
            .shared_sink(Arc::clone(&sink) as _)
            .observer(move |event: &Event| heard.lock().unwrap().push(event.clone()));
        let running = tokio::spawn(stapler.build().unwrap().run(std::future::pending()));
        let before = deliver(&world, &sink, &cert).await;
        sink.withdraw(&cert.chain(), &[], Withdrawal::Revoked).await.expect("a withdrawal");
        assert!(push(&haproxy, &before).contains("updated"));
        let told = || {
            let events = events.lock().unwrap();
            events.iter().find(|event| event.kind.name() == "withdrawn_again").cloned()
        };
        let event = wait_for("an event", told);
        assert_eq!(haproxy.staple(&cert), None);
        assert_eq!(event.severity(), Severity::Warning);
        assert_eq!(event.certificate.as_ref().unwrap().name, cert.chain().end_entity().name());
        assert!(event.to_string().contains("another client pushed a staple"), "{event}");
        running.abort();
    }
}

/// While HAProxy does not answer, no retry is reported.
#[tokio::test]
async fn an_unreachable_haproxy_is_not_reported_as_back() {
    let world = support::world();
    let cert = world.cert_file("a.pem");
    let sink = support::sink(&world.path("nobody.sock"));
    assert_eq!(failure(&world, &sink, &cert).await.code(), codes::SOCKET_MISSING);
    assert!(tokio::time::timeout(Duration::from_secs(2), sink.lost()).await.is_err());
}

#[tokio::test]
async fn a_certificate_that_comes_late_is_noticed() {
    for binary in binaries() {
        let world = support::world();
        let old = world.cert_file("a.pem");
        let list = world.path("list");
        std::fs::write(&list, format!("{}\n", old.name())).expect("a file");
        let haproxy = support::start(&world, &binary, &format!("crt-list {}", list.display()));
        let renewed = world.cert_file("a.pem");
        let sink = support::sink_of(&haproxy);
        assert_eq!(failure(&world, &sink, &renewed).await.code(), codes::CERTIFICATE_DIFFERS);
        assert!(tokio::time::timeout(Duration::from_millis(200), sink.lost()).await.is_err(), "nothing came yet");
        haproxy.load(&renewed, false);
        assert_eq!(lost(&sink).await, Lost::Retry, "it is not told that it can be tried again");
        deliver(&world, &sink, &renewed).await;

        let new = world.cert_file("new.pem");
        assert_eq!(failure(&world, &sink, &new).await.code(), codes::NOT_LOADED);
        haproxy.load(&new, true);
        // The survey has not listed it yet.
        assert_eq!(failure(&world, &sink, &new).await.code(), codes::CERTIFICATE_UNUSED);
        // No client sees it yet, and HAProxy would not find it by its CertID.
        assert!(tokio::time::timeout(Duration::from_millis(200), sink.lost()).await.is_err(), "it is used nowhere");
        assert_eq!(failure(&world, &sink, &new).await.code(), codes::CERTIFICATE_UNUSED);
        let said = haproxy.ask(&format!("add ssl crt-list {} {}", list.display(), new.name()));
        assert!(said.contains("Success!"), "{said}");
        assert_eq!(lost(&sink).await, Lost::Retry, "it is not told that it can be tried again");
        let response = deliver(&world, &sink, &new).await;
        assert_eq!(haproxy.staple(&new), Some(response));
    }
}
