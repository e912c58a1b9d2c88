//! Tests of issuers that fit by name only, and of issuers whose signatures cannot be checked.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use stapled_ca::{Authority, KeyType};
use stapled_core::inventory::Inventory;
use stapled_core::inventory::standing::PlaceState;
use stapled_core::io::file::FileSink;
use stapled_core::source::{CertSource, Scan, Sighting, SourceError, Version};

use crate::world::{Ca, HOUR, MINUTE, World};

const SECOND: Duration = Duration::from_secs(1);
const URL: &str = "http://ca.test/ca.crt";

/// Files that exist from the start.
struct Files(Vec<PathBuf>);

#[async_trait]
impl CertSource for Files {
    async fn scan(&self) -> Result<Scan, SourceError> {
        let sighting = |path: &PathBuf| Sighting::file(path, Version::new([]));
        Ok(Scan::of(self.0.iter().map(sighting)))
    }
}

/// Another CA of the same name: the CA as it was before it got a new key.
fn impostor() -> Authority {
    Authority::root("Simulated CA").key(KeyType::EcdsaP256).create().unwrap()
}

fn codes(inventory: &Inventory) -> Vec<String> {
    let code = |state: &PlaceState| match state {
        PlaceState::Problem { fault, .. } => Some(fault.code().to_string()),
        _ => None,
    };
    inventory.places().iter().filter_map(|place| code(&place.state)).collect()
}

/// The place of the certificates of both CAs.
#[derive(Clone, Copy, Debug)]
enum Place {
    OwnFile,
    IssuerFile,
    Directory,
    Fetched,
}

/// The outcome for a certificate with these authorities at this place: the problems of its places, whether it has a
/// staple, and the number of questions to the CA.
async fn outcome(place: Place, names_key: bool, authorities: &[&str], world: &World) -> (Vec<String>, bool, usize) {
    let profile = Ca::profile("a.test").authority_key_identifier(names_key);
    let profile = if matches!(place, Place::Fetched) { profile.ca_issuers_url(URL) } else { profile };
    let leaf = world.ca.issue(profile).certificate_pem();
    let all = authorities.concat();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.pem");
    let mut builder = world.builder();
    match place {
        Place::OwnFile => world.list.put("a.test", &format!("{leaf}{all}")),
        Place::IssuerFile => {
            std::fs::write(&file, &leaf).unwrap();
            std::fs::write(folder.path().join("a.pem.issuer"), &all).unwrap();
            builder = builder.source(Files(vec![file]));
        }
        Place::Directory | Place::Fetched => {}
    }
    if matches!(place, Place::Fetched) {
        world.ca.issuers.lock().unwrap().insert(URL.to_owned(), all.into_bytes());
        world.list.put("a.test", &leaf);
    }
    let inventory = world.run(builder);
    if matches!(place, Place::Directory) {
        // The files are added one after the other, so that their order is known.
        for (number, authority) in authorities.iter().enumerate() {
            world.list.put(&format!("{number}.crt"), authority);
            world.pass(SECOND).await;
        }
        world.list.put("a.test", &leaf);
    }
    world.pass(5 * SECOND).await;
    (codes(&inventory), world.server.response_of("a.test").is_some(), world.ca.asked())
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_fits_by_name_only_is_never_taken() {
    for place in [Place::OwnFile, Place::IssuerFile, Place::Directory, Place::Fetched] {
        for names_key in [true, false] {
            let world = World::new();
            let wrong = impostor().certificate_pem();
            let seen = outcome(place, names_key, &[&wrong], &world).await;
            assert_eq!(seen, (vec!["issuer_missing".to_owned()], false, 0), "{place:?}, {names_key}: wrong alone");
            for is_right_first in [true, false] {
                let world = World::new();
                let (right, wrong) = (world.ca.authority.certificate_pem(), impostor().certificate_pem());
                let order = if is_right_first { [&right, &wrong] } else { [&wrong, &right] };
                let authorities = order.map(String::as_str);
                let seen = outcome(place, names_key, &authorities, &world).await;
                let how =
                    format!("{place:?}, {names_key}: {}", if is_right_first { "right first" } else { "wrong first" });
                assert_eq!(seen, (Vec::new(), true, 1), "{how}");
            }
        }
    }
}

/// A pool, and one of its files, may have many certificates of one name.
#[tokio::test(start_paused = true)]
async fn one_of_many_of_the_same_name_is_found() {
    let world = World::new();
    let others: String = (0..20).map(|_| impostor().certificate_pem()).collect();
    world.list.put("authorities", &(others + &world.ca.authority.certificate_pem()));
    world.start();
    world.pass(SECOND).await;
    for names_key in [true, false] {
        let name = format!("{names_key}.test");
        let issued = world.ca.issue(Ca::profile(&name).authority_key_identifier(names_key));
        world.list.put(&name, &issued.certificate_pem());
        world.pass(5 * SECOND).await;
        assert!(world.server.response_of(&name).is_some(), "{name}");
    }
}

/// Certificates of the former key wait, because no place has their issuer. The certificate of the new key is told apart
/// from them.
#[tokio::test(start_paused = true)]
async fn a_fetched_issuer_is_held_against_those_that_name_its_key() {
    let world = World::new();
    let former = impostor();
    for number in 0..100 {
        let issued = former.issue(&Ca::profile(&format!("{number}.test"))).unwrap();
        world.list.put(&format!("{number:03}.test"), &issued.certificate_pem());
    }
    let issued = world.ca.issue(Ca::profile("z.test").ca_issuers_url(URL));
    world.list.put("z.test", &issued.certificate_pem());
    world.ca.issuers.lock().unwrap().insert(URL.to_owned(), world.ca.authority.certificate().to_vec());
    world.start();
    world.pass(MINUTE).await;
    assert!(world.server.response_of("z.test").is_some());
    assert_eq!(world.record.codes("issuer_fetch_failed"), Vec::<String>::new());
}

/// An issuer's file, and a certificate that it issued with an unsupported signature algorithm. OpenSSL makes both.
fn unsupported(name: &str) -> (String, String) {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../stapled-ocsp/tests/algorithms").join(name).with_extension("pem");
    let text = std::fs::read_to_string(path).unwrap();
    let sections: Vec<&str> = text.split_inclusive("-----END CERTIFICATE-----\n").collect();
    (sections[1].to_owned(), sections[0].to_owned())
}

#[tokio::test(start_paused = true)]
async fn an_issuer_whose_signatures_cannot_be_checked_is_told_as_that() {
    for algorithm in ["ecdsa-brainpool-sha256", "ecdsa-secp256k1-sha256", "ecdsa-p224-sha256", "ed448", "rsa768-sha256"]
    {
        let (leaf, issuer) = unsupported(algorithm);
        let subject = |pem: &str| {
            let bundle = stapled_core::bundle::Bundle::read(pem.as_bytes()).unwrap();
            bundle.certificates[0].name().to_owned()
        };
        // Other CAs of that name with supported keys: one of another kind of key, and one that did not sign.
        let namesake = Authority::root(&subject(&issuer)).create().unwrap().certificate_pem();
        for place in [Place::OwnFile, Place::IssuerFile, Place::Directory] {
            for authorities in [vec![&issuer], vec![&issuer, &namesake], vec![&namesake, &issuer]] {
                let world = World::new();
                let folder = tempfile::tempdir().unwrap();
                let file = folder.path().join("a.pem");
                let all: String = authorities.iter().map(|pem| pem.as_str()).collect();
                let mut files = vec![file.clone()];
                match place {
                    Place::OwnFile => std::fs::write(&file, format!("{leaf}{all}")).unwrap(),
                    Place::IssuerFile => {
                        std::fs::write(&file, &leaf).unwrap();
                        std::fs::write(folder.path().join("a.pem.issuer"), &all).unwrap();
                    }
                    _ => {
                        std::fs::write(&file, &leaf).unwrap();
                        files.push(folder.path().join("ca.crt"));
                        std::fs::write(&files[1], &all).unwrap();
                    }
                }
                let inventory = world.run(world.builder().source(Files(files)));
                world.pass(5 * SECOND).await;
                let how = format!("{algorithm}, {place:?}, {} authorities", authorities.len());
                assert_eq!(codes(&inventory), ["unsupported_algorithm"], "{how}");
                let told = world.record.codes("place_problem");
                // Of two files, the second may be read late: its certificate is reported as missing first.
                let is_first = told.first().is_some_and(|code| code == "unsupported_algorithm");
                assert!(is_first || matches!(place, Place::Directory), "{how}: {told:?}");
                assert_eq!(told.last().map(String::as_str), Some("unsupported_algorithm"), "{how}");
                assert_eq!(world.ca.asked(), 0, "{how}");
            }
        }
        // The CA of the same name alone is not an issuer.
        let world = World::new();
        world.list.put("a.test", &format!("{leaf}{namesake}"));
        let inventory = world.start();
        world.pass(5 * SECOND).await;
        assert_eq!(codes(&inventory), ["issuer_missing"], "{algorithm}");
    }
}

/// If the server takes another certificate for the issuer, no staple is written, since the server would not accept it.
/// A staple from before the other certificate appeared is removed.
#[tokio::test(start_paused = true)]
async fn no_staple_lies_where_the_server_takes_another_for_the_issuer() {
    for names_key in [true, false] {
        let world = World::new();
        let (right, wrong) = (world.ca.authority.certificate_pem(), impostor().certificate_pem());
        let issued = world.ca.issue(Ca::profile("a.test").authority_key_identifier(names_key));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.pem");
        std::fs::write(&file, format!("{}{wrong}{right}", issued.certificate_pem())).unwrap();
        let builder = world.builder().source(Files(vec![file.clone()])).sink(FileSink::new());
        world.run(builder);
        world.pass(5 * SECOND).await;
        let told = world.record.codes("delivery_failed");
        // With the key identifier, the server finds the right issuer.
        let expected = if names_key { vec![] } else { vec!["wrong_issuer_first".to_owned()] };
        assert_eq!(told, expected);
        assert_eq!(folder.path().join("a.pem.ocsp").exists(), names_key);
        // The problem is reported again as other failures are, and nothing else is tried.
        world.pass(2 * HOUR).await;
        assert!(world.record.codes("delivery_failed").len() < 15);
        assert_eq!(folder.path().join("a.pem.ocsp").exists(), names_key);
    }
}

/// An issuer that comes from a URL and cannot be checked is reported as such, and is fetched no more often than others.
#[tokio::test(start_paused = true)]
async fn a_fetched_issuer_whose_signatures_cannot_be_checked_is_told_as_that() {
    let world = World::new();
    let (leaf, issuer) = unsupported("ed448-elsewhere");
    world.ca.issuers.lock().unwrap().insert(URL.to_owned(), issuer.into_bytes());
    world.list.put("a.test", &leaf);
    let inventory = world.start();
    world.pass(5 * SECOND).await;
    assert_eq!(codes(&inventory), ["unsupported_algorithm"]);
    let told = world.record.codes("issuer_fetch_failed");
    assert!(!told.is_empty() && told.iter().all(|code| code == "unsupported_algorithm"), "{told:?}");
    world.pass(2 * HOUR).await;
    assert!(world.record.codes("issuer_fetch_failed").len() < 15);
    assert_eq!(world.record.count("issuer_fetched"), 0);
    // A later search for the issuer does not take it either.
    assert_eq!((codes(&inventory), world.ca.asked()), (vec!["unsupported_algorithm".to_owned()], 0));
}
