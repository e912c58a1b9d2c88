//! The commands and options in the documents exist.

use std::collections::BTreeSet;
use std::path::Path;

use crate::world::World;

/// Documents whose options are those of other programs as well.
const OTHERS: [&str; 2] = ["docs/ca.md", "docs/private-ca.md"];

/// The documents for users: at the top, and those of the book.
fn documents(root: &Path) -> Vec<String> {
    let book = std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().file_name());
    let book = book.map(|name| format!("docs/{}", name.to_str().unwrap())).filter(|name| name.ends_with(".md"));
    let all = book.chain(["README.md", "CHANGELOG.md", "CONTRIBUTING.md"].map(str::to_owned));
    all.filter(|name| !OTHERS.contains(&name.as_str())).collect()
}

/// The long options in a text: `--` and letters, digits and dashes.
fn options(text: &str) -> BTreeSet<String> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
    let words = text.split(|letter: char| !is_part(letter));
    let options = words.filter(|word| word.starts_with("--") && !word.ends_with('-'));
    options.map(str::to_owned).collect()
}

/// The code about `stapled` in a document: code spans that are options or commands, and lines of code blocks that begin with
/// `stapled`, without their comments and what follows a pipe.
fn code(document: &str) -> Vec<String> {
    let spans =
        document.lines().filter(|line| !line.starts_with("    ")).flat_map(|line| line.split('`').skip(1).step_by(2));
    let spans = spans.filter(|span| span.starts_with("--") || span.starts_with("stapled "));
    let lines =
        document.lines().filter_map(|line| line.strip_prefix("    ")).filter(|line| line.starts_with("stapled "));
    let lines = lines.filter_map(|line| line.split(['#', '|']).next());
    spans.chain(lines).map(str::to_owned).collect()
}

#[test]
fn documents_name_only_options_and_commands_that_exist() {
    let world = World::new();
    let help = world.run(&["--help"]).out;
    let listed =
        help.split("Commands:").nth(1).and_then(|rest| rest.split("Options:").next()).expect("commands in the help");
    let commands: BTreeSet<&str> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.contains("check") && commands.contains("fetch"), "{commands:?}");
    let mut known = options(&help);
    for command in &commands {
        known.extend(options(&world.run(&[command, "--help"]).out));
    }
    for command in ["status", "recover", "retry"].iter().filter(|_| commands.contains("redis")) {
        known.extend(options(&world.run(&["redis", command, "--help"]).out));
    }

    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut faults = Vec::new();
    let documents = documents(root);
    assert!(documents.len() > 20, "{documents:?}");
    for name in documents {
        for code in code(&std::fs::read_to_string(root.join(&name)).unwrap()) {
            let unknown = options(&code).into_iter().filter(|option| !known.contains(option));
            faults.extend(unknown.map(|option| format!("{name}: {option}")));
            let word =
                code.strip_prefix("stapled ").and_then(|rest| rest.split_whitespace().next()).unwrap_or_default();
            // `stapled 1.0` is a version, `stapled COMMAND` a placeholder.
            if word.starts_with(|letter: char| letter.is_ascii_lowercase()) && !commands.contains(word) {
                faults.push(format!("{name}: stapled {word}"));
            }
        }
    }
    assert!(faults.is_empty(), "documents name what does not exist:\n{}", faults.join("\n"));
}

/// The words of this name in code spans and blocks: `NAME word`.
fn calls<'t>(document: &'t str, name: &str) -> Vec<&'t str> {
    let spans = document.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    let blocks = document.lines().filter_map(|line| line.strip_prefix("    "));
    let calls = spans.chain(blocks).filter_map(|code| code.trim_start().strip_prefix(name)?.strip_prefix(' '));
    calls.filter_map(|rest| rest.split_whitespace().next()).collect()
}

#[test]
fn documents_name_only_targets_of_make_and_files_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let makefile = std::fs::read_to_string(root.join("Makefile")).unwrap();
    let targets: BTreeSet<&str> = makefile.lines().filter_map(|line| line.strip_prefix(".PHONY:")).collect::<Vec<_>>()
        [0]
    .split_whitespace()
    .collect();
    let mut faults = Vec::new();
    for name in documents(root) {
        let text = std::fs::read_to_string(root.join(&name)).unwrap();
        let unknown = calls(&text, "make").into_iter().filter(|target| !targets.contains(target));
        faults.extend(unknown.map(|target| format!("{name}: make {target}")));
        let words = text.lines().filter(|line| line.starts_with("    install ")).flat_map(str::split_whitespace);
        let missing = words.filter(|word| word.starts_with("stapled-bin/") && !root.join(word).exists());
        faults.extend(missing.map(|word| format!("{name}: {word}")));
    }
    assert!(faults.is_empty(), "documents name what does not exist:\n{}", faults.join("\n"));
}
