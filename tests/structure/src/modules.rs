//! The modules of a crate that have a file of their own, and what each imports from the others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::imports::{self, Imports};
use crate::tokens::tokens;

/// The modules of one crate, by their paths from its root; the root's path is empty.
#[derive(Debug)]
pub struct Modules {
    files: BTreeMap<Vec<String>, File>,
}

#[derive(Debug)]
struct File {
    path: PathBuf,
    imports: Imports,
}

/// Why one module depends on another: the path it names, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reason {
    /// The file, as it was found.
    pub file: PathBuf,
    /// The line, counted from 1.
    pub line: usize,
    /// The path as written.
    pub path: String,
}

impl Modules {
    /// Reads all modules of the crate whose root is this file; modules for tests are left out.
    ///
    /// # Panics
    ///
    /// When a declared module has no file.
    pub fn read(root: &Path) -> Modules {
        let mut modules = Modules { files: BTreeMap::new() };
        let folder = root.parent().expect("a folder").to_owned();
        modules.add(Vec::new(), root, &folder);
        modules
    }

    /// Adds the module in `file` and those that it declares, whose files are in `folder`.
    fn add(&mut self, name: Vec<String>, file: &Path, folder: &Path) {
        let source = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let imports = imports::imports(&tokens(&source));
        let children = imports.modules.clone();
        self.files.insert(name.clone(), File { path: file.to_owned(), imports });
        for child in children {
            let base = child.iter().fold(folder.to_owned(), |folder, name| folder.join(name));
            let (alone, in_folder) = (base.with_extension("rs"), base.join("mod.rs"));
            let file = if alone.exists() { alone } else { in_folder };
            self.add([name.clone(), child].concat(), &file, &base);
        }
    }

    /// The names of all modules but the root, with `/` between a parent and its child.
    pub fn names(&self) -> BTreeSet<String> {
        self.files.keys().filter(|name| !name.is_empty()).map(|name| name.join("/")).collect()
    }

    /// The file of a module.
    pub fn file(&self, name: &[String]) -> Option<&Path> {
        self.files.get(name).map(|file| file.path.as_path())
    }

    /// Each import of one module by another, with all places where it is made. The root is called `crate`. The
    /// declaration of a child is no import; a `pub use` of what it has is one.
    pub fn dependencies(&self) -> BTreeMap<(String, String), Vec<Reason>> {
        let mut dependencies: BTreeMap<(String, String), Vec<Reason>> = BTreeMap::new();
        for (name, file) in &self.files {
            for path in &file.imports.paths {
                let Some(target) = self.resolve(name, path) else { continue };
                if target == *name {
                    continue;
                }
                let reason = Reason { file: file.path.clone(), line: path.line, path: path.segments.join("::") };
                dependencies.entry((text(name), text(&target))).or_default().push(reason);
            }
        }
        dependencies
    }

    /// The module that a path leads to; `None` where that is no module of this crate.
    fn resolve(&self, module: &[String], path: &imports::Path) -> Option<Vec<String>> {
        let here: Vec<String> = module.iter().chain(&path.within).cloned().collect();
        let mut segments = path.segments.iter().map(String::as_str).peekable();
        let mut at = match *segments.peek()? {
            "crate" => Vec::new(),
            "self" | "super" => here,
            // In the modules that are declared here, by their names.
            child => {
                let is_child = self.files.contains_key([here.as_slice(), &[child.to_owned()]].concat().as_slice());
                is_child.then_some(here)?
            }
        };
        for segment in segments {
            match segment {
                "crate" | "self" => {}
                "super" => {
                    at.pop();
                }
                name => at.push(name.to_owned()),
            }
        }
        // The longest beginning that is a module with a file.
        let mut rest = None;
        while !self.files.contains_key(&at) {
            rest = Some(at.pop()?);
        }
        // What that module re-exports from another crate is no part of it.
        let is_elsewhere = rest.is_some_and(|name| self.other_crates_items(&at).any(|other| *other == name));
        (!is_elsewhere).then_some(at)
    }

    /// The names that a module has from other crates by `use`.
    fn other_crates_items<'a>(&'a self, module: &'a [String]) -> impl Iterator<Item = &'a String> {
        let file = &self.files[module];
        let is_other = move |first: &String| {
            let child = [module, std::slice::from_ref(first)].concat();
            !matches!(first.as_str(), "crate" | "self" | "super") && !self.files.contains_key(&child)
        };
        let paths = file.imports.paths.iter().filter(|path| path.is_use && path.within.is_empty());
        paths.filter(move |path| path.segments.first().is_some_and(&is_other)).filter_map(|path| path.segments.last())
    }
}

fn text(name: &[String]) -> String {
    if name.is_empty() { "crate".to_owned() } else { name.join("/") }
}
