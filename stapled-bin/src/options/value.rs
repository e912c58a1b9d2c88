//! The value of an option, as it was given.

use std::collections::BTreeMap;
use std::ffi::OsString;

use stapled_core::ocsp::CertIdHash;
use stapled_haproxy::Transactions;

/// A value, as it was given: words, whose number and form the option's shape says. Empty: no value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Given {
    /// The words. `true` for a switch that is on.
    pub(crate) words: Vec<OsString>,
    /// The tables of the file, of an option that has them.
    pub(crate) tables: Vec<Table>,
}

impl Given {
    pub(crate) fn words<W: Into<OsString>>(words: impl IntoIterator<Item = W>) -> Self {
        Given { words: words.into_iter().map(Into::into).collect(), tables: Vec::new() }
    }

    /// Whether nothing was given.
    pub(crate) fn is_empty(&self) -> bool {
        self.words.is_empty() && self.tables.is_empty()
    }
}

/// A table of the configuration file: the values of its keys.
pub(crate) type Table = BTreeMap<&'static str, Given>;

/// The form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Plain,
    Json,
    Journald,
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

impl Choice for LogFormat {
    const CHOICES: &'static [(Self, &'static str, &'static str)] = &[
        (LogFormat::Plain, "plain", "Words, then facts as name=value"),
        (LogFormat::Json, "json", "An object on a line, on standard error and in files"),
        (LogFormat::Journald, "journald", "The fields of systemd's journal, sent to it in place of standard error"),
    ];
}

impl Choice for Transactions {
    const CHOICES: &'static [(Self, &'static str, &'static str)] = &Transactions::ALL;
}
