//! How many public items `stapled-ocsp` and `stapled-core` have together. An item is a type, a trait, a function, a
//! constant or a macro that a program can name from outside; methods, fields, variants and modules do not count, and what
//! one of the crates re-exports from the other counts once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use stapled_structure::public::public;
use stapled_structure::tokens::tokens;
use stapled_structure::workspace::{Crate, crates};

/// How many there may be: a ratchet, which may only be lowered. The goal is 100.
const LIMIT: usize = 193;

/// The public items of a crate, by their modules. Those for authors of schedulers (`conformance`) do not count.
fn items(one: &Crate) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    let mut open = vec![Vec::<String>::new()];
    while let Some(module) = open.pop() {
        let source = std::fs::read_to_string(one.modules.file(&module).expect("a file")).unwrap();
        let public = public(&tokens(&source));
        let name = |item: &str| [module.join("::"), item.to_owned()].join("::");
        items.extend(public.items.iter().map(|item| name(item)));
        // Re-exports of what is in a private module of the crate; a public module's items count there.
        let is_own = |first: &str| {
            let child = [module.as_slice(), &[first.to_owned()]].concat();
            matches!(first, "crate" | "self" | "super")
                || one.modules.file(&child).is_some() && !public.modules.contains(&first.to_owned())
        };
        items.extend(public.uses.iter().filter(|path| is_own(&path[0])).map(|path| name(path.last().unwrap())));
        let children = public.modules.iter().filter(|child| *child != "conformance");
        let children = children.map(|child| [module.as_slice(), std::slice::from_ref(child)].concat());
        // The items of a module in the same file are listed already.
        open.extend(children.filter(|child| one.modules.file(child).is_some()));
    }
    items.sort();
    items
}

#[test]
fn the_libraries_have_few_public_items() {
    let crates = crates();
    let library = |name: &str| crates.iter().find(|one| one.name == name).unwrap_or_else(|| panic!("{name}"));
    let counted: Vec<(&str, Vec<String>)> =
        ["stapled-ocsp/src/lib.rs", "stapled-core/src/lib.rs"].map(|name| (name, items(library(name)))).into();
    for (name, items) in &counted {
        println!("{name}: {} public items: {}", items.len(), items.join(" "));
    }
    let sum: usize = counted.iter().map(|(_, items)| items.len()).sum();
    assert!(sum <= LIMIT, "{sum} public items, and not {LIMIT} at the most");
    assert!(sum + 5 > LIMIT, "only {sum} public items: lower the limit, which is {LIMIT}");
}
