//! Tests of the dependencies that the library adds to programs, as `cargo tree` shows them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;
use std::process::Command;

fn tree(arguments: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(root).args(["tree", "--locked", "--edges", "normal", "--prefix", "none"]).args(arguments);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// `ServerConfig::builder()` panics in a program with two providers in rustls. The program has `ring`; the library adds
/// no provider with its default features.
#[test]
fn a_program_with_ring_has_ring_alone_in_rustls() {
    let manifest = ["--manifest-path", "tests/embed-ring/Cargo.toml"];
    let rustls = tree(&[&manifest[..], &["--invert", "rustls", "--depth", "0", "--format", "{f}"]].concat());
    assert_eq!(rustls.trim(), "ring,std,tls12");
}

#[test]
fn http_alone_brings_no_tls() {
    for features in ["", "files", "http", "http,files,conformance"] {
        let crates = tree(&["--package", "stapled-core", "--no-default-features", "--features", features]);
        let names: Vec<&str> = crates.lines().filter_map(|line| line.split(' ').next()).collect();
        assert!(names.contains(&"stapled-core") && names.len() > 20, "{crates}");
        for absent in ["rustls", "hyper-rustls", "tokio-rustls", "rustls-native-certs"] {
            assert!(!names.contains(&absent), "{absent} with the features {features:?}");
        }
    }
}
