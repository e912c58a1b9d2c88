//! Tests with OCSP responses of known verdicts. The project's own vectors always run. A larger collection runs if it is
//! beside the project, or if `STAPLED_VECTORS` names it.

// A test that cannot go on says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use stapled_core::sink::Requirements;
use stapled_ocsp::Weak;
use stapled_ocsp::bundle::Bundle;
use stapled_ocsp::certificate::Certificate;
use stapled_ocsp::chain::CertChain;
use stapled_ocsp::ocsp::request::RequestContents;
use stapled_ocsp::ocsp::{CertIdHash, CertStatus, OcspRequest};
use stapled_ocsp::staple::{Judge, JudgePolicy};
use stapled_ocsp::time::Timestamp;

/// Policies that excuse a refusal, and that the lenient settings switch off.
const LENIENT: [&str; 7] = [
    "sha1_signature",
    "no_next_update",
    "stale_no_next_update",
    "thisUpdate_8_days_old",
    "rsa_below_2048",
    "this_update_over_10_days",
    "expires_within_300s",
];

struct Outcome {
    /// The verdict in the collection's words: `valid:good`, `invalid`, ….
    verdict: String,
    reason: Option<String>,
    stapleable: bool,
}

fn run(root: &Path, case: &Value, policy: &JudgePolicy) -> Outcome {
    let read = |name: &Value| name.as_str().map(|name| std::fs::read(root.join(name)).unwrap());
    let certificate =
        |bytes: Vec<u8>| Bundle::read(&bytes).ok().and_then(|bundle| bundle.certificates.into_iter().next());
    let invalid = |reason: String| Outcome { verdict: "invalid".to_owned(), reason: Some(reason), stapleable: false };
    let Some(end_entity) = read(&case["cert"]).and_then(certificate) else {
        return invalid("malformed_certificate".to_owned());
    };
    let Some(issuer) = read(&case["issuer"]).and_then(certificate) else {
        return invalid("malformed_certificate".to_owned());
    };
    let chain = match CertChain::new(Arc::new(end_entity), Arc::new(issuer)) {
        Ok(chain) => Arc::new(chain),
        Err(_) => return invalid("wrong_issuer".to_owned()),
    };
    let response = Bytes::from(read(&case["response"]).unwrap());
    let at = Timestamp::from_unix(case["at"].as_i64().unwrap_or(0));
    let nonce = case["request_nonce"].as_str().map(|hex| {
        (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect::<Vec<u8>>()
    });
    let policies: Vec<&str> =
        case["expect"]["policy"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let delegates: Vec<Certificate> = if policies.contains(&"extra_certs") {
        case["extra"].as_array().into_iter().flatten().filter_map(|name| read(name).and_then(certificate)).collect()
    } else {
        Vec::new()
    };
    match Judge::new(&chain).at(at).policy(policy).nonce(nonce.as_deref()).delegates(&delegates).judge(response.clone())
    {
        Err(refusal) => invalid(refusal.code().to_string()),
        Ok(judgement) => {
            let status = match judgement.status {
                CertStatus::Good => "good",
                CertStatus::Revoked { .. } => "revoked",
                _ => "unknown",
            };
            let stapleable = judgement.staple().is_some_and(|staple| haproxy().check(staple, at).is_ok());
            Outcome { verdict: format!("valid:{status}"), reason: None, stapleable }
        }
    }
}

/// The requirements of the strictest server.
fn haproxy() -> Requirements {
    let mut requirements = Requirements::default();
    requirements.cert_id_hash = Some(CertIdHash::Sha1);
    requirements.single_response = true;
    requirements.next_update = true;
    requirements.max_size = 11 * 1024;
    requirements.margin = std::time::Duration::from_secs(300);
    requirements
}

fn lenient() -> JudgePolicy {
    let mut policy = JudgePolicy::default();
    policy.sha1_signatures = Weak::Allow;
    policy.weak_keys = Weak::Allow;
    policy.missing_next_update = Weak::Allow;
    policy
}

/// Runs all cases. Returns their number, the failures, and the counts.
fn run_all(root: &Path) -> (usize, Vec<String>, BTreeMap<&'static str, usize>) {
    let index = std::fs::read_to_string(root.join("index.jsonl")).unwrap();
    let mut wrong = Vec::new();
    let mut counts = BTreeMap::new();
    let mut cases = 0;
    for line in index.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        cases += 1;
        let id = case["id"].as_str().unwrap();
        let expect = &case["expect"];
        let words = |list: &Value| -> Vec<String> {
            list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        if case["mode"] != "verify" {
            // Only the shape is judged: no shape causes a panic.
            let response = std::fs::read(root.join(case["response"].as_str().unwrap())).unwrap();
            let _ = stapled_ocsp::ocsp::OcspResponse::from_der(&response);
            continue;
        }
        let outcome = run(root, &case, &JudgePolicy::default());
        let accept = words(&expect["accept"]);
        if !accept.contains(&outcome.verdict) {
            wrong.push(format!(
                "{id}: {} ({:?}), expected {accept:?}: {}",
                outcome.verdict, outcome.reason, case["why"]
            ));
        } else if let Some(reason) = &outcome.reason {
            let fitting = words(&expect["reasons_ok"]);
            let fits = fitting.is_empty() || fitting.contains(reason);
            *counts.entry(if fits { "reason fits" } else { "reason differs" }).or_default() += 1;
            if !fits {
                wrong.push(format!("{id}: refused for {reason}, expected {fitting:?}: {}", case["why"]));
            }
        }
        if let Some(staple) = expect["staple"].as_bool()
            && staple != outcome.stapleable
        {
            wrong.push(format!("{id}: stapleable {}, expected {staple}: {}", outcome.stapleable, case["why"]));
        }
        let excuses = words(&case["strict_ok"]);
        let excuses = if excuses.is_empty() { words(&expect["strict_ok"]) } else { excuses };
        let liberal = run(root, &case, &lenient());
        let liberal_accept = match expect["verdict"].as_str() {
            Some("invalid") => accept,
            Some("valid") if !excuses.is_empty() && excuses.iter().all(|word| LENIENT.contains(&word.as_str())) => {
                vec![format!("valid:{}", expect["status"].as_str().unwrap())]
            }
            _ => continue,
        };
        if !liberal_accept.contains(&liberal.verdict) {
            let Outcome { verdict, reason, .. } = liberal;
            wrong.push(format!("{id} (lenient): {verdict} ({reason:?}), expected {liberal_accept:?}: {}", case["why"]));
        }
    }
    (cases, wrong, counts)
}

#[test]
fn own_vectors() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let (cases, wrong, _) = run_all(&root);
    assert!(cases >= 13, "{cases} cases");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The collection, if there is one.
#[track_caller]
fn collection() -> Option<PathBuf> {
    let root = std::env::var_os("STAPLED_VECTORS")
        .map(PathBuf::from)
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors"));
    let is_there = root.join("index.jsonl").exists();
    if !is_there {
        stapled_tests::skip(&format!(
            "there are no further vectors at {} (STAPLED_VECTORS names them)",
            root.display()
        ));
    }
    is_there.then_some(root)
}

/// A client's request is read and names its certificate. If its spelling is the project's, the project's own request
/// has the same bytes.
#[test]
fn collected_requests() {
    let Some(root) = collection() else { return };
    let index = std::fs::read_to_string(root.join("requests.jsonl")).unwrap();
    assert!(index.lines().count() >= 6);
    for line in index.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let id = case["id"].as_str().unwrap();
        let read = |name: &str| std::fs::read(root.join(case[name].as_str().unwrap())).unwrap();
        let certificate = |name| Arc::new(Bundle::read(&read(name)).unwrap().certificates.remove(0));
        let chain = CertChain::new(certificate("cert"), certificate("issuer")).unwrap();
        let bytes = read("request");
        let request = RequestContents::from_der(&bytes).unwrap_or_else(|error| panic!("{id}: {error}"));
        let [single] = request.requests.as_slice() else { panic!("{id}: {request:?}") };
        assert!(chain.is_named_by(&single.cert_id), "{id}");
        assert_eq!((request.nonce(), request.version, request.signature.is_none()), (None, 0, true), "{id}");
        let ours = OcspRequest::new(&chain.cert_id(CertIdHash::Sha1), None).unwrap();
        let is_ours = ours.as_der() == bytes;
        let note = case["note"].as_str().unwrap();
        assert_eq!(is_ours, single.cert_id.has_null_parameters() && !note.contains("explicit version"), "{id}: {note}");
    }
}

#[test]
fn collected_vectors() {
    let Some(root) = collection() else { return };
    let (cases, wrong, counts) = run_all(&root);
    println!("{cases} cases, {counts:?}");
    assert!(cases >= 300, "{cases} cases");
    assert!(wrong.is_empty(), "{} of {cases}:\n{}", wrong.len(), wrong.join("\n"));
}
