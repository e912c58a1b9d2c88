//! Text for lines: names in certificates and of files, which can contain any character, JSON, and misspelled names.

use std::fmt::{self, Write};
use std::io;

use serde::Serialize;
use serde_json::ser::Formatter;

/// Writes text, and escapes every character that could break a line, move a cursor or change the direction of reading.
/// Anybody can put such characters into the names in certificates and of files.
pub(crate) fn write_visible(f: &mut dyn Write, text: &str) -> fmt::Result {
    for character in text.chars() {
        if is_hidden(character) { write!(f, "{}", character.escape_default())? } else { f.write_char(character)? }
    }
    Ok(())
}

fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{feff}')
}

/// Text as [`write_visible`] writes it.
pub(crate) fn visible(text: &str) -> String {
    let mut visible = String::with_capacity(text.len());
    // Writing to a String does not fail.
    let _ = write_visible(&mut visible, text);
    visible
}

/// One line of JSON. The characters that [`visible`] escapes are escaped as JSON prescribes, so that no text changes.
pub(crate) fn json_line(value: &impl Serialize) -> String {
    struct Visible;
    impl Formatter for Visible {
        fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, text: &str) -> io::Result<()> {
            for character in text.chars() {
                match u16::try_from(u32::from(character)) {
                    Ok(code) if is_hidden(character) => write!(writer, "\\u{code:04x}")?,
                    _ => write!(writer, "{character}")?,
                }
            }
            Ok(())
        }
    }
    let mut line = Vec::new();
    // Writing to a Vec does not fail.
    let _ = value.serialize(&mut serde_json::Serializer::with_formatter(&mut line, Visible));
    line.push(b'\n');
    String::from_utf8_lossy(&line).into_owned()
}

/// The known name that is so similar to this one that it is probably meant.
pub(crate) fn nearest<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let (distance, known) = known.into_iter().map(|known| (distance(name, known), known)).min()?;
    (distance <= 1 + known.len() / 4).then_some(known)
}

/// How many characters must be replaced, inserted or deleted to turn one text into the other.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut left_up = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, y) in row.iter_mut().skip(1).zip(b.chars()) {
            left = (left_up + usize::from(x != y)).min(left + 1).min(*cell + 1);
            left_up = std::mem::replace(cell, left);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_the_text_and_stays_on_one_line() {
        let text = "a\"\\\n\u{1b}\u{7f}\u{85}\u{202e}\u{1f512}ä";
        let line = json_line(&text);
        assert_eq!(line, "\"a\\\"\\\\\\n\\u001b\\u007f\\u0085\\u202e\u{1f512}ä\"\n");
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(
            visible("exämple.org\n2026 ERROR\u{1b}[31m\r\t\u{202e}x\u{7f}"),
            "exämple.org\\n2026 ERROR\\u{1b}[31m\\r\\t\\u{202e}x\\u{7f}"
        );
        assert_eq!(visible("/etc/ssl/a b.pem"), "/etc/ssl/a b.pem");
    }

    #[test]
    fn distances_between_words() {
        for (a, b, expected) in [("", "", 0), ("a", "", 1), ("", "ab", 2), ("abc", "abd", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }
}
