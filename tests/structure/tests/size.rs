//! How long the program `stapled` is. What judges, checks, compares or formats facts of the domain belongs to the libraries:
//! the program declares options, reads its configuration and joins the parts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::PathBuf;

use stapled_structure::workspace::root;

/// How many lines there may be, without blank ones and without tests: a ratchet, which is lowered with the program, and raised
/// only for what users get in addition.
const LIMIT: usize = 5_000;

/// The source files of the program, without files of tests.
fn sources() -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![root().join("stapled-bin/src")]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.ends_with("tests.rs") => {}
                false => files.push(path),
            }
        }
    }
    files
}

/// The lines of a source file that are not blank, up to the tests at its end.
fn lines(source: &str) -> usize {
    let code = source.split_once("\n#[cfg(test)]\nmod tests {").map_or(source, |(code, _)| code);
    code.lines().filter(|line| !line.trim().is_empty()).count()
}

#[test]
fn the_program_is_thin() {
    let counted: Vec<(PathBuf, usize)> = sources()
        .into_iter()
        .map(|file| {
            let count = lines(&std::fs::read_to_string(&file).unwrap());
            (file, count)
        })
        .collect();
    let sum: usize = counted.iter().map(|(_, count)| count).sum();
    assert!(counted.len() > 20, "the sources were not found: {counted:?}");
    assert!(sum <= LIMIT, "{sum} lines, but the limit is {LIMIT}: {counted:?}");
    assert!(sum + 50 > LIMIT, "only {sum} lines: lower the limit, which is {LIMIT}");
}

#[test]
fn blank_lines_and_tests_do_not_count() {
    assert_eq!(lines("//! a\n\nfn b() {}\n  \n#[cfg(test)]\nmod tests {\n    fn c() {}\n}\n"), 2);
    assert_eq!(lines("#[cfg(test)]\nmod tests;\nfn a() {}\n"), 3);
}
