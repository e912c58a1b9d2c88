//! Writes the seeds of the fuzzers, which are committed. Run it after adding one.

// The program panics when it cannot continue.
#![allow(clippy::unwrap_used)]

use std::path::Path;

fn main() {
    for seed in stapled_fuzz_checks::seeds::all() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../seeds").join(seed.target);
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join(&seed.name), &seed.bytes).unwrap();
    }
}
