//! The seeds of the fuzzers. `cargo run -p stapled-fuzz-checks --example seeds` writes them to `../seeds`, with the
//! same bytes each time. The vectors of `stapled-ocsp/tests/vectors/own` are seeds, too.

use stapled_ca::ocsp::{CertId, HashAlgorithm, NullParameters, OcspRequest, ResponseBuilder, ResponseStatus, Signer};
use stapled_ca::{Extension, NameAttribute, Profile, Reason, Serial, der, pem};

use crate::fixture::{self, AT, Fixture};

const DAY: i64 = 86_400;
/// An unknown extension.
const UNKNOWN: &[u64] = &[1, 3, 6, 1, 4, 1, 99_999, 1];

/// One seed.
#[derive(Clone, Debug)]
pub struct Seed {
    /// The fuzz target.
    pub target: &'static str,
    /// The file's name.
    pub name: String,
    /// The file's contents.
    pub bytes: Vec<u8>,
}

/// All seeds.
pub fn all() -> Vec<Seed> {
    let seed = |target| move |(name, bytes): (&str, Vec<u8>)| Seed { target, name: name.to_owned(), bytes };
    let replies = REPLIES.iter().map(|(name, text)| (*name, text.as_bytes().to_vec()));
    responses()
        .into_iter()
        .map(seed("response"))
        .chain(requests().into_iter().map(seed("request")))
        .chain(chains().into_iter().map(seed("chain")))
        .chain(replies.map(seed("haproxy_reply")))
        .chain(calls().into_iter().map(seed("intake")))
        .collect()
}

fn responses() -> Vec<(&'static str, Vec<u8>)> {
    let fixture = Fixture::get();
    let id = fixture.cert_id(HashAlgorithm::Sha1);
    let other = fixture.ca.cert_id(&Serial::from(5), HashAlgorithm::Sha256);
    let empty = || fixture.response(fixture.ca.signer());
    let good = || empty().good(&id);
    let delegated = || fixture.response(fixture.delegate.clone()).good(&id);
    let of = |id: &CertId| empty().good(id);
    let bare = CertId::with_parameters(
        fixture.ca.identity(),
        fixture.leaf.serial(),
        HashAlgorithm::Sha1,
        NullParameters::Absent,
    );
    let unknown = |critical| match critical {
        true => Extension::critical(UNKNOWN, vec![5, 0]),
        false => Extension::new(UNKNOWN, vec![5, 0]),
    };
    let late = Profile::ocsp_responder("Late").existing_key(fixture::key(4)).serial(Serial::from(4));
    let late = Signer::delegate(&fixture.ca.issue(&late.valid_between(AT - 9 * DAY, AT - DAY)).unwrap());
    let sibling = Signer::delegate(&fixture.leaf);
    let built = |response: ResponseBuilder| response.build().unwrap();
    // Its signature no longer fits; the check signs what it covers again.
    let mut undefined_reason = built(empty().revoked(&id, AT - DAY, Some(Reason::KeyCompromise)));
    let reason = undefined_reason.windows(3).position(|bytes| bytes == [0x0a, 1, 1]).unwrap();
    undefined_reason[reason + 2] = 0xaf;
    vec![
        ("good", built(good())),
        ("good-by-name", built(good().responder_by_name())),
        ("good-explicit-version", built(good().explicit_version(0))),
        ("version-2", built(good().explicit_version(1))),
        ("sha256", built(of(&fixture.cert_id(HashAlgorithm::Sha256)))),
        ("sha384", built(of(&fixture.cert_id(HashAlgorithm::Sha384)))),
        ("sha512", built(of(&fixture.cert_id(HashAlgorithm::Sha512)))),
        ("sha1-without-null", built(of(&bare))),
        ("revoked", built(empty().revoked(&id, AT - DAY, None))),
        ("revoked-for-a-reason", built(empty().revoked(&id, AT - DAY, Some(Reason::KeyCompromise)))),
        ("revoked-for-an-undefined-reason", undefined_reason),
        ("unknown", built(empty().unknown(&id))),
        ("two", built(of(&other).good(&id))),
        ("two-that-agree", built(good().good(&id).this_update(AT - 30))),
        ("two-that-disagree", built(good().revoked(&id, AT - DAY, None))),
        ("nothing", built(empty())),
        ("another-serial", built(of(&other))),
        ("no-next-update", built(good().no_next_update())),
        ("expired", built(good().next_update(AT))),
        ("ahead", built(good().this_update(AT + 301))),
        ("bad-times", built(good().next_update(AT - 60))),
        ("leap-second", built(good().this_update_der(b"\x18\x0f20161231235960Z".to_vec()))),
        ("until-9999", built(good().next_update_der(b"\x18\x0f99991231235959Z".to_vec()))),
        ("nonce", built(good().nonce(&[7; 32]))),
        ("extensions", built(good().response_extension(&unknown(false)).single_extension(&unknown(false)))),
        ("critical-extension", built(good().response_extension(&unknown(true)))),
        ("critical-single-extension", built(good().single_extension(&unknown(true)))),
        ("forged", built(good().corrupt_signature())),
        ("trailing", built(good().trailing(&[0]))),
        ("other-type", built(good().response_type(&[1, 3, 6, 1, 5, 5, 7, 48, 1, 99]))),
        ("delegated", built(delegated())),
        ("delegated-by-name", built(delegated().responder_by_name())),
        ("delegate-not-embedded", built(delegated().certificates::<&[u8]>(&[]))),
        (
            "delegate-among-others",
            built(
                delegated()
                    .certificates(&[fixture.leaf.der(), fixture.ca.certificate()])
                    .further_certificate(fixture.delegate.certificate().unwrap()),
            ),
        ),
        ("delegate-expired", built(fixture.response(late).good(&id))),
        ("sibling", built(fixture.response(sibling).good(&id))),
        ("malformed-request", ResponseBuilder::error(ResponseStatus::MalformedRequest)),
        ("unauthorized", ResponseBuilder::error(ResponseStatus::Unauthorized)),
        ("undefined-status", ResponseBuilder::status_only(4)),
        ("successful-without-body", ResponseBuilder::status_only(0)),
    ]
}

fn requests() -> Vec<(&'static str, Vec<u8>)> {
    let fixture = Fixture::get();
    let id = |hash| fixture.cert_id(hash);
    let asked = |cert_ids: Vec<CertId>, nonce: Option<&[u8]>| {
        OcspRequest { cert_ids, nonce: nonce.map(<[u8]>::to_vec) }.to_der()
    };
    let one = |hash| asked(vec![id(hash)], None);
    let question = der::sequence(&[id(HashAlgorithm::Sha1).as_der()]);
    let list = der::sequence(std::slice::from_ref(&question));
    let version = |number: u8| der::explicit(0, &der::unsigned(&[number]));
    let name = der::explicit(1, b"\x86\x10http://who.test/");
    let extensions = der::sequence(&[Extension::critical(UNKNOWN, vec![5, 0]).to_der()]);
    let extended = der::sequence(&[der::sequence(&[id(HashAlgorithm::Sha1).as_der(), &der::explicit(0, &extensions)])]);
    let request = |fields: &[&[u8]]| der::sequence(&[der::sequence(fields)]);
    let tbs = der::sequence(&[&name, &list]);
    let key = fixture.ca.key();
    let scheme = key.default_scheme();
    let signature = der::bit_string(&key.sign_with(scheme, &tbs).unwrap());
    let certificates = der::explicit(0, &der::sequence(&[fixture.ca.certificate()]));
    let signature = der::explicit(0, &der::sequence(&[scheme.algorithm_identifier(), signature, certificates]));
    vec![
        ("sha1", one(HashAlgorithm::Sha1)),
        ("sha256", one(HashAlgorithm::Sha256)),
        ("sha512", one(HashAlgorithm::Sha512)),
        ("nonce", asked(vec![id(HashAlgorithm::Sha1)], Some(&[7; 32]))),
        ("two", asked(vec![id(HashAlgorithm::Sha1), id(HashAlgorithm::Sha256)], None)),
        ("none", asked(Vec::new(), None)),
        ("explicit-version", request(&[&version(0), &list])),
        ("version-2", request(&[&version(1), &list])),
        ("requestor-name", request(&[&name, &list])),
        ("extensions", request(&[&list, &der::explicit(2, &extensions)])),
        ("single-extensions", request(&[&extended])),
        ("signed", der::sequence(&[tbs, signature])),
    ]
}

fn chains() -> Vec<(&'static str, Vec<u8>)> {
    let fixture = Fixture::get();
    let (leaf, ca) = (fixture.leaf.certificate_pem(), fixture.ca.certificate_pem());
    let key = fixture.leaf.key().to_pem();
    let delegate = fixture.delegate.certificate().unwrap();
    let bundle = |parts: &[&str]| parts.concat().into_bytes();
    let odd = Profile::server("odd.test")
        .existing_key(fixture::key(5))
        .serial(Serial::from(0x00ff_0000))
        .valid_between(2_524_608_000 - 10, 2_524_608_000 + 10)
        .subject([
            (NameAttribute::Organization, "  Grüße,\n \"Welt\" ".to_owned()),
            (NameAttribute::Country, "XX".to_owned()),
        ])
        .names([])
        .extension(Extension::critical(UNKNOWN, b"anything".to_vec()))
        .extension(Extension::new(&[2, 5, 29, 30], b"nonsense".to_vec()));
    let odd = fixture.ca.issue(&odd).unwrap();
    vec![
        ("leaf.der", fixture.leaf.der().to_vec()),
        ("ca.der", fixture.ca.certificate().to_vec()),
        ("delegate.der", delegate.to_vec()),
        ("odd.der", odd.der().to_vec()),
        ("trailing.der", [fixture.leaf.der(), &[0]].concat()),
        ("leaf.pem", leaf.clone().into_bytes()),
        ("key-leaf-ca.pem", bundle(&[&key, &leaf, &ca])),
        ("ca-leaf-key.pem", bundle(&[&ca, "between\n", &leaf, &key])),
        (
            "windows.pem",
            bundle(&[&leaf, &ca])
                .iter()
                .flat_map(|&byte| if byte == b'\n' { vec![13, 10] } else { vec![byte] })
                .collect(),
        ),
        ("damaged.pem", bundle(&[&leaf.replace("MII", "M!I"), &ca, &leaf[..leaf.len() / 2]])),
        ("key.pem", key.into_bytes()),
        ("delegate.pem", pem::encode("CERTIFICATE", delegate).into_bytes()),
    ]
}

/// Calls of an intake: a line with method and path, and a body.
fn calls() -> Vec<(&'static str, Vec<u8>)> {
    let session = "/session/0123456789abcdef0123456789abcdef";
    let call = |line: String, body: &[u8]| [line.as_bytes(), b"\n", body].concat();
    let submit = |body: &[u8]| call("POST /session".to_owned(), body);
    let request = fixture::certificate_request(&["www.example.test", "*.example.test", "192.0.2.1"]);
    let damaged: Vec<u8> = request.iter().map(|octet| octet ^ u8::from(*octet == 0x0c)).collect();
    let to = |method: &str, rest: &str| format!("{method} {session}{rest}");
    vec![
        ("submit", submit(&request)),
        ("submit-pem", submit(pem::encode("CERTIFICATE REQUEST", &request).as_bytes())),
        ("submit-damaged", submit(&damaged)),
        ("submit-half", submit(&request[..request.len() / 2])),
        ("submit-no-names", submit(&fixture::certificate_request(&[]))),
        ("show", call(to("GET", ""), b"")),
        ("ready", call(to("POST", "/ready"), b"")),
        ("ready-some", call(to("POST", "/ready"), br#"{"challenges": [1, 3]}"#)),
        ("ready-wrong", call(to("POST", "/ready"), br#"{"challenges": [-1]}"#)),
        ("certificate", call(to("GET", "/certificate"), b"")),
        ("thanks", call(to("POST", "/thanks"), b"")),
        ("no-path", call("GET /session/../status".to_owned(), b"")),
    ]
}

/// Replies of HAProxy 2.6 to 3.2, as they arrive over the admin socket in interactive mode.
const REPLIES: &[(&str, &str)] = &[
    ("updated", "OCSP Response updated!\n\n> "),
    ("updated-with-echo", "+ + + OCSP Response updated!\n\n> "),
    ("no-match", "OCSP single response: Certificate ID does not match any certificate or issuer.\n\n> "),
    ("ends-too-soon", "OCSP single response: no longer valid. Must be valid during at least 300s.\n\n> "),
    ("denied", "Permission denied\n\n> "),
    ("several", "OCSP response ignored because contains multiple single responses (2)\n\n> "),
    ("empty", "\n> "),
    ("three", "\n> OCSP Response updated!\n\n> Permission denied\n\n> "),
    ("created", "Transaction created for certificate a.pem!\n\n> "),
    ("joined", "Transaction updated for certificate a.pem!\n\n> "),
    (
        "busy",
        "The ongoing transaction is about 'b.pem' but you are trying to set 'a.pem'\nCan't update a.pem.ocsp!\n\n\n> ",
    ),
    (
        "not-loaded",
        "Can't replace a certificate which is not referenced by the configuration!\nCan't update a.pem!\n\n\n> ",
    ),
    ("committed", "Committing a.pem.....\nSuccess!\n\n> "),
    (
        "committed-with-warning",
        "Committing a.pem.\nLoading: OCSP status unauthorized. Content will be ignored.\nSuccess!\n\n> ",
    ),
    ("not-committed", "Committing a.pem.\nunable to load\nFailed!\n\n> "),
    ("no-transaction", "No ongoing transaction!\n\n> "),
    (
        "probe-busy",
        "The ongoing transaction is about 'it's.pem' but you are trying to abort a transaction for '/'\n\n> ",
    ),
    (
        "certificate",
        "Filename: /etc/haproxy/certs/a.pem\nStatus: Used\nSerial: 1001\nnotBefore: Nov  1 00:00:00 2026 GMT\nSHA1 FingerPrint: 0F0A0B\nSubject: /CN=a.test\nIssuer: /CN=Lab CA\nChain Subject: /CN=Lab CA\nOCSP Response Key: 303b300906052b0e03021a0500\n\n> ",
    ),
    ("certificate-ed25519", "Filename: a.pem\nStatus: Used\nSerial: 1001\nAlgorithm: OCSP Response Key: \n\n\n> "),
    ("certificate-not-found", "Can't display the certificate: Not found or the certificate is a bundle!\n\n> "),
    ("no-memory", "Can't allocate memory!\n\n> "),
    ("certificates", "# transaction\n*a.pem\n# filename\n/etc/haproxy/certs/a.pem\ncerts/a.pem\nb.pem\n\n> "),
    (
        "responses",
        "# Certificate IDs\nCertificate ID key : 303b300906052b0e03021a0500\n- Certificate path : a.pem\n  Serial Number: 1001\n\n> ",
    ),
    (
        "info",
        "Name: HAProxy\nVersion: 3.0.11\nUptime: 0d 0h00m07s\nUptime_sec: 7\nPid: 42\nnode: vm\nStopping: 0\nStart_time_sec: 1700000000\n\n> ",
    ),
    (
        "info-of-master",
        "Unknown command: 'show info', but maybe one of the following ones is a better match:\n  show proc\n\n> ",
    ),
];
