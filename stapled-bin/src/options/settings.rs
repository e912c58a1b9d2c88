//! The values that the user gave, each with its origin.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::Arc;

use stapled_haproxy::{Address, Known};

use super::declarations::ALL;
use super::option::{Declaration, Fallback, Opt, Shape, Topic};
use super::value::Given;
use crate::fault::ConfigurationError;

/// Options and their values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings(BTreeMap<&'static str, Said>);

#[derive(Clone, Debug)]
struct Said {
    given: Given,
    origin: Origin,
}

/// Where a value was given: in a file, with line and column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    CommandLine,
    File { path: Arc<Path>, at: String },
}

impl Settings {
    /// The value of an option, or its default.
    pub(crate) fn get<T>(&self, option: &Opt<T>) -> T {
        let declaration = &option.declaration;
        match (self.0.get(declaration.name), declaration.fallback) {
            (Some(said), _) => (option.read)(&said.given),
            (None, Fallback::Number(number)) => (option.read)(&Given::words([number().to_string()])),
            (None, _) => (option.read)(&Given::default()),
        }
    }

    /// Whether an option was given.
    pub(crate) fn has<T>(&self, option: &Opt<T>) -> bool {
        self.0.contains_key(option.declaration.name)
    }

    /// Whether an option was given on the command line.
    #[cfg(feature = "redis")]
    pub(crate) fn is_argument<T>(&self, option: &Opt<T>) -> bool {
        self.0.get(option.declaration.name).is_some_and(|said| said.origin == Origin::CommandLine)
    }

    /// The name of an option in messages, with the place in the file where it was given there.
    pub(crate) fn origin<T>(&self, option: &Opt<T>) -> String {
        self.place(&option.declaration)
    }

    fn place(&self, Declaration { name, .. }: &Declaration) -> String {
        match self.0.get(name).map(|said| &said.origin) {
            Some(Origin::File { path, at }) => format!("{}:{at}: {name}", path.display()),
            Some(Origin::CommandLine) | None => format!("--{name}"),
        }
    }

    /// Refuses these options: what they belong to was not given.
    pub(crate) fn refuse(&self, options: &[&Declaration], what: &str) -> Result<(), ConfigurationError> {
        let given = options.iter().find(|option| self.0.contains_key(option.name));
        let refused = |option| ConfigurationError::Setting { place: self.place(option), what: what.to_owned() };
        given.map_or(Ok(()), |option| Err(refused(option)))
    }

    /// Whether this file has given a setting.
    pub(crate) fn are_of(&self, file: &Path) -> bool {
        self.0.values().any(|said| matches!(&said.origin, Origin::File { path, .. } if **path == *file))
    }

    /// Reads the value of an option with a function. An error of the function becomes one that names the option and its line.
    pub(crate) fn tried<T, U, E: ToString>(
        &self,
        option: &Opt<T>,
        read: impl FnOnce(T) -> Result<U, E>,
    ) -> Result<U, ConfigurationError> {
        read(self.get(option)).map_err(|error| self.unusable(option, error.to_string()))
    }

    /// The error about the value of an option.
    pub(crate) fn unusable<T>(&self, option: &Opt<T>, what: impl Into<String>) -> ConfigurationError {
        ConfigurationError::Setting { place: self.origin(option), what: what.into() }
    }

    /// Sets an option, unless the value is empty.
    pub(super) fn set(&mut self, declaration: &Declaration, given: Given, origin: Origin) {
        if !given.is_empty() {
            self.0.insert(declaration.name, Said { given, origin });
        }
    }

    /// The same settings, with this word for an option that they leave open.
    pub(crate) fn or<T>(mut self, option: &Opt<T>, word: &str) -> Settings {
        let said = Said { given: Given::words([word]), origin: Origin::CommandLine };
        self.0.entry(option.declaration.name).or_insert(said);
        self
    }

    /// The same settings without one.
    pub(crate) fn without<T>(mut self, option: &Opt<T>) -> Settings {
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
    for word in &mut given.words {
        match shape {
            Shape::Path | Shape::PathOr(_) | Shape::Paths => *word = within(base, Path::new(word)),
            Shape::JoinedPaths => {
                let paths: Vec<OsString> =
                    Known::configuration_paths(Path::new(word)).iter().map(|path| within(base, path)).collect();
                *word = paths.join(OsStr::new(","));
            }
            Shape::Sockets => *word = Address::item_relative_to(&word.to_string_lossy(), base).into(),
            _ => {}
        }
    }
    let Shape::Tables { keys, .. } = shape else { return };
    for table in &mut given.tables {
        for (key, given) in table {
            let shape = keys.iter().find(|(known, _)| known == key).map(|(_, shape)| *shape);
            shape.into_iter().for_each(|shape| resolve(shape, given, base));
        }
    }
}

/// A path as seen from this directory, in its shortest form.
fn within(base: &Path, path: &Path) -> OsString {
    let path = base.join(path);
    std::path::absolute(&path).unwrap_or(path).into()
}
