//! Snapshots of a running HAProxy, and forecasts of first staples.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use stapled_ca::Authority;
use stapled_core::certificate::Certificate;
use stapled_core::io::directory::DirectorySource;
use stapled_core::sink::StapleSink;
use stapled_core::source::issuer::IssuerLookup;
use stapled_core::source::{CertSource, Material, Scan, Sighting, SourceError};
use stapled_haproxy::configuration::{Configuration, Level};
use stapled_haproxy::{
    Address, Difference, FirstStaple, HaproxySource, NoFirstStaple, ProcessSnapshot, ServedPaths, Transactions, codes,
};
use stapled_tests::{Haproxy, PATIENCE, binaries, version};

async fn snapshot(haproxy: &Haproxy) -> ProcessSnapshot {
    HaproxySource::new(&Address::unix(haproxy.socket())).snapshot().await.expect("a snapshot")
}

#[tokio::test]
async fn a_snapshot_shows_the_process_and_its_certificates() {
    for binary in binaries() {
        let world = support::world();
        let (cert, lonely) = (world.cert_file("a.pem"), world.cert_without_chain("lonely.pem"));
        let operator = world.path("operator.sock");
        let bind = format!("crt {} crt {}", cert.name(), lonely.name());
        let global = format!("stats socket {} level operator", operator.display());
        let haproxy = support::start_with(&world, &binary, &bind, &global, &[]);
        let seen = snapshot(&haproxy).await;
        assert_eq!((seen.level, &seen.transaction), (Some(Level::Admin), &None));
        assert!(seen.version.chars().next().is_some_and(|first| first.is_ascii_digit()), "{}", seen.version);
        let [first, second] = &seen.certificates[..] else { panic!("{seen:?}") };
        assert_eq!((first.name.as_str(), second.name.as_str()), (cert.name(), lonely.name()));
        assert_eq!((first.has_chain, second.has_chain), (true, false));
        let loaded = |der: &[u8]| Certificate::from_der(der).expect("a certificate");
        assert!(first.is(&loaded(cert.issued.der())) && !first.is(&loaded(lonely.issued.der())));
        let by = |with_issuer| FirstStaple::Transaction { with_issuer };
        let foretold = seen.certificates.iter().map(|one| seen.first_staple(one, Transactions::Always));
        assert_eq!(foretold.collect::<Vec<_>>(), [Some(by(false)), Some(by(true))]);

        // Without a look at files, it is the same but for these.
        let without_files =
            HaproxySource::new(&Address::unix(haproxy.socket())).snapshot_without_files().await.expect("a snapshot");
        let mut without = seen.clone();
        for one in &mut without.certificates {
            (one.file, one.is_in_file, one.configured, one.staple) = (None, false, None, None);
        }
        assert_eq!(without_files, without);
        assert!(seen.certificates.iter().all(|one| one.is_in_file));

        // The other socket leads to the same process, and may do less.
        let lesser = HaproxySource::new(&Address::unix(&operator)).snapshot().await.expect("a snapshot");
        assert_eq!((lesser.pid, lesser.level), (seen.pid, Some(Level::Operator)));
        let refused = lesser.first_staple(&lesser.certificates[0], Transactions::Always);
        assert!(matches!(refused, Some(FirstStaple::Refused(NoFirstStaple::LowLevel))), "{refused:?}");

        // The forecast comes true, and the next snapshot shows it.
        let sink = support::sink_of(&haproxy);
        for cert in [&cert, &lonely] {
            sink.deliver(&world.staple(cert, 3600), &[cert.site()]).await.expect("a delivery");
        }
        let seen = snapshot(&haproxy).await;
        for one in &seen.certificates {
            assert_eq!(seen.first_staple(one, Transactions::Never), Some(FirstStaple::TakesResponses), "{}", one.name);
        }

        let said = haproxy.ask(&format!("set ssl cert {} <<\n{}\n", cert.name(), cert.issued.bundle_pem()));
        assert!(said.contains("Transaction created"), "{said}");
        assert_eq!(snapshot(&haproxy).await.transaction.as_deref(), Some(cert.name()));
        haproxy.ask(&format!("abort ssl cert {}", cert.name()));
        assert_eq!(snapshot(&haproxy).await.transaction, None);
    }
}

#[tokio::test]
async fn a_running_haproxy_is_compared_with_its_configuration() {
    for binary in binaries() {
        let world = support::world();
        let (cert, other) = (world.cert_file("a.pem"), world.cert_file("b.pem"));
        let haproxy = support::start(&world, &binary, &format!("crt {}", cert.name()));
        let file = world.path("haproxy.cfg");
        let differences =
            |seen: ProcessSnapshot| Configuration::read([&file]).expect("a configuration").differences(&seen);
        assert_eq!(differences(snapshot(&haproxy).await), []);
        let text = std::fs::read_to_string(&file).expect("a configuration");
        std::fs::write(&file, text.replace(cert.name(), other.name())).expect("a file");
        let found = differences(snapshot(&haproxy).await);
        assert!(
            matches!(&found[..], [Difference::NotLoaded { name: missing, .. }, Difference::NotInConfiguration { name: loaded }]
                if *missing == other.name() && *loaded == cert.name()),
            "{found:?}"
        );
        let copy = world.path("copy.cfg");
        std::fs::write(&copy, text).expect("a file");
        let found = Configuration::read([&copy]).expect("a configuration").differences(&snapshot(&haproxy).await);
        let [Difference::OtherConfiguration { started_with, named, .. }] = &found[..] else { panic!("{found:?}") };
        assert_eq!((&started_with[..], &named[..]), (&[file][..], &[copy][..]));
    }
}

fn source(haproxy: &Haproxy) -> HaproxySource {
    HaproxySource::new(&Address::unix(haproxy.socket())).look_interval(Duration::from_millis(20))
}

async fn scan(source: &HaproxySource) -> Scan {
    source.scan().await.expect("a scan")
}

/// Only the configuration has the file of a store's certificate, and the files beside it.
#[tokio::test]
async fn the_files_of_a_crt_store_are_found_from_the_socket_alone() {
    for binary in binaries().iter().filter(|binary| version(binary) >= (3, 0)) {
        let world = support::world();
        let by_path = world.cert_file("store/b.pem");
        let cert = world.cert_without_chain("store/a.pem");
        let root = world.path("store/root.crt");
        std::fs::write(&root, world.ca.certificate_pem()).expect("a file");
        // Without the named file, HAProxy does not start.
        std::fs::write(world.path("a.response"), "").expect("a file");
        let store = format!(
            "crt-store web\n  crt-base {}\n  load crt a.pem ocsp {} issuer {} alias site\n  load crt b.pem\n\
             frontend f\n  bind unix@{} ssl crt @web/site crt @web/b.pem\n",
            world.path("store").display(),
            world.path("a.response").display(),
            root.display(),
            world.path("tls.sock").display()
        );
        let haproxy = support::start_in(&world, binary, &store);
        let source = source(&haproxy);
        let seen = scan(&source).await;
        assert!(seen.problems.is_empty(), "{:?}", seen.problems);
        let sighting = |name: &str| seen.sightings.iter().find(|sighting| &*sighting.name == name).expect("a sighting");
        let site = sighting("@web/site");
        assert!(matches!(&site.material, Material::File(file) if **file == cert.path), "{site:?}");
        assert_eq!(site.served_as.as_deref(), Some("@web/site"));
        assert_eq!((&site.staple_file, site.staple_file_needed), (&Some(world.path("a.response").into()), true));
        assert_eq!(site.issuer_lookup, IssuerLookup::In(root.as_path().into()));
        // A store has a response only if a line names it.
        let plain = sighting("@web/b.pem");
        assert!(matches!(&plain.material, Material::File(file) if **file == by_path.path), "{plain:?}");
        let snapshot = source.snapshot().await.expect("a snapshot");
        let configured =
            snapshot.certificates.iter().map(|served| served.configured.as_ref().expect("a line").place.line);
        assert!(configured.eq([11, 10]), "{snapshot:?}");

        // A change of a file beside the certificate is a change of the certificate.
        let other = Authority::root("Other").create().expect("an authority");
        std::fs::write(&root, other.certificate_pem()).expect("a file");
        let later = scan(&source).await;
        let later = later.sightings.iter().find(|sighting| &*sighting.name == "@web/site").expect("a sighting");
        assert_ne!(later.version, site.version);
    }
}

#[tokio::test]
async fn the_files_of_issuers_and_responses_are_known_from_the_socket_alone() {
    for binary in binaries() {
        let world = support::world();
        let cert = world.cert_without_chain("a.crt");
        std::fs::create_dir(world.path("chains")).expect("a folder");
        std::fs::write(world.path("chains/root.pem"), world.ca.certificate_pem()).expect("a file");
        let global = "issuers-chain-path chains\n  ssl-load-extra-files ocsp\n  ssl-load-extra-del-ext";
        let haproxy = support::start_with(&world, &binary, "crt a.crt", global, &[]);
        let source = source(&haproxy);
        let seen = scan(&source).await;
        assert!(seen.problems.is_empty(), "{:?}", seen.problems);
        let [sighting] = &seen.sightings[..] else { panic!("{:?}", seen.sightings) };
        assert_eq!((&*sighting.name, sighting.served_as.as_deref()), ("a.crt", Some("a.crt")));
        assert!(matches!(&sighting.material, Material::File(file) if **file == cert.path), "{sighting:?}");
        assert_eq!((&sighting.staple_file, sighting.staple_file_needed), (&Some(world.path("a.ocsp").into()), false));
        assert_eq!(sighting.issuer_lookup, IssuerLookup::Nowhere);
        let chains = sighting.issuer_chains.as_ref().expect("a directory of chains");
        assert_eq!(chains.directory, world.path("chains"));
        let again = scan(&source).await;
        assert_eq!(again.sightings[0].version, sighting.version);
        std::fs::write(world.path("chains/other.pem"), world.ca.certificate_pem()).expect("a file");
        let again = scan(&source).await;
        assert_ne!(again.sightings[0].issuer_chains.as_ref().map(|chains| &chains.version), Some(&chains.version));
    }
}

/// A HAProxy that hangs is not gone; one without a listener is.
#[tokio::test]
async fn a_haproxy_that_hangs_is_not_gone() {
    for binary in binaries() {
        let world = support::world();
        let haproxy = support::start_without_certificates(&world, &binary);
        let source = source(&haproxy);
        assert!(!source.is_gone().await);
        haproxy.signal("-STOP");
        assert!(!source.is_gone().await, "it hangs");
        haproxy.signal("-CONT");
        drop(haproxy);
        assert!(source.is_gone().await);
        std::fs::remove_file(world.path("admin.sock")).expect("a socket");
        assert!(source.is_gone().await);
    }
}

/// A source that tells everything before its scan ends.
struct Telling(DirectorySource);

#[async_trait::async_trait]
impl CertSource for Telling {
    async fn scan(&self) -> Result<Scan, SourceError> {
        self.0.scan().await
    }

    async fn scan_and_tell(&self, found: Arc<dyn Fn(Vec<Sighting>) + Send + Sync>) -> Result<Scan, SourceError> {
        let scan = self.0.scan().await?;
        found(scan.sightings.clone());
        Ok(scan)
    }
}

/// Paths are looked at as the HAProxy does that serves them; with usual settings, nothing is changed.
#[tokio::test]
async fn paths_are_looked_at_as_haproxy_does() {
    for binary in binaries() {
        let world = support::world();
        let cert = world.cert_without_chain("certs/a.crt");
        std::fs::create_dir(world.path("chains")).expect("a folder");
        std::fs::write(world.path("chains/root.pem"), world.ca.certificate_pem()).expect("a file");
        let directory = || DirectorySource::new(world.path("certs"));
        let plain = directory().scan().await.expect("a scan");
        let seen_by = async |haproxys: Vec<HaproxySource>| {
            let told: Arc<Mutex<Vec<Sighting>>> = Arc::default();
            let listener = Arc::clone(&told);
            let listener = Arc::new(move |found| listener.lock().expect("no panic").extend::<Vec<Sighting>>(found));
            let source = ServedPaths::new(Telling(directory()), haproxys);
            let scan = source.scan_and_tell(listener).await.expect("a scan");
            let [sighting] = &scan.sightings[..] else { panic!("{:?}", scan.sightings) };
            // What is told before the end is the same.
            let told = told.lock().expect("no panic").clone();
            assert_eq!(format!("{told:?}"), format!("{:?}", scan.sightings));
            sighting.clone()
        };
        let usual = support::start(&world, &binary, &format!("crt {}", cert.name()));
        let nobody = HaproxySource::new(&Address::unix(world.path("nobody.sock")));
        for haproxys in [vec![], vec![source(&usual)], vec![source(&usual), nobody]] {
            let seen = seen_by(haproxys).await;
            assert_eq!((&seen.version, seen.staple_file), (&plain.sightings[0].version, None));
            assert_eq!((seen.issuer_lookup, seen.issuer_chains), (IssuerLookup::Beside, None));
        }
        drop(usual);

        let global = "issuers-chain-path chains\n  ssl-load-extra-files ocsp\n  ssl-load-extra-del-ext";
        let haproxy = support::start_with(&world, &binary, &format!("crt {}", cert.name()), global, &[]);
        let seen = seen_by(vec![source(&haproxy)]).await;
        assert_eq!((seen.staple_file, seen.staple_file_needed), (Some(world.path("certs/a.ocsp").into()), false));
        assert_eq!(seen.issuer_lookup, IssuerLookup::Nowhere);
        assert_eq!(seen.issuer_chains.map(|chains| chains.directory.clone()), Some(world.path("chains")));
        assert_ne!(seen.version, plain.sightings[0].version);
    }
}

/// The process shows the served certificates; its configuration only helps to find their files.
#[tokio::test]
async fn a_configuration_that_cannot_be_read_is_no_failure() {
    for binary in binaries().iter().filter(|binary| version(binary) >= (3, 0)) {
        let world = support::world();
        let (alias, plain) = (world.cert_file("a.pem"), world.cert_file("b.pem"));
        let store = format!(
            "crt-store\n  load crt {} alias site\nfrontend f\n  bind unix@{} ssl crt @/site crt {}\n",
            alias.name(),
            world.path("tls.sock").display(),
            plain.name(),
        );
        let haproxy = support::start_in(&world, binary, &store);
        std::fs::rename(world.path("haproxy.cfg"), world.path("away.cfg")).expect("a file");
        let source = source(&haproxy);
        let seen = scan(&source).await;
        // Newer ones tell the files of these names themselves.
        if version(binary) >= (3, 2) {
            assert!(seen.problems.is_empty() && seen.sightings.len() == 2, "{seen:?}");
            continue;
        }
        let [problem] = &seen.problems[..] else { panic!("{:?}", seen.problems) };
        assert_eq!((problem.error.code, problem.place.as_str()), (codes::UNREADABLE_CERTIFICATE, "@/site"));
        let [sighting] = &seen.sightings[..] else { panic!("{:?}", seen.sightings) };
        assert_eq!(*sighting.name, *plain.name());

        std::fs::rename(world.path("away.cfg"), world.path("haproxy.cfg")).expect("a file");
        tokio::time::timeout(PATIENCE, source.changed()).await.expect("word of a change");
        let seen = scan(&source).await;
        assert!(seen.problems.is_empty() && seen.sightings.len() == 2, "{seen:?}");
    }
}
