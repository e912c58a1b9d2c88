//! The values that the user gave, each with its origin.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::declaration::{Declaration, Fallback, Opt, Shape, Topic};
use super::kind::Kind;
use super::table::ALL;
use super::value::Given;

/// Options and their values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings(BTreeMap<&'static str, Said>);

#[derive(Clone, Debug)]
struct Said {
    given: Given,
    origin: Origin,
}

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    CommandLine,
    File { path: Arc<Path>, at: Position },
}

/// A line and a column, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl Settings {
    /// The value of an option, or its default.
    pub(crate) fn get<K: Kind>(&self, option: &Opt<K>) -> K::Value {
        let declaration = &option.declaration;
        match (self.0.get(declaration.name), declaration.fallback) {
            (Some(said), _) => K::value(Some(&said.given)),
            (None, Fallback::Number(number)) => K::value(Some(&Given::Number(number()))),
            (None, _) => K::value(None),
        }
    }

    /// Whether an option was given.
    pub(crate) fn has<K>(&self, option: &Opt<K>) -> bool {
        self.0.contains_key(option.declaration.name)
    }

    /// The name of an option in messages, with the place in the file where it was given there.
    pub(crate) fn origin<K>(&self, option: &Opt<K>) -> String {
        let name = option.declaration.name;
        match self.0.get(name).map(|said| &said.origin) {
            Some(Origin::File { path, at }) => format!("{}:{at}: {name}", path.display()),
            Some(Origin::CommandLine) | None => format!("--{name}"),
        }
    }

    pub(super) fn set(&mut self, declaration: &Declaration, given: Given, origin: Origin) {
        self.0.insert(declaration.name, Said { given, origin });
    }

    /// The same settings without one.
    pub(crate) fn without<K>(mut self, option: &Opt<K>) -> Settings {
        self.0.remove(option.declaration.name);
        self
    }

    /// These settings, and those of the file for options and topics that these leave open.
    pub(crate) fn over(mut self, file: Settings) -> Settings {
        let topic = |name: &str| ALL.iter().find(|option| option.name == name).and_then(|option| option.topic);
        let decided: Vec<Topic> = self.0.keys().filter_map(|name| topic(name)).collect();
        for (name, said) in file.0 {
            if !topic(name).is_some_and(|topic| decided.contains(&topic)) {
                self.0.entry(name).or_insert(said);
            }
        }
        self
    }

    /// The same settings, with relative paths resolved from `base`.
    pub(crate) fn relative_to(mut self, base: &Path) -> Settings {
        for declaration in ALL {
            if let Some(said) = self.0.get_mut(declaration.name) {
                resolve(declaration.shape, &mut said.given, base);
            }
        }
        self
    }
}

/// Resolves relative paths in a value.
fn resolve(shape: Shape, given: &mut Given, base: &Path) {
    match (shape, given) {
        (_, Given::Path(path)) => *path = base.join(&*path),
        (Shape::JoinedPaths, Given::Paths(items)) => {
            for item in items {
                *item = joined(&split(item).iter().map(|path| base.join(path)).collect::<Vec<_>>());
            }
        }
        (_, Given::Paths(paths)) => paths.iter_mut().for_each(|path| *path = base.join(&*path)),
        (Shape::Sockets, Given::Texts(items)) => items.iter_mut().for_each(|item| *item = addresses(item, base)),
        (_, Given::Groups(groups)) => {
            for group in groups {
                group.paths.iter_mut().for_each(|path| *path = base.join(&*path));
                group.sockets.iter_mut().for_each(|item| *item = addresses(item, base));
            }
        }
        (_, Given::On | Given::Number(_) | Given::Choice(_) | Given::Text(_) | Given::Texts(_)) => {}
    }
}

/// Resolves relative paths in addresses that commas join.
fn addresses(item: &str, base: &Path) -> String {
    let address = |address: &str| {
        let address = address.trim();
        let after = |prefix| address.strip_prefix(prefix).map(|path| (prefix, path));
        let (prefix, path) = ["master@unix@", "master@", "unix@"].into_iter().find_map(after).unwrap_or(("", address));
        match is_relative_path(path) {
            true => format!("{prefix}{}", base.join(path).to_string_lossy()),
            false => format!("{prefix}{path}"),
        }
    };
    item.split(',').map(address).collect::<Vec<_>>().join(",")
}

/// Whether the address of a socket is a relative path, without a prefix such as `ipv4@`.
fn is_relative_path(address: &str) -> bool {
    !address.is_empty() && !address.starts_with('/') && !address.contains('@')
}

/// The paths that commas join in one item of `haproxy-config`. The name of an existing file is not divided.
pub(crate) fn split(item: &Path) -> Vec<PathBuf> {
    if item.exists() {
        return vec![item.to_owned()];
    }
    let parts = item.as_os_str().as_bytes().split(|byte| *byte == b',');
    parts.filter(|part| !part.is_empty()).map(|part| PathBuf::from(OsStr::from_bytes(part))).collect()
}

fn joined(paths: &[PathBuf]) -> PathBuf {
    let paths: Vec<&OsStr> = paths.iter().map(|path| path.as_os_str()).collect();
    paths.join(OsStr::new(",")).into()
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}
