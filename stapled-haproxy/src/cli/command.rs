//! What is said to HAProxy: the commands of "9.3. Unix Socket commands" in its management guide that this crate uses.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::cli::framing::Ending;

/// No longer name is said: a command must fit into HAProxy's buffer.
const MAX_NAME: usize = 4096;

/// One command with its payload, ready to send, and what its reply may begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Command {
    bytes: Bytes,
    payload_lines: usize,
    ending: Ending,
}

/// The name of a certificate, as `show ssl cert` lists it, that can be said in a command.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CliName {
    plain: String,
    escaped: String,
}

/// Why a name cannot be said in a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Nothing.
    #[error("it is empty")]
    Empty,
    /// A line break, or another character that would end or garble the command.
    #[error("it has a control character in it")]
    ControlCharacter,
    /// It begins as changes under way are listed.
    #[error("it begins with *, which HAProxy takes for a change under way")]
    Star,
    /// Longer than a command can be.
    #[error("it is too long")]
    TooLong,
}

impl NameError {
    /// Whether a certificate of this name can be spoken of with HAProxy. One that cannot gets no staple while HAProxy
    /// runs.
    ///
    /// # Errors
    ///
    /// Why it cannot.
    pub fn check(name: &str) -> Result<(), NameError> {
        CliName::new(name).map(|_| ())
    }
}

impl CliName {
    pub(crate) fn new(name: &str) -> Result<Self, NameError> {
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if name.starts_with('*') {
            return Err(NameError::Star);
        }
        if name.len() > MAX_NAME {
            return Err(NameError::TooLong);
        }
        if name.chars().any(char::is_control) {
            return Err(NameError::ControlCharacter);
        }
        let mut escaped = String::with_capacity(name.len());
        for c in name.chars() {
            // Only punctuation and spaces get a backslash: before a letter it could mean something else.
            if c.is_ascii() && !c.is_ascii_alphanumeric() && !"/._-+@%=:,~".contains(c) {
                escaped.push('\\');
            }
            escaped.push(c);
        }
        Ok(CliName { plain: name.to_owned(), escaped })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.plain
    }
}

impl Command {
    /// Changes the connection to HAProxy's interactive mode: it stays open.
    pub(crate) fn prompt() -> Self {
        Self::line("prompt")
    }

    pub(crate) fn show_info() -> Self {
        Self::line("show info")
    }

    /// How long HAProxy keeps this connection when idle.
    pub(crate) fn set_timeout(seconds: u64) -> Self {
        Self::line(&format!("set timeout cli {seconds}"))
    }

    /// Gives a response to the certificate of its CertID, on one line, so that nothing can lie between.
    pub(crate) fn set_ocsp_response(der: &[u8]) -> Self {
        Self::line(&format!("set ssl ocsp-response {}", STANDARD.encode(der)))
    }

    /// Asks for the response of one CertID, in words.
    pub(crate) fn show_response_in_words(cert_id: &[u8]) -> Self {
        Self::line(&format!("show ssl ocsp-response {}", hexadecimal(cert_id)))
    }

    /// The same in base64 (HAProxy 2.8 and later).
    pub(crate) fn show_response(cert_id: &[u8]) -> Self {
        let command = Self::line(&format!("show ssl ocsp-response base64 {}", hexadecimal(cert_id)));
        Command { ending: Ending::Line, ..command }
    }

    /// Which workers a master has.
    pub(crate) fn show_workers() -> Self {
        Self::line("show proc")
    }

    /// Has a master hand what follows to a worker.
    pub(crate) fn address_worker(pid: u64) -> Self {
        Self::line(&format!("@!{pid}"))
    }

    /// HAProxy's environment, in which it keeps where its configuration and sockets are.
    pub(crate) fn show_environment() -> Self {
        Self::line("show env")
    }

    /// What this connection may do.
    pub(crate) fn show_level() -> Self {
        Self::line("show cli level")
    }

    /// Which certificates HAProxy has.
    pub(crate) fn show_certificates() -> Self {
        Self::line("show ssl cert")
    }

    pub(crate) fn show_certificate(name: &CliName) -> Self {
        Self::line(&format!("show ssl cert {}", name.escaped))
    }

    /// The same of a certificate that a transaction under way would put in its place.
    pub(crate) fn show_transaction(name: &CliName) -> Self {
        Self::line(&format!("show ssl cert *{}", name.escaped))
    }

    /// Puts the first response of a certificate into a transaction.
    pub(crate) fn set_first_response(name: &CliName, der: &[u8]) -> Self {
        Self::with_payload(&format!("set ssl cert {}.ocsp", name.escaped), &STANDARD.encode(der))
    }

    /// Puts the issuer of a certificate into a transaction.
    pub(crate) fn set_issuer(name: &CliName, der: &[u8]) -> Self {
        let encoded = STANDARD.encode(der);
        let mut pem = String::from("-----BEGIN CERTIFICATE-----");
        for (position, c) in encoded.chars().enumerate() {
            if position % 64 == 0 {
                pem.push('\n');
            }
            pem.push(c);
        }
        pem.push_str("\n-----END CERTIFICATE-----");
        Self::with_payload(&format!("set ssl cert {}.issuer", name.escaped), &pem)
    }

    pub(crate) fn commit(name: &CliName) -> Self {
        Self::line(&format!("commit ssl cert {}", name.escaped))
    }

    pub(crate) fn abort(name: &CliName) -> Self {
        Self::line(&format!("abort ssl cert {}", name.escaped))
    }

    /// Asks whether a transaction is under way, without touching it: no certificate is called `/`, so there is none of
    /// that name to abort, and the reply says what there is instead.
    pub(crate) fn probe_transaction() -> Self {
        Self::line("abort ssl cert /")
    }

    /// The bytes to send.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many lines of payload there are: HAProxy up to 3.0 prompts for each with `+ `.
    pub(crate) fn payload_lines(&self) -> usize {
        self.payload_lines
    }

    /// What its reply ends with.
    pub(crate) fn ending(&self) -> Ending {
        self.ending
    }

    fn line(text: &str) -> Self {
        Command { bytes: format!("{text}\n").into(), payload_lines: 0, ending: Ending::EmptyLine }
    }

    fn with_payload(text: &str, payload: &str) -> Self {
        // The payload ends with an exactly empty line.
        Command {
            bytes: format!("{text} <<\n{payload}\n\n").into(),
            payload_lines: payload.lines().count() + 1,
            ending: Ending::EmptyLine,
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_that_cannot_be_said_are_refused() {
        assert_eq!(CliName::new(""), Err(NameError::Empty));
        assert_eq!(CliName::new("*a.pem"), Err(NameError::Star));
        assert_eq!(CliName::new("a\nshow info"), Err(NameError::ControlCharacter));
        assert_eq!(CliName::new(&"a".repeat(5000)), Err(NameError::TooLong));
    }

    #[test]
    fn a_name_is_one_word_of_one_command() {
        let name = CliName::new("/x/a b;c\\d <<e.pem").expect("a name");
        assert_eq!(Command::commit(&name).bytes(), b"commit ssl cert /x/a\\ b\\;c\\\\d\\ \\<\\<e.pem\n");
    }

    #[test]
    fn a_payload_ends_with_an_empty_line_and_has_no_other() {
        let name = CliName::new("a.pem").expect("a name");
        for length in [0, 1, 48, 49, 96, 1000] {
            let command = Command::set_issuer(&name, &vec![7; length]);
            let text = String::from_utf8(command.bytes().to_vec()).expect("text");
            assert_eq!(text.find("\n\n"), Some(text.len() - 2), "{text}");
            assert_eq!(command.payload_lines(), text.lines().count() - 1);
        }
    }

    proptest! {
        #[test]
        fn no_name_breaks_out_of_its_line(text in ".*") {
            if let Ok(name) = CliName::new(&text) {
                let command = Command::show_certificate(&name);
                let bytes = command.bytes();
                prop_assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 1);
                let mut escaped = false;
                for byte in &bytes[b"show ssl cert ".len()..bytes.len() - 1] {
                    prop_assert!(escaped || !b" \t;<\"'#".contains(byte));
                    escaped = !escaped && *byte == b'\\';
                }
                prop_assert!(!escaped);
            }
        }
    }
}
