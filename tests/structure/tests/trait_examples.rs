//! Tests that each trait that programs implement has an example in its documentation. `cargo test --doc` compiles them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use stapled_structure::workspace::crates;

/// Traits that a library implements itself: its other parts depend on how it does.
const OWN: [&str; 2] = ["Daemon", "SessionStore"];
/// A trait for tests of schedulers: `scheduler_conformance!` says how it is used.
const FOR_TESTS: &str = "Harness";

/// The public traits of a source file, each with its documentation.
fn traits(source: &str) -> Vec<(String, String)> {
    let lines: Vec<&str> = source.lines().collect();
    let is_above = |line: &&&str| line.starts_with("///") || line.starts_with("#[");
    let documented = |at: usize| lines[..at].iter().rev().take_while(is_above).copied().collect::<Vec<_>>().join("\n");
    let name =
        |line: &str| line.strip_prefix("pub trait ").map(|rest| rest.split([':', ' ', '<']).next().unwrap().to_owned());
    lines.iter().enumerate().filter_map(|(at, line)| Some((name(line)?, documented(at)))).collect()
}

#[test]
fn each_trait_has_an_example() {
    let mut found = 0;
    for one in crates().iter().filter(|one| one.name.starts_with("stapled-")) {
        for module in one.modules.names() {
            let path: Vec<String> = module.split('/').map(str::to_owned).collect();
            let file = one.modules.file(&path).unwrap();
            for (name, documentation) in traits(&std::fs::read_to_string(file).unwrap()) {
                if OWN.contains(&name.as_str()) || name == FOR_TESTS {
                    continue;
                }
                found += 1;
                let has_example =
                    documentation.contains(&format!(" {name} for ")) && documentation.contains("/// ```\n");
                assert!(has_example, "{}: the trait {name} has no example", one.name);
            }
        }
    }
    assert!(found >= 12, "only {found} traits were found");
}
