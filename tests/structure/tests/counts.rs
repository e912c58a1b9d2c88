//! Tests of `.ci/counts` and `.ci/bench-short`, which find what became more expensive.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use stapled_structure::workspace::root;

const DOCUMENT: &str = "\
# Performance

<!-- counts -->
| | instructions | allocations |
|---|--:|--:|
| a renewal | 300,000 | 10.25 |
<!-- /counts -->
<!-- compiler: rustc 1.2.3 -->

<!-- program -->
| | |
|---|--:|
| bytes of the program, stripped | 9,000,000 |
| crates | 200 |
<!-- /program -->
";

/// The figures of the tables, with these changes.
fn figures(changes: &[(&str, f64)]) -> BTreeMap<String, f64> {
    let known = [
        ("a renewal: instructions", 300_000.0),
        ("a renewal: allocations", 10.25),
        ("bytes of the program, stripped", 9_000_000.0),
        ("crates", 200.0),
    ];
    known.into_iter().chain(changes.iter().copied()).map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Compares figures with the tables, or writes them. Returns whether that succeeded, what was printed, and the tables.
fn counts(test: &str, figures: &BTreeMap<String, f64>, compiler: &str, more: &[&str]) -> (bool, String, String) {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(test);
    std::fs::create_dir_all(&folder).unwrap();
    let figures: Vec<String> = figures.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
    let json = format!("{{\"compiler\": \"{compiler}\", \"figures\": {{{}}}}}", figures.join(", "));
    std::fs::write(folder.join("figures"), json).unwrap();
    std::fs::write(folder.join("tables"), DOCUMENT).unwrap();
    let mut command = Command::new(root().join(".ci/counts"));
    command.arg("--figures").arg(folder.join("figures")).arg("--tables").arg(folder.join("tables")).args(more);
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
    (output.status.success(), text, std::fs::read_to_string(folder.join("tables")).unwrap())
}

#[test]
fn a_figure_that_rises_by_more_than_3_percent_fails_and_is_named() {
    let changes = [("a renewal: instructions", 309_001.0), ("a renewal: allocations", 10.5)];
    let (is_good, text, _) = counts("rises", &figures(&changes), "rustc 1.2.3", &[]);
    assert!(!is_good, "{text}");
    let line = "a renewal: instructions: from 300,000 to 309,001 (+3.0 %): more than 3 % above the table";
    assert!(text.contains(line) && text.contains("`make counts-table` writes the tables"), "{text}");
    assert!(!text.contains("allocations: from"), "{text}");
    for (number, unchanged) in [figures(&[]), figures(&[("a renewal: instructions", 309_000.0)])].iter().enumerate() {
        let (is_good, text, _) = counts(&format!("unchanged {number}"), unchanged, "rustc 1.2.3", &[]);
        assert!(is_good && !text.contains("counts: "), "{text}");
    }
    let (is_good, text, _) = counts("new", &figures(&[("a start: allocations", 1.0)]), "rustc 1.2.3", &[]);
    assert!(!is_good && text.contains("a start: allocations: 1, which no table has"), "{text}");
}

#[test]
fn one_crate_more_fails() {
    let (is_good, text, _) = counts("crates", &figures(&[("crates", 201.0)]), "rustc 1.2.3", &[]);
    assert!(!is_good && text.contains("crates: from 200 to 201 (+0.5 %): more than the table"), "{text}");
}

#[test]
fn a_lower_figure_is_reported() {
    let (is_good, text, _) = counts("lower", &figures(&[("a renewal: allocations", 9.0)]), "rustc 1.2.3", &[]);
    assert!(
        is_good && text.contains("from 10.25 to 9 (-12.2 %): lower; `make counts-table` lowers the table"),
        "{text}"
    );
}

#[test]
fn another_compiler_has_a_wider_limit_for_what_depends_on_it() {
    let changes = [("a renewal: instructions", 340_000.0), ("bytes of the program, stripped", 10_000_000.0)];
    let (is_good, text, _) = counts("compiler", &figures(&changes), "rustc 1.3.0", &[]);
    assert!(is_good && text.contains("the tables are those of rustc 1.2.3, and this is rustc 1.3.0"), "{text}");
    let changes = [("a renewal: instructions", 350_000.0), ("a renewal: allocations", 11.0)];
    let (is_good, text, _) = counts("compiler too high", &figures(&changes), "rustc 1.3.0", &[]);
    assert!(!is_good && text.contains("more than 15 % above") && text.contains("more than 3 % above"), "{text}");
}

#[test]
fn tables_are_written_anew() {
    let changes = [("a renewal: instructions", 250_000.4), ("a renewal: allocations", 9.5), ("crates", 199.0)];
    let (is_good, text, tables) = counts("written", &figures(&changes), "rustc 1.3.0", &["--write"]);
    assert!(is_good, "{text}");
    let expected = DOCUMENT
        .replace("300,000 | 10.25", "250,000 | 9.50")
        .replace("rustc 1.2.3", "rustc 1.3.0")
        .replace("crates | 200", "crates | 199");
    assert_eq!(tables, expected);
}

/// Runs Python code in a script of `.ci` whose main part does not run.
fn python(script: &str, code: &str) -> String {
    let program = format!("import sys\n__name__ = 'tested'\nexec(open(sys.argv[1]).read())\n{code}");
    let output = Command::new("python3").arg("-c").arg(program).arg(root().join(".ci").join(script)).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_system_calls_of_one_piece_are_those_of_the_file_in_the_middle_and_a_share_of_the_others() {
    let code = "
from collections import Counter
few = {}, Counter(openat=10, connect=1)
once, again = Counter(read=4, statx=1), Counter(read=8, statx=2)
many = {'0001': once, '0002': again, '0003': once}, Counter(openat=30)
print(sorted(calls_of_one(few, many, None, 10).items()))
twice, thrice = Counter(read=8), Counter(read=16)
print(sorted(calls_of_one(({'0001': twice}, Counter()), ({'0001': thrice}, Counter(write=4)), (1, 3), 2).items()))
";
    // A connection is no part of each piece, and neither is one that is missing.
    let expected = "[('openat', 2.0), ('read', 4.0), ('statx', 1.0)]\n[('read', 4.0), ('write', 2.0)]";
    assert_eq!(python("counts", code).trim(), expected);
}

#[test]
fn instructions_of_cryptography_are_left_out() {
    // `main` calls `verify` of aws-lc twice, 500 instructions in all, and `copy`, which aws-lc calls as well.
    let profile = "\
        events: Ir\nfl=(1) a.rs\nfn=(1) main\n1 100\ncfn=(2) aws_lc_0_1_verify\ncalls=2 1\n+1 500\ncfn=(3) copy\ncalls=1 1\n* 30\n\n\
        fn=(2)\n1 400\ncfn=(4) internal\ncalls=2 1\n2 100\n\nfn=(4)\n1 70\ncfn=(5) aws_lc_0_1_hash\ncalls=1 1\n1 20\n\
        cfn=(3)\ncalls=1 1\n1 10\n\nfn=(5)\n1 20\n\nfn=(3)\n1 40\n\ntotals: 630\n";
    let code = format!("print(outside_of_cryptography(iter({profile:?}.splitlines())))");
    assert_eq!(python("counts", &code).trim(), "130");
}

#[test]
fn a_ratio_beyond_its_bound_is_told() {
    let code = "
lines, beyond = checked('a', '''fetched: 1 = 0.71 of both limits
P-256, direct    1.0   2.00   1.50 ok
P-384, direct    1.0   2.50   1.50 ok
  2000   1.5   6.0
''', [(r'fetched: .* = (?P<ratio>[\\d.]+) of both.*', 'least', 0.5), (r'(?P<name>\\S.*?)  .* (?P<ratio>[\\d.]+) +(?P<limit>[\\d.]+) +ok',
      'most', lambda limit: 1.6 * limit), (r' +2000 +(?P<base>[\\d.]+) +(?P<value>[\\d.]+)', 'most', 3, 'start'),
      (r'absent (?P<ratio>1)', 'most', 1)])
print('\\n'.join(lines), '|', '\\n'.join(beyond))
";
    let expected = "a, fetched: ratio 0.71, at least 0.50\na, P-256, direct: ratio 2.00, at most 2.40\n\
                    a, P-384, direct: ratio 2.50, at most 2.40\na, start: ratio 4.00, at most 3.00 | a, P-384, direct: ratio 2.50, at most 2.40\n\
                    a, start: ratio 4.00, at most 3.00\na: it prints no such ratio: absent (?P<ratio>1)";
    assert_eq!(python("bench-short", code).trim(), expected);
}
