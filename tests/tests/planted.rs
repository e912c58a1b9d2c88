//! Tests of the planted faults: each patch still applies, and names an existing test. `.ci/planted` checks that the
//! test finds the fault, which takes longer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn patches() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("tests/planted")).unwrap().map(|entry| entry.unwrap().path());
    let mut patches: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "patch")).collect();
    patches.sort();
    assert!(patches.len() >= 12, "{patches:?}");
    patches
}

fn name(patch: &Path) -> String {
    patch.file_stem().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn every_planted_fault_applies() {
    let mut failed = Vec::new();
    for patch in patches() {
        // The same options as in `.ci/planted`: the line number may differ, but not the surrounding lines. No file
        // changes.
        let mut command = Command::new("patch");
        command.args(["--dry-run", "--strip=1", "--fuzz=0", "--force"]).arg("--input").arg(&patch);
        let output = command.current_dir(root()).output();
        let output = output.expect("patch: eval \"$(tests/provide/provide.sh patch)\" brings it");
        if !output.status.success() {
            failed.push(format!("{}: {}", name(&patch), String::from_utf8_lossy(&output.stdout)));
        }
    }
    let failed_ones = failed.join("\n");
    assert!(failed.is_empty(), "no longer apply; tests/planted/README.md says what to do:\n{failed_ones}");
}

/// The source of all tests of a package's target: `--lib` or `--test NAME`.
fn sources(package: &str, target: &[&str]) -> String {
    let package = root().join(if package == "stapled-tests" { "tests" } else { package });
    let places = match target {
        ["--lib"] => vec![package.join("src")],
        ["--test", name] => vec![package.join("tests").join(name), package.join("tests").join(format!("{name}.rs"))],
        other => panic!("neither --lib nor --test NAME: {other:?}"),
    };
    let mut sources = String::new();
    let mut places: Vec<PathBuf> = places.into_iter().filter(|place| place.exists()).collect();
    assert!(!places.is_empty(), "{} has no target {target:?}", package.display());
    while let Some(place) = places.pop() {
        if place.is_dir() {
            places.extend(std::fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path()));
        } else if place.extension().is_some_and(|extension| extension == "rs") {
            sources.push_str(&std::fs::read_to_string(place).unwrap());
        }
    }
    sources
}

#[test]
fn every_planted_fault_names_an_existing_test() {
    for patch in patches() {
        let (name, text) = (name(&patch), std::fs::read_to_string(&patch).unwrap());
        let found_by: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("Found-by: ")).collect();
        let [found_by] = found_by[..] else { panic!("{name}: one line Found-by, not {found_by:?}") };
        if found_by == "simulation" {
            continue;
        }
        let words: Vec<&str> = found_by.split(' ').collect();
        let ["-p", package, target @ .., test] = &words[..] else { panic!("{name}: {found_by}") };
        let function = format!("fn {}(", test.rsplit("::").next().unwrap());
        assert!(sources(package, target).contains(&function), "{name}: there is no test {found_by}");
    }
}

#[test]
fn every_planted_fault_is_in_the_table() {
    let table = std::fs::read_to_string(root().join("docs/simulation.md")).unwrap();
    for patch in patches() {
        let words = name(&patch).replace('-', " ");
        let number = words.split(' ').next().unwrap();
        let rows: Vec<&str> = table.lines().filter(|line| line.starts_with(&format!("| {number} "))).collect();
        assert_eq!(rows.len(), 1, "{words}: in docs/simulation.md it is {rows:?}");
    }
}
