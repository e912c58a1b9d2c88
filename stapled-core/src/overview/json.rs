//! JSON on one line.

use std::io;

use serde::Serialize;
use serde_json::ser::Formatter;

use super::totals::Totals;
use crate::describe::visible::Visible;

/// Totals, with the exit code of the command that prints them.
#[derive(Serialize)]
pub(crate) struct Counted<'a> {
    #[serde(flatten)]
    pub(crate) totals: &'a Totals,
    pub(crate) exit_code: u8,
}

/// One line of JSON. The characters that [`Visible`] escapes are escaped as JSON prescribes, so that no text changes.
#[must_use]
pub fn json_line(value: &impl Serialize) -> String {
    struct OneLine;
    impl Formatter for OneLine {
        fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, text: &str) -> io::Result<()> {
            for character in text.chars() {
                match u16::try_from(u32::from(character)) {
                    Ok(code) if Visible::is_hidden(character) => write!(writer, "\\u{code:04x}")?,
                    _ => write!(writer, "{character}")?,
                }
            }
            Ok(())
        }
    }
    let mut line = Vec::new();
    // Writing to a Vec does not fail.
    let _ = value.serialize(&mut serde_json::Serializer::with_formatter(&mut line, OneLine));
    line.push(b'\n');
    String::from_utf8_lossy(&line).into_owned()
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
}
