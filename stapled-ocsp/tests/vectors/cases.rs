//! Vectors, and what the judgement makes of them. `tests/judge-ring` shares this file.

#[path = "lenient.rs"]
mod lenient;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use stapled_core::sink::Requirements;
use stapled_ocsp::Weak;
use stapled_ocsp::bundle::Bundle;
use stapled_ocsp::certificate::Certificate;
use stapled_ocsp::chain::{CertChain, ChainError};
use stapled_ocsp::ocsp::{CertIdHash, OcspResponse};
use stapled_ocsp::staple::{Judge, JudgePolicy};
use stapled_ocsp::time::Timestamp;

use lenient::LENIENT;

/// Why the larger collection is not judged.
pub(crate) const NO_COLLECTION: &str =
    "there are no further vectors beside the project (STAPLED_VECTORS names their folder)";
/// The reason code of a signature that the provider cannot verify.
const UNSUPPORTED: &str = "unsupported_algorithm";

/// The provider of cryptography that judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code)] // Each user of this file has one of them.
pub(crate) enum Provider {
    /// It has every algorithm of the vectors.
    AwsLcRs,
    /// It lacks some algorithms: a refusal for this reason is right, whatever the vector expects.
    Ring,
}

/// What the judgement made of a collection.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    /// The number of cases.
    pub(crate) cases: usize,
    /// How many of them were refused since the provider lacks an algorithm.
    pub(crate) unsupported: usize,
    /// How many were refused for a reason that fits.
    pub(crate) fitting: usize,
    /// The cases whose verdict is wrong, in words.
    pub(crate) wrong: Vec<String>,
}

/// The folder of the larger collection, if there is one.
pub(crate) fn collection() -> Option<PathBuf> {
    // Beside the project, which is one or two folders above the package of the test.
    let above = || Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().skip(2).take(2);
    let beside = || above().map(|folder| folder.join("shared/vectors"));
    let is_there = |root: &PathBuf| root.join("index.jsonl").exists();
    match std::env::var_os("STAPLED_VECTORS") {
        Some(named) => Some(PathBuf::from(named)).filter(is_there),
        None => beside().find(is_there),
    }
}

impl Judged {
    /// Judges all cases of the collection in this folder.
    pub(crate) fn all_of(root: &Path, provider: Provider) -> Self {
        let index = std::fs::read_to_string(root.join("index.jsonl")).unwrap();
        let mut judged = Judged::default();
        for line in index.lines() {
            judged.judge(root, &serde_json::from_str(line).unwrap(), provider);
        }
        judged
    }

    fn judge(&mut self, root: &Path, case: &Value, provider: Provider) {
        self.cases += 1;
        let id = case["id"].as_str().unwrap();
        let expect = &case["expect"];
        let words = |list: &Value| -> Vec<String> {
            list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        if case["mode"] != "verify" {
            // Only the shape is judged: no shape causes a panic.
            let response = std::fs::read(root.join(case["response"].as_str().unwrap())).unwrap();
            let _ = OcspResponse::from_der(&response);
            return;
        }
        let outcome = run(root, case, &JudgePolicy::default());
        let liberal = run(root, case, &lenient());
        let lacks = |outcome: &Outcome| provider == Provider::Ring && outcome.reason.as_deref() == Some(UNSUPPORTED);
        if lacks(&outcome) || lacks(&liberal) {
            self.unsupported += 1;
            return;
        }
        let accept = words(&expect["accept"]);
        if !accept.contains(&outcome.verdict) {
            let Outcome { verdict, reason, .. } = &outcome;
            self.wrong.push(format!("{id}: {verdict} ({reason:?}), expected {accept:?}: {}", case["why"]));
        } else if let Some(reason) = &outcome.reason {
            let fitting = words(&expect["reasons_ok"]);
            match fitting.is_empty() || fitting.contains(reason) {
                true => self.fitting += 1,
                false => {
                    self.wrong.push(format!("{id}: refused for {reason}, expected {fitting:?}: {}", case["why"]));
                }
            }
        }
        if let Some(staple) = expect["staple"].as_bool()
            && staple != outcome.stapleable
        {
            self.wrong.push(format!("{id}: stapleable {}, expected {staple}: {}", outcome.stapleable, case["why"]));
        }
        let excuses = words(&case["strict_ok"]);
        let excuses = if excuses.is_empty() { words(&expect["strict_ok"]) } else { excuses };
        let liberal_accept = match expect["verdict"].as_str() {
            Some("invalid") => accept,
            Some("valid") if !excuses.is_empty() && excuses.iter().all(|word| LENIENT.contains(&word.as_str())) => {
                vec![format!("valid:{}", expect["status"].as_str().unwrap())]
            }
            _ => return,
        };
        if !liberal_accept.contains(&liberal.verdict) {
            let Outcome { verdict, reason, .. } = liberal;
            let why = &case["why"];
            self.wrong.push(format!("{id} (lenient): {verdict} ({reason:?}), expected {liberal_accept:?}: {why}"));
        }
    }
}

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
        Err(ChainError::UnsupportedAlgorithm { .. }) => return invalid(UNSUPPORTED.to_owned()),
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
            let stapleable = judgement.staple().is_some_and(|staple| haproxy().check(staple, at).is_ok());
            Outcome { verdict: format!("valid:{}", judgement.status.name()), reason: None, stapleable }
        }
    }
}

/// The requirements of the strictest server.
fn haproxy() -> Requirements {
    Requirements::default()
        .cert_id_hash(CertIdHash::Sha1)
        .one_single_response()
        .with_next_update()
        .max_size(11 * 1024)
        .margin(Duration::from_secs(300))
}

fn lenient() -> JudgePolicy {
    let allow = Weak::Allow;
    JudgePolicy::default().sha1_signatures(allow).weak_keys(allow).missing_next_update(allow)
}
