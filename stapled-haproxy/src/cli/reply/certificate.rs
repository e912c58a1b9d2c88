//! The replies about certificates: to `show ssl cert NAME`, and to `show ssl cert`, which lists all names.

use stapled_core::hexadecimal::Hexadecimal;

use crate::cli::identity::Identity;
use crate::cli::reply::refusal::{MayBeLocked, is_listing_denied, is_locked};

/// The reply to `show ssl cert NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ShowReply {
    /// HAProxy has this certificate loaded.
    Loaded(Loaded),
    /// HAProxy has loaded no certificate of that name.
    NotFound,
    /// HAProxy was executing another client's command.
    Locked,
    /// The socket's level is too low.
    Denied,
    /// Any other reply.
    Other(String),
}

/// The reply to `show ssl cert`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ListReply {
    /// The loaded certificates.
    Names {
        /// The names, in HAProxy's order.
        names: Vec<String>,
        /// The name of the certificate that an open transaction changes.
        in_transaction: Option<String>,
    },
    /// HAProxy was executing another client's command.
    Locked,
    /// The socket's level is too low.
    Denied,
    /// The reply is not a list.
    Garbled(String),
}

/// A loaded certificate as HAProxy shows it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Loaded {
    /// The serial number in hexadecimal.
    pub(crate) serial: String,
    /// The SHA-1 hash of the certificate in hexadecimal; empty if HAProxy shows none.
    pub(crate) fingerprint: String,
    /// Whether further certificates came with it, perhaps its issuer.
    pub(crate) has_chain: bool,
    /// The DER of the CertID for which HAProxy takes responses; empty while it takes none.
    pub(crate) response_key: Vec<u8>,
    /// The file of the certificate, if HAProxy shows it (3.2 and later).
    pub(crate) file: Option<String>,
    /// Whether neither a `bind` line nor a crt-list uses the certificate.
    pub(crate) is_unused: bool,
}

impl Loaded {
    /// Whether HAProxy takes responses for it.
    pub(crate) fn takes_responses(&self) -> bool {
        !self.response_key.is_empty()
    }

    /// Whether HAProxy takes responses of this CertID for it. HAProxy computes another CertID if it takes another
    /// certificate for the issuer.
    pub(crate) fn takes_responses_for(&self, cert_id: &[u8]) -> bool {
        self.response_key == cert_id
    }

    /// Whether this is the certificate of that identity.
    pub(crate) fn is(&self, identity: &Identity) -> bool {
        identity.matches(&self.serial, &self.fingerprint)
    }

    /// Whether HAProxy shows the same certificate for both.
    pub(crate) fn is_same_certificate(&self, other: &Loaded) -> bool {
        (&self.serial, &self.fingerprint) == (&other.serial, &other.fingerprint)
    }
}

/// Reads the reply to `show ssl cert NAME`.
pub(crate) fn show(reply: &str) -> ShowReply {
    let text = reply.trim_end_matches('\n');
    if is_locked(text) {
        return ShowReply::Locked;
    }
    if text.starts_with("Can't display the certificate: Not found") {
        return ShowReply::NotFound;
    }
    if is_listing_denied(text) {
        return ShowReply::Denied;
    }
    let mut loaded = Loaded::default();
    for line in text.lines() {
        // This part follows even if HAProxy ends the part before it in the middle of a line.
        if let Some((_, key)) = line.split_once("OCSP Response Key:") {
            loaded.response_key = Hexadecimal::decode(key.trim()).unwrap_or_default();
            continue;
        }
        let Some((key, value)) = line.split_once(": ") else { continue };
        match key {
            "Status" => loaded.is_unused = value == "Unused",
            "Crt filename" => loaded.file = Some(value.to_owned()).filter(|file| !file.is_empty()),
            "Serial" if loaded.serial.is_empty() => loaded.serial = value.to_owned(),
            "SHA1 FingerPrint" if loaded.fingerprint.is_empty() => loaded.fingerprint = value.to_owned(),
            "Chain Subject" => loaded.has_chain = true,
            _ => {}
        }
    }
    // HAProxy 2.6 knows no name for the algorithm of an Ed25519 key, and omits all lines after it, the fingerprint too.
    if loaded.serial.is_empty() {
        return ShowReply::Other(text.to_owned());
    }
    ShowReply::Loaded(loaded)
}

/// Reads the lines of the reply to `show ssl cert`.
pub(crate) fn list(lines: &[String]) -> ListReply {
    if lines.last().is_some_and(|line| is_locked(line)) {
        return ListReply::Locked;
    }
    if lines.iter().any(|line| is_listing_denied(line)) {
        return ListReply::Denied;
    }
    // A list has a heading, unless it is empty.
    if !lines.is_empty() && !lines.iter().any(|line| line.starts_with('#')) {
        return ListReply::Garbled(lines.join("\n"));
    }
    let names = lines.iter().filter_map(|line| listed_name(line)).map(str::to_owned).collect();
    let in_transaction = lines.iter().find_map(|line| name_in_transaction(line)).map(str::to_owned);
    ListReply::Names { names, in_transaction }
}

/// The name of a loaded certificate in a line of the list; `None` for a heading and for an open transaction.
pub(crate) fn listed_name(line: &str) -> Option<&str> {
    (!line.is_empty() && !line.starts_with(['#', '*']) && !is_listing_denied(line)).then_some(line)
}

/// The name of the certificate that an open transaction changes, in a line of the list.
fn name_in_transaction(line: &str) -> Option<&str> {
    line.strip_prefix('*').filter(|name| !name.is_empty())
}

impl MayBeLocked for ShowReply {
    fn is_locked(&self) -> bool {
        *self == ShowReply::Locked
    }
}

impl MayBeLocked for ListReply {
    fn is_locked(&self) -> bool {
        *self == ListReply::Locked
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn identity(serial: &str, fingerprint: &str) -> Identity {
        Identity { serial: serial.to_owned(), fingerprint: fingerprint.to_owned() }
    }

    #[test]
    fn a_shown_certificate_has_serial_and_fingerprint() {
        let said = "Filename: a.pem\nStatus: Used\nSerial: 1001\nSHA1 FingerPrint: 0F0A\nSubject: /CN=a\n\
                    Chain Subject: /CN=Lab CA\nOCSP Response Key: 303b\n\n";
        let expected = Loaded {
            serial: "1001".into(),
            fingerprint: "0F0A".into(),
            has_chain: true,
            response_key: vec![0x30, 0x3b],
            file: None,
            is_unused: false,
        };
        assert!(expected.is(&identity("001001", "0f0a")));
        assert!(!expected.is(&identity("1001", "0F0B")) && !expected.is(&identity("1002", "0F0A")));
        assert_eq!(show(said), ShowReply::Loaded(expected));
        assert!(matches!(show(&said.replace("303b", "")), ShowReply::Loaded(loaded) if !loaded.takes_responses()));
        assert!(matches!(show("Filename: a.pem\nStatus: Empty\n"), ShowReply::Other(_)));
        let cut = show("Filename: a.pem\nStatus: Used\nSerial: 1001\nAlgorithm: OCSP Response Key: \n\n");
        assert_eq!(cut, ShowReply::Loaded(Loaded { serial: "1001".into(), ..Loaded::default() }));
        let cut = show("Filename: a.pem\nStatus: Used\nSerial: 1001\nAlgorithm: OCSP Response Key: 303b\n\n");
        assert!(matches!(cut, ShowReply::Loaded(loaded) if loaded.takes_responses()));
        assert_eq!(show("Can't allocate memory!\n"), ShowReply::Denied);
        let locked = "Can't display the certificate!\nOperations on certificates are currently locked!\n";
        assert_eq!(show(locked), ShowReply::Locked);
    }

    #[test]
    fn a_list_is_read_by_line() {
        let lines = ["# transaction", "*/a.pem", "# filename", "/a.pem", ""];
        assert_eq!(lines.map(name_in_transaction), [None, Some("/a.pem"), None, None, None]);
        assert_eq!(lines.map(listed_name), [None, None, None, Some("/a.pem"), None]);
        let lines = lines.map(str::to_owned);
        let names = vec!["/a.pem".to_owned()];
        assert_eq!(list(&lines), ListReply::Names { names, in_transaction: Some("/a.pem".to_owned()) });
    }

    #[test]
    fn a_list_without_a_heading_is_not_a_list() {
        let read = |lines: &[&str]| list(&lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>());
        assert_eq!(read(&[]), ListReply::Names { names: Vec::new(), in_transaction: None });
        assert_eq!(read(&["a.pem"]), ListReply::Garbled("a.pem".to_owned()));
        assert_eq!(read(&["Permission denied"]), ListReply::Denied);
        assert_eq!(read(&["Can't allocate memory!"]), ListReply::Denied);
        assert_eq!(read(&["No.", "Operations on certificates are currently locked!"]), ListReply::Locked);
    }

    proptest! {
        #[test]
        fn no_reply_panics(said in "(?s).{0,200}") {
            let _ = (show(&said), listed_name(&said), list(std::slice::from_ref(&said)));
            let _ = show(&format!("Serial: 1\nOCSP Response Key: {said}"));
        }
    }
}
