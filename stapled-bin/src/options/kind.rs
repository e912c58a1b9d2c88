//! The kinds of options: which values an option takes, and as which type the program reads them.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use stapled_core::ocsp::CertIdHash;
use stapled_core::time::span::Span;
use stapled_haproxy::Transactions;

use super::option::Shape;
use super::value::{Choice, Given, LogFormat, Table, choices};

/// A kind of options: which values an option takes, and how the program reads them.
pub(crate) struct Kind<T> {
    /// Which values the option takes.
    pub(crate) shape: Shape,
    /// The value; of an option that was not given, and has no default, the empty one.
    pub(crate) read: fn(&Given) -> T,
}

pub(crate) const SWITCH: Kind<bool> = Kind { shape: Shape::Switch, read: |given| !given.is_empty() };
pub(crate) const COUNT: Kind<u8> = Kind { shape: Shape::Count, read: |given| number(given).unwrap_or_default() };
/// A level from 0 to 4, or none.
pub(crate) const LEVEL: Kind<Option<u8>> = Kind { shape: numbers("a whole number", 0, 4), read: number };
pub(crate) const DURATION: Kind<Duration> =
    Kind { shape: Shape::Duration { least: 1 }, read: |given| duration(given).unwrap_or_default() };
pub(crate) const DURATION_FROM_0: Kind<Duration> =
    Kind { shape: Shape::Duration { least: 0 }, read: |given| duration(given).unwrap_or_default() };
pub(crate) const DURATION_OR_NONE: Kind<Option<Duration>> =
    Kind { shape: Shape::Duration { least: 1 }, read: duration };
pub(crate) const NUMBER: Kind<usize> =
    Kind { shape: numbers("a whole number", 1, u32::MAX as u64), read: |given| number(given).unwrap_or_default() };
/// A number of requests per second, or none.
pub(crate) const RATE: Kind<Option<NonZeroU32>> = Kind {
    shape: numbers("a whole number of requests per second", 1, u32::MAX as u64),
    read: |given| number(given).and_then(NonZeroU32::new),
};
pub(crate) const HASHES: Kind<Option<CertIdHash>> = Kind { shape: Shape::Choice(choices::<CertIdHash>), read: choice };
/// Where transactions are used, or nothing.
pub(crate) const TRANSACTIONS: Kind<Option<Transactions>> =
    Kind { shape: Shape::Choice(choices::<Transactions>), read: choice };
pub(crate) const LOG_FORMATS: Kind<Option<LogFormat>> =
    Kind { shape: Shape::Choice(choices::<LogFormat>), read: choice };
pub(crate) const TEXT: Kind<Option<String>> = Kind { shape: Shape::Text, read: |given| texts(given).pop() };
pub(crate) const TEXTS: Kind<Vec<String>> = Kind { shape: Shape::Texts, read: texts };
pub(crate) const SOCKETS: Kind<Vec<String>> = Kind { shape: Shape::Sockets, read: texts };
pub(crate) const ONE_PATH: Kind<Option<PathBuf>> = Kind { shape: Shape::Path, read: |given| paths(given).pop() };
/// A directory for log files, or none.
pub(crate) const LOG_DIRECTORY: Kind<Option<PathBuf>> =
    Kind { shape: Shape::PathOr("/var/log/stapled/"), read: |given| paths(given).pop() };
pub(crate) const PATHS: Kind<Vec<PathBuf>> = Kind { shape: Shape::Paths, read: paths };
/// Items of paths that commas join.
pub(crate) const JOINED_PATHS: Kind<Vec<PathBuf>> = Kind { shape: Shape::JoinedPaths, read: paths };
/// The `[[group]]` tables of the file.
pub(crate) const GROUPS: Kind<Vec<Table>> = Kind {
    shape: Shape::Tables { keys: &[("paths", Shape::Paths), ("sockets", Shape::Sockets)], needed: "paths" },
    read: |given| given.tables.clone(),
};
/// The `[[server]]` tables of the file.
pub(crate) const SERVERS: Kind<Vec<Table>> = Kind {
    shape: Shape::Tables {
        keys: &[
            ("name", Shape::Text),
            ("layout", Shape::Text),
            ("directory", Shape::Path),
            ("certificates", Shape::Texts),
            ("reload", Shape::Text),
            ("reload-pause", Shape::Duration { least: 1 }),
            ("reload-timeout", Shape::Duration { least: 1 }),
        ],
        needed: "layout",
    },
    read: |given| given.tables.clone(),
};

impl<T> Kind<T> {
    /// The value of a key of this kind in a table.
    pub(crate) fn of(&self, table: &Table, key: &str) -> T {
        (self.read)(table.get(key).unwrap_or(&Given::default()))
    }
}

const fn numbers(of: &'static str, least: u64, most: u64) -> Shape {
    Shape::Number { of, least, most }
}

/// A number in a type that is wide enough for the numbers of the option.
fn number<T: FromStr>(given: &Given) -> Option<T> {
    given.words.first()?.to_str()?.parse().ok()
}

fn duration(given: &Given) -> Option<Duration> {
    given.words.first()?.to_str()?.parse::<Span>().ok().map(Into::into)
}

fn choice<T: Choice>(given: &Given) -> Option<T> {
    let word = given.words.first()?;
    T::CHOICES.iter().find(|(_, choice, _)| word == choice).map(|(value, ..)| *value)
}

fn texts(given: &Given) -> Vec<String> {
    given.words.iter().map(|word| word.to_string_lossy().into_owned()).collect()
}

fn paths(given: &Given) -> Vec<PathBuf> {
    given.words.iter().map(PathBuf::from).collect()
}
