//! Tests of the dependencies of a program that judges one response with `stapled-ocsp`: their number, and the crates
//! that must not be among them. And a test of the provider of cryptography, which is the program's choice.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::process::Command;

use stapled_structure::workspace::root;

/// The most crates, with `stapled-ocsp` itself. The limit may only be lowered.
const LIMIT: usize = 41;

/// Crates for a runtime, sockets, HTTP, TLS, file watching and temporary files. A judgement needs none of them.
const FORBIDDEN: [&str; 11] = [
    "tokio",
    "mio",
    "socket2",
    "hyper",
    "hyper-util",
    "http",
    "rustls",
    "rustls-native-certs",
    "notify",
    "tempfile",
    "async-trait",
];

/// The names and versions of all crates in a build of `stapled-ocsp` with the fewest features that can judge.
fn crates() -> BTreeSet<String> {
    crates_of("stapled-ocsp", "aws-lc-rs")
}

/// The names and versions of all crates that a package is built with, on this feature alone.
fn crates_of(package: &str, feature: &str) -> BTreeSet<String> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["tree", "--offline", "-p", package, "-e", "normal", "--prefix", "none", "--no-default-features"]);
    cargo.args(["--features", feature]);
    let output = cargo.current_dir(root()).output().unwrap();
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn a_judgement_costs_few_crates() {
    let crates = crates();
    println!("{} crates: {crates:?}", crates.len());
    assert!(crates.len() > 10, "cargo tree lists too little");
    assert!(crates.len() <= LIMIT, "{} crates, but the limit is {LIMIT}: {crates:?}", crates.len());
    assert!(crates.len() + 5 > LIMIT, "only {} crates: lower the limit from {LIMIT}", crates.len());
}

#[test]
fn a_judgement_needs_no_runtime_network_or_files() {
    let crates = crates();
    let names: BTreeSet<&str> = crates.iter().filter_map(|line| line.split(' ').next()).collect();
    let found: Vec<&&str> = FORBIDDEN.iter().filter(|name| names.contains(**name)).collect();
    assert!(found.is_empty(), "stapled-ocsp is built with {found:?}");
}

#[test]
fn a_program_that_chooses_ring_is_built_without_aws_lc_rs() {
    for package in ["stapled-ocsp", "stapled-core", "stapled-haproxy"] {
        let crates = crates_of(package, "ring");
        assert!(crates.iter().any(|name| name.starts_with("ring ")), "{package}: {crates:?}");
        let others: Vec<&String> = crates.iter().filter(|name| name.starts_with("aws-lc")).collect();
        assert!(others.is_empty(), "{package} is built with {others:?}");
    }
}
