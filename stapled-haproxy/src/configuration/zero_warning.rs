//! By what HAProxy refuses to start, and to reload, after a warning.

use std::fmt;
use std::path::Path;

use super::place::Place;

/// By what HAProxy refuses to start, and to reload, after a warning: such as that of an expired response in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ZeroWarning {
    /// By the line `zero-warning` of its configuration.
    Line(Place),
    /// By the option `-dW` on its command line.
    CommandLine,
}

impl ZeroWarning {
    /// Whether a command line has the option: that of a HAProxy, with a NUL behind each word as in `/proc/PID/cmdline`.
    pub(crate) fn of_command_line(words: &[u8]) -> Option<Self> {
        let words: Vec<_> = words.split(|&byte| byte == 0).map(String::from_utf8_lossy).collect();
        let is_haproxy = |word: &str| {
            Path::new(word).file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"haproxy"))
        };
        // If HAProxy runs in a container, its process id may be that of another program on this machine. The first word may be
        // a loader.
        let is_its = words.iter().any(|word| is_haproxy(word));
        let has_option = words.iter().take_while(|word| **word != "--").any(|word| word.starts_with("-dW"));
        (is_its && has_option).then_some(ZeroWarning::CommandLine)
    }
}

impl fmt::Display for ZeroWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ZeroWarning::Line(place) => write!(f, "`zero-warning`, {place}"),
            ZeroWarning::CommandLine => f.write_str("`-dW` on its command line"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_of_a_haproxy_is_read() {
        for (words, expected) in [
            ("/usr/sbin/haproxy\0-dW\0-f\0h.cfg\0", true),
            ("haproxy-3.0\0-db\0-dW\0", true),
            ("/lib64/ld.so\0/opt/haproxy-3.0\0-dW\0", true),
            ("/usr/sbin/haproxy\0-f\0h.cfg\0", false),
            ("/usr/sbin/haproxy\0-f\0h.cfg\0--\0-dW\0", false),
            ("/usr/bin/other\0-dW\0", false),
            ("", false),
            ("\0", false),
            ("/\0-dW", false),
        ] {
            assert_eq!(ZeroWarning::of_command_line(words.as_bytes()).is_some(), expected, "{words:?}");
        }
    }
}
