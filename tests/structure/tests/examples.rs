//! Tests that a server needs few lines for its staples: those of an example that name what this project brings.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use stapled_structure::workspace::root;

const MOST: usize = 25;
/// Parts of the names of this project's crates, types and of the values of such types.
const OURS: [&str; 3] = ["stapl", "ertificates", "Event"];

/// The lines of code that are about staples.
fn lines(source: &str) -> usize {
    let code = source.lines().map(str::trim).filter(|line| !line.starts_with("//"));
    code.filter(|line| OURS.iter().any(|ours| line.contains(ours))).count()
}

#[test]
fn a_server_needs_few_lines_for_its_staples() {
    let embedded = ["tests/embed-servers/pingora.rs", "tests/embed-servers/quinn.rs"];
    for file in ["examples/rustls.rs", "examples/proxy.rs", "examples/axum.rs"].into_iter().chain(embedded) {
        let count = lines(&std::fs::read_to_string(root().join(file)).unwrap());
        println!("{file}: {count}");
        assert!((5..=MOST).contains(&count), "{file}: {count} lines");
    }
}
