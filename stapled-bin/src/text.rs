//! Text from strangers, made fit for lines.

use std::fmt::{self, Write};

/// Writes text without anything that could break a line, move a cursor or change the direction of reading: names in
/// certificates and of files are whatever somebody chose.
pub(crate) fn write_visible(f: &mut dyn Write, text: &str) -> fmt::Result {
    for character in text.chars() {
        let is_hidden = character.is_control()
            || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{feff}');
        if is_hidden { write!(f, "{}", character.escape_default())? } else { f.write_char(character)? }
    }
    Ok(())
}

/// See [`write_visible`].
pub(crate) fn visible(text: &str) -> String {
    let mut visible = String::with_capacity(text.len());
    // A String takes everything.
    let _ = write_visible(&mut visible, text);
    visible
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_breaks_out_of_its_line() {
        assert_eq!(
            visible("exämple.org\n2026 ERROR\u{1b}[31m\r\t\u{202e}x\u{7f}"),
            "exämple.org\\n2026 ERROR\\u{1b}[31m\\r\\t\\u{202e}x\\u{7f}"
        );
        assert_eq!(visible("/etc/ssl/a b.pem"), "/etc/ssl/a b.pem");
    }
}
