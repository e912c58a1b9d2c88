//! The crates of the workspace.

use std::path::{Path, PathBuf};

use crate::modules::Modules;

/// A crate: a library or a program of a package.
#[derive(Debug)]
pub struct Crate {
    /// The folder of its package and its root file, such as `stapled-ca/src/lib.rs`.
    pub name: String,
    /// Its modules.
    pub modules: Modules,
}

/// The folder of the workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("a workspace").to_owned()
}

/// The folders of all packages, as the workspace's Cargo.toml lists them.
pub fn packages() -> Vec<String> {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml");
    let members = manifest.split_once("members = [").expect("members").1.split_once(']').expect("an end").0;
    members.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// All libraries and programs of the workspace that have modules: `src/lib.rs`, `src/main.rs` and `src/bin/*/main.rs`.
pub fn crates() -> Vec<Crate> {
    let mut crates = Vec::new();
    for package in packages() {
        let source = root().join(&package).join("src");
        let mut roots = vec![source.join("lib.rs"), source.join("main.rs")];
        if let Ok(entries) = std::fs::read_dir(source.join("bin")) {
            roots.extend(entries.map(|entry| entry.expect("an entry").path().join("main.rs")));
        }
        roots.sort();
        for file in roots.into_iter().filter(|file| file.exists()) {
            let name = file.strip_prefix(root()).expect("in the workspace").display().to_string();
            crates.push(Crate { name, modules: Modules::read(&file) });
        }
    }
    assert!(crates.len() > 3, "the crates were not found: {crates:?}");
    crates
}
