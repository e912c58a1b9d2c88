//! Reads the layers that ARCHITECTURE.md declares.
//!
//! A heading that ends with `: layers` names a crate by its root file, as in ``### `stapled-core/src/lib.rs`: layers``.
//! The table below the heading lists the layers from the lowest to the highest. Its second column has the names of
//! modules, each in backquotes, with `/` between a parent and its child. A module that is not named belongs to its
//! parent's layer.

use std::collections::{BTreeMap, BTreeSet};

/// The layers of one crate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layers {
    /// The crate, by its root file.
    pub crate_name: String,
    /// For each layer, from the lowest to the highest, its modules.
    pub layers: Vec<Vec<String>>,
}

/// All tables of layers in a document.
pub fn tables(document: &str) -> Vec<Layers> {
    let mut tables: Vec<Layers> = Vec::new();
    let mut is_in_table = false;
    for line in document.lines() {
        if line.starts_with('#') {
            let name = line.strip_suffix(": layers").and_then(|line| code_spans(line).pop());
            is_in_table = name.is_some();
            tables.extend(name.map(|crate_name| Layers { crate_name, layers: Vec::new() }));
        } else if let (true, Some(table), Some(row)) = (is_in_table, tables.last_mut(), line.strip_prefix('|')) {
            let modules = row.split('|').nth(1).map(code_spans).unwrap_or_default();
            if !modules.is_empty() {
                table.layers.push(modules);
            }
        }
    }
    tables
}

/// The texts in backquotes, without a `/` at the end.
fn code_spans(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(|span| span.trim_end_matches('/').to_owned()).collect()
}

impl Layers {
    /// The faults of the table itself: modules that are named twice, that do not exist, or that are missing.
    pub fn faults(&self, modules: &BTreeSet<String>) -> Vec<String> {
        let mut faults = Vec::new();
        let mut named = BTreeSet::new();
        for module in self.layers.iter().flatten() {
            if !named.insert(module) {
                faults.push(format!("{}: `{module}` is named twice", self.crate_name));
            }
            if !modules.contains(module) {
                faults.push(format!("{}: there is no module `{module}`", self.crate_name));
            }
        }
        let missing = modules.iter().filter(|module| self.layer(module).is_none());
        faults.extend(missing.map(|module| format!("{}: `{module}` is in no layer", self.crate_name)));
        faults
    }

    /// The layer of a module, counted from 0. `None` if the table names neither the module nor a module around it.
    pub fn layer(&self, module: &str) -> Option<usize> {
        let places: BTreeMap<&str, usize> = self
            .layers
            .iter()
            .enumerate()
            .flat_map(|(layer, modules)| modules.iter().map(move |module| (module.as_str(), layer)))
            .collect();
        let mut module = module;
        loop {
            if let Some(layer) = places.get(module) {
                return Some(*layer);
            }
            module = module.rsplit_once('/')?.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "# Title\n| a | `b` |\n### `x/src/lib.rs`: layers\nWords.\n\n| layer | modules | |\n|---|---|---|\n\
                            | bytes | `der`, `io/stamp` | `no` |\n| stages | `io/`, `main` | |\n## More\n| c | `d` |\n";

    #[test]
    fn tables_are_read() {
        let layers = vec![vec!["der".to_owned(), "io/stamp".to_owned()], vec!["io".to_owned(), "main".to_owned()]];
        assert_eq!(tables(DOCUMENT), [Layers { crate_name: "x/src/lib.rs".to_owned(), layers }]);
    }

    #[test]
    fn a_module_belongs_where_it_or_its_parent_is_named() {
        let table = tables(DOCUMENT).remove(0);
        let layers = ["der", "io/stamp", "io", "io/http/url", "other"].map(|module| table.layer(module));
        assert_eq!(layers, [Some(0), Some(0), Some(1), Some(1), None]);
    }

    #[test]
    fn unknown_missing_and_repeated_modules_are_faults() {
        let mut table = tables(DOCUMENT).remove(0);
        table.layers.push(vec!["der".to_owned()]);
        let modules = ["der", "io", "io/http", "main", "time"].map(str::to_owned).into();
        assert_eq!(
            table.faults(&modules),
            [
                "x/src/lib.rs: there is no module `io/stamp`",
                "x/src/lib.rs: `der` is named twice",
                "x/src/lib.rs: `time` is in no layer"
            ]
        );
    }
}
