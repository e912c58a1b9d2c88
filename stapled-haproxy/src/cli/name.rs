//! The name of a certificate as one word of a command.

use stapled_core::reason::ReasonCode;

use crate::codes;

/// The longest name, in bytes, that is sent: a command must fit into HAProxy's buffer.
const MAX_NAME: usize = 4096;
/// The punctuation that needs no backslash in a command.
const PLAIN_PUNCTUATION: &str = "/._-+@%=:,~";

/// The name of a certificate, as `show ssl cert` lists it, that can be written in a command.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CliName {
    plain: String,
    escaped: String,
}

/// Why a name cannot be written in a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// The name is empty.
    #[error("the name is empty")]
    Empty,
    /// The name has a line break, or another character that would end or garble the command.
    #[error("the name has a control character in it")]
    ControlCharacter,
    /// HAProxy lists uncommitted changes of certificates with a leading `*`.
    #[error("the name begins with *, which HAProxy takes for an uncommitted change")]
    Star,
    /// The name is not UTF-8.
    #[error("the name is not UTF-8, and commands are text")]
    NotUtf8,
    /// The name is longer than a command can be.
    #[error("the name is too long")]
    TooLong,
}

impl NameError {
    /// Checks whether a certificate's name can be written in a command. A certificate with another name gets no staple
    /// while HAProxy runs.
    ///
    /// # Errors
    ///
    /// The reason why the name cannot be written.
    pub fn check(name: &str) -> Result<(), NameError> {
        CliName::new(name).map(|_| ())
    }

    /// The reason code.
    pub(crate) fn code(self) -> ReasonCode {
        match self {
            NameError::NotUtf8 => codes::NAME_NOT_UTF8,
            _ => codes::UNUSABLE_NAME,
        }
    }
}

impl CliName {
    pub(crate) fn new(name: &str) -> Result<Self, NameError> {
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if name.starts_with('*') {
            return Err(NameError::Star);
        }
        if name.len() > MAX_NAME {
            return Err(NameError::TooLong);
        }
        // A path that is not UTF-8 has this character in place of the bytes that are no text. HAProxy would not know that name.
        if name.contains(char::REPLACEMENT_CHARACTER) {
            return Err(NameError::NotUtf8);
        }
        if name.chars().any(char::is_control) {
            return Err(NameError::ControlCharacter);
        }
        let mut escaped = String::with_capacity(name.len());
        for c in name.chars() {
            // Only punctuation and spaces get a backslash: before a letter, a backslash could mean something else.
            if c.is_ascii() && !c.is_ascii_alphanumeric() && !PLAIN_PUNCTUATION.contains(c) {
                escaped.push('\\');
            }
            escaped.push(c);
        }
        Ok(CliName { plain: name.to_owned(), escaped })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.plain
    }

    /// The name with backslashes before the characters that HAProxy would interpret.
    pub(crate) fn escaped(&self) -> &str {
        &self.escaped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cannot_be_written_are_refused() {
        assert_eq!(CliName::new(""), Err(NameError::Empty));
        assert_eq!(CliName::new("*a.pem"), Err(NameError::Star));
        assert_eq!(CliName::new("a\nshow info"), Err(NameError::ControlCharacter));
        let latin = String::from_utf8_lossy(b"caf\xe9.pem");
        assert_eq!(CliName::new(&latin), Err(NameError::NotUtf8));
        assert_eq!(CliName::new(&"a".repeat(5000)), Err(NameError::TooLong));
    }
}
