//! What HAProxy's replies mean. Pure; matched whole: what is not known word for word is not a success.

/// How HAProxy took a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PushReply {
    /// It has it.
    Updated,
    /// It has no certificate with this CertID that wants staples.
    NoMatch,
    /// It ends too soon (HAProxy 3.2 and later).
    EndsTooSoon,
    Denied,
    /// Anything else.
    Other(String),
}

/// How HAProxy took a part of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SetReply {
    /// It began a transaction with it: ours.
    Created,
    /// It put it into a transaction that was there.
    Joined,
    /// Another certificate's transaction is under way.
    Busy,
    /// It has no such certificate.
    NotLoaded,
    Denied,
    Other(String),
}

/// How HAProxy took the end of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CommitReply {
    Done,
    Denied,
    Failed(String),
}

/// Which transaction is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ProbeReply {
    None,
    /// One, about this certificate.
    Busy(String),
    Denied,
    Other(String),
}

/// One certificate as HAProxy has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ShowReply {
    Loaded(Loaded),
    NotFound,
    Denied,
    Other(String),
}

/// What HAProxy tells about a loaded certificate.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Loaded {
    /// The serial number in hexadecimal.
    pub(crate) serial: String,
    /// The SHA-1 hash of the certificate in hexadecimal.
    pub(crate) fingerprint: String,
    /// Whether further certificates lie with it, among them perhaps its issuer.
    pub(crate) has_chain: bool,
    /// Whether it has the CertID under which responses are given to it.
    pub(crate) takes_responses: bool,
}

/// The reply to `set ssl ocsp-response`.
pub(crate) fn push(reply: &str) -> PushReply {
    const SINGLE: &str = "OCSP single response: ";
    match reply.trim_end_matches('\n') {
        "OCSP Response updated!" => PushReply::Updated,
        "Permission denied" => PushReply::Denied,
        text => match text.trim_end_matches('.').strip_prefix(SINGLE) {
            Some("Certificate ID does not match any certificate or issuer") => PushReply::NoMatch,
            Some("no longer valid. Must be valid during at least 300s") => PushReply::EndsTooSoon,
            _ => PushReply::Other(text.to_owned()),
        },
    }
}

/// The reply to `set ssl cert NAME.…`.
pub(crate) fn set(reply: &str, name: &str) -> SetReply {
    let text = reply.trim_end_matches('\n');
    let about = |beginning: &str| {
        text.strip_prefix(beginning).and_then(|rest| rest.strip_suffix('!')).is_some_and(|about| about == name)
    };
    if about("Transaction created for certificate ") {
        SetReply::Created
    } else if about("Transaction updated for certificate ") {
        SetReply::Joined
    } else if text.starts_with("The ongoing transaction is about ")
        || text.starts_with("Transaction updated for certificate ")
    {
        // HAProxy 2.6 says "updated" and names the other certificate.
        SetReply::Busy
    } else if text.starts_with("Can't replace a certificate which is not referenced by the configuration!") {
        SetReply::NotLoaded
    } else if text == "Permission denied" {
        SetReply::Denied
    } else {
        SetReply::Other(text.to_owned())
    }
}

/// The reply to `commit ssl cert NAME`.
pub(crate) fn commit(reply: &str, name: &str) -> CommitReply {
    let text = reply.trim_end_matches('\n');
    if text == "Permission denied" {
        return CommitReply::Denied;
    }
    // Each dot is some ten instances of the certificate; warnings may lie between.
    let begun = text
        .strip_prefix("Committing ")
        .and_then(|rest| rest.strip_prefix(name))
        .and_then(|rest| rest.lines().next())
        .is_some_and(|dots| dots.chars().all(|c| c == '.'));
    if begun && text.lines().last() == Some("Success!") {
        CommitReply::Done
    } else {
        CommitReply::Failed(text.to_owned())
    }
}

/// The reply to `abort ssl cert /`.
pub(crate) fn probe(reply: &str) -> ProbeReply {
    let text = reply.trim_end_matches('\n');
    match text {
        "No ongoing transaction!" => ProbeReply::None,
        "Permission denied" => ProbeReply::Denied,
        _ => match text.strip_prefix("The ongoing transaction is about '").and_then(|rest| rest.split_once("' but ")) {
            Some((about, _)) => ProbeReply::Busy(about.to_owned()),
            None => ProbeReply::Other(text.to_owned()),
        },
    }
}

/// The reply to `show ssl cert NAME`.
pub(crate) fn show(reply: &str) -> ShowReply {
    let text = reply.trim_end_matches('\n');
    if text.starts_with("Can't display the certificate: Not found") {
        return ShowReply::NotFound;
    }
    // Below level operator HAProxy says that it cannot allocate memory.
    if text == "Permission denied" || text == "Can't allocate memory!" {
        return ShowReply::Denied;
    }
    let mut loaded = Loaded::default();
    for line in text.lines() {
        let Some((key, value)) = line.split_once(": ") else { continue };
        match key {
            "Serial" if loaded.serial.is_empty() => loaded.serial = value.to_owned(),
            "SHA1 FingerPrint" if loaded.fingerprint.is_empty() => loaded.fingerprint = value.to_owned(),
            "Chain Subject" => loaded.has_chain = true,
            "OCSP Response Key" => loaded.takes_responses = !value.trim().is_empty(),
            _ => {}
        }
    }
    // HAProxy 2.6 knows no name for the algorithm of an Ed25519 key, and leaves out all that follows, the fingerprint too.
    if loaded.serial.is_empty() {
        return ShowReply::Other(text.to_owned());
    }
    ShowReply::Loaded(loaded)
}

/// A line of the reply to `show ssl cert`: the name of a certificate, unless it is a heading or a change under way.
pub(crate) fn listed_name(line: &str) -> Option<&str> {
    (!line.is_empty() && !line.starts_with(['#', '*']) && line != "Can't allocate memory!").then_some(line)
}

/// A line of the reply to `show ssl ocsp-response`: the DER of a CertID, if it is the line that has it.
pub(crate) fn listed_cert_id(line: &str) -> Option<Vec<u8>> {
    let hex = line.strip_prefix("Certificate ID key : ")?.trim_end();
    if hex.len() % 2 != 0 || !hex.is_ascii() {
        return None;
    }
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    hex.as_bytes()
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_its_own_words_are_a_success() {
        assert_eq!(push("OCSP Response updated!\n"), PushReply::Updated);
        for said in [
            "OCSP Response updated",
            "OCSP Response updated!!\n",
            "x\nOCSP Response updated!\n",
            "ocsp response updated!",
            "",
        ] {
            assert!(matches!(push(said), PushReply::Other(_)), "{said}");
        }
        assert_eq!(
            push("OCSP single response: Certificate ID does not match any certificate or issuer.\n"),
            PushReply::NoMatch
        );
        assert_eq!(
            push("OCSP single response: no longer valid. Must be valid during at least 300s.\n"),
            PushReply::EndsTooSoon
        );
        assert!(matches!(push("OCSP single response: no longer valid.\n"), PushReply::Other(_)));
        assert_eq!(push("Permission denied\n"), PushReply::Denied);
    }

    #[test]
    fn a_transaction_is_ours_only_if_we_created_it() {
        assert_eq!(set("Transaction created for certificate a.pem!\n", "a.pem"), SetReply::Created);
        assert_eq!(set("Transaction updated for certificate a.pem!\n", "a.pem"), SetReply::Joined);
        assert_eq!(set("Transaction updated for certificate b.pem!\n", "a.pem"), SetReply::Busy);
        assert!(matches!(set("Transaction created for certificate b.pem!\n", "a.pem"), SetReply::Other(_)));
        let busy =
            "The ongoing transaction is about 'a.pem' but you are trying to set 'b.pem'\nCan't update b.pem.ocsp!\n";
        assert_eq!(set(busy, "b.pem"), SetReply::Busy);
    }

    #[test]
    fn a_commit_may_take_many_dots_and_warn() {
        assert_eq!(commit("Committing a.pem.\nSuccess!\n", "a.pem"), CommitReply::Done);
        assert_eq!(commit("Committing a.pem.....\nSuccess!\n", "a.pem"), CommitReply::Done);
        assert_eq!(
            commit("Committing a.pem.\nLoading: something. Content will be ignored.\nSuccess!\n", "a.pem"),
            CommitReply::Done
        );
        assert!(matches!(commit("Committing a.pem.\n bad\nFailed!\n", "a.pem"), CommitReply::Failed(_)));
        assert!(matches!(commit("Committing b.pem.\nSuccess!\n", "a.pem"), CommitReply::Failed(_)));
        assert!(matches!(commit("Success!\n", "a.pem"), CommitReply::Failed(_)));
    }

    #[test]
    fn the_probe_names_the_other_certificate() {
        let said = "The ongoing transaction is about 'it's.pem' but you are trying to abort a transaction for '/'\n";
        assert_eq!(probe(said), ProbeReply::Busy("it's.pem".to_owned()));
        assert_eq!(probe("No ongoing transaction!\n"), ProbeReply::None);
    }

    #[test]
    fn a_shown_certificate_has_serial_and_fingerprint() {
        let said = "Filename: a.pem\nStatus: Used\nSerial: 1001\nSHA1 FingerPrint: 0F0A\nSubject: /CN=a\n\
                    Chain Subject: /CN=Lab CA\nOCSP Response Key: 303b\n\n";
        let expected =
            Loaded { serial: "1001".into(), fingerprint: "0F0A".into(), has_chain: true, takes_responses: true };
        assert_eq!(show(said), ShowReply::Loaded(expected));
        assert!(matches!(show("Filename: a.pem\nStatus: Empty\n"), ShowReply::Other(_)));
        let cut = show("Filename: a.pem\nStatus: Used\nSerial: 1001\nAlgorithm: OCSP Response Key: \n\n");
        assert_eq!(cut, ShowReply::Loaded(Loaded { serial: "1001".into(), ..Loaded::default() }));
        assert_eq!(show("Can't allocate memory!\n"), ShowReply::Denied);
    }

    #[test]
    fn lists_are_read_by_line() {
        assert_eq!(listed_cert_id("Certificate ID key : 300a"), Some(vec![0x30, 0x0a]));
        assert_eq!(listed_cert_id("Certificate ID key : 300"), None);
        assert_eq!(listed_cert_id("Certificate ID key : 3\u{e9}"), None);
        assert_eq!(listed_cert_id("  Serial Number: 1001"), None);
        assert_eq!(listed_name("*a.pem"), None);
        assert_eq!(listed_name("# filename"), None);
        assert_eq!(listed_name("a.pem"), Some("a.pem"));
    }

    proptest! {
        #[test]
        fn no_reply_panics(said in "(?s).{0,200}", name in ".{0,20}") {
            let _ = (push(&said), set(&said, &name), commit(&said, &name), probe(&said), show(&said));
            let _ = (listed_name(&said), listed_cert_id(&said), listed_cert_id(&format!("Certificate ID key : {said}")));
        }
    }
}
