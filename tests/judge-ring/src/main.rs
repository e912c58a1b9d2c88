//! Judges the vectors of stapled-ocsp's own tests with the provider ring.
//!
//! ring lacks some algorithms. A vector that needs one of them must be refused as `unsupported_algorithm`; every other
//! vector must have the verdict that it has with aws-lc-rs.

// A vector that cannot be read ends the program by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

#[path = "../../../stapled-ocsp/tests/vectors/cases.rs"]
mod cases;
#[path = "../../src/skip.rs"]
#[allow(dead_code)]
mod skip;

use std::path::Path;

use cases::{Judged, Provider};

/// The least number of cases that ring judges: of the project's own vectors, and of the larger collection.
const OWN: usize = 40;
const COLLECTED: usize = 340;

fn main() {
    judge(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../stapled-ocsp/tests/vectors"), OWN);
    match cases::collection() {
        Some(root) => judge(&root, COLLECTED),
        None => skip::skip(cases::NO_COLLECTION),
    }
}

/// Judges all cases in this folder.
fn judge(root: &Path, least: usize) {
    let Judged { cases, unsupported, wrong, .. } = Judged::all_of(root, Provider::Ring);
    let judged = cases - unsupported;
    assert!(wrong.is_empty(), "{} of {judged} verdicts are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(judged >= least, "{}: only {judged} of {cases} cases were judged", root.display());
    println!(
        "ring judges {judged} of {cases} cases as expected, and refuses {unsupported} with algorithms that it lacks"
    );
}
