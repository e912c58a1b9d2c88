//! Measures the judgement of a response, in microseconds, beside the bare signature checks that it needs: one if the
//! issuer signed the response, two if a delegate did, and one if the issuer remembers this delegate. The measurements
//! alternate, so that other load on the machine affects all equally, and the median counts.
//!
//! The bench fails if a judgement takes longer than its limit.
//!
//!     cargo bench -p stapled-benches --bench judgement -- [ROUNDS]

// A bench that cannot go on says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use aws_lc_rs::signature::{self as aws, UnparsedPublicKey, VerificationAlgorithm};
use bytes::Bytes;
use stapled_ca::ocsp::{HashAlgorithm, IssuerIdentity, ResponseBuilder, Signer};
use stapled_ca::{Authority, KeyType, Profile, der};
use stapled_core::certificate::Certificate;
use stapled_core::chain::CertChain;
use stapled_core::ocsp::OcspResponse;
use stapled_core::staple::{Judge, JudgePolicy};
use stapled_core::time::Timestamp;

const NOW: i64 = 1_800_000_000;
const DAY: i64 = 86_400;

struct Case {
    name: String,
    /// The limit of the time for a judgement, in bare signature checks.
    limit: f64,
    chain: Arc<CertChain>,
    response: Bytes,
    /// Whether the issuer is the same in all rounds, so that it remembers its delegate.
    is_known: bool,
    checks: Vec<Check>,
}

/// One signature to check.
struct Check {
    algorithm: &'static dyn VerificationAlgorithm,
    key: Vec<u8>,
    message: Vec<u8>,
    signature: Vec<u8>,
}

impl Check {
    fn run(&self) {
        UnparsedPublicKey::new(self.algorithm, &self.key).verify(&self.message, &self.signature).unwrap();
    }
}

fn main() -> ExitCode {
    // `cargo bench` passes options of its own. `--test` requests a short run that only shows that the bench works.
    let test = std::env::args().any(|argument| argument == "--test");
    let number = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    let rounds: usize = number.unwrap_or(if test { 3 } else { 4000 });

    println!("{:<24} {:>9} {:>9} {:>9} {:>7} {:>7}", "", "parse µs", "bare µs", "judge µs", "ratio", "limit");
    let mut over = false;
    for case in cases() {
        let figures = measure(&case, rounds);
        let ratio = figures.judge / figures.bare;
        over |= ratio > case.limit;
        println!(
            "{:<24} {:>9.2} {:>9.2} {:>9.2} {:>7.3} {:>7.2} {}",
            case.name,
            figures.parse,
            figures.bare,
            figures.judge,
            ratio,
            case.limit,
            if ratio <= case.limit { "ok" } else { "OVER" }
        );
    }
    // A short run proves nothing about times.
    if over && !test { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

struct Figures {
    parse: f64,
    bare: f64,
    judge: f64,
}

fn measure(case: &Case, rounds: usize) -> Figures {
    let at = Timestamp::from_unix(NOW);
    let policy = JudgePolicy::default();
    let parse = || {
        black_box(OcspResponse::from_der(black_box(&case.response)).unwrap());
    };
    let bare = || case.checks.iter().for_each(Check::run);
    let judge = |chain: &CertChain| {
        let judgement = Judge::new(chain).at(at).policy(&policy).judge(black_box(&case.response).clone()).unwrap();
        assert!(black_box(judgement).staple().is_some());
    };
    judge(&case.chain);
    let mut all: [Vec<f64>; 3] = Default::default();
    for _ in 0..rounds {
        // A single parse is too short for the clock.
        all[0].push(time(|| (0..16).for_each(|_| parse())) / 16.0);
        all[1].push(time(bare));
        let fresh = (!case.is_known).then(|| stapled_benches::afresh(&case.chain));
        all[2].push(time(|| judge(fresh.as_ref().unwrap_or(&case.chain))));
    }
    let [parse, bare, judge] = all.map(median);
    Figures { parse, bare, judge }
}

/// The microseconds that the function takes.
fn time(work: impl FnOnce()) -> f64 {
    let began = Instant::now();
    work();
    began.elapsed().as_secs_f64() * 1e6
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn cases() -> Vec<Case> {
    let kinds: [(&str, KeyType, &'static dyn VerificationAlgorithm, f64); 4] = [
        ("RSA-2048", KeyType::Rsa2048, &aws::RSA_PKCS1_2048_8192_SHA256, 1.3),
        ("P-256", KeyType::EcdsaP256, &aws::ECDSA_P256_SHA256_ASN1, 1.15),
        ("P-384", KeyType::EcdsaP384, &aws::ECDSA_P384_SHA384_ASN1, 1.15),
        ("Ed25519", KeyType::Ed25519, &aws::ED25519, 1.15),
    ];
    let mut cases = Vec::new();
    for (name, key, algorithm, limit) in kinds {
        let ca = Authority::root("Bench CA").organization("Bench").key(key).create().unwrap();
        let profile = Profile::server("bench.test").valid_between(NOW - DAY, NOW + 90 * DAY).ocsp_url("http://o.test/");
        let leaf = ca.issue(&profile).unwrap();
        let certificate = |der: &[u8]| Arc::new(Certificate::from_der(der).unwrap());
        let chain = Arc::new(CertChain::new(certificate(leaf.der()), certificate(ca.certificate())).unwrap());
        let responder = Profile::ocsp_responder("Bench Responder").key(key).valid_between(NOW - DAY, NOW + 30 * DAY);
        let delegate = Signer::delegate(&ca.issue(&responder).unwrap());
        let signers =
            [("direct", ca.signer(), true), ("delegated", delegate.clone(), false), ("known delegate", delegate, true)];
        for (how, signer, is_known) in signers {
            let delegate = signer.certificate().map(<[u8]>::to_vec);
            let response = ResponseBuilder::signed_by(signer)
                .produced_at(NOW - 60)
                .this_update(NOW - 60)
                .next_update(NOW + 7 * DAY)
                .good(&ca.cert_id(leaf.serial(), HashAlgorithm::Sha1))
                .build()
                .unwrap();
            let OcspResponse::Basic(basic) = OcspResponse::from_der(&response).unwrap() else { panic!("no answer") };
            let signer = delegate.as_deref().unwrap_or(ca.certificate());
            let mut checks = vec![Check {
                algorithm,
                key: IssuerIdentity::from_certificate(signer).unwrap().public_key,
                message: basic.tbs_response_data.to_vec(),
                signature: basic.signature.to_vec(),
            }];
            if let Some(delegate) = &delegate
                && !is_known
            {
                let (message, signature) = cut(delegate);
                checks.push(Check { algorithm, key: ca.identity().public_key.clone(), message, signature });
            }
            let name = format!("{name}, {how}");
            let (chain, response) = (Arc::clone(&chain), Bytes::from(response));
            cases.push(Case { name, limit, chain, response, is_known, checks });
        }
    }
    cases
}

/// The signed part of a certificate, and its signature.
fn cut(certificate: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut outer = der::only(certificate, der::SEQUENCE).unwrap().contents;
    let tbs = der::expect(&mut outer, der::SEQUENCE).unwrap().whole;
    der::expect(&mut outer, der::SEQUENCE).unwrap();
    // The first octet counts unused bits.
    let signature = &der::expect(&mut outer, 0x03).unwrap().contents[1..];
    (tbs.to_vec(), signature.to_vec())
}
