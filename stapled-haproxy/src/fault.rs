//! Errors of this crate as the trait of sinks wants them: the socket first, then what happened, then what to do.

use std::fmt::Display;

use stapled_core::reason::ReasonCode;
use stapled_core::sink::SinkError;

/// No more of what HAProxy said is repeated in a message.
const QUOTED: usize = 300;

pub(crate) fn unreachable(code: ReasonCode, socket: &dyn Display, what: &str) -> SinkError {
    SinkError::Unreachable { code, what: format!("{socket} {what}") }
}

pub(crate) fn refused(code: ReasonCode, socket: &dyn Display, what: &str) -> SinkError {
    SinkError::Refused { code, what: format!("{socket}: {what}") }
}

/// What a stranger said, on one line, short, without control characters.
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
