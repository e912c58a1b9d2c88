//! The value of an option, as it was given and as the program reads it.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use stapled_core::ocsp::CertIdHash;
use stapled_haproxy::Transactions;

/// A value, as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    /// A switch that is on.
    On,
    Number(u64),
    /// The place of a word in the list of [`Choice`]s.
    Choice(usize),
    Text(String),
    Texts(Vec<String>),
    Path(PathBuf),
    Paths(Vec<PathBuf>),
    Groups(Vec<Group>),
}

/// A `[[group]]` of the configuration file: paths with sockets of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) paths: Vec<PathBuf>,
    pub(crate) sockets: Vec<String>,
}

/// A type that the program reads a value as. The constructors of an option see to it that its shape fits.
pub(crate) trait Value: Sized {
    /// The value; of an option that was not given, and has no default, the empty one.
    fn of(given: Option<&Given>) -> Self;
}

/// A type whose values are words.
pub(crate) trait Choice: Copy + 'static {
    /// Each value with its word and its explanation.
    const CHOICES: &'static [(Self, &'static str, &'static str)];
}

/// The words of a type, with their explanations.
pub(crate) fn choices<T: Choice>() -> Vec<(&'static str, &'static str)> {
    T::CHOICES.iter().map(|(_, word, explanation)| (*word, *explanation)).collect()
}

impl Choice for CertIdHash {
    const CHOICES: &'static [(Self, &'static str, &'static str)] = &[
        (CertIdHash::Sha1, "sha1", "Every responder knows it"),
        (CertIdHash::Sha256, "sha256", "Clients that follow RFC 9919 use it"),
    ];
}

impl Choice for Transactions {
    const CHOICES: &'static [(Self, &'static str, &'static str)] = &[
        (Transactions::Always, "always", "In every HAProxy, by `set ssl cert` and `commit ssl cert`"),
        (
            Transactions::Isolated,
            "isolated",
            "Only in HAProxy 3.0 and later, which keeps the transactions of different clients apart",
        ),
        (
            Transactions::Never,
            "never",
            "Nowhere: HAProxy reads the first staple from its file, at the next start or reload",
        ),
    ];
}

impl Value for bool {
    fn of(given: Option<&Given>) -> Self {
        matches!(given, Some(Given::On))
    }
}

impl Value for u8 {
    fn of(given: Option<&Given>) -> Self {
        number(given).unwrap_or_default()
    }
}

impl Value for usize {
    fn of(given: Option<&Given>) -> Self {
        number(given).unwrap_or_default()
    }
}

impl Value for Duration {
    fn of(given: Option<&Given>) -> Self {
        Duration::from_secs(number(given).unwrap_or_default())
    }
}

impl Value for Option<u8> {
    fn of(given: Option<&Given>) -> Self {
        number(given)
    }
}

impl Value for Option<Duration> {
    fn of(given: Option<&Given>) -> Self {
        number(given).map(Duration::from_secs)
    }
}

impl Value for Option<NonZeroU32> {
    fn of(given: Option<&Given>) -> Self {
        number(given).and_then(NonZeroU32::new)
    }
}

impl<T: Choice> Value for Option<T> {
    fn of(given: Option<&Given>) -> Self {
        let Some(Given::Choice(index)) = given else { return None };
        T::CHOICES.get(*index).map(|(value, ..)| *value)
    }
}

impl Value for Option<String> {
    fn of(given: Option<&Given>) -> Self {
        let Some(Given::Text(text)) = given else { return None };
        Some(text.clone())
    }
}

impl Value for Vec<String> {
    fn of(given: Option<&Given>) -> Self {
        let Some(Given::Texts(texts)) = given else { return Vec::new() };
        texts.clone()
    }
}

impl Value for Option<PathBuf> {
    fn of(given: Option<&Given>) -> Self {
        let Some(Given::Path(path)) = given else { return None };
        Some(path.clone())
    }
}

impl Value for Vec<PathBuf> {
    fn of(given: Option<&Given>) -> Self {
        let Some(Given::Paths(paths)) = given else { return Vec::new() };
        paths.clone()
    }
}

impl Value for Vec<Group> {
    fn of(given: Option<&Given>) -> Self {
        let Some(Given::Groups(groups)) = given else { return Vec::new() };
        groups.clone()
    }
}

/// A number in a type that is wide enough for the numbers of the option.
fn number<T: TryFrom<u64>>(given: Option<&Given>) -> Option<T> {
    let Some(Given::Number(number)) = given else { return None };
    T::try_from(*number).ok()
}
