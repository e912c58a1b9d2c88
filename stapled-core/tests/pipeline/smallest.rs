//! Tests that servers get responses without unneeded certificates, from every origin of the response.

use std::sync::Arc;

use bytes::Bytes;
use stapled_ca::ocsp::{HashAlgorithm, ResponseBuilder, Signer};
use stapled_ca::{Authority, Issued, KeyType, Profile};
use stapled_core::ocsp::OcspResponse;

use crate::world::{DAY, MINUTE, START, World};

/// A response with look-alikes before the signer's certificate, and the same response as it should be delivered.
struct Forms {
    long: Bytes,
    smallest: Bytes,
}

fn certificates(response: &[u8]) -> Vec<Vec<u8>> {
    let Ok(OcspResponse::Basic(basic)) = OcspResponse::from_der(response) else { panic!("not read") };
    basic.certificates.iter().map(|certificate| certificate.to_vec()).collect()
}

/// Both forms, signed by the issuer or by its delegate. Ed25519 signatures are deterministic, so both forms have one
/// signature.
fn forms(world: &World, issued: &Issued, by_delegate: bool) -> Forms {
    let (at, ends) = (START.unix(), START.unix() + 4 * DAY.as_secs() as i64);
    let namesake = Authority::root("Simulated CA").key(KeyType::EcdsaP256).create().unwrap();
    let profile = Profile::ocsp_responder("Responder").key(KeyType::Ed25519).valid_between(at - 60, ends + 60);
    let look_alike = namesake.issue(&profile).unwrap();
    let delegate = world.ca.issue(profile);
    let id = world.ca.authority.cert_id(issued.serial(), HashAlgorithm::Sha1);
    let builder = match by_delegate {
        true => ResponseBuilder::signed_by(Signer::delegate(&delegate)),
        false => ResponseBuilder::new(&world.ca.authority),
    };
    let good = builder.produced_at(at).this_update(at).next_update(ends).good(&id).responder_by_name();
    let own = by_delegate.then(|| delegate.der());
    let beside = [look_alike.der(), namesake.certificate(), world.ca.authority.certificate()];
    let long: Vec<&[u8]> = beside.into_iter().chain(own).collect();
    Forms {
        long: good.clone().certificates(&long).build().unwrap().into(),
        smallest: good.certificates(&own.into_iter().collect::<Vec<_>>()).build().unwrap().into(),
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_network_brings_is_delivered_with_the_signers_certificate_alone() {
    for by_delegate in [true, false] {
        let world = World::new();
        let issued = world.add("a.test");
        let Forms { long, smallest } = forms(&world, &issued, by_delegate);
        *world.ca.replay.lock().unwrap() = Some(long.clone());
        let inventory = world.start();
        world.pass(MINUTE).await;
        let served = world.server.response_of("a.test").unwrap();
        assert_eq!(certificates(&served), certificates(&smallest), "by a delegate: {by_delegate}");
        assert!(served.len() < long.len());
        if by_delegate {
            assert_eq!(served, smallest);
        }
        assert_eq!(inventory.certificates()[0].staple.as_ref().unwrap().response(), &served);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_kept_in_a_longer_form_is_replaced_without_a_question() {
    let world = World::new();
    let issued = world.add("a.test");
    let Forms { long, smallest } = forms(&world, &issued, true);
    *world.server.keeps.lock().unwrap() = Some(long);
    world.start();
    world.pass(MINUTE).await;
    assert_eq!((world.record.count("recycled"), world.ca.asked()), (1, 0));
    assert_eq!(world.server.response_of("a.test"), Some(smallest));
}

/// A server with a small buffer gets a response whose full chain does not fit into the buffer.
#[tokio::test(start_paused = true)]
async fn a_long_chain_costs_no_staple() {
    let mut world = World::new();
    Arc::get_mut(&mut world.server).unwrap().requirements.max_size = 2048;
    let issued = world.add("a.test");
    let at = START.unix();
    let profile = |name: String| Profile::server(&name).key(KeyType::EcdsaP256);
    let padding = || stapled_ca::Extension::new(&[1, 3, 6, 1, 4, 1, 99_999, 3], vec![0; 1000]);
    let chain: Vec<Vec<u8>> = (0..60)
        .map(|number| world.ca.issue(profile(format!("{number}.test")).extension(padding())).der().to_vec())
        .collect();
    let id = world.ca.authority.cert_id(issued.serial(), HashAlgorithm::Sha1);
    let good = ResponseBuilder::new(&world.ca.authority).this_update(at).next_update(at + 86_400).good(&id);
    let long = Bytes::from(good.certificates(&chain).build().unwrap());
    assert!(long.len() > 65_536);
    *world.ca.replay.lock().unwrap() = Some(long);
    world.start();
    world.pass(MINUTE).await;
    assert!(world.server.response_of("a.test").is_some_and(|served| served.len() < 1000));
}
