//! CAs that have a new key under their old name: HAProxy knows an issuer by its name, and by key identifiers where there
//! are some.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use stapled_ca::{Authority, KeyType, KeyUsage, Profile, pem};
use stapled_core::certificate::Certificate;
use stapled_core::lookup::IssuerPlace;
use stapled_core::lookup::search::Surroundings;
use stapled_core::sink::{Lost, SinkError, StapleSink};
use stapled_haproxy::codes;

use super::{HOUR, crt, deliver, failure, no_transaction};
use crate::support;
use stapled_tests::{Cert, Haproxy, PATIENCE, World, binaries, version};

/// Another CA of the world's name.
fn former() -> Authority {
    Authority::root("Lab").create().unwrap()
}

/// Something else that is under way, by which is seen whether another transaction is tried.
fn begin_transaction(haproxy: &Haproxy, other: &Cert) {
    let said = haproxy.ask(&format!("set ssl cert {} <<\n{}\n", other.name(), other.issued.bundle_pem()));
    assert!(said.contains("Transaction created"), "{said}");
}

#[tokio::test]
async fn a_transaction_that_cannot_help_is_not_repeated() {
    for binary in binaries() {
        let world = support::world();
        let (right, wrong) = (world.ca.certificate_pem(), former().certificate_pem());
        let (cert, other) = (world.cert_before("a.pem", false, &[&wrong, &right]), world.cert_file("other.pem"));
        let haproxy = support::start(&world, &binary, &format!("{} {}", crt(&cert), crt(&other)));
        let sink = support::sink_of(&haproxy);
        for attempt in 0..4 {
            let error = failure(&world, &sink, &cert).await;
            assert!(matches!(error, SinkError::Refused { .. }), "{error:?}");
            assert_eq!(error.code(), codes::WRONG_ISSUER_FIRST, "{attempt}: {error}");
            assert!(error.to_string().contains("remove the other one"), "{error}");
            assert_eq!(haproxy.staple(&cert), None);
            no_transaction(&haproxy);
        }
        // With a foreign transaction open, a further transaction would have to wait.
        begin_transaction(&haproxy, &other);
        assert_eq!(failure(&world, &sink, &cert).await.code(), codes::WRONG_ISSUER_FIRST);
        haproxy.ask(&format!("abort ssl cert {}", other.name()));
        // Others are served.
        let response = deliver(&world, &sink, &other).await;
        assert_eq!(haproxy.staple(&other), Some(response));

        // The chain is put right: it is noticed, and the staple comes.
        let mended = [cert.issued.certificate_pem(), right, wrong, cert.issued.key_pem()].concat();
        haproxy.ask(&format!("set ssl cert {} <<\n{mended}\n", cert.name()));
        assert!(haproxy.ask(&format!("commit ssl cert {}", cert.name())).contains("Success!"));
        let lost = tokio::time::timeout(PATIENCE, sink.lost()).await.expect("a word");
        assert!(matches!(lost, Lost::Retry), "{lost:?}");
        let response = deliver(&world, &sink, &cert).await;
        assert_eq!(haproxy.staple(&cert), Some(response));
    }
}

/// A new process is tried anew: its file may be another.
#[tokio::test]
async fn a_restart_gives_it_another_chance() {
    for binary in binaries() {
        let world = support::world();
        let (right, wrong) = (world.ca.certificate_pem(), former().certificate_pem());
        let cert = world.cert_before("a.pem", false, &[&wrong, &right]);
        let haproxy = support::start(&world, &binary, &crt(&cert));
        let sink = support::sink_of(&haproxy);
        assert_eq!(failure(&world, &sink, &cert).await.code(), codes::WRONG_ISSUER_FIRST);
        drop(haproxy);
        std::fs::write(&cert.path, [cert.issued.certificate_pem(), right, cert.issued.key_pem()].concat()).unwrap();
        let haproxy = support::start(&world, &binary, &crt(&cert));
        let _ = tokio::time::timeout(PATIENCE, sink.lost()).await.expect("a word");
        let response = deliver(&world, &sink, &cert).await;
        assert_eq!(haproxy.staple(&cert), Some(response));
    }
}

/// One certificate in two files, one of them with the other CA first: the first file gets its staple, the second an error.
#[tokio::test]
async fn the_right_one_of_two_files_gets_its_staple_and_the_other_an_error() {
    // Older ones do not tell by which CertID they know a certificate.
    for binary in binaries().into_iter().filter(|binary| version(binary) >= (3, 0)) {
        let world = support::world();
        let (right, wrong) = (world.ca.certificate_pem(), former().certificate_pem());
        let cert = world.cert_before("a.pem", false, &[&right]);
        let folder = world.path("b");
        std::fs::create_dir(&folder).unwrap();
        let pem = [cert.issued.certificate_pem(), wrong, right, cert.issued.key_pem()].concat();
        std::fs::write(folder.join("a.pem"), pem).unwrap();
        let bind = format!("{} crt \"{}\"", crt(&cert), folder.join("a.pem").display());
        let haproxy = support::start(&world, &binary, &bind);
        let sink = support::sink_of(&haproxy);
        let sites = [cert.site(), cert.site_as(folder.join("a.pem").to_str().unwrap())];
        for _ in 0..3 {
            let staple = world.staple(&cert, HOUR);
            let error = sink.deliver(&staple, &sites).await.expect_err("a failure");
            assert_eq!(error.code(), codes::WRONG_ISSUER_FIRST, "{error}");
            let shown = haproxy.ask(&format!("show ssl cert {}", cert.name()));
            assert!(shown.contains("OCSP Response Key: 30"), "{shown}");
        }
    }
}

/// A file for the issuer that is only named like it is overruled by the one that comes with the first staple.
#[tokio::test]
async fn an_issuer_file_with_the_wrong_certificate_is_overruled_at_run_time() {
    for binary in binaries() {
        for names_key in [true, false] {
            let world = support::world();
            let cert = world.cert_before("a.pem", names_key, &[]);
            std::fs::write(world.path("a.pem.issuer"), former().certificate_pem()).unwrap();
            let haproxy = support::start(&world, &binary, &crt(&cert));
            let response = deliver(&world, &support::sink_of(&haproxy), &cert).await;
            assert_eq!(haproxy.staple(&cert), Some(response));
        }
    }
}

/// The files where HAProxy looks for an issuer.
struct Laid {
    own: Vec<String>,
    file: Option<String>,
    chains: Option<String>,
}

fn certificates(pems: &[String]) -> Vec<Arc<Certificate>> {
    let der = |text: &String| pem::certificates(text.as_bytes()).into_iter().next().unwrap();
    pems.iter().map(|text| Arc::new(Certificate::from_der(&der(text)).unwrap())).collect()
}

/// HAProxy is the oracle of where it finds an issuer: with a staple in a file it serves that, or does not, or does not start.
#[test]
fn the_forecast_of_an_issuers_place_is_right() {
    for binary in binaries() {
        for names_key in [true, false] {
            let world = support::world();
            let right = world.ca.certificate_pem();
            let wrong = former().certificate_pem();
            let of_other_kind = Authority::root("Lab").key(KeyType::Rsa2048).create().unwrap().certificate_pem();
            let other = Authority::root("Other").create().unwrap();
            // No CA's by basicConstraints: OpenSSL does not mind.
            let namesake = Profile::server("Lab").names([]).extended_key_usages([]).key_usages([KeyUsage::KeyCertSign]);
            let namesake = other.issue(&namesake).unwrap().certificate_pem();
            let other = other.certificate_pem();
            let (r, w) = (|| right.clone(), || wrong.clone());
            let mut all = Vec::new();
            let owns = [
                vec![],
                vec![r()],
                vec![w()],
                vec![w(), r()],
                vec![r(), w()],
                vec![other.clone()],
                vec![of_other_kind.clone(), r()],
                vec![namesake.clone(), r()],
            ];
            for own in &owns {
                for file in [None, Some(r()), Some(w()), Some(other.clone()), Some(w() + &r())] {
                    all.push(Laid { own: own.clone(), file, chains: None });
                }
            }
            for own in [&owns[0], &owns[5]] {
                for file in [None, Some(r()), Some(w())] {
                    for chains in [r(), w(), r() + &w()] {
                        all.push(Laid { own: own.clone(), file: file.clone(), chains: Some(chains) });
                    }
                }
            }
            let mut seen = [0; 5];
            for (number, laid) in all.iter().enumerate() {
                let place = expect(&world, &binary, names_key, number, laid);
                let kind = match place {
                    IssuerPlace::SameFile => 0,
                    IssuerPlace::IssuerFile(_) => 1,
                    IssuerPlace::Chains(_) => 2,
                    IssuerPlace::Mistaken { .. } => 3,
                    _ => 4,
                };
                seen[kind] += 1;
            }
            // By the key identifier alone chains are found, and with it no other certificate is mistaken for the issuer.
            let is_seen = seen.map(|count| count > 0);
            assert_eq!(is_seen, [true, true, names_key, !names_key, true], "{seen:?}");
        }
    }
}

/// Compares HAProxy with the forecast; returns the forecast.
fn expect(world: &World, binary: &str, names_key: bool, number: usize, laid: &Laid) -> IssuerPlace {
    let own: Vec<&str> = laid.own.iter().map(String::as_str).collect();
    let cert = world.cert_before(&format!("{number}/a.pem"), names_key, &own);
    let directory = cert.path.parent().unwrap().join("chains");
    let issuer_file = cert.path.with_extension("pem.issuer");
    if let Some(file) = &laid.file {
        std::fs::write(&issuer_file, file).unwrap();
    }
    let mut global = String::new();
    if let Some(chains) = &laid.chains {
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(directory.join("ca.pem"), chains).unwrap();
        global = format!("issuers-chain-path {}", directory.display());
    }
    let staple = world.staple(&cert, HOUR);
    std::fs::write(cert.path.with_extension("pem.ocsp"), staple.response()).unwrap();

    let mut in_file = vec![cert.issued.certificate_pem()];
    in_file.extend(laid.own.iter().cloned());
    let in_file = certificates(&in_file);
    let first = laid.file.iter().cloned().collect::<Vec<_>>();
    let (first, firsts) = (certificates(&first), certificates(&laid.chains.iter().cloned().collect::<Vec<_>>()));
    let mut surroundings = Surroundings::of(&in_file);
    surroundings.issuer_file = laid.file.as_ref().map(|_| (issuer_file.as_path(), first.first().map(|first| &**first)));
    surroundings.chains = laid.chains.as_ref().map(|_| (directory.as_path(), firsts.as_slice()));
    let place = surroundings.issuer_place(cert.chain().end_entity(), cert.chain().issuer());

    let how = format!("{binary}, key identifier {names_key}, {number}: {place:?}");
    let served = serve(world, binary, &cert, &global);
    match &place {
        IssuerPlace::SameFile | IssuerPlace::IssuerFile(_) | IssuerPlace::Chains(_) => {
            assert_eq!(served, Some(true), "{how}");
        }
        IssuerPlace::Mistaken { .. } => assert_eq!(served, Some(false), "{how}"),
        _ => assert_ne!(served, Some(true), "{how}"),
    }
    place
}

/// Whether HAProxy serves the staple from the file; `None` if it does not start with it.
fn serve(world: &World, binary: &str, cert: &Cert, global: &str) -> Option<bool> {
    let folder = world.path("");
    let folder = folder.display();
    let configuration = format!(
        "global\n  stats socket {folder}/admin.sock level admin\n  {global}\ndefaults\n  mode http\n  timeout client 10s\n  \
         timeout server 10s\n  timeout connect 10s\nfrontend f\n  bind unix@{folder}/tls.sock ssl {}\n",
        crt(cert)
    );
    std::fs::write(world.path("haproxy.cfg"), configuration).unwrap();
    let starts = |configuration: &Path| {
        let mut command = Command::new(binary);
        command.arg("-c").arg("-f").arg(configuration).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().unwrap().success()
    };
    starts(&world.path("haproxy.cfg")).then(|| support::launch(world, binary, &[]).staple(cert).is_some())
}
