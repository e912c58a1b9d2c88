//! Tests of the number of public items that `stapled-ocsp` and `stapled-core` have together. An item is a type, a
//! trait, a function, a constant or a macro that another program can name. Methods, fields, variants and modules do not
//! count. An item that one of the crates re-exports from the other counts once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use stapled_structure::public::public;
use stapled_structure::tokens::tokens;
use stapled_structure::workspace::{Crate, crates};

/// The most public items. The limit may only be lowered; the goal is 100.
const LIMIT: usize = 194;

/// The public items of a crate, with their modules. The items for authors of schedulers (`conformance`) do not count.
fn items(one: &Crate) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    let mut open = vec![Vec::<String>::new()];
    while let Some(module) = open.pop() {
        let source = std::fs::read_to_string(one.modules.file(&module).expect("a file")).unwrap();
        let public = public(&tokens(&source));
        let name = |item: &str| [module.join("::"), item.to_owned()].join("::");
        items.extend(public.items.iter().map(|item| name(item)));
        // Only re-exports from private modules count here: the items of a public module count in that module.
        let is_own = |first: &str| {
            let child = [module.as_slice(), &[first.to_owned()]].concat();
            matches!(first, "crate" | "self" | "super")
                || one.modules.file(&child).is_some() && !public.modules.contains(&first.to_owned())
        };
        items.extend(public.uses.iter().filter(|path| is_own(&path[0])).map(|path| name(path.last().unwrap())));
        let children = public.modules.iter().filter(|child| *child != "conformance");
        let children = children.map(|child| [module.as_slice(), std::slice::from_ref(child)].concat());
        // The items of a module in the same file are already in the list.
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
    assert!(sum <= LIMIT, "{sum} public items, but the limit is {LIMIT}");
    assert!(sum + 5 > LIMIT, "only {sum} public items: lower the limit from {LIMIT}");
}
