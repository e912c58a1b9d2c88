//! The lines of a log, in the forms that programs and people read.

use std::fmt::{self, Write};
use std::io::{self, IsTerminal};

use serde_json::{Map, Value};

use super::Severity;
use crate::describe::visible::Visible;
use crate::time::Timestamp;

/// The longest value in JSON and in the journal, in bytes: the size of a datagram to the journal is limited.
const MAX_VALUE: usize = 16 * 1024;
/// The fields that every object of JSON has; those that do not apply are null.
const STABLE: [&str; 8] = ["time", "level", "event", "code", "certificate", "responder", "server", "text"];

/// A line of a log: a text, and fields in their order. Control characters are escaped in each form.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Line {
    /// How much it matters.
    pub severity: Severity,
    /// The text.
    pub text: String,
    /// Names and values.
    pub fields: Vec<(&'static str, Value)>,
}

/// The form of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Form {
    /// Time and level, then words and facts.
    Time,
    /// The same with a colour for the level, for terminals.
    Coloured,
    /// The priority, in the form that systemd's journal reads on standard error (sd-daemon(3)), then words and facts. The
    /// journal adds the time.
    Priority,
    /// Words and facts: syslog adds time and level.
    Words,
    /// An object of JSON.
    Json,
    /// A datagram of the journal's native protocol.
    Journal,
}

impl Form {
    /// The form for standard error: with priorities where that is the journal (`JOURNAL_STREAM`), with colours on a terminal unless
    /// `NO_COLOR` is set.
    pub fn of_stderr() -> Self {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        match io::stderr().is_terminal() {
            true if variable("NO_COLOR").is_none() => Form::Coloured,
            false if variable("JOURNAL_STREAM").is_some() => Form::Priority,
            _ => Form::Time,
        }
    }
}

impl Line {
    /// The line in this form, with its newline.
    pub fn to_text(&self, form: Form, at: Timestamp) -> String {
        let (colour, level) = match self.severity {
            Severity::Error => ("\u{1b}[1;31m", "ERROR"),
            Severity::Warning => ("\u{1b}[33m", "WARN "),
            Severity::Info => ("\u{1b}[32m", "INFO "),
            Severity::Debug => ("\u{1b}[2m", "DEBUG"),
        };
        match form {
            Form::Time => format!("{at} {level} {self}\n"),
            Form::Coloured => format!("{at} {colour}{level}\u{1b}[0m {self}\n"),
            Form::Priority => format!("<{}>{self}\n", self.priority()),
            Form::Words => format!("{self}\n"),
            Form::Json => format!("{}\n", self.json(at)),
            Form::Journal => self.journal(),
        }
    }

    /// A line without text and fields.
    pub fn new(severity: Severity) -> Self {
        Line { severity, text: String::new(), fields: Vec::new() }
    }

    /// Adds a field; the one with the name `message` is the text.
    pub fn add(&mut self, name: &'static str, value: impl Into<Value>) {
        match (name, value.into()) {
            ("message", value) => self.text = plain(&value),
            (name, value) => self.fields.push((name, value)),
        }
    }

    /// The priority that syslog and systemd's journal know.
    fn priority(&self) -> u8 {
        match self.severity {
            Severity::Error => 3,
            Severity::Warning => 4,
            Severity::Info => 6,
            Severity::Debug => 7,
        }
    }

    /// An object with the time. It has the fields `time`, `level`, `event`, `code`, `certificate`, `responder`, `server` and
    /// `text`, which are null where they do not apply, and the other fields.
    fn json(&self, at: Timestamp) -> Value {
        let mut object: Map<String, Value> = STABLE.iter().map(|name| ((*name).to_owned(), Value::Null)).collect();
        for (name, value) in &self.fields {
            let value = if value.is_string() { cut(&plain(value)).into() } else { value.clone() };
            object.insert(public_name(name).to_owned(), value);
        }
        let level = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "info",
            Severity::Debug => "debug",
        };
        for (name, value) in [("time", at.to_string()), ("level", level.to_owned()), ("text", cut(&self.text))] {
            object.insert(name.to_owned(), value.into());
        }
        Value::Object(object)
    }

    /// A datagram of the native protocol of systemd's journal, with fields as systemd.journal-fields(7) has them. Those of
    /// the line begin with `STAPLED_`. No value has a newline.
    fn journal(&self) -> String {
        let mut text =
            format!("PRIORITY={}\nSYSLOG_IDENTIFIER=stapled\nMESSAGE={}\n", self.priority(), cut(&self.text));
        for (name, value) in &self.fields {
            // Writing to a String does not fail.
            let _ = writeln!(text, "STAPLED_{}={}", public_name(name).to_ascii_uppercase(), cut(&plain(value)));
        }
        text
    }
}

/// The text, then the fields as `name=value`.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Visible::new(&self.text))?;
        for (name, value) in &self.fields {
            let value = plain(value);
            match value.is_empty() || value.contains([' ', '"', '=', '\\']) {
                false => write!(f, " {name}={}", Visible::new(&value))?,
                true => {
                    let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
                    write!(f, " {name}=\"{}\"", Visible::new(&escaped))?;
                }
            }
        }
        Ok(())
    }
}

/// The name of a field for programs: as in the variables of the hook.
fn public_name(name: &str) -> &str {
    match name {
        "sink" => "server",
        "place" => "files",
        name => name,
    }
}

/// A value as text.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A text without control characters; of one that is too long, the beginning.
fn cut(text: &str) -> String {
    let mut text = Visible::new(text).to_string();
    let end = (0..=MAX_VALUE.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.truncate(end.unwrap_or_default());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        let mut line = Line::new(Severity::Warning);
        line.add("event", "renewal_failed");
        line.add("certificate", "a\n\"b");
        line.add("sink", "/run/a b.sock");
        line.add("outage", true);
        line.add("count", 7);
        line.add("message", "a\nPRIORITY=0");
        line
    }

    #[test]
    fn words_quote_what_has_spaces() {
        let expected =
            "a\\nPRIORITY=0 event=renewal_failed certificate=\"a\\n\\\"b\" sink=\"/run/a b.sock\" outage=true count=7";
        assert_eq!(line().to_string(), expected);
    }

    #[test]
    fn each_form_is_one_line() {
        let at = Timestamp::from_unix(0);
        for (form, begin) in [
            (Form::Time, "1970-01-01T00:00:00Z WARN  a\\nPRIORITY=0 event="),
            (Form::Coloured, "1970-01-01T00:00:00Z \u{1b}[33mWARN \u{1b}[0m a\\n"),
            (Form::Priority, "<4>a\\n"),
            (Form::Words, "a\\n"),
            (Form::Json, "{\"certificate\":"),
        ] {
            let text = line().to_text(form, at);
            assert!(text.starts_with(begin) && text.ends_with('\n') && text.lines().count() == 1, "{text}");
        }
    }

    #[test]
    fn every_object_has_the_stable_fields() {
        let object = line().json(Timestamp::from_unix(0));
        let expected = serde_json::json!({
            "time": "1970-01-01T00:00:00Z", "level": "warning", "event": "renewal_failed", "code": null, "responder": null,
            "certificate": "a\\n\"b", "server": "/run/a b.sock", "text": "a\\nPRIORITY=0", "outage": true, "count": 7,
        });
        assert_eq!(object, expected);
    }

    #[test]
    fn the_journal_gets_fields_without_newlines() {
        let mut line = line();
        let expected = "PRIORITY=4\nSYSLOG_IDENTIFIER=stapled\nMESSAGE=a\\nPRIORITY=0\nSTAPLED_EVENT=renewal_failed\n\
                        STAPLED_CERTIFICATE=a\\n\"b\nSTAPLED_SERVER=/run/a b.sock\nSTAPLED_OUTAGE=true\nSTAPLED_COUNT=7\n";
        assert_eq!(line.journal(), expected);
        line.add("what", "ä".repeat(100_000));
        assert!(line.journal().len() < 20_000 && line.json(Timestamp::from_unix(0)).to_string().len() < 20_000);
    }
}
