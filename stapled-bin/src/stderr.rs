//! Messages on standard error.

use std::fmt::Display;
use std::io::Write;

use crate::text::visible;

/// Writes one message. Where standard error is closed, the exit code has to do.
pub(crate) fn say(message: &dyn Display) {
    let _ = writeln!(std::io::stderr(), "stapled: {}", visible(&message.to_string()));
}
