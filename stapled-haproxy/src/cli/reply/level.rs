//! The reply to `show cli level`.

use crate::cli::level::Level;

/// The level of the socket; `None` if HAProxy does not show it.
pub(crate) fn level(reply: &str) -> Option<Level> {
    match reply.trim() {
        "user" => Some(Level::User),
        "operator" => Some(Level::Operator),
        "admin" => Some(Level::Admin),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels() {
        for (said, expected) in [
            ("admin\n", Some(Level::Admin)),
            ("operator\n", Some(Level::Operator)),
            ("user\n", Some(Level::User)),
            ("Unknown command: 'show cli level'\n", None),
            ("", None),
        ] {
            assert_eq!(level(said), expected, "{said:?}");
        }
    }
}
