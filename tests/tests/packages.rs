//! Tests of what is published: each library and the daemon can be packaged, with readme and licences, without tests and vectors,
//! and needs nothing that is not published.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::process::Command;

const CRATES: [&str; 8] = [
    "stapled-ocsp",
    "stapled-core",
    "stapled-haproxy",
    "stapled-redis",
    "stapled-embedded",
    "stapled-rustls",
    "stapled-ca",
    "stapled-bin",
];
/// A crate of the registry may have ten megabytes; these have texts only.
const MAX_FILE: u64 = 128 * 1024;

fn cargo(arguments: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let output = Command::new(env!("CARGO")).current_dir(root).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn each_package_has_its_readme_and_licences_and_no_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for name in CRATES {
        let files = cargo(&["package", "--package", name, "--list", "--allow-dirty", "--offline"]);
        let files: Vec<&str> = files.lines().collect();
        for needed in ["README.md", "LICENSE-APACHE", "LICENSE-MIT", "Cargo.toml"] {
            assert!(files.contains(&needed), "{name}: {needed}");
        }
        for file in files {
            assert!(!file.starts_with("tests/") && !file.starts_with("benches/"), "{name}: {file}");
            // Some are made for the package.
            let size = std::fs::metadata(root.join(name).join(file)).map_or(0, |file| file.len());
            assert!(size <= MAX_FILE, "{name}: {file} has {size} bytes");
        }
    }
}

/// The version of Rust is a promise of the published crates; so no crate that they are built with may need a newer one.
#[test]
fn no_dependency_needs_a_newer_rust() {
    let rustc = Command::new("rustc").arg("-vV").output().unwrap();
    let rustc = String::from_utf8(rustc.stdout).unwrap();
    let host = rustc.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    // The crates of other platforms are perhaps not on this machine.
    let platform = ["--filter-platform", host];
    let arguments = ["metadata", "--all-features", "--format-version", "1", "--offline", "--locked"];
    let metadata = cargo(&[&arguments[..], &platform].concat());
    let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
    let of_id = |list: &serde_json::Value| -> HashMap<String, serde_json::Value> {
        list.as_array().unwrap().iter().map(|one| (one["id"].as_str().unwrap().to_owned(), one.clone())).collect()
    };
    let (packages, nodes) = (of_id(&metadata["packages"]), of_id(&metadata["resolve"]["nodes"]));
    let version = |package: &serde_json::Value| -> Option<Vec<u32>> {
        let numbers = |text: &str| text.split('.').map(|number| number.parse().unwrap()).collect::<Vec<u32>>();
        // The third number is that of a correction.
        package["rust_version"].as_str().map(|text| numbers(text).into_iter().take(2).collect())
    };
    let is_ours = |package: &serde_json::Value| CRATES.contains(&package["name"].as_str().unwrap());
    let mut open: Vec<String> = packages.iter().filter(|(_, one)| is_ours(one)).map(|(id, _)| id.clone()).collect();
    let ours = version(&packages[&open[0]]).expect("a rust-version");
    let mut seen = HashSet::new();
    while let Some(id) = open.pop() {
        if !seen.insert(id.clone()) {
            continue;
        }
        let package = &packages[&id];
        let needs = version(package);
        assert!(
            needs.is_none_or(|needs| needs <= ours),
            "{} {} needs a newer Rust",
            package["name"],
            package["version"]
        );
        for dependency in nodes[&id]["deps"].as_array().unwrap() {
            if dependency["dep_kinds"].as_array().unwrap().iter().any(|kind| kind["kind"] != "dev") {
                open.push(dependency["pkg"].as_str().unwrap().to_owned());
            }
        }
    }
    assert!(seen.len() > 100, "{} packages", seen.len());
}

/// A dependency on a path alone cannot be published, unless it is for tests.
#[test]
fn each_package_says_what_it_is_and_depends_on_versions() {
    let metadata = cargo(&["metadata", "--no-deps", "--format-version", "1", "--offline"]);
    let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let mut descriptions = Vec::new();
    for name in CRATES {
        let package = packages.iter().find(|package| package["name"] == name).expect(name);
        for dependency in package["dependencies"].as_array().unwrap() {
            let (on, is_ours) = (&dependency["name"], dependency["path"].is_string());
            let is_for_tests = dependency["kind"] == "dev";
            assert_eq!(dependency["req"] == "*", is_ours && is_for_tests, "{name}: {on}");
        }
        assert!(!package["keywords"].as_array().unwrap().is_empty(), "{name}: keywords");
        assert!(!package["categories"].as_array().unwrap().is_empty(), "{name}: categories");
        descriptions.push(package["description"].as_str().expect("a description"));
    }
    let count = descriptions.len();
    descriptions.sort_unstable();
    descriptions.dedup();
    assert_eq!(descriptions.len(), count, "each has a description of its own");
}
