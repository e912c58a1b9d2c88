//! Tests of the answer in a response: its status, its certificate and its times.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use stapled_ca::ocsp::{CertId, HashAlgorithm, NullParameters, ResponseBuilder, ResponseStatus};
use stapled_ca::{Authority, Extension, KeyType, Profile, Serial, der};
use stapled_core::sink::Requirements;
use stapled_ocsp::Weak;
use stapled_ocsp::chain::CertChain;
use stapled_ocsp::staple::{Judge, JudgePolicy};
use stapled_ocsp::time::Timestamp;

use crate::case::{Case, DAY, NOW, authority, chain, server, times, verdict};

#[test]
fn only_answers_about_the_certificate_count() {
    let case = Case::new(KeyType::EcdsaP256);
    let serial = case.leaf.serial();
    let of = |id: CertId| times(ResponseBuilder::new(&case.ca)).good(&id);
    for hash in [HashAlgorithm::Sha1, HashAlgorithm::Sha256, HashAlgorithm::Sha384, HashAlgorithm::Sha512] {
        assert_eq!(case.verdict(&of(case.ca.cert_id(serial, hash))), "good", "{hash:?}");
        let bare = CertId::with_parameters(case.ca.identity(), serial, hash, NullParameters::Absent);
        assert_eq!(case.verdict(&of(bare)), "good", "{hash:?} without NULL");
    }
    let next = Serial::from_bytes(&[&serial.as_bytes()[..serial.as_bytes().len() - 1], &[0x5a]].concat());
    assert_eq!(case.verdict(&of(case.ca.cert_id(&next, HashAlgorithm::Sha1))), "no_matching_certid");
    let stranger = authority("Stranger", KeyType::EcdsaP256);
    assert_eq!(case.verdict(&of(stranger.cert_id(serial, HashAlgorithm::Sha1))), "wrong_issuer");
    // The right name with a wrong key, then the reverse.
    let namesake = authority("Judged CA", KeyType::EcdsaP256);
    assert_eq!(case.verdict(&of(namesake.cert_id(serial, HashAlgorithm::Sha256))), "wrong_issuer");
    let renamed = Authority::root("Other name").existing_key(Arc::clone(case.ca.key())).create().unwrap();
    assert_eq!(case.verdict(&of(renamed.cert_id(serial, HashAlgorithm::Sha256))), "wrong_issuer");
    assert_eq!(case.verdict(&times(ResponseBuilder::new(&case.ca))), "no_matching_certid", "no answer at all");

    let other = case.ca.cert_id(&next, HashAlgorithm::Sha1);
    let two = of(other.clone()).good(&case.id());
    assert_eq!(case.verdict(&two), "good", "one of two");
    assert_eq!(case.judge_with(&two, &JudgePolicy::default()).unwrap().facts.single_responses, 2);
    assert_eq!(case.verdict(&case.good().revoked(&other, NOW - DAY, None)), "good", "the other is revoked");
    assert_eq!(case.verdict(&case.good().good(&case.id())), "good", "twice the same");
    assert_eq!(case.verdict(&case.good().revoked(&case.id(), NOW - DAY, None)), "conflicting_responses");
    assert_eq!(case.verdict(&case.good().unknown(&case.id())), "conflicting_responses");
    let sha256 = case.ca.cert_id(serial, HashAlgorithm::Sha256);
    assert_eq!(case.verdict(&case.good().revoked(&sha256, NOW - DAY, None)), "conflicting_responses");
    assert_eq!(case.verdict(&times(ResponseBuilder::new(&case.ca)).revoked(&case.id(), NOW - DAY, None)), "revoked");
    assert_eq!(case.verdict(&times(ResponseBuilder::new(&case.ca)).unknown(&case.id())), "unknown");
}

/// CertIDs in forms that no certificate authority's table has.
#[test]
fn cert_ids_are_compared_to_the_byte() {
    let case = Case::new(KeyType::EcdsaP256);
    let id = case.id().as_der().to_vec();
    let verdict = |from: &[u8], to: &[u8]| {
        let place = id.windows(from.len()).position(|window| window == from).unwrap();
        let mut changed = [&id[..place], to, &id[place + from.len()..]].concat();
        changed[1] = u8::try_from(changed.len() - 2).unwrap();
        case.verdict(&case.good().cert_id_der(changed))
    };
    let algorithm = b"\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00";
    assert_eq!(verdict(algorithm, algorithm), "good");
    // RFC 6960 §4.1.1 allows no parameters other than NULL.
    assert_eq!(verdict(algorithm, b"\x30\x0a\x06\x05\x2b\x0e\x03\x02\x1a\x04\x01\x00"), "malformed");
    // The right hashes under the name of an unknown hash (here: MD5), or of another known hash.
    let md5 = b"\x30\x0c\x06\x08\x2a\x86\x48\x86\xf7\x0d\x02\x05\x05\x00";
    assert_eq!(verdict(algorithm, md5), "no_matching_certid");
    let sha256 = b"\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00";
    assert_eq!(verdict(algorithm, sha256), "wrong_issuer");
    // The serial number with an extra byte, and with the opposite sign.
    let serial = id[id.len() - 18..].to_vec();
    assert_eq!(serial[..2], [2, 16], "a serial number of 16 bytes");
    assert_eq!(verdict(&serial, &[&[2, 17, 0], &serial[2..]].concat()), "malformed");
    let negative = [&[2, 16, serial[2] | 0x80], &serial[3..]].concat();
    assert_eq!(verdict(&serial, &negative), "no_matching_certid");
    assert_eq!(verdict(&serial, b"\x02\x00"), "malformed");
}

/// Every answer about the certificate counts, with any hash, known or not, and any extensions. A good answer does not
/// cancel another answer, in any order.
#[test]
fn all_answers_about_the_certificate_count() {
    let case = Case::new(KeyType::EcdsaP256);
    let serial = case.leaf.serial();
    let critical = |critical: bool| match critical {
        true => Extension::critical(&[1, 3, 6, 1, 4, 1, 99_999, 2], vec![5, 0]),
        false => Extension::new(&[1, 3, 6, 1, 4, 1, 99_999, 2], vec![5, 0]),
    };
    let by_oid = |arcs: &[u64], length: usize, serial: &Serial| {
        let algorithm = der::sequence(&[der::oid(arcs)]);
        let hash = der::value(der::OCTET_STRING, &vec![0x5a; length]);
        CertId::from_der(&der::sequence(&[&algorithm, &hash, &hash, &der::unsigned(serial.as_bytes())])).unwrap()
    };
    let unknown_hashes = [
        (&[1, 2, 840, 113549, 2, 5][..], 16, "MD5"),
        (&[2, 16, 840, 1, 101, 3, 4, 2, 4], 28, "SHA-224"),
        (&[2, 16, 840, 1, 101, 3, 4, 2, 8], 32, "SHA3-256"),
        (&[1, 3, 6, 1, 4, 1, 99_999, 4], 20, "a hash of somebody's own"),
    ];
    let known = [HashAlgorithm::Sha256, HashAlgorithm::Sha384, HashAlgorithm::Sha512, HashAlgorithm::Sha1]
        .map(|hash| (case.ca.cert_id(serial, hash), "known"));
    let doubtful = unknown_hashes.map(|(arcs, length, what)| (by_oid(arcs, length, serial), what));
    type Answer = fn(ResponseBuilder, &CertId) -> ResponseBuilder;
    let (good, revoked, unknown): (Answer, Answer, Answer) = (
        |response, id| response.good(id),
        |response, id| response.revoked(id, NOW - DAY, None),
        |response, id| response.unknown(id),
    );
    // Two answers with these extensions, in this order.
    let two = |first: (Answer, &CertId, Option<bool>), second: (Answer, &CertId, Option<bool>)| {
        let response =
            [first, second].into_iter().fold(ResponseBuilder::new(&case.ca), |response, (answer, id, odd)| {
                let response = times(answer(response, id));
                odd.map_or(response.clone(), |odd| response.single_extension(&critical(odd)))
            });
        case.verdict(&response)
    };
    let own = case.id();
    for (id, what) in known.iter().chain(&doubtful) {
        for (answer, expected) in
            [(good, "good"), (revoked, "conflicting_responses"), (unknown, "conflicting_responses")]
        {
            assert_eq!(two((good, &own, None), (answer, id, None)), expected, "{what}, second");
            assert_eq!(two((answer, id, None), (good, &own, None)), expected, "{what}, first");
        }
        assert_eq!(two((good, &own, None), (good, id, Some(false))), "good", "{what}");
        for verdict in [
            two((good, &own, None), (good, id, Some(true))),
            two((good, id, Some(true)), (good, &own, None)),
            two((good, &own, Some(true)), (good, id, None)),
            two((good, id, None), (good, &own, Some(true))),
        ] {
            assert_eq!(verdict, "unhandled_critical_extension", "{what}");
        }
    }
    // An answer whose certificate is uncertain does not undo a revocation, and is not an answer by itself.
    for (id, what) in &doubtful {
        for (first, second) in [((revoked, &own, None), (good, id, None)), ((good, id, None), (revoked, &own, None))] {
            assert_eq!(two(first, second), "revoked", "{what}");
        }
        for answer in [good, revoked] {
            let alone = times(answer(ResponseBuilder::new(&case.ca), id));
            assert_eq!(case.verdict(&alone), "no_matching_certid", "{what}");
        }
    }
    // Answers about other certificates do not count: those with another serial number, and those of another issuer.
    let next = Serial::from_bytes(&[0x11, 0x22]);
    let stranger = authority("Stranger", KeyType::EcdsaP256);
    let mut others: Vec<CertId> = unknown_hashes.map(|(arcs, length, _)| by_oid(arcs, length, &next)).to_vec();
    others.extend([HashAlgorithm::Sha1, HashAlgorithm::Sha256].map(|hash| stranger.cert_id(serial, hash)));
    for id in &others {
        for answer in [good, revoked, unknown] {
            for odd in [None, Some(true)] {
                assert_eq!(two((good, &own, None), (answer, id, odd)), "good");
                assert_eq!(two((answer, id, odd), (good, &own, None)), "good");
            }
        }
    }
}

/// If answers about the same certificate agree, the newest counts, in any order.
#[test]
fn the_newest_of_several_answers_counts() {
    let case = Case::new(KeyType::EcdsaP256);
    let sha256 = case.ca.cert_id(case.leaf.serial(), HashAlgorithm::Sha256);
    let at = |cert_id: &CertId, response: ResponseBuilder, seconds: i64| {
        response.good(cert_id).this_update(NOW - seconds).next_update(NOW + DAY)
    };
    let none = || ResponseBuilder::new(&case.ca).produced_at(NOW - 10);
    for (first, second) in [(100, 50), (50, 100), (50, 50)] {
        let response = at(&sha256, at(&case.id(), none(), first), second);
        let facts = case.judge_with(&response, &JudgePolicy::default()).unwrap().facts;
        assert_eq!(facts.this_update, Timestamp::from_unix(NOW - 50), "{first}, {second}");
        // If answers are equally new, the first counts.
        assert_eq!(facts.cert_id.hash_name(), if second < first { "SHA-256" } else { "SHA-1" }, "{first}, {second}");
    }
    // Another issuer's certificate with the same serial number, by another hash, does no harm.
    let stranger = authority("Stranger", KeyType::EcdsaP256);
    let response = at(&stranger.cert_id(case.leaf.serial(), HashAlgorithm::Sha1), none(), 50);
    assert_eq!(case.verdict(&at(&sha256, response, 60)), "good");
    // With an unknown hash, the issuer cannot be determined.
    let unknown = |hash: &[u8]| {
        let algorithm = der::sequence(&[der::oid(&[1, 3, 6, 1, 4, 1, 99_999, 4])]);
        let hash = der::value(der::OCTET_STRING, hash);
        let serial = der::unsigned(case.leaf.serial().as_bytes());
        CertId::from_der(&der::sequence(&[&algorithm, &hash, &hash, &serial])).unwrap()
    };
    assert_eq!(case.verdict(&at(&unknown(&[1; 20]), none(), 50)), "no_matching_certid");
    assert!(!case.chain.is_named_by(&stapled_ocsp::ocsp::CertId::new(
        stapled_ocsp::ocsp::CertIdHash::Sha1,
        b"another name",
        case.chain.issuer().public_key(),
        case.chain.end_entity().serial()
    )));
    for hash in [stapled_ocsp::ocsp::CertIdHash::Sha1, stapled_ocsp::ocsp::CertIdHash::Sha512] {
        assert!(case.chain.is_named_by(&case.chain.cert_id(hash)));
        let (name, key) = (case.chain.end_entity().issuer(), case.chain.issuer().public_key());
        let next = stapled_ocsp::ocsp::CertId::new(hash, name, key, &[1]);
        assert!(!case.chain.is_named_by(&next));
    }
}

#[test]
fn serial_numbers_of_any_legal_shape() {
    let ca = authority("Judged CA", KeyType::EcdsaP256);
    for bytes in [&[1][..], &[0x7f], &[0x80], &[0xff; 20], &[0x80, 0, 0, 0], &[0x12; 19]] {
        let leaf = ca.issue(&server("judged.test").serial(Serial::from_bytes(bytes))).unwrap();
        let chain = chain(&leaf, &ca);
        let case = Case { ca: ca.clone(), leaf, chain };
        assert_eq!(case.verdict(&case.good()), "good", "{bytes:02x?}");
    }
}

#[test]
fn times_to_the_second() {
    let case = Case::new(KeyType::EcdsaP256);
    let with = |this_update: i64, next_update: i64| {
        case.verdict(&case.good().this_update(this_update).next_update(next_update))
    };
    assert_eq!(with(NOW - DAY, NOW + 1), "good");
    assert_eq!(with(NOW - DAY, NOW), "expired");
    assert_eq!(with(NOW + 300, NOW + DAY), "good", "the clock skew that is allowed");
    assert_eq!(with(NOW + 301, NOW + DAY), "not_yet_valid");
    assert_eq!(with(NOW - 10, NOW - 10), "bad_times");
    assert_eq!(with(NOW + 100, NOW + 50), "bad_times");
    let mut policy = JudgePolicy::default();
    policy.clock_skew = Duration::ZERO;
    assert_eq!(verdict(case.judge_with(&case.good().this_update(NOW), &policy)), "good");
    assert_eq!(verdict(case.judge_with(&case.good().this_update(NOW + 1), &policy)), "not_yet_valid");
    let endless = case.good().no_next_update();
    assert_eq!(case.verdict(&endless), "missing_next_update");
    policy.missing_next_update = Weak::Allow;
    assert_eq!(verdict(case.judge_with(&endless, &policy)), "good");
    for produced_at in [NOW - 365 * DAY, NOW + 365 * DAY] {
        let odd = case.good().produced_at(produced_at);
        let judgement = case.judge_with(&odd, &JudgePolicy::default()).unwrap();
        assert_eq!(judgement.facts.warnings.len(), 1, "odd, told, and accepted");
    }
    for (produced_at, this_update, warnings) in
        [(NOW - 60, NOW - 60, 0), (NOW - 61, NOW - 60, 1), (NOW + 300, NOW, 0), (NOW + 301, NOW, 1)]
    {
        let response = case.good().produced_at(produced_at).this_update(this_update);
        let judgement = case.judge_with(&response, &JudgePolicy::default()).unwrap();
        assert_eq!(judgement.facts.warnings.len(), warnings, "{produced_at} {this_update}");
    }
    let form = |time: &[u8]| {
        let element = [&[0x18, time.len() as u8], time].concat();
        case.verdict(&case.good().this_update_der(element))
    };
    assert_eq!(form(b"20270101000000Z"), "good");
    for odd in [
        &b"20270101000000.0Z"[..],
        b"20270101000000.5Z",
        b"20270101000000+0000",
        b"202701010000Z",
        b"20270101000000",
        b"20271301000000Z",
        b"20270230000000Z",
        b"20270101240000Z",
        b"20261231235960Z", // a leap second
        b"2027010100000aZ",
        b"",
    ] {
        assert_eq!(form(odd), "malformed", "{:?}", String::from_utf8_lossy(odd));
    }
    assert_eq!(form(b"00010101000000Z"), "good", "long ago");
    assert_eq!(case.verdict(&case.good().next_update_der(b"\x18\x0f99991231235959Z".to_vec())), "good");
}

#[test]
fn error_statuses_types_and_versions() {
    use ResponseStatus::{InternalError, MalformedRequest, SigRequired, TryLater, Unauthorized};
    let case = Case::new(KeyType::EcdsaP256);
    for (status, code) in [
        (MalformedRequest, "error_status:malformed_request"),
        (InternalError, "error_status:internal_error"),
        (TryLater, "error_status:try_later"),
        (SigRequired, "error_status:sig_required"),
        (Unauthorized, "error_status:unauthorized"),
    ] {
        let judged = case.judge_bytes(ResponseBuilder::error(status), &JudgePolicy::default(), None);
        assert_eq!(verdict(judged), code);
    }
    for undefined in [0, 4, 7, 255] {
        let judged = case.judge_bytes(ResponseBuilder::status_only(undefined), &JudgePolicy::default(), None);
        assert_eq!(verdict(judged), "malformed", "{undefined}");
    }
    assert_eq!(
        case.verdict(&case.good().response_type(&[1, 3, 6, 1, 5, 5, 7, 48, 1, 99])),
        "unsupported_response_type"
    );
    assert_eq!(case.verdict(&case.good().explicit_version(0)), "good", "v1 spelled out");
    assert_eq!(case.verdict(&case.good().explicit_version(1)), "unsupported_version");
    assert_eq!(case.verdict(&case.good().trailing(&[0])), "malformed");
}

#[test]
fn extensions_and_nonces() {
    let case = Case::new(KeyType::EcdsaP256);
    let extension = |critical: bool| match critical {
        true => Extension::critical(&[1, 3, 6, 1, 4, 1, 99_999, 2], vec![5, 0]),
        false => Extension::new(&[1, 3, 6, 1, 4, 1, 99_999, 2], vec![5, 0]),
    };
    assert_eq!(case.verdict(&case.good().response_extension(&extension(false))), "good");
    assert_eq!(case.verdict(&case.good().single_extension(&extension(false))), "good");
    assert_eq!(case.verdict(&case.good().response_extension(&extension(true))), "unhandled_critical_extension");
    assert_eq!(case.verdict(&case.good().single_extension(&extension(true))), "unhandled_critical_extension");
    let twice = case.good().response_extension(&extension(false)).response_extension(&extension(false));
    assert_eq!(case.verdict(&twice), "malformed");

    let asked = [7; 32];
    let judged = |response: &ResponseBuilder| {
        verdict(case.judge_bytes(response.build().unwrap(), &JudgePolicy::default(), Some(&asked)))
    };
    assert_eq!(judged(&case.good().nonce(&asked)), "good");
    assert_eq!(judged(&case.good().nonce(&[8; 32])), "nonce_mismatch");
    assert_eq!(judged(&case.good().nonce(&asked[..31])), "nonce_mismatch");
    assert_eq!(judged(&case.good()), "good", "none at all: the times decide");
    let nonce = |critical: bool, value: &[u8]| {
        let oid = [1, 3, 6, 1, 5, 5, 7, 48, 1, 2];
        case.good().response_extension(&match critical {
            true => Extension::critical(&oid, value.to_vec()),
            false => Extension::new(&oid, value.to_vec()),
        })
    };
    assert_eq!(judged(&nonce(false, &asked)), "good", "the bare bytes, as some gave them before RFC 6960");
    assert_eq!(judged(&nonce(false, &[8; 32])), "nonce_mismatch");
    let wrapped = [&[4, 32][..], &asked].concat();
    assert_eq!(judged(&nonce(true, &wrapped)), "good", "it is understood, so it may be critical");
    assert_eq!(judged(&nonce(false, &[&wrapped[..], &[0]].concat())), "nonce_mismatch", "and something behind it");
    assert_eq!(case.verdict(&case.good().nonce(&asked)), "good", "one that nobody asked for");
}

#[test]
fn a_staple_says_what_its_response_says() {
    let case = Case::new(KeyType::EcdsaP256);
    let mut policy = JudgePolicy::default();
    policy.missing_next_update = Weak::Allow;
    let staple = |response: &ResponseBuilder| case.judge_with(response, &policy).unwrap().into_staple().unwrap();
    let at = Timestamp::from_unix;
    let good = staple(&case.good().this_update(NOW - 100));
    assert_eq!((good.this_update(), good.next_update()), (at(NOW - 100), Some(at(NOW + 7 * DAY))));
    assert_eq!(good.expires(), at(NOW + 7 * DAY));
    assert!(Arc::ptr_eq(good.chain().end_entity(), case.chain.end_entity()));
    assert_eq!(good.facts().produced_at, at(NOW - 60));
    assert!(format!("{good:?}").contains("judged.test"));
    // Without nextUpdate, the end is after a day.
    let endless = staple(&case.good().this_update(NOW - 100).no_next_update());
    assert_eq!((endless.next_update(), endless.expires()), (None, at(NOW - 100 + DAY)));
    // The end of a delegate counts only if it is sooner.
    let long = case.delegate(Profile::ocsp_responder("Long").valid_between(NOW - DAY, NOW + 30 * DAY));
    assert_eq!(staple(&case.good_by(long)).expires(), at(NOW + 7 * DAY));

    // Two staples are equal if they have the same bytes and the same certificate.
    let both = case.good().build().unwrap();
    let judged = |chain: &Arc<CertChain>, bytes: &[u8]| {
        let response = Bytes::copy_from_slice(bytes);
        Judge::new(chain).at(at(NOW)).policy(&policy).judge(response.clone()).unwrap().into_staple().unwrap()
    };
    let one = judged(&case.chain, &both);
    assert!(one == judged(&chain(&case.leaf, &case.ca), &both));
    assert!(one != good);
    let other = case.ca.issue(&server("other.test")).unwrap();
    let id = case.ca.cert_id(other.serial(), HashAlgorithm::Sha1);
    let both = case.good().good(&id).this_update(NOW - 60).next_update(NOW + 7 * DAY).build().unwrap();
    assert!(judged(&case.chain, &both) != judged(&chain(&other, &case.ca), &both));
}

#[test]
fn staples_are_checked_against_a_servers_requirements() {
    let case = Case::new(KeyType::EcdsaP256);
    let staple =
        |response: ResponseBuilder| case.judge_with(&response, &JudgePolicy::default()).unwrap().into_staple().unwrap();
    let mut strict = Requirements::default()
        .cert_id_hash(stapled_ocsp::ocsp::CertIdHash::Sha1)
        .margin(Duration::from_secs(300))
        .max_size(4096);
    strict.single_response = true;
    let check = |response: ResponseBuilder| match strict.check(&staple(response), Timestamp::from_unix(NOW)) {
        Ok(()) => "fits".to_owned(),
        Err(error) => error.code().to_string(),
    };
    assert_eq!(check(case.good()), "fits");
    assert_eq!(check(case.good().next_update(NOW + 301)), "fits");
    assert_eq!(check(case.good().next_update(NOW + 300)), "expires_too_soon");
    let of = |id: CertId| times(ResponseBuilder::new(&case.ca)).good(&id);
    assert_eq!(check(of(case.ca.cert_id(case.leaf.serial(), HashAlgorithm::Sha256))), "unfit_certid");
    let (identity, serial) = (case.ca.identity(), case.leaf.serial());
    let bare = CertId::with_parameters(identity, serial, HashAlgorithm::Sha1, NullParameters::Absent);
    assert_eq!(check(of(bare)), "unfit_certid");
    let other = case.ca.cert_id(&Serial::from(5), HashAlgorithm::Sha1);
    assert_eq!(check(case.good().good(&other)), "several_responses");
    let padding = Extension::new(&[1, 3, 6, 1, 4, 1, 99_999, 3], vec![0; 5000]);
    assert_eq!(check(case.good().response_extension(&padding)), "too_large");
}
