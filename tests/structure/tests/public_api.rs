//! The public interface of each published library, as `docs/public-api` has it. A change of the interface changes its file, so that
//! it is seen; and a line that is gone since the last release breaks programs.
//!
//!     STAPLED_WRITE_PUBLIC_API=1 cargo test -p stapled-structure --test public_api
//!
//! writes the files anew.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::process::Command;

use stapled_structure::declarations::{declarations, types};
use stapled_structure::tokens::{Token, tokens};
use stapled_structure::workspace::{Crate, crates, root};

const LIBRARIES: [&str; 7] = [
    "stapled-ca",
    "stapled-core",
    "stapled-embedded",
    "stapled-haproxy",
    "stapled-ocsp",
    "stapled-redis",
    "stapled-rustls",
];

/// The interface of a library: its modules, each with its public declarations.
fn interface(library: &Crate) -> String {
    let names = library.modules.names();
    let paths =
        std::iter::once(Vec::new()).chain(names.iter().map(|name| name.split('/').map(str::to_owned).collect()));
    let modules: BTreeMap<String, Vec<Token>> = paths
        .map(|path: Vec<String>| {
            let source = std::fs::read_to_string(library.modules.file(&path).unwrap()).unwrap();
            (path.join("::"), tokens(&source))
        })
        .collect();
    let (mut private, mut public) = (BTreeSet::new(), BTreeSet::new());
    for tokens in modules.values() {
        let (of_module, public_here) = types(tokens);
        private.extend(of_module);
        public.extend(public_here);
    }
    // Of two types of one name, one may be public.
    private.retain(|name| !public.contains(name));
    let mut text = String::new();
    for (name, tokens) in &modules {
        let declared = declarations(tokens, &private);
        if !declared.is_empty() {
            writeln!(text, "\n[{}]", if name.is_empty() { "crate" } else { name }).unwrap();
            declared.iter().for_each(|line| writeln!(text, "{line}").unwrap());
        }
    }
    text.trim_start().to_owned()
}

#[test]
fn the_interface_of_each_library_is_the_recorded_one() {
    let crates = crates();
    for name in LIBRARIES {
        let library = crates.iter().find(|one| one.name == format!("{name}/src/lib.rs")).expect(name);
        let (found, file) = (interface(library), root().join(format!("docs/public-api/{name}.txt")));
        if std::env::var_os("STAPLED_WRITE_PUBLIC_API").is_some() {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, &found).unwrap();
        }
        let recorded = std::fs::read_to_string(&file).unwrap_or_default();
        let (new, gone) = (difference(&found, &recorded), difference(&recorded, &found));
        let command = "STAPLED_WRITE_PUBLIC_API=1 cargo test -p stapled-structure --test public_api";
        assert!(found == recorded, "{name}: new {new:#?}, gone {gone:#?}; if that is right: {command}");
        assert!(found.lines().count() > 5, "{name}: too little is found");
    }
}

/// The lines of a text that another one does not have.
fn difference<'t>(text: &'t str, other: &str) -> Vec<&'t str> {
    let other: BTreeSet<&str> = other.lines().collect();
    text.lines().filter(|line| !line.is_empty() && !other.contains(line)).collect()
}

/// Versions are compatible by Cargo's rule if their first number that is not zero is the same.
fn is_compatible(version: &str, earlier: &str) -> bool {
    let numbers = |text: &str| text.split('.').map(|number| number.parse::<u64>().unwrap_or(0)).collect::<Vec<_>>();
    let (version, earlier) = (numbers(version), numbers(earlier));
    let first = earlier.iter().position(|number| *number != 0).unwrap_or(2);
    version[..=first] == earlier[..=first]
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").current_dir(root()).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn what_programs_use_is_gone_only_with_an_incompatible_version() {
    // Nothing is released yet, or this is no checkout: then there is nothing to compare with.
    let Some(tag) = git(&["describe", "--tags", "--match", "v[0-9]*", "--abbrev=0"]) else { return };
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let version = manifest.split_once("[workspace.package]\nversion = \"").unwrap().1.split('"').next().unwrap();
    let released = tag.trim().trim_start_matches('v');
    if !is_compatible(version, released) {
        return;
    }
    for name in LIBRARIES {
        let file = format!("docs/public-api/{name}.txt");
        let Some(earlier) = git(&["show", &format!("{}:{file}", tag.trim())]) else { continue };
        let now = std::fs::read_to_string(root().join(&file)).unwrap();
        let gone = difference(&earlier, &now);
        assert!(gone.is_empty(), "{name} {version}: gone since {released}, or changed: {gone:#?}");
    }
}

#[test]
fn versions_are_compatible_by_their_first_number() {
    for (version, earlier, expected) in
        [("0.1.1", "0.1.0", true), ("0.2.0", "0.1.9", false), ("1.2.0", "1.1.0", true), ("2.0.0", "1.9.9", false)]
    {
        assert_eq!(is_compatible(version, earlier), expected, "{version} after {earlier}");
    }
    assert_eq!(difference("a\nb\n", "b\nc\n"), ["a"]);
}
