//! The commands and options in the documents exist.

use std::collections::BTreeSet;
use std::path::Path;

use crate::world::World;

/// Documents with commands of `stapled`.
const DOCUMENTS: [&str; 13] = [
    "README.md",
    "docs/operating.md",
    "docs/haproxy.md",
    "docs/renewal.md",
    "docs/options.md",
    "docs/monitoring.md",
    "docs/hooks.md",
    "docs/tools.md",
    "docs/reason-codes.md",
    "docs/faults.md",
    "docs/redis.md",
    "docs/security-model.md",
    "CHANGELOG.md",
];

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
    for name in DOCUMENTS {
        for code in code(&std::fs::read_to_string(root.join(name)).unwrap()) {
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
