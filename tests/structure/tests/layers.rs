//! Tests that modules import only from their own layer and from lower ones, as ARCHITECTURE.md declares the layers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use stapled_structure::layers::tables;
use stapled_structure::workspace::{crates, root};

#[test]
fn imports_run_from_higher_layers_to_lower_ones() {
    let tables = tables(&std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap());
    let crates = crates();
    let mut faults = Vec::new();
    for table in &tables {
        let Some(one) = crates.iter().find(|one| one.name == table.crate_name) else {
            faults.push(format!("there is no crate {}", table.crate_name));
            continue;
        };
        faults.extend(table.faults(&one.modules.names()));
        for ((from, to), reasons) in one.modules.dependencies() {
            // The root of a crate has no layer: it re-exports from all layers.
            let (Some(above), Some(below)) = (table.layer(&from), table.layer(&to)) else { continue };
            if above < below {
                let file = reasons[0].file.strip_prefix(root()).unwrap().display().to_string();
                let line = reasons[0].line;
                faults.push(format!("{file}:{line}: `{from}` imports `{}` from the higher `{to}`", reasons[0].path));
            }
        }
    }
    assert!(faults.is_empty(), "imports against the layers of ARCHITECTURE.md:\n{}", faults.join("\n"));
}
