//! The options of the daemon, each declared once.
//!
//! [`declarations`] has one entry for each option: name, [`kind`], documentation, default, section of the help, example
//! ([`mod@option`] says what an entry consists of). Everything else is made from these entries: the arguments and `--help`
//! ([`arguments`]), and from these the man page and the shell completions; the keys of the configuration file and their
//! checks ([`mod@file`]); the example configuration file ([`example`]). [`settings`] holds the values that the user gave.
//! [`original`] converts configuration files of the Python program.

pub(crate) mod arguments;
pub(crate) mod declarations;
pub(crate) mod example;
pub(crate) mod file;
pub(crate) mod kind;
pub(crate) mod option;
pub(crate) mod original;
pub(crate) mod settings;
#[cfg(test)]
mod tests;
pub(crate) mod value;
