//! Texts of clients and their hosts, as they are shown and stored.

use stapled_core::describe::visible::Visible;

/// The most characters of such a text in a message.
pub(crate) const LONGEST: usize = 300;

/// The beginning of a text, with its hidden and control characters escaped.
pub(crate) fn shown(text: &str, most: usize) -> String {
    let end = text.char_indices().nth(most).map_or(text.len(), |(end, _)| end);
    Visible::new(text.get(..end).unwrap_or_default()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_are_escaped_and_long_texts_cut() {
        assert_eq!(shown("it's \"\\\u{fc}\"", 9), "it's \"\\\u{fc}\"");
        assert_eq!(shown("a\x1b\u{202e}\n\0b", 9), "a\\u{1b}\\u{202e}\\n\\u{0}b");
        assert_eq!(shown(&"\u{fc}".repeat(1000), LONGEST), "\u{fc}".repeat(LONGEST));
    }
}
