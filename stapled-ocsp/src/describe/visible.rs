//! Text from certificates, servers, file names and URLs, made safe for a line of a terminal or a log.

use std::fmt::{self, Display, Write};

pub use crate::url_text::without_credentials;

/// Shows text with every character escaped that can break a line, move a cursor or change the direction of reading. Names
/// in certificates and names of files can contain such characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visible<'a>(&'a str);

impl<'a> Visible<'a> {
    /// Shows this text.
    pub fn new(text: &'a str) -> Self {
        Visible(text)
    }

    /// Whether a character is escaped.
    pub fn is_hidden(character: char) -> bool {
        character.is_control()
            || matches!(character, '\u{61c}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{feff}')
    }
}

impl Display for Visible<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match Visible::is_hidden(character) {
                true => write!(f, "{}", character.escape_default())?,
                false => f.write_char(character)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(
            Visible::new("exämple.org\n2026 ERROR\u{1b}[31m\r\t\u{202e}x\u{7f}").to_string(),
            "exämple.org\\n2026 ERROR\\u{1b}[31m\\r\\t\\u{202e}x\\u{7f}"
        );
        assert_eq!(Visible::new("/etc/ssl/a b.pem").to_string(), "/etc/ssl/a b.pem");
    }
}
