//! How many public items `stapled-ocsp` and `stapled-core` have together. An item is a type, a trait, a function, a
//! constant or a macro that a program can name from outside; methods, fields, variants, associated constants and modules
//! do not count.
//!
//! The *first level* has the items that a program can name as `crate::Item` or `crate::module::Item`: what users meet. Items
//! one module deeper, such as `ocsp::request::RequestContents`, are details for experts. An item with several paths counts
//! once, at the shortest one; so does an item that one crate re-exports from the other.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use stapled_structure::public::public;
use stapled_structure::tokens::tokens;
use stapled_structure::workspace::{Crate, crates};

/// How many items the first level may have: a ratchet, which may only be lowered, and was raised for the local responder and for the
/// control socket.
const FIRST_LEVEL: usize = 99;
/// How many items there may be at all levels together: a ratchet, too. It was raised when the finding of issuers, JSON on one line and the
/// cells of tables moved from the program into the library, for the source and the sink in memory, for the local responder, for the
/// observers of the crates `tracing` and `metrics`, and when the control socket, the reports to systemd, the pid file, the replacement of a running
/// stapler and repeated passes moved from the program into the library.
const ALL: usize = 264;

/// The public items of a crate: the path of each definition, with the number of modules in its shortest public path.
/// Those for authors of schedulers (`conformance`) do not count.
fn items(one: &Crate) -> BTreeMap<String, usize> {
    // Each public path with its number of modules, and each re-exported path with the path that it stands for.
    let mut paths: Vec<(String, usize)> = Vec::new();
    let mut reexports: BTreeMap<String, String> = BTreeMap::new();
    let mut open = vec![Vec::<String>::new()];
    while let Some(module) = open.pop() {
        let source = std::fs::read_to_string(one.modules.file(&module).expect("a file")).unwrap();
        let public = public(&tokens(&source));
        let depth = module.len();
        let of_module = |item: &String| [module.as_slice(), std::slice::from_ref(item)].concat();
        for item in &public.items {
            paths.push((of_module(item).join("::"), depth));
        }
        // A re-export of an item of the same crate. Re-exports of other crates' items and of modules are not items.
        for path in &public.uses {
            let target = absolute(&module, path);
            let (item, parent) = target.split_last().expect("a path");
            assert_ne!(item, "*", "{} re-exports all of a module", module.join("::"));
            if one.modules.file(parent).is_some() && one.modules.file(&target).is_none() && !parent.is_empty() {
                paths.push((target.join("::"), depth));
                reexports.insert(of_module(item).join("::"), target.join("::"));
            }
        }
        let children = public.modules.iter().filter(|child| *child != "conformance");
        // The items of a module in the same file are listed already.
        open.extend(children.map(of_module).filter(|child| one.modules.file(child).is_some()));
    }
    let mut items: BTreeMap<String, usize> = BTreeMap::new();
    for (mut path, depth) in paths {
        while let Some(target) = reexports.get(&path) {
            path.clone_from(target);
        }
        let known = items.entry(path).or_insert(depth);
        *known = depth.min(*known);
    }
    items
}

/// The path from the crate's root that `path` means in `module`.
fn absolute(module: &[String], path: &[String]) -> Vec<String> {
    match path.split_first() {
        Some((first, rest)) if first == "crate" => rest.to_vec(),
        Some((first, rest)) if first == "self" => absolute(module, rest),
        Some((first, rest)) if first == "super" => {
            absolute(module.split_last().map_or(&[], |(_, parent)| parent), rest)
        }
        _ => [module, path].concat(),
    }
}

#[test]
fn the_libraries_have_few_public_items() {
    let crates = crates();
    let library = |name: &str| crates.iter().find(|one| one.name == name).unwrap_or_else(|| panic!("{name}"));
    let (mut first, mut all) = (0, 0);
    for name in ["stapled-ocsp/src/lib.rs", "stapled-core/src/lib.rs"] {
        let items = items(library(name));
        let (met, deeper): (Vec<_>, Vec<_>) = items.iter().partition(|(_, depth)| **depth <= 1);
        let names =
            |items: &[(&String, &usize)]| items.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" ");
        println!("{name}: {} items of the first level: {}", met.len(), names(&met));
        println!("{name}: {} deeper items: {}", deeper.len(), names(&deeper));
        first += met.len();
        all += items.len();
    }
    println!("{first} items of the first level, {all} at all levels");
    for (what, count, limit) in [("items of the first level", first, FIRST_LEVEL), ("public items", all, ALL)] {
        assert!(count <= limit, "{count} {what}, and not {limit} at the most");
        assert!(count + 5 > limit, "only {count} {what}: lower the limit, which is {limit}");
    }
}
