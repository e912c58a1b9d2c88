//! The seeds of the fuzzers and their past findings, checked without a fuzzer.

// A test panics when it cannot continue.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn files(directory: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(directory);
    let paths = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    paths.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

fn replay(directories: &[&str], check: fn(&[u8])) {
    let mut count = 0;
    for (path, bytes) in directories.iter().flat_map(|directory| files(directory)) {
        println!("{}", path.display());
        check(&bytes);
        count += 1;
    }
    assert!(count >= 10, "{count} files");
}

#[test]
fn responses() {
    replay(&["fuzz/seeds/response", "stapled-ocsp/tests/vectors/own/responses"], stapled_fuzz_checks::response);
}

#[test]
fn requests() {
    replay(&["fuzz/seeds/request"], stapled_fuzz_checks::request);
}

#[test]
fn chains() {
    replay(&["fuzz/seeds/chain", "stapled-ocsp/tests/vectors/own/certs"], stapled_fuzz_checks::chain);
}

#[test]
fn calls_of_an_intake() {
    replay(&["fuzz/seeds/intake"], stapled_fuzz_checks::intake);
}

#[test]
fn the_seeds_are_what_the_program_writes() {
    for seed in stapled_fuzz_checks::seeds::all() {
        let path = format!("{}/../seeds/{}/{}", env!("CARGO_MANIFEST_DIR"), seed.target, seed.name);
        assert_eq!(std::fs::read(&path).unwrap(), seed.bytes, "{path}");
    }
}
