//! The commands of "9.3. Unix Socket commands" in HAProxy's management guide that this crate sends.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use stapled_core::certificate::Certificate;
use stapled_core::hexadecimal::Hexadecimal;
use stapled_core::staple::Staple;

use crate::cli::framing::Ending;
use crate::cli::name::CliName;
use crate::cli::payload::Payload;
use crate::cli::process::Process;

/// One command with its payload, ready to send, and the frame of its reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Command {
    bytes: Bytes,
    payload_lines: usize,
    ending: Ending,
}

impl Command {
    /// Changes the connection to HAProxy's interactive mode, in which it stays open.
    pub(crate) fn prompt() -> Self {
        Self::line("prompt")
    }

    /// Shows the identity and the version of the process.
    pub(crate) fn show_info() -> Self {
        Self::line("show info")
    }

    /// Sets how long HAProxy keeps this connection while it is idle.
    pub(crate) fn set_timeout(seconds: u64) -> Self {
        Self::line(&format!("set timeout cli {seconds}"))
    }

    /// Gives a response to the certificate of its CertID. It is one line, so that no other client's bytes come between.
    pub(crate) fn set_ocsp_response(payload: &Payload) -> Self {
        Self::line(&format!("set ssl ocsp-response {}", STANDARD.encode(payload.as_der())))
    }

    /// Shows the response that a process has for a CertID, in base64 if the process can (HAProxy 2.8 and later).
    pub(crate) fn show_response(cert_id: &[u8], process: &Process) -> Self {
        let cert_id = Hexadecimal::of(cert_id);
        match process.shows_bytes() {
            true => {
                let command = Self::line(&format!("show ssl ocsp-response base64 {cert_id:x}"));
                Command { ending: Ending::Line, ..command }
            }
            false => Self::line(&format!("show ssl ocsp-response {cert_id:x}")),
        }
    }

    /// Lists the workers of a master.
    pub(crate) fn show_workers() -> Self {
        Self::line("show proc")
    }

    /// Tells a master to pass the following commands to a worker.
    pub(crate) fn address_worker(pid: u64) -> Self {
        Self::line(&format!("@!{pid}"))
    }

    /// Shows HAProxy's environment, which has the paths of its configuration and its sockets.
    pub(crate) fn show_environment() -> Self {
        Self::line("show env")
    }

    /// Shows the level of this connection.
    pub(crate) fn show_level() -> Self {
        Self::line("show cli level")
    }

    /// Shows the statistics of all frontends, and of nothing else.
    #[cfg(feature = "metrics")]
    pub(crate) fn show_frontends() -> Self {
        Self::line("show stat -1 1 -1")
    }

    /// Lists the certificates that HAProxy has loaded.
    pub(crate) fn show_certificates() -> Self {
        Self::line("show ssl cert")
    }

    /// Shows one loaded certificate.
    pub(crate) fn show_certificate(name: &CliName) -> Self {
        Self::line(&format!("show ssl cert {}", name.escaped()))
    }

    /// Shows the certificate that an open transaction would put in the place of a loaded one.
    pub(crate) fn show_transaction(name: &CliName) -> Self {
        Self::line(&format!("show ssl cert *{}", name.escaped()))
    }

    /// Adds the first response of a certificate to a transaction.
    pub(crate) fn set_first_response(name: &CliName, staple: &Staple) -> Self {
        Self::with_payload(&format!("set ssl cert {}.ocsp", name.escaped()), &STANDARD.encode(staple.response()))
    }

    /// Adds the issuer of a certificate to a transaction.
    pub(crate) fn set_issuer(name: &CliName, issuer: &Certificate) -> Self {
        Self::with_payload(&format!("set ssl cert {}.issuer", name.escaped()), issuer.to_pem().trim_end())
    }

    /// Commits the transaction about a certificate.
    pub(crate) fn commit(name: &CliName) -> Self {
        Self::line(&format!("commit ssl cert {}", name.escaped()))
    }

    /// Aborts the transaction about a certificate.
    pub(crate) fn abort(name: &CliName) -> Self {
        Self::line(&format!("abort ssl cert {}", name.escaped()))
    }

    /// Asks whether a transaction is open, and changes nothing: no certificate has the name `/`, so there is no such
    /// transaction to abort, and the reply names the open one.
    pub(crate) fn probe_transaction() -> Self {
        Self::line("abort ssl cert /")
    }

    /// The bytes to send.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The number of payload lines: HAProxy up to 3.0 prompts for each with `+ `.
    pub(crate) fn payload_lines(&self) -> usize {
        self.payload_lines
    }

    /// The end of its reply.
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_is_one_word_of_one_command() {
        let name = CliName::new("/x/a b;c\\d <<e.pem").expect("a name");
        assert_eq!(Command::commit(&name).bytes(), b"commit ssl cert /x/a\\ b\\;c\\\\d\\ \\<\\<e.pem\n");
    }

    #[test]
    fn a_payload_ends_with_an_empty_line_and_has_no_other() {
        for length in [0, 1, 48, 49, 96, 1000] {
            let command =
                Command::with_payload("set ssl cert a.pem.issuer", Certificate::pem_of(&vec![7; length]).trim_end());
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
