//! Tests that the imports of a crate form no circles: no module imports, directly or through others, from a module that
//! imports from it. Parents and children count: a child that uses `super::X` imports from its parent, and a parent that
//! names `child::X` imports from its child.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use stapled_structure::graph::{Edges, circle_through, edges_in_circles};
use stapled_structure::workspace::{crates, root};

/// The most imports of each crate that may be part of circles. The limits may only be lowered.
fn limits() -> BTreeMap<String, usize> {
    let text = std::fs::read_to_string(root().join("tests/structure/circles.txt")).unwrap_or_default();
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let parse = |line: &str| {
        let (name, limit) = line.split_once(' ').unwrap_or_else(|| panic!("circles.txt: {line}"));
        (name.to_owned(), limit.trim().parse().unwrap_or_else(|error| panic!("circles.txt: {line}: {error}")))
    };
    lines.map(parse).collect()
}

#[test]
fn no_crate_has_import_circles() {
    let mut limits = limits();
    let mut faults = Vec::new();
    for one in crates() {
        let dependencies = one.modules.dependencies();
        let edges: Edges = dependencies.keys().cloned().collect();
        let circular = edges_in_circles(&edges);
        let limit = limits.remove(&one.name).unwrap_or(0);
        if circular.len() < limit {
            faults.push(format!(
                "{}: only {} imports are part of circles: lower its limit in circles.txt",
                one.name,
                circular.len()
            ));
        }
        if circular.is_empty() {
            continue;
        }
        println!("{}: {} of {} imports are part of circles", one.name, circular.len(), edges.len());
        for edge in &circular {
            let reason = &dependencies[edge][0];
            let file = reason.file.strip_prefix(root()).unwrap().display();
            println!("  {file}:{}: {} ({} times)", reason.line, reason.path, dependencies[edge].len());
            println!("    {}", circle_through(&edges, edge).unwrap().join(" -> "));
        }
        if circular.len() > limit {
            faults.push(format!("{}: {} imports are part of circles, not {limit}", one.name, circular.len()));
        }
    }
    faults.extend(limits.keys().map(|name| format!("{name} is in circles.txt, but no such crate exists")));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
