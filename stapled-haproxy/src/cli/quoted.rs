//! HAProxy's replies in messages.

/// The number of characters of a reply that a message repeats.
const QUOTED: usize = 300;

/// A reply for a message: on one line, short, without control characters.
pub(crate) fn quoted(said: &str) -> String {
    let mut text = String::new();
    for line in said.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if !text.is_empty() {
            text.push_str(" / ");
        }
        text.extend(line.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(QUOTED));
        if text.len() > QUOTED {
            text.push('…');
            break;
        }
    }
    if text.is_empty() { "nothing".to_owned() } else { format!("`{text}`") }
}
