//! The tables of the document.

use std::fs;
use std::path::Path;

/// Each server that takes staples from files, by its layout, and each that does not, by its name.
const TESTED: &[&str] = &["nginx", "nginx-file", "hitch", "h2o", "exim"];
const REFUSED: &[&str] = &["apache", "caddy", "dovecot", "postfix"];
/// The cell of a server that Debian does not package: no test runs it.
const UNTESTED: &[&str] = &["envoy"];

/// The cells of the row that begins with this name, without the name.
pub(crate) fn row(name: &str) -> Vec<String> {
    let begin = format!("| `{name}` |");
    let rows: Vec<String> = document().lines().filter(|line| line.starts_with(&begin)).map(str::to_owned).collect();
    assert_eq!(rows.len(), 1, "{name} has {} rows in docs/servers.md", rows.len());
    let cells = rows[0].trim_matches('|').split('|').skip(1);
    cells.map(|cell| cell.trim().to_owned()).collect()
}

fn document() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/servers.md")).unwrap()
}

/// A row that no test reads would say anything.
#[test]
fn every_row_has_a_test_and_every_layout_a_row() {
    let document = document();
    let names = document.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`')).map(|(name, _)| name);
    let mut rows: Vec<&str> = names.filter(|name| !name.starts_with('{')).collect();
    rows.sort_unstable();
    let mut known = [TESTED, REFUSED, UNTESTED].concat();
    known.sort_unstable();
    assert_eq!(rows, known);
    let layouts = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/layouts.toml")).unwrap();
    for name in layouts.lines().filter_map(|line| line.strip_prefix('[')?.strip_suffix(']')) {
        let is_elsewhere = ["files", "kubernetes"].contains(&name);
        assert!(is_elsewhere || known.contains(&name), "{name} has no row in docs/servers.md");
    }
}
