//! Tests with OCSP responses of known verdicts. The project's own vectors always run. A larger collection runs if it is
//! beside the project, or if `STAPLED_VECTORS` names it. `tests/judge-ring` judges the same vectors with ring.

// A test that cannot go on says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

mod cases;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cases::{Judged, Provider};
use serde_json::Value;
use stapled_ocsp::bundle::Bundle;
use stapled_ocsp::chain::CertChain;
use stapled_ocsp::ocsp::request::RequestContents;
use stapled_ocsp::ocsp::{CertIdHash, OcspRequest};

#[test]
fn own_vectors() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let judged = Judged::all_of(&root, Provider::AwsLcRs);
    assert!(judged.cases >= 13, "{judged:?}");
    assert!(judged.wrong.is_empty(), "{}", judged.wrong.join("\n"));
}

/// The collection, if there is one.
#[track_caller]
fn collection() -> Option<PathBuf> {
    let found = cases::collection();
    if found.is_none() {
        stapled_tests::skip(cases::NO_COLLECTION);
    }
    found
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
    let judged = Judged::all_of(&root, Provider::AwsLcRs);
    println!("{} cases, {} refused for a fitting reason", judged.cases, judged.fitting);
    assert!(judged.cases >= 300, "{judged:?}");
    assert!(judged.wrong.is_empty(), "{} of {}:\n{}", judged.wrong.len(), judged.cases, judged.wrong.join("\n"));
}
