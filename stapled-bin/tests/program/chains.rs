//! Issuers with a matching name and a wrong key, and issuers whose signatures cannot be checked: one pass, `fetch` and
//! `check` agree about them.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;

use stapled_ca::Authority;

use crate::world::{Ended, World};

/// The place of the CA certificates.
#[derive(Clone, Copy, Debug)]
enum Place {
    OwnFile,
    IssuerFile,
    Directory,
    Fetched,
}

/// A responder that answers every request with `body`, until the test ends.
fn serve(body: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/ca.crt", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(&[head.as_bytes(), &body].concat());
        }
    });
    url
}

/// A world with a certificate in `certs/a.pem`, and the certificates of these authorities in this place.
fn world(place: Place, names_key: bool, authorities: impl Fn(&World) -> Vec<String>) -> World {
    let world = World::new();
    let profile = world.profile("a.test").authority_key_identifier(names_key);
    let authorities = authorities(&world);
    let all = authorities.concat();
    let profile = match place {
        Place::Fetched => profile.ca_issuers_url(serve(all.clone().into_bytes())),
        _ => profile,
    };
    let leaf = world.ca.issue(&profile).unwrap().certificate_pem();
    match place {
        Place::OwnFile => fs::write(world.path("certs/a.pem"), format!("{leaf}{all}")).unwrap(),
        _ => fs::write(world.path("certs/a.pem"), leaf).unwrap(),
    }
    match place {
        Place::IssuerFile => fs::write(world.path("certs/a.pem.issuer"), all).unwrap(),
        Place::Directory => {
            for (number, authority) in authorities.iter().enumerate() {
                fs::write(world.path(&format!("certs/{number}.crt")), authority).unwrap();
            }
        }
        _ => {}
    }
    world
}

/// The reason of the only row, or its state where it has no reason.
fn one_off(world: &World) -> String {
    let ended = world.one_off(&["--json", "--issuer-dir", "issuers", "--staple-dir", "staples"]);
    let (rows, _) = ended.json();
    let row = rows.iter().find(|row| row["state"] != "only_ca_certificates").unwrap_or_else(|| panic!("{ended:?}"));
    row["reason"].as_str().or(row["state"].as_str()).unwrap().to_owned()
}

/// The status in the response, or the reason why no request was made.
fn fetch(world: &World) -> String {
    let ended: Ended = world.run(&["fetch", "certs/a.pem", "--json"]);
    let found: serde_json::Value =
        serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    found["status"].as_str().or(found["reason"].as_str()).unwrap().to_owned()
}

fn check(world: &World) -> Vec<String> {
    let ended = world.run(&["check", "--no-haproxy-sockets", "--issuer-dir", "issuers", "--json", "-p", "certs"]);
    let row: serde_json::Value = serde_json::from_str(ended.out.lines().next().unwrap()).unwrap();
    let problems = row["problems"].as_array().unwrap().iter();
    problems.map(|problem| problem["reason"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn an_issuer_with_a_matching_name_and_a_wrong_key_is_never_used() {
    let former = Authority::root("Test CA").create().unwrap().certificate_pem();
    for place in [Place::OwnFile, Place::IssuerFile, Place::Directory, Place::Fetched] {
        for names_key in [true, false] {
            let how = format!("{place:?}, {names_key}");
            let right = |world: &World| world.ca.certificate_pem();
            for is_right_first in [true, false] {
                let world = world(place, names_key, |world| match is_right_first {
                    true => vec![right(world), former.clone()],
                    false => vec![former.clone(), right(world)],
                });
                fs::create_dir(world.path("staples")).unwrap();
                assert_eq!(one_off(&world), "good", "{how}, right first: {is_right_first}");
                // `fetch` searches no directory.
                let expected = if matches!(place, Place::Directory) { "issuer_missing" } else { "good" };
                assert_eq!(fetch(&world), expected, "{how}, right first: {is_right_first}");
                assert!(!check(&world).contains(&"issuer_missing".to_owned()), "{how}");
            }
            let world = world(place, names_key, |_| vec![former.clone()]);
            fs::create_dir(world.path("staples")).unwrap();
            assert_eq!(one_off(&world), "issuer_missing", "{how}");
            assert_eq!(fetch(&world), "issuer_missing", "{how}");
            let told = check(&world);
            let expected = if matches!(place, Place::Fetched) { "issuer_to_be_fetched" } else { "issuer_missing" };
            assert!(told.iter().any(|reason| reason == expected), "{how}: {told:?}");
            assert!(world.lab.requests().is_empty(), "{how}: nobody is asked by a wrong CertID");
        }
    }
}

/// HAProxy would find the wrong issuer in this file, so no staple is written beside it. The error says what to do.
#[test]
fn a_file_whose_first_issuer_is_wrong_is_reported() {
    let former = Authority::root("Test CA").create().unwrap().certificate_pem();
    let world = world(Place::OwnFile, false, |world| vec![former.clone(), world.ca.certificate_pem()]);
    let ended = world.one_off(&["--json"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    let (rows, _) = ended.json();
    assert_eq!(rows[0]["servers"][0]["reason"], "wrong_issuer_first", "{ended:?}");
    assert!(ended.err.contains("put the right one before it"), "{ended:?}");
    assert!(!world.staple("a.pem").exists());
    assert_eq!(check(&world), ["wrong_issuer_first"]);
}

#[test]
fn an_issuer_whose_signatures_cannot_be_checked_is_reported() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../stapled-ocsp/tests/algorithms");
    for algorithm in ["ecdsa-brainpool-sha256", "ed448"] {
        let text = fs::read_to_string(folder.join(algorithm).with_extension("pem")).unwrap();
        let sections: Vec<&str> = text.split_inclusive("-----END CERTIFICATE-----\n").collect();
        let (issuer, leaf) = (sections[0], sections[1]);
        for place in [Place::OwnFile, Place::IssuerFile, Place::Directory] {
            let world = World::new();
            let own = if matches!(place, Place::OwnFile) { issuer } else { "" };
            fs::write(world.path("certs/a.pem"), format!("{leaf}{own}")).unwrap();
            match place {
                Place::IssuerFile => fs::write(world.path("certs/a.pem.issuer"), issuer).unwrap(),
                Place::Directory => fs::write(world.path("certs/ca.crt"), issuer).unwrap(),
                _ => {}
            }
            let how = format!("{algorithm}, {place:?}");
            assert_eq!(check(&world), ["unsupported_algorithm"], "{how}");
            assert_eq!(one_off(&world), "unsupported_algorithm", "{how}");
            let expected = if matches!(place, Place::Directory) { "issuer_missing" } else { "unsupported_algorithm" };
            assert_eq!(fetch(&world), expected, "{how}");
            fs::write(world.path("issuer.pem"), issuer).unwrap();
            let named = world.run(&["fetch", "certs/a.pem", "--issuer", "issuer.pem", "--json"]);
            assert!(named.out.contains("\"unsupported_algorithm\""), "{how}: {named:?}");
        }
    }
}
