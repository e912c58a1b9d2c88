//! Generates responses: right ones, and ones that were wrong in one or two places before they were signed.

use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use stapled_ca::ocsp::{CertId, HashAlgorithm, NullParameters, ResponseBuilder};
use stapled_ca::{Extension, KeyType, Reason, Serial, SignatureScheme, der};

use crate::world::{Candidate, World};

const DAY: i64 = 86_400;

/// A response, and the story of its making.
pub(crate) struct Draft {
    pub(crate) response: Vec<u8>,
    /// The index of its signer among the world's signers.
    pub(crate) candidate: usize,
    pub(crate) scheme: SignatureScheme,
    pub(crate) story: Vec<String>,
}

/// A response of this signer that is right in everything else.
pub(crate) fn plain(world: &World, place: usize, now: i64) -> Draft {
    let candidate = &world.signers[place];
    let scheme = candidate.signer.key().default_scheme();
    let id = world.issuer.cert_id(world.leaf.serial(), HashAlgorithm::Sha1);
    let response = signed_by(candidate).good(&id).this_update(now - 3600).next_update(now + 7 * DAY).build().unwrap();
    Draft { response, candidate: place, scheme, story: vec![format!("signed by {}, all else right", candidate.who)] }
}

fn signed_by(candidate: &Candidate) -> ResponseBuilder {
    let mut builder = ResponseBuilder::signed_by(candidate.signer.clone());
    if !candidate.embedded {
        builder = builder.certificates::<&[u8]>(&[]);
    }
    for certificate in &candidate.beside {
        builder = builder.further_certificate(certificate);
    }
    builder
}

/// Generates a random response about the world's certificate, at the time `now`.
pub(crate) fn draw(rng: &mut StdRng, world: &World, now: i64) -> Draft {
    let mut story = Vec::new();
    if rng.random_bool(0.01) {
        let status = rng.random_range(0..9);
        story.push(format!("only the status {status}"));
        let scheme = world.issuer.key().default_scheme();
        return Draft { response: ResponseBuilder::status_only(status), candidate: 0, scheme, story };
    }
    // Most signers have the right to sign.
    let by_right = rng.random_bool(0.85);
    let places: Vec<_> = (0..world.signers.len()).filter(|place| world.signers[*place].by_right == by_right).collect();
    let place = *places.choose(rng).unwrap();
    let candidate = &world.signers[place];
    let signer = candidate.signer.clone();
    story.push(format!("signed by {}", candidate.who));
    let mut builder = signed_by(candidate);
    if candidate.who == "delegate-other-case" || rng.random_bool(0.3) {
        builder = builder.responder_by_name();
        story.push("by name".to_owned());
    }

    // The number of errors beside the signer: none, one or two.
    let wrongs = *[0, 0, 0, 0, 1, 1, 2].choose(rng).unwrap();
    let (odd_times, odd_single) = (wrongs > 0 && rng.random_bool(0.3), wrongs > 0 && rng.random_bool(0.4));
    let (this_update, next_update) = times(rng, now, &mut story, odd_times);
    builder = builder.this_update(this_update).produced_at(this_update);
    builder = match next_update {
        Some(next_update) => builder.next_update(next_update),
        None => builder.no_next_update(),
    };
    builder = single(rng, builder, world, &mut story, odd_single, now);
    let mut scheme = signer.key().default_scheme();
    for _ in 0..wrongs {
        builder = spoil(rng, builder, world, &mut story, now, signer.key().key_type(), &mut scheme);
    }
    if rng.random_bool(0.1) {
        builder = builder.nonce(&rng.random::<[u8; 32]>());
    }
    Draft { response: builder.scheme(scheme).build().unwrap(), candidate: place, scheme, story }
}

/// thisUpdate and nextUpdate. Neither is within seconds of a limit, since the judges' clocks continue.
fn times(rng: &mut StdRng, now: i64, story: &mut Vec<String>, odd: bool) -> (i64, Option<i64>) {
    let jitter = rng.random_range(0..40);
    if !odd {
        return (now - 3600 - jitter, Some(now + 7 * DAY + jitter));
    }
    let this_update = now + jitter + *[-400 * DAY, -3600, -60, 120, 400, DAY].choose(rng).unwrap();
    let next_update = match rng.random_range(0..10) {
        0 => None,
        1 => Some(this_update),
        2 => Some(this_update - 50),
        _ => Some(now + jitter + *[-400 * DAY, -DAY, -400, -200, -60, 60, 400, DAY, 4000 * DAY].choose(rng).unwrap()),
    };
    story.push(format!("thisUpdate {:+}, nextUpdate {:?}", this_update - now, next_update.map(|next| next - now)));
    (this_update, next_update)
}

/// Adds an answer about the certificate.
fn single(
    rng: &mut StdRng,
    builder: ResponseBuilder,
    world: &World,
    story: &mut Vec<String>,
    odd: bool,
    now: i64,
) -> ResponseBuilder {
    let serial = world.leaf.serial();
    let id = |rng: &mut StdRng, story: &mut Vec<String>| {
        let hash = *[
            HashAlgorithm::Sha1,
            HashAlgorithm::Sha1,
            HashAlgorithm::Sha256,
            HashAlgorithm::Sha384,
            HashAlgorithm::Sha512,
        ]
        .choose(rng)
        .unwrap();
        let null = if rng.random_bool(0.8) { NullParameters::Present } else { NullParameters::Absent };
        story.push(format!("{hash} {null:?}"));
        CertId::with_parameters(world.issuer.identity(), serial, hash, null)
    };
    if !odd {
        let id = id(rng, story);
        return say(rng, builder, &id, story, now);
    }
    let other = |rng: &mut StdRng| {
        let number = Serial::from_bytes(&rng.random::<[u8; 8]>());
        world.issuer.cert_id(&number, HashAlgorithm::Sha1)
    };
    match rng.random_range(0..8) {
        0 => {
            story.push("another serial number".to_owned());
            let id = other(rng);
            say(rng, builder, &id, story, now)
        }
        1 => {
            story.push("another issuer".to_owned());
            let id = world.nearly.choose(rng).unwrap().cert_id(serial, HashAlgorithm::Sha256);
            say(rng, builder, &id, story, now)
        }
        2 => {
            story.push("no single response".to_owned());
            builder
        }
        3 => {
            story.push("another first".to_owned());
            let first = other(rng);
            let builder = say(rng, builder, &first, story, now);
            let id = id(rng, story);
            say(rng, builder, &id, story, now)
        }
        4 => {
            story.push("another issuer's beside".to_owned());
            let beside = world.nearly.choose(rng).unwrap().cert_id(serial, HashAlgorithm::Sha1);
            let id = id(rng, story);
            let builder = say(rng, builder, &id, story, now);
            say(rng, builder, &beside, story, now)
        }
        5 => {
            story.push("another certificate's beside, by another hash".to_owned());
            let number = Serial::from_bytes(&rng.random::<[u8; 8]>());
            let beside = world.issuer.cert_id(&number, HashAlgorithm::Sha256);
            let id = id(rng, story);
            let builder = say(rng, builder, &id, story, now);
            say(rng, builder, &beside, story, now)
        }
        6 => {
            story.push("twice".to_owned());
            let id = id(rng, story);
            let builder = say(rng, builder, &id, story, now);
            let newer = rng.random_bool(0.5);
            let builder = say(rng, builder, &id, story, now);
            if newer { builder.this_update(now - 1000) } else { builder }
        }
        _ => {
            story.push("twice, by two hashes".to_owned());
            let first = world.issuer.cert_id(serial, HashAlgorithm::Sha1);
            let second = world.issuer.cert_id(serial, HashAlgorithm::Sha256);
            let builder = say(rng, builder, &first, story, now);
            say(rng, builder, &second, story, now)
        }
    }
}

fn say(rng: &mut StdRng, builder: ResponseBuilder, id: &CertId, story: &mut Vec<String>, now: i64) -> ResponseBuilder {
    match rng.random_range(0..8) {
        0 => {
            story.push("revoked".to_owned());
            let reason = *[None, Some(Reason::KeyCompromise), Some(Reason::CertificateHold)].choose(rng).unwrap();
            builder.revoked(id, now - DAY, reason)
        }
        1 => {
            story.push("unknown".to_owned());
            builder.unknown(id)
        }
        _ => builder.good(id),
    }
}

/// Adds one more error or oddity.
fn spoil(
    rng: &mut StdRng,
    builder: ResponseBuilder,
    world: &World,
    story: &mut Vec<String>,
    now: i64,
    key_type: KeyType,
    scheme: &mut SignatureScheme,
) -> ResponseBuilder {
    let extension = |critical: bool| match critical {
        true => Extension::critical(&[1, 3, 6, 1, 4, 1, 99_999, 2], vec![5, 0]),
        false => Extension::new(&[1, 3, 6, 1, 4, 1, 99_999, 2], vec![5, 0]),
    };
    let mut tell = |what: &str| story.push(what.to_owned());
    match rng.random_range(0..19) {
        0 => {
            tell("critical extension of the response");
            builder.response_extension(&extension(true))
        }
        1 => {
            tell("critical extension of the single response");
            builder.single_extension(&extension(true))
        }
        2 => {
            tell("extensions that may be ignored");
            builder.response_extension(&extension(false)).single_extension(&extension(false))
        }
        3 => {
            tell("an extension twice");
            if rng.random_bool(0.5) {
                builder.response_extension(&extension(false)).response_extension(&extension(false))
            } else {
                builder.single_extension(&extension(false)).single_extension(&extension(false))
            }
        }
        4 => {
            tell("corrupt signature");
            builder.corrupt_signature()
        }
        5 => {
            let version = rng.random_range(0..3);
            tell(&format!("version {version}"));
            builder.explicit_version(version)
        }
        6 => {
            tell("bytes behind");
            builder.trailing(&[0; 3][..rng.random_range(1..4)])
        }
        7 => {
            tell("another response type");
            builder.response_type(&[1, 3, 6, 1, 5, 5, 7, 48, 1, 99])
        }
        8 => {
            let status = *[1, 2, 3, 4, 5, 6, 7].choose(rng).unwrap();
            tell(&format!("response status {status} with an answer"));
            builder.response_status(status)
        }
        9 => {
            tell("the responderID of another");
            let id = world.signers.choose(rng).unwrap().signer.identity().name.clone();
            builder.responder_id_der(der::explicit(1, &id))
        }
        10 => {
            tell("an empty name as responderID");
            builder.responder_id_der(der::explicit(1, &der::sequence::<&[u8]>(&[])))
        }
        11 => {
            let form = *ODD_TIMES.choose(rng).unwrap();
            tell(&format!("producedAt {}", String::from_utf8_lossy(form)));
            builder.produced_at_der(der::value(0x18, form))
        }
        12 => {
            let form = odd_form(rng, now - 7200);
            tell(&format!("thisUpdate {form}"));
            builder.this_update_der(der::value(0x18, form.as_bytes()))
        }
        13 => {
            let form = odd_form(rng, now + 7200);
            tell(&format!("nextUpdate {form}"));
            builder.next_update_der(der::value(0x18, form.as_bytes()))
        }
        14 => {
            let at = *[now - 4000 * DAY, now + 4000 * DAY].choose(rng).unwrap();
            tell("producedAt far away");
            builder.produced_at(at)
        }
        15 => {
            tell("the algorithm of another signature");
            let other = *[
                SignatureScheme::Ed25519,
                SignatureScheme::EcdsaSha256,
                SignatureScheme::RsaPkcs1Sha256,
                SignatureScheme::RsaPkcs1Sha512,
            ]
            .choose(rng)
            .unwrap();
            builder.algorithm_identifier(other.algorithm_identifier())
        }
        16 => {
            let critical = rng.random_bool(0.5);
            tell(&format!("archive cutoff, critical: {critical}"));
            let oid = &[1, 3, 6, 1, 5, 5, 7, 48, 1, 6];
            let value = der::generalized_time(now - 400 * DAY);
            builder.single_extension(&match critical {
                true => Extension::critical(oid, value),
                false => Extension::new(oid, value),
            })
        }
        17 => {
            tell("large");
            let size = *[1000, 20_000, 70_000].choose(rng).unwrap();
            builder.response_extension(&Extension::new(&[1, 3, 6, 1, 4, 1, 99_999, 3], vec![0; size]))
        }
        _ => another_scheme(rng, builder, key_type, story, scheme),
    }
}

fn another_scheme(
    rng: &mut StdRng,
    builder: ResponseBuilder,
    key_type: KeyType,
    story: &mut Vec<String>,
    scheme: &mut SignatureScheme,
) -> ResponseBuilder {
    let schemes: &[SignatureScheme] = match key_type {
        KeyType::Rsa1024 => &[SignatureScheme::RsaPkcs1Sha1, SignatureScheme::RsaPkcs1Sha256WithoutNull],
        KeyType::Rsa2048 => &[
            SignatureScheme::RsaPkcs1Sha1,
            SignatureScheme::RsaPkcs1Sha256WithoutNull,
            SignatureScheme::RsaPkcs1Sha384,
            SignatureScheme::RsaPkcs1Sha512,
            SignatureScheme::RsaPssSha256,
            SignatureScheme::RsaPssSha384,
            SignatureScheme::RsaPssSha512,
        ],
        KeyType::EcdsaP521 => {
            &[SignatureScheme::EcdsaSha256, SignatureScheme::EcdsaSha384, SignatureScheme::EcdsaSha512]
        }
        _ => return builder,
    };
    *scheme = *schemes.choose(rng).unwrap();
    story.push(format!("{scheme:?}"));
    builder
}

/// Times in forms that RFC 5280 §4.1.2.5.2 forbids, and values that are not times.
pub(crate) const ODD_TIMES: &[&[u8]] = &[
    b"20260101000000.5Z",
    b"20260101000000.0Z",
    b"20260101000000+0000",
    b"20260101000000+0100",
    b"20260101000000-0830",
    b"202601010000Z",
    b"2026010100Z",
    b"20260101000000",
    b"20260101000060Z",
    b"20260101000061Z",
    b"20260101240000Z",
    b"20260100000000Z",
    b"20261301000000Z",
    b"20260230000000Z",
    b"00000101000000Z",
    b"99991231235959Z",
    b"260101000000Z",
    b"20260101 00000Z",
    b"2026010100000aZ",
    b"20260101000000z",
    b"",
];

/// A time near `at`, in a form of [`ODD_TIMES`] or the right one.
fn odd_form(rng: &mut StdRng, at: i64) -> String {
    if rng.random_bool(0.3) {
        return String::from_utf8(ODD_TIMES.choose(rng).unwrap().to_vec()).unwrap();
    }
    let right = der::generalized_time(at);
    let digits = String::from_utf8(right[2..16].to_vec()).unwrap();
    let minutes = &digits[..12];
    match rng.random_range(0..7) {
        0 => format!("{digits}.25Z"),
        1 => format!("{digits}+0000"),
        2 => format!("{digits}-0100"),
        3 => format!("{minutes}Z"),
        4 => format!("{minutes}60Z"),
        5 => digits,
        _ => format!("{digits}Z"),
    }
}

/// Whether these bytes are a time in the form `YYYYMMDDHHMMSSZ`.
pub(crate) fn is_plain_time(bytes: &[u8]) -> bool {
    let Some((digits, b"Z")) = bytes.split_at_checked(14) else { return false };
    if !digits.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let number =
        |from: usize, to: usize| digits[from..to].iter().fold(0u32, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    let (year, month, day) = (number(0, 4), number(4, 6), number(6, 8));
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    (1..=length).contains(&day) && number(8, 10) < 24 && number(10, 12) < 60 && number(12, 14) < 60
}
