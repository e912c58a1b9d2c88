//! Tests of the table of faults in the documentation: it is complete, and its checkable statements are true.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const TABLE: &str = include_str!("../../../docs/faults.md");
const REASON_CODES: &str = include_str!("../../../docs/reason-codes.md");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The text of every Rust file below a folder of the workspace.
fn texts(folder: &str) -> Vec<(PathBuf, String)> {
    let (mut texts, mut folders) = (Vec::new(), vec![root().join(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                texts.push((path, text));
            }
        }
    }
    texts
}

/// The cells of the table's rows: fault, what is done, reasons, when again, tests.
fn rows() -> Vec<Vec<&'static str>> {
    let is_row = |line: &&str| line.starts_with("| ") && !line.starts_with("| fault |");
    TABLE.lines().filter(is_row).map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// The texts between backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// The texts after each `before`, up to the quotation mark.
fn after<'t>(text: &'t str, before: &str) -> Vec<&'t str> {
    text.split(before).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

/// All reason codes in the sources.
fn codes() -> BTreeSet<String> {
    let mut codes = BTreeSet::new();
    for folder in
        ["stapled-ocsp/src", "stapled-core/src", "stapled-haproxy/src", "stapled-redis/src", "stapled-bin/src"]
    {
        for (_, text) in texts(folder) {
            // Tests make codes of their own, which do not count.
            let text = text.split("#[cfg(test)]").next().unwrap();
            // And so do examples in the documentation.
            let is_code = |line: &&str| !line.trim_start().starts_with("//");
            let text: String = text.lines().filter(is_code).flat_map(|line| [line, "\n"]).collect();
            let text = text.as_str();
            codes.extend(after(text, "ReasonCode::new(\"").into_iter().map(str::to_owned));
            codes.extend(after(text, "self.report(\"").into_iter().map(str::to_owned));
            codes.extend(after(text, "Why::new(\"").into_iter().map(str::to_owned));
            codes.extend(after(text, "unfit(\"").into_iter().map(str::to_owned));
            codes.extend(after(text, "unfit(\n                \"").into_iter().map(str::to_owned));
            for body in text.split("ReasonCode::new(match self {").skip(1) {
                let body = body.split("})").next().unwrap();
                codes.extend(after(body, "=> \"").into_iter().map(str::to_owned));
            }
        }
    }
    codes
}

#[test]
fn every_reason_code_is_in_the_table_and_none_that_does_not_exist() {
    let codes = codes();
    for known in ["bad_signature", "issuer_missing", "http_status", "disk_full", "rejected", "unfit_certid"] {
        assert!(codes.contains(known), "{known} is not found: this proves nothing");
    }
    let told: BTreeSet<String> = rows().iter().flat_map(|row| quoted(row[2])).map(str::to_owned).collect();
    // Codes that the table does not need: certificates without URLs are not asked for, and a reload is no fault.
    let others = ["no_ocsp_url", "reload_done"];
    let missing: Vec<&String> =
        codes.iter().filter(|code| !told.contains(*code) && !others.contains(&code.as_str())).collect();
    assert!(missing.is_empty(), "not in the table: {missing:?}");
    let invented: Vec<&String> = told.iter().filter(|code| !codes.contains(*code)).collect();
    assert!(invented.is_empty(), "in the table only: {invented:?}");
}

#[test]
fn the_page_of_reason_codes_and_the_table_of_faults_have_the_same_codes() {
    let on_the_page = REASON_CODES.lines().filter_map(|line| line.strip_prefix("| `")?.split(" |").next());
    let on_the_page: BTreeSet<String> = on_the_page
        .flat_map(|cell| cell.split(['`', ',', ' ']))
        .filter(|code| !code.is_empty())
        .map(str::to_owned)
        .collect();
    let in_the_table: BTreeSet<String> = rows().iter().flat_map(|row| quoted(row[2])).map(str::to_owned).collect();
    assert_eq!(on_the_page, in_the_table);
}

#[test]
fn every_fault_has_a_test_that_exists() {
    let folders = ["stapled-ocsp", "stapled-core", "stapled-haproxy", "stapled-redis", "stapled-bin", "tests/tests"];
    let texts: Vec<String> = folders.iter().flat_map(|folder| texts(folder)).map(|(_, text)| text).collect();
    assert!(rows().len() > 50);
    for row in rows() {
        assert_eq!(row.len(), 5, "{row:?}");
        let needs_a_bug = row[4] == "none: it takes a bug" && ["`scan_failed`", "`no_chain`"].contains(&row[2]);
        assert!(needs_a_bug || quoted(row[4]).next().is_some(), "without a test: {row:?}");
        for test in quoted(row[4]) {
            let function = format!("fn {test}(");
            let is_there = texts.iter().any(|text| {
                let before = text.split(&function).next().filter(|before| before.len() < text.len());
                // The function has an attribute that makes it a test, at any distance above.
                before.is_some_and(|before| {
                    before.rsplit("\n\n").next().is_some_and(|above| above.contains("test")) || test_macro(before)
                })
            });
            assert!(is_there, "there is no test {test}");
        }
    }
}

/// Whether a function is inside a macro that makes tests.
fn test_macro(before: &str) -> bool {
    before.rsplit("\n}\n").next().is_some_and(|within| within.contains("proptest!"))
}

#[test]
fn the_table_covers_the_original_faults() {
    for words in [
        "the file cannot be read",
        "the certificate cannot be parsed",
        "## What the CA answers",
        "the URL cannot be asked",
        "no answer in time",
        "redirected in a circle",
        "an HTTP error",
        "the connection breaks, within a reply too",
        "the reply is not what HAProxy says",
    ] {
        assert!(TABLE.contains(words), "{words}");
    }
}
