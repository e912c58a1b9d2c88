//! The kinds of options: which values an option takes, and as which type the program reads them.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use stapled_core::ocsp::CertIdHash;
use stapled_haproxy::Transactions;

use super::declaration::Shape;
use super::value::{Choice, Given, Group, choices};

/// A kind of options.
pub(crate) trait Kind {
    /// The type as which the program reads the value.
    type Value;
    /// Which values the option takes.
    const SHAPE: Shape;

    /// The value; of an option that was not given, and has no default, the empty one.
    fn value(given: &Given) -> Self::Value;
}

/// Declares kinds: name, type of the value, shape, and how the value is read.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident: $value:ty = $shape:expr, $read:expr;)*) => {
        $($(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct $kind;

        impl Kind for $kind {
            type Value = $value;
            const SHAPE: Shape = $shape;

            fn value(given: &Given) -> $value {
                let read: fn(&Given) -> $value = $read;
                read(given)
            }
        })*
    };
}

kinds! {
    /// A switch.
    Switch: bool = Shape::Switch, |given| !given.is_empty();
    /// How often a switch is given.
    Count: u8 = Shape::Count, |given| number(given).unwrap_or_default();
    /// A level from 0 to 4, or none.
    Level: Option<u8> = numbers("a whole number", 0, 4), number;
    /// A number of seconds.
    Seconds: Duration = numbers(SECONDS, 1, u64::MAX), |given| seconds(given).unwrap_or_default();
    /// A number of seconds that may be 0.
    SecondsFromZero: Duration = numbers(SECONDS, 0, u64::MAX), |given| seconds(given).unwrap_or_default();
    /// A number of seconds, or none.
    SecondsOrNone: Option<Duration> = numbers(SECONDS, 1, u64::MAX), seconds;
    /// A number from 1.
    Number: usize = numbers("a whole number", 1, u32::MAX as u64), |given| number(given).unwrap_or_default();
    /// A number of requests per second, or none.
    Rate: Option<NonZeroU32> = numbers("a whole number of requests per second", 1, u32::MAX as u64),
        |given| number(given).and_then(NonZeroU32::new);
    /// A hash algorithm, or none.
    HashChoice: Option<CertIdHash> = Shape::Choice(choices::<CertIdHash>), choice;
    /// Where transactions are used, or nothing.
    TransactionsChoice: Option<Transactions> = Shape::Choice(choices::<Transactions>), choice;
    /// A text, or none.
    Text: Option<String> = Shape::Text, |given| texts(given).pop();
    /// Texts.
    Texts: Vec<String> = Shape::Texts, texts;
    /// Addresses of sockets.
    Sockets: Vec<String> = Shape::Sockets, texts;
    /// A path, or none.
    OnePath: Option<PathBuf> = Shape::Path, |given| paths(given).pop();
    /// A directory for log files, or none.
    LogDirectory: Option<PathBuf> = Shape::PathOr("/var/log/stapled/"), |given| paths(given).pop();
    /// Paths.
    Paths: Vec<PathBuf> = Shape::Paths, paths;
    /// Items of paths that commas join.
    JoinedPaths: Vec<PathBuf> = Shape::JoinedPaths, paths;
    /// The `[[group]]` tables of the file.
    Groups: Vec<Group> = Shape::Groups, |given| given.groups.clone();
}

const SECONDS: &str = "a whole number of seconds";

const fn numbers(of: &'static str, least: u64, most: u64) -> Shape {
    Shape::Number { of, least, most }
}

/// A number in a type that is wide enough for the numbers of the option.
fn number<T: FromStr>(given: &Given) -> Option<T> {
    given.words.first()?.to_str()?.parse().ok()
}

fn seconds(given: &Given) -> Option<Duration> {
    number(given).map(Duration::from_secs)
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
