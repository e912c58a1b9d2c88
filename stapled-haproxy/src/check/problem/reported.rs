//! Problems as a source of certificates reported them. Anyone can write a source, so there is only a code and one text of
//! what is wrong and what to do.

use stapled_core::reason::ReasonCode;

use crate::codes;

/// A problem as a source of certificates reported it. It always needs the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reported {
    /// The stable word for it.
    pub code: ReasonCode,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl Reported {
    /// Divides a text into what is wrong and what to do: at its last colon or semicolon, or with a remedy that is known
    /// for this code.
    pub fn new(code: ReasonCode, text: &str) -> Self {
        let (what, remedy) = match known_remedy(code) {
            Some(remedy) => (text, remedy),
            None => last_part(text).unwrap_or((text, "see HAProxy's log, and try again")),
        };
        Reported { code, what: what.to_owned(), remedy: remedy.to_owned() }
    }

    /// The same with another remedy.
    #[must_use]
    pub fn remedy(self, remedy: impl Into<String>) -> Self {
        Reported { remedy: remedy.into(), ..self }
    }
}

/// A text before and behind its last colon or semicolon.
fn last_part(text: &str) -> Option<(&str, &str)> {
    let at = text.rfind("; ").max(text.rfind(": "))?;
    Some((text.get(..at)?, text.get(at + 2..)?))
}

/// What to do, where the text does not say.
fn known_remedy(code: ReasonCode) -> Option<&'static str> {
    let remedies = [
        (codes::CONNECT_TIMEOUT, "look whether HAProxy hangs or its machine is overloaded; then try again"),
        (codes::REPLY_TIMEOUT, "look whether HAProxy hangs or its machine is overloaded; then try again"),
        (codes::CONNECTION_CLOSED, "see in HAProxy's log why it ended; then try again"),
        (codes::GARBLED_REPLY, "see that this is the admin socket of a HAProxy"),
        (codes::REPLY_TOO_LARGE, "see that this is the admin socket of a HAProxy"),
        (codes::FOREIGN_TRANSACTION, "end that change with `commit ssl cert` or `abort ssl cert`"),
        (codes::SCAN_FAILED, "try again"),
    ];
    remedies.into_iter().find(|(known, _)| *known == code).map(|(_, remedy)| remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(code: ReasonCode, text: &str) -> (String, String) {
        let Reported { what, remedy, .. } = Reported::new(code, text);
        (what, remedy)
    }

    #[test]
    fn a_text_is_divided_into_what_is_wrong_and_what_to_do() {
        let socket = "/run/a.sock has no listener: HAProxy is not running, or its `stats socket` is elsewhere";
        assert_eq!(
            reported(codes::SOCKET_REFUSED, socket),
            (
                "/run/a.sock has no listener".to_owned(),
                "HAProxy is not running, or its `stats socket` is elsewhere".to_owned()
            )
        );
    }

    #[test]
    fn a_text_without_a_remedy_gets_one() {
        let (what, remedy) = reported(codes::REPLY_TIMEOUT, "/run/a.sock did not reply within 5000 ms");
        assert_eq!(what, "/run/a.sock did not reply within 5000 ms");
        assert!(remedy.starts_with("look whether HAProxy hangs"));
        assert!(!reported(codes::SOCKET_ERROR, "odd").1.is_empty());
    }
}
