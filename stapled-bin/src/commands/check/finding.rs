//! What is found: a stable word, what it is, and what to do about it. Pure.

use serde::Serialize;
use stapled_core::reason::ReasonCode;
use stapled_haproxy::codes as haproxy;

/// The words that nobody but `stapled check` uses. Those of what the daemon tells as well are the daemon's.
pub(super) mod codes {
    use stapled_core::reason::ReasonCode;

    /// Neither a path nor a HAProxy has a certificate.
    pub(in super::super) const NO_CERTIFICATES: ReasonCode = ReasonCode::new("no_certificates");
    /// A file has certificates of authorities only, which get no staples.
    pub(in super::super) const ONLY_CA_CERTIFICATES: ReasonCode = ReasonCode::new("only_ca_certificates");
    /// A certificate without an OCSP URL needs no staple.
    pub(in super::super) const NO_OCSP_URL: ReasonCode = ReasonCode::new("no_ocsp_url");
    /// The issuer lies nowhere; the daemon fetches it.
    pub(in super::super) const ISSUER_TO_BE_FETCHED: ReasonCode = ReasonCode::new("issuer_to_be_fetched");
    /// HAProxy would take what is in a `.issuer` file for the issuer, and it is not.
    pub(in super::super) const WRONG_ISSUER_FILE: ReasonCode = ReasonCode::new("wrong_issuer_file");
    /// There is a staple's file, and HAProxy does not find the issuer: it will not start.
    pub(in super::super) const STAPLE_WITHOUT_ISSUER: ReasonCode = ReasonCode::new("staple_without_issuer");
    /// Its CA's responses live so short that HAProxy sends none of them.
    pub(in super::super) const EXPIRES_TOO_SOON: ReasonCode = ReasonCode::new("expires_too_soon");
    /// What is in the staple's file is no staple for this certificate now.
    pub(in super::super) const STAPLE_FILE_UNUSABLE: ReasonCode = ReasonCode::new("staple_file_unusable");
    /// HAProxy does not start without the staple's file, and there is none.
    pub(in super::super) const STAPLE_FILE_MISSING: ReasonCode = ReasonCode::new("staple_file_missing");
    /// By the staple's file, the certificate is revoked.
    pub(in super::super) const REVOKED: ReasonCode = ReasonCode::new("revoked");
    /// HAProxy asks for the responses of this certificate itself.
    pub(in super::super) const TWO_WRITERS: ReasonCode = ReasonCode::new("two_writers");
    /// Nothing is delivered to a running HAProxy: staples are written to files only.
    pub(in super::super) const NO_SOCKET: ReasonCode = ReasonCode::new("no_socket");
    /// HAProxy serves certificates that lie in none of the paths.
    pub(in super::super) const NOT_IN_PATHS: ReasonCode = ReasonCode::new("not_in_paths");
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// The stable word for it.
    pub(super) reason: &'static str,
    /// Whether somebody has to do something: otherwise it is just told.
    pub(super) needs_operator: bool,
    pub(super) what: String,
    /// What to do.
    pub(super) remedy: Option<String>,
    /// The socket that it is about, where it is about one.
    pub(super) socket: Option<String>,
}

impl Finding {
    /// Something that needs the operator.
    pub(super) fn problem(code: ReasonCode, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (what, remedy) = (what.into(), Some(remedy.into()));
        Finding { reason: code.as_str(), needs_operator: true, what, remedy, socket: None }
    }

    /// Something that stapled copes with, or that is as it should be.
    pub(super) fn note(code: ReasonCode, what: impl Into<String>) -> Self {
        Finding { reason: code.as_str(), needs_operator: false, what: what.into(), remedy: None, socket: None }
    }

    /// What a part of stapled says, in one text, of what is wrong and what to do.
    pub(super) fn told(code: ReasonCode, text: &str) -> Self {
        let (what, remedy) = match remedy(code) {
            Some(remedy) => (text, remedy.to_owned()),
            None => match last_part(text) {
                Some((what, remedy)) => (what, remedy.to_owned()),
                None => (text, "see HAProxy's log, and try again".to_owned()),
            },
        };
        Finding::problem(code, what, remedy)
    }

    /// The same, as something that is just told.
    pub(super) fn noted(self) -> Self {
        Finding { needs_operator: false, ..self }
    }

    /// The same, with something to do.
    pub(super) fn remedy(self, remedy: impl Into<String>) -> Self {
        Finding { remedy: Some(remedy.into()), ..self }
    }

    /// The same, about this socket.
    pub(super) fn about(self, socket: &dyn std::fmt::Display) -> Self {
        Finding { socket: Some(socket.to_string()), ..self }
    }
}

/// A text before and behind its last colon or semicolon.
fn last_part(text: &str) -> Option<(&str, &str)> {
    let at = text.rfind("; ").max(text.rfind(": "))?;
    Some((text.get(..at)?, text.get(at + 2..)?))
}

/// What to do, where the text does not say.
fn remedy(code: ReasonCode) -> Option<&'static str> {
    let remedies = [
        (haproxy::CONNECT_TIMEOUT, "look whether HAProxy hangs or its machine is overloaded; then try again"),
        (haproxy::REPLY_TIMEOUT, "look whether HAProxy hangs or its machine is overloaded; then try again"),
        (haproxy::CONNECTION_CLOSED, "see in HAProxy's log why it ended; then try again"),
        (haproxy::GARBLED_REPLY, "see that this is the admin socket of a HAProxy"),
        (haproxy::REPLY_TOO_LARGE, "see that this is the admin socket of a HAProxy"),
        (haproxy::FOREIGN_TRANSACTION, "end that change with `commit ssl cert` or `abort ssl cert`"),
        (haproxy::CRT_MISSING, "put it there, or take it out of the configuration"),
        (haproxy::CONFIGURATION_LINE, "see what `haproxy -c -f` says, and correct the line"),
        (haproxy::CONFIGURATION_TOO_LARGE, "name the certificates with --cert-paths instead"),
        (haproxy::CONDITION_UNDECIDED, "nothing, where both ways name the same certificates"),
        (haproxy::SOCKET_LEVEL, "add `level admin` to that line, and reload HAProxy"),
        (haproxy::SCAN_FAILED, "try again"),
    ];
    remedies.into_iter().find(|(known, _)| *known == code).map(|(_, remedy)| remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(code: ReasonCode, text: &str) -> (String, String) {
        let Finding { what, remedy, .. } = Finding::told(code, text);
        (what, remedy.unwrap())
    }

    #[test]
    fn a_text_is_parted_into_what_is_wrong_and_what_to_do() {
        let socket = "/run/a.sock has no listener: HAProxy is not running, or its `stats socket` is elsewhere";
        assert_eq!(
            told(haproxy::SOCKET_REFUSED, socket),
            (
                "/run/a.sock has no listener".to_owned(),
                "HAProxy is not running, or its `stats socket` is elsewhere".to_owned()
            )
        );
        let relative =
            "/h.cfg:7: a.pem is taken from /, where this program was started; HAProxy has its own: give another";
        assert_eq!(told(haproxy::RELATIVE_PATH, relative).1, "give another");
        let list = "/h.cfg:7: the crt-list /l cannot be read: denied; create it, or let this user read it";
        assert_eq!(
            told(haproxy::CRT_LIST_UNREADABLE, list),
            (
                "/h.cfg:7: the crt-list /l cannot be read: denied".to_owned(),
                "create it, or let this user read it".to_owned()
            )
        );
    }

    #[test]
    fn what_says_no_remedy_gets_one() {
        let (what, remedy) = told(haproxy::REPLY_TIMEOUT, "/run/a.sock did not reply within 5000 ms");
        assert_eq!(what, "/run/a.sock did not reply within 5000 ms");
        assert!(remedy.starts_with("look whether HAProxy hangs"));
        assert!(!told(haproxy::SOCKET_ERROR, "odd").1.is_empty());
    }
}
