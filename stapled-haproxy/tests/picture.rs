//! What a running HAProxy tells of itself, and what is foretold of first staples.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use stapled_core::certificate::Certificate;
use stapled_core::sink::StapleSink;
use stapled_haproxy::configuration::{Configuration, Level};
use stapled_haproxy::{Address, Difference, FirstStaple, HaproxySource, Picture, Transactions, codes};
use support::{Haproxy, Lab, binaries};

async fn picture(haproxy: &Haproxy) -> Picture {
    HaproxySource::new(&Address::unix(&haproxy.socket)).picture().await.expect("a picture")
}

#[tokio::test]
async fn a_running_haproxy_tells_what_it_is_and_has() {
    for binary in binaries() {
        let lab = Lab::new();
        let (cert, lonely) = (lab.cert("a.pem"), lab.lonely_cert("lonely.pem"));
        let operator = lab.path("operator.sock");
        let bind = format!("crt {} crt {}", cert.name, lonely.name);
        let global = format!("stats socket {} level operator", operator.display());
        let haproxy = lab.start_with(&binary, &bind, &global, &[]);
        let seen = picture(&haproxy).await;
        assert_eq!((seen.level, &seen.transaction), (Some(Level::Admin), &None));
        assert!(seen.version.chars().next().is_some_and(|first| first.is_ascii_digit()), "{}", seen.version);
        let [first, second] = &seen.certificates[..] else { panic!("{seen:?}") };
        assert_eq!((&first.name, &second.name), (&cert.name, &lonely.name));
        assert_eq!((first.has_chain, second.has_chain), (true, false));
        let loaded = |der: &[u8]| Certificate::from_der(der).expect("a certificate");
        assert!(first.is(&loaded(cert.issued.der())) && !first.is(&loaded(lonely.issued.der())));
        let by = |with_issuer| FirstStaple::Transaction { with_issuer };
        let foretold = seen.certificates.iter().map(|one| seen.first_staple(one, Transactions::Always));
        assert_eq!(foretold.collect::<Vec<_>>(), [Some(by(false)), Some(by(true))]);

        // Without a look at files, it is the same but for these.
        let outline = HaproxySource::new(&Address::unix(&haproxy.socket)).outline().await.expect("an outline");
        let mut without = seen.clone();
        for one in &mut without.certificates {
            (one.file, one.is_in_file) = (None, false);
        }
        assert_eq!(outline, without);
        assert!(seen.certificates.iter().all(|one| one.is_in_file));

        // The other socket leads to the same process, and may do less.
        let lesser = HaproxySource::new(&Address::unix(&operator)).picture().await.expect("a picture");
        assert_eq!((lesser.pid, lesser.level), (seen.pid, Some(Level::Operator)));
        let refused = lesser.first_staple(&lesser.certificates[0], Transactions::Always);
        assert!(
            matches!(refused, Some(FirstStaple::Refused { code, .. }) if code == codes::SOCKET_LEVEL),
            "{refused:?}"
        );

        // What was foretold comes true, and is told then.
        let sink = haproxy.sink();
        for cert in [&cert, &lonely] {
            sink.deliver(&lab.staple(cert, 3600), &[cert.site()]).await.expect("a delivery");
        }
        let seen = picture(&haproxy).await;
        for one in &seen.certificates {
            assert_eq!(seen.first_staple(one, Transactions::Never), Some(FirstStaple::TakesResponses), "{}", one.name);
        }

        let said = haproxy.ask(&format!("set ssl cert {} <<\n{}\n", cert.name, cert.issued.bundle_pem()));
        assert!(said.contains("Transaction created"), "{said}");
        assert_eq!(picture(&haproxy).await.transaction.as_deref(), Some(cert.name.as_str()));
        haproxy.ask(&format!("abort ssl cert {}", cert.name));
        assert_eq!(picture(&haproxy).await.transaction, None);
    }
}

#[tokio::test]
async fn a_running_haproxy_is_compared_with_its_configuration() {
    for binary in binaries() {
        let lab = Lab::new();
        let (cert, other) = (lab.cert("a.pem"), lab.cert("b.pem"));
        let haproxy = lab.start(&binary, &format!("crt {}", cert.name));
        let file = lab.path("haproxy.cfg");
        let differences = |seen: Picture| Configuration::read([&file]).expect("a configuration").differences(&seen);
        assert_eq!(differences(picture(&haproxy).await), []);
        let text = std::fs::read_to_string(&file).expect("a configuration");
        std::fs::write(&file, text.replace(&cert.name, &other.name)).expect("a file");
        let found = differences(picture(&haproxy).await);
        assert!(
            matches!(&found[..], [Difference::NotLoaded { name: missing, .. }, Difference::NotInConfiguration { name: loaded }]
                if *missing == other.name && *loaded == cert.name),
            "{found:?}"
        );
        let copy = lab.path("copy.cfg");
        std::fs::write(&copy, text).expect("a file");
        let found = Configuration::read([&copy]).expect("a configuration").differences(&picture(&haproxy).await);
        let [Difference::OtherConfiguration { started_with, named, .. }] = &found[..] else { panic!("{found:?}") };
        assert_eq!((&started_with[..], &named[..]), (&[file][..], &[copy][..]));
    }
}
