//! Lists the modules of a crate that have a file of their own, and the imports between them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::imports::{self, Imports};
use crate::tokens::tokens;

/// The modules of one crate, by their paths from the root. The root's path is empty.
#[derive(Debug)]
pub struct Modules {
    files: BTreeMap<Vec<String>, File>,
}

#[derive(Debug)]
struct File {
    path: PathBuf,
    imports: Imports,
}

/// Why one module depends on another: a path, and its place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reason {
    /// The file with the path.
    pub file: PathBuf,
    /// The line, counted from 1.
    pub line: usize,
    /// The path, as written.
    pub path: String,
}

impl Modules {
    /// Reads all modules of the crate whose root is this file. Modules for tests are skipped.
    ///
    /// # Panics
    ///
    /// Panics if a declared module has no file.
    pub fn read(root: &Path) -> Modules {
        let mut modules = Modules { files: BTreeMap::new() };
        let folder = root.parent().expect("a folder").to_owned();
        modules.add(Vec::new(), root, &folder);
        modules
    }

    /// Adds the module in `file`, and the modules that it declares, whose files are in `folder`.
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

    /// The names of all modules except the root, with `/` between a parent and its child.
    pub fn names(&self) -> BTreeSet<String> {
        self.files.keys().filter(|name| !name.is_empty()).map(|name| name.join("/")).collect()
    }

    /// The file of a module.
    pub fn file(&self, name: &[String]) -> Option<&Path> {
        self.files.get(name).map(|file| file.path.as_path())
    }

    /// Each import of one module by another, with all its places. The root is called `crate`. The declaration of a
    /// child is not an import; a `pub use` of the child's items is one.
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

    /// The module that a path leads to. `None` if it leads out of this crate.
    fn resolve(&self, module: &[String], path: &imports::Path) -> Option<Vec<String>> {
        let here: Vec<String> = module.iter().chain(&path.within).cloned().collect();
        let mut segments = path.segments.iter().map(String::as_str).peekable();
        let mut at = match *segments.peek()? {
            "crate" => Vec::new(),
            "self" | "super" => here,
            // The path may begin with the name of a module that is declared here.
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
        // The module with a file that is the longest prefix of the path.
        let mut rest = None;
        while !self.files.contains_key(&at) {
            rest = Some(at.pop()?);
        }
        // An item that the module re-exports from another crate is not a part of the module.
        let is_elsewhere = rest.is_some_and(|name| self.other_crates_items(&at).any(|other| *other == name));
        (!is_elsewhere).then_some(at)
    }

    /// The names that a module imports from other crates.
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
