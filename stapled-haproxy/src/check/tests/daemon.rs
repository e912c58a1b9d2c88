//! The check compared with the stapler itself.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use stapled_ca::{Authority, Key, KeyType, Profile};
use stapled_core::chain::CertChain;
use stapled_core::fetch::{Answer, FetchError, OcspFetcher, Question};
use stapled_core::inventory::standing::PlaceState;
use stapled_core::lookup::IssuerPlace;
use stapled_core::sink::{Delivered, SinkError, Site, StapleSink};
use stapled_core::source::issuer::{IssuerChains, IssuerLookup};
use stapled_core::source::{CertSource, Scan, Sighting, SourceError, Version};
use stapled_core::staple::Staple;
use stapled_core::stapler::Stapler;

use super::World;
use super::chains::{UNSUPPORTED, unsupported};
use crate::check::contents::Reader;
use crate::check::issuer::{self, Pool};

/// The stapler decides, too, where HAProxy finds an issuer: both must agree for every combination of files.
#[test]
fn the_stapler_finds_the_same_issuers() {
    let world = World::new();
    let (issuer, stranger) = (world.ca.certificate_pem(), world.stranger.certificate_pem());
    // The same CA with its former key.
    let former = Authority::root("Issuer").create().unwrap().certificate_pem();
    world.write("pool/ca.pem", &issuer);
    world.write("chains/ca.pem", format!("{issuer}{stranger}"));
    world.write("strange/ca.pem", format!("{stranger}{issuer}"));
    world.write("former/ca.pem", format!("{former}{issuer}"));
    let beside: [Option<Vec<u8>>; 9] = [
        Some(former.clone().into()),
        Some(format!("{issuer}{former}").into()),
        None,
        Some(issuer.clone().into()),
        Some(stranger.clone().into()),
        Some(format!("{stranger}{issuer}").into()),
        Some(world.ca.certificate().to_vec()),
        Some(b"-----BEGIN CERTIFICATE-----\nrubbish\n-----END CERTIFICATE-----\n".to_vec()),
        Some(Vec::new()),
    ];
    let key = Arc::new(Key::generate(KeyType::EcdsaP256).unwrap());
    let mut sightings = vec![Sighting::file(world.path("pool/ca.pem"), Version::new([]))];
    for (number, beside) in beside.iter().enumerate() {
        for (chain, names_key) in [
            (String::new(), true),
            (issuer.clone(), true),
            (stranger.clone(), true),
            (format!("{stranger}{issuer}"), true),
            (format!("{former}{issuer}"), true),
            (String::new(), false),
            (format!("{former}{issuer}"), false),
            (format!("{issuer}{former}"), false),
            (former.clone(), false),
        ] {
            for lookup in 0..3 {
                for chains in [None, Some("chains"), Some("strange"), Some("former")] {
                    let path = world.path(&format!("{}/{number}.pem", sightings.len()));
                    let profile = |profile: Profile| profile.existing_key(Arc::clone(&key));
                    let (_, pem) = world.issue(|wanted| profile(wanted).authority_key_identifier(names_key));
                    world.write(path.to_str().unwrap(), format!("{pem}{chain}"));
                    let mut sighting = Sighting::file(&path, Version::new([]));
                    let mut file = path.clone();
                    file.set_extension(if lookup == 1 { "there" } else { "pem.issuer" });
                    sighting.issuer_lookup = match lookup {
                        0 => IssuerLookup::Beside,
                        1 => IssuerLookup::In(file.as_path().into()),
                        _ => IssuerLookup::Nowhere,
                    };
                    if let Some(beside) = beside {
                        world.write(file.to_str().unwrap(), beside);
                    }
                    sighting.issuer_chains =
                        chains.map(|chains| IssuerChains::new(world.path(chains), Version::new(chains)).into());
                    sightings.push(sighting);
                }
            }
        }
    }
    let reader = Reader::default();
    let read: Vec<_> = sightings.iter().map(|sighting| reader.read(sighting, None).unwrap()).collect();
    let mut pool = Pool::default();
    for (sighting, contents) in sightings.iter().zip(&read) {
        pool.add(Path::new(&*sighting.name), contents);
    }
    let ours: HashMap<String, IssuerPlace> = sightings
        .iter()
        .zip(&read)
        .filter_map(|(sighting, contents)| {
            let found = issuer::find(contents.end_entity()?, Path::new(&*sighting.name), contents, &pool);
            Some((sighting.name.to_string(), found.expect("it is in the pool").place))
        })
        .collect();

    let seen = Arc::<Seen>::default();
    let stapler = Stapler::builder().source(Places(sightings)).shared_sink(Arc::clone(&seen) as Arc<dyn StapleSink>);
    let stapler = stapler.fetcher(Nobody).build().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(stapler.run_once(std::future::pending())).unwrap();
    let theirs = seen.0.lock().unwrap().clone();
    assert_eq!(ours.len(), 9 * 9 * 3 * 4);
    assert_eq!(theirs.len(), ours.len());
    for (name, ours) in &ours {
        assert_eq!(Some(ours), theirs.get(name), "{name}");
    }
    // All answers are among them.
    for expected in [
        |place: &IssuerPlace| *place == IssuerPlace::SameFile,
        |place: &IssuerPlace| matches!(place, IssuerPlace::IssuerFile(_)),
        |place: &IssuerPlace| matches!(place, IssuerPlace::Chains(_)),
        |place: &IssuerPlace| *place == IssuerPlace::Elsewhere,
        |place: &IssuerPlace| matches!(place, IssuerPlace::Mistaken { chains: None }),
    ] {
        assert!(ours.values().any(expected));
    }
}

/// A certificate without a usable issuer has the same reason code for both.
#[test]
fn the_stapler_refuses_the_same_issuers() {
    let world = World::new();
    let (wrong, stranger) =
        (Authority::root("Issuer").create().unwrap().certificate_pem(), world.stranger.certificate_pem());
    let (_, lonely) = world.issue(|profile| profile.authority_key_identifier(false));
    let mut sightings = Vec::new();
    let mut lay = |pem: &str, chain: &str, beside: &str| {
        let path = world.write(&format!("{}/a.pem", sightings.len()), format!("{pem}{chain}"));
        if !beside.is_empty() {
            world.write(&format!("{}.issuer", path.display()), beside);
        }
        sightings.push(Sighting::file(path, Version::new([])));
    };
    for chain in ["", &wrong, &stranger] {
        for beside in ["", &wrong, &stranger] {
            lay(&lonely, chain, beside);
            for algorithm in UNSUPPORTED {
                let (leaf, issuer) = unsupported(algorithm);
                lay(&leaf, &format!("{chain}{issuer}"), beside);
                lay(&leaf, &format!("{issuer}{chain}"), beside);
                lay(&leaf, chain, &format!("{issuer}{beside}"));
            }
        }
    }
    let reader = Reader::default();
    let word = |sighting: &Sighting| {
        let contents = reader.read(sighting, None).unwrap();
        let path = Path::new(&*sighting.name);
        let found = issuer::find(contents.end_entity().unwrap(), path, &contents, &Pool::default());
        let unsupported = found.expect_err("no issuer does").unsupported;
        unsupported.map_or("issuer_missing".to_owned(), |unsupported| unsupported.error.code().to_string())
    };
    let ours: HashMap<String, String> =
        sightings.iter().map(|sighting| (sighting.name.to_string(), word(sighting))).collect();
    let count = sightings.len();
    let stapler = Stapler::builder().source(Places(sightings)).sink(NoSink).fetcher(Nobody).build().unwrap();
    let inventory = stapler.inventory();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(stapler.run_once(std::future::pending())).unwrap();
    let theirs: HashMap<String, String> = inventory
        .places()
        .iter()
        .map(|place| match &place.state {
            PlaceState::Problem { fault, .. } => (place.name.to_string(), fault.code().to_string()),
            other => panic!("{}: {other:?}", place.name),
        })
        .collect();
    assert_eq!(theirs.len(), count);
    for (name, ours) in &ours {
        // The stapler searches all files, so an issuer beside one certificate counts for another.
        let theirs = &theirs[name];
        assert_eq!(ours, theirs, "{name}");
    }
    assert!(
        ours.values().any(|word| word == "issuer_missing") && ours.values().any(|word| word == "unsupported_algorithm")
    );
}

struct NoSink;

#[async_trait]
impl StapleSink for NoSink {
    async fn deliver(&self, _: &Staple, _: &[Site]) -> Result<Delivered, SinkError> {
        unreachable!("there is no staple");
    }
}

struct Places(Vec<Sighting>);

#[async_trait]
impl CertSource for Places {
    async fn scan(&self) -> Result<Scan, SourceError> {
        Ok(Scan::of(self.0.clone()))
    }
}

/// A sink that is asked for kept staples, and so learns how each certificate lies there.
#[derive(Default)]
struct Seen(Mutex<HashMap<String, IssuerPlace>>);

#[async_trait]
impl StapleSink for Seen {
    async fn deliver(&self, _: &Staple, _: &[Site]) -> Result<Delivered, SinkError> {
        unreachable!("nobody answers");
    }

    async fn recall(&self, _: &CertChain, sites: &[Site]) -> Option<Bytes> {
        for site in sites {
            self.0.lock().unwrap().insert(site.served_as.to_string(), site.issuer.clone());
        }
        None
    }
}

struct Nobody;

#[async_trait]
impl OcspFetcher for Nobody {
    async fn fetch(&self, question: &Question<'_>) -> Result<Answer, FetchError> {
        Err(FetchError::Connect { url: question.url.to_owned(), why: "nobody is asked".to_owned() })
    }
}
