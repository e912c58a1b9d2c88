//! What the daemon itself makes out, held against what is said here.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use stapled_core::chain::CertChain;
use stapled_core::fetch::{Answer, FetchError, OcspFetcher, Question};
use stapled_core::sink::{Delivered, IssuerPlace, SinkError, Site, StapleSink};
use stapled_core::source::{CertSource, IssuerChains, IssuerLookup, Scan, Sighting, SourceError, Version};
use stapled_core::staple::Staple;
use stapled_core::stapler::Stapler;

use super::World;
use crate::commands::check::contents::Reader;
use crate::commands::check::issuer::{self, Pool};

/// Where HAProxy finds an issuer is the daemon's to decide, too: both must say the same, whatever lies where.
#[test]
fn the_daemon_says_the_same_of_issuers() {
    let world = World::new();
    let (issuer, stranger) = (world.ca.certificate_pem(), world.stranger.certificate_pem());
    world.write("pool/ca.pem", &issuer);
    world.write("chains/ca.pem", format!("{issuer}{stranger}"));
    world.write("strange/ca.pem", format!("{stranger}{issuer}"));
    let beside: [Option<Vec<u8>>; 7] = [
        None,
        Some(issuer.clone().into()),
        Some(stranger.clone().into()),
        Some(format!("{stranger}{issuer}").into()),
        Some(world.ca.certificate().to_vec()),
        Some(b"-----BEGIN CERTIFICATE-----\nrubbish\n-----END CERTIFICATE-----\n".to_vec()),
        Some(Vec::new()),
    ];
    let mut sightings = vec![Sighting::file(world.path("pool/ca.pem"), Version::new([]))];
    for (number, beside) in beside.iter().enumerate() {
        for chain in [String::new(), issuer.clone(), stranger.clone(), format!("{stranger}{issuer}")] {
            for lookup in 0..3 {
                for chains in [None, Some("chains"), Some("strange")] {
                    let path = world.path(&format!("{}/{number}.pem", sightings.len()));
                    let (_, pem) = world.issue(|profile| profile);
                    world.write(path.to_str().unwrap(), pem + &chain);
                    let mut sighting = Sighting::file(&path, Version::new([]));
                    let mut file = path.clone();
                    file.set_extension(if lookup == 1 { "there" } else { "pem.issuer" });
                    sighting.issuer_lookup = match lookup {
                        0 => IssuerLookup::Beside,
                        1 => IssuerLookup::In(file.clone()),
                        _ => IssuerLookup::Nowhere,
                    };
                    if let Some(beside) = beside {
                        world.write(file.to_str().unwrap(), beside);
                    }
                    sighting.issuer_chains = chains
                        .map(|chains| IssuerChains { directory: world.path(chains), version: Version::new(chains) });
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
    let stapler = stapler.fetcher(Arc::new(Nobody)).build().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(stapler.run_once(std::future::pending())).unwrap();
    let theirs = seen.0.lock().unwrap().clone();
    assert_eq!(ours.len(), 7 * 4 * 3 * 3);
    assert_eq!(theirs.len(), ours.len());
    for (name, ours) in &ours {
        assert_eq!(Some(ours), theirs.get(name), "{name}");
    }
    // All four answers are among them.
    for expected in [
        |place: &IssuerPlace| *place == IssuerPlace::SameFile,
        |place: &IssuerPlace| matches!(place, IssuerPlace::IssuerFile(_)),
        |place: &IssuerPlace| matches!(place, IssuerPlace::Chains(_)),
        |place: &IssuerPlace| *place == IssuerPlace::Elsewhere,
    ] {
        assert!(ours.values().any(expected));
    }
}

struct Places(Vec<Sighting>);

#[async_trait]
impl CertSource for Places {
    async fn scan(&self) -> Result<Scan, SourceError> {
        Ok(Scan { sightings: self.0.clone(), problems: Vec::new() })
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
