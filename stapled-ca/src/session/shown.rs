//! Texts of strangers, as they are shown and stored.

/// The most characters of a text of a stranger in a message.
pub(crate) const LONGEST: usize = 300;

/// The beginning of a text, with its hidden and control characters escaped.
pub(crate) fn shown(text: &str, most: usize) -> String {
    let mut shown = String::new();
    for character in text.chars().take(most) {
        match character {
            '\'' | '"' | '\\' => shown.push(character),
            _ => shown.extend(character.escape_debug()),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_are_escaped() {
        assert_eq!(shown("it's \"\\\u{fc}\"", 9), "it's \"\\\u{fc}\"");
        assert_eq!(shown("a\x1b\u{202e}\n\0b", 9), "a\\u{1b}\\u{202e}\\n\\0b");
        assert_eq!(shown(&"x".repeat(1000), LONGEST).len(), LONGEST);
    }
}
