//! What HAProxy's replies mean. Pure; matched whole: what is not known word for word is not a success.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::configuration::Level;

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
    /// Not now.
    Locked,
    Denied,
    Other(String),
}

/// How HAProxy took the end of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CommitReply {
    Done,
    /// There is none, or it is about another certificate.
    Over,
    /// Not now.
    Locked,
    Denied,
    Failed,
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
    /// Not now.
    Locked,
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
    /// The CertID, in DER, under which responses are given to it; empty while it takes none.
    pub(crate) response_key: Vec<u8>,
    /// The file that it came from, where HAProxy says so (3.2 and later).
    pub(crate) file: Option<String>,
    /// Whether nothing uses it, neither a `bind` line nor a crt-list.
    pub(crate) is_unused: bool,
}

impl Loaded {
    /// Whether it takes responses.
    pub(crate) fn takes_responses(&self) -> bool {
        !self.response_key.is_empty()
    }

    /// Whether it takes responses for this CertID, as far as HAProxy says. It computes another one where it takes another
    /// certificate for the issuer.
    pub(crate) fn takes_responses_for(&self, cert_id: &[u8]) -> bool {
        self.response_key == cert_id
    }

    /// Whether this is the certificate of that serial number and SHA-1 hash, both in hexadecimal.
    pub(crate) fn is(&self, serial: &str, fingerprint: &str) -> bool {
        // Without a fingerprint the serial number decides: whatever is loaded, HAProxy then checks the CertID.
        (self.fingerprint.is_empty() || self.fingerprint.eq_ignore_ascii_case(fingerprint))
            && plain_serial(&self.serial) == plain_serial(serial)
    }
}

/// A serial number in hexadecimal as it compares: leading zeros are written or not.
pub(crate) fn plain_serial(serial: &str) -> String {
    serial.trim_start_matches('0').to_ascii_uppercase()
}

/// The reply to `show cli level`.
pub(crate) fn level(reply: &str) -> Option<Level> {
    match reply.trim() {
        "user" => Some(Level::User),
        "operator" => Some(Level::Operator),
        "admin" => Some(Level::Admin),
        _ => None,
    }
}

/// The response that HAProxy has for a CertID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// Exactly this.
    Response(Vec<u8>),
    /// One with these times, as `2026-11-24T13:14:56Z`, and with so many certificates.
    Times { is_good: bool, this_update: String, next_update: String, certificates: usize },
    /// None.
    Nothing,
    /// It cannot, or may not, say.
    Unclear,
    /// What cannot be an answer to that question.
    Garbled(String),
}

/// Whether HAProxy was in the midst of somebody else's command about certificates, and did nothing: the same can be said
/// again in a moment. It means nothing else.
pub(crate) fn is_locked(reply: &str) -> bool {
    reply.trim_end().ends_with("Operations on certificates are currently locked!")
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
    if is_locked(text) {
        SetReply::Locked
    } else if about("Transaction created for certificate ") {
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
    if is_locked(text) {
        return CommitReply::Locked;
    }
    if text.starts_with("No ongoing transaction!") || text.starts_with("The ongoing transaction is about '") {
        return CommitReply::Over;
    }
    // Each dot is some ten instances of the certificate; warnings may lie between.
    let begun = text
        .strip_prefix("Committing ")
        .and_then(|rest| rest.strip_prefix(name))
        .and_then(|rest| rest.lines().next())
        .is_some_and(|dots| dots.chars().all(|c| c == '.'));
    if begun && text.lines().last() == Some("Success!") { CommitReply::Done } else { CommitReply::Failed }
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
    if is_locked(text) {
        return ShowReply::Locked;
    }
    if text.starts_with("Can't display the certificate: Not found") {
        return ShowReply::NotFound;
    }
    // Below level operator HAProxy says that it cannot allocate memory.
    if text == "Permission denied" || text == "Can't allocate memory!" {
        return ShowReply::Denied;
    }
    let mut loaded = Loaded::default();
    for line in text.lines() {
        // The last part comes even where the ones before it end in the middle of their line.
        if let Some((_, key)) = line.split_once("OCSP Response Key:") {
            loaded.response_key = bytes_of(key.trim()).unwrap_or_default();
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

/// A line of the same: the name of a certificate that a transaction under way changes.
pub(crate) fn name_in_transaction(line: &str) -> Option<&str> {
    line.strip_prefix('*').filter(|name| !name.is_empty())
}

/// The reply to `show ssl ocsp-response base64 ID`.
pub(crate) fn shown_response(reply: &str) -> Shown {
    let text = reply.trim();
    if text.starts_with("Certificate ID ") {
        return Shown::Nothing;
    }
    match STANDARD.decode(text) {
        Ok(response) if !response.is_empty() => Shown::Response(response),
        _ => not_shown(text),
    }
}

/// The reply to `show ssl ocsp-response ID`, in words.
pub(crate) fn shown_in_words(reply: &str) -> Shown {
    if reply.starts_with("Certificate ID ") {
        return Shown::Nothing;
    }
    let value = |key: &str| reply.lines().find_map(|line| line.trim_start().strip_prefix(key)).map(str::trim);
    match (value("Cert Status: "), value("This Update: ").and_then(time), value("Next Update: ").and_then(time)) {
        (Some(status), Some(this_update), Some(next_update)) => {
            let certificates = reply.lines().filter(|line| line.trim_end() == "Certificate:").count();
            Shown::Times { is_good: status == "good", this_update, next_update, certificates }
        }
        // One that is larger than HAProxy's buffer is shown in part, or not at all.
        _ if reply.starts_with("OCSP Response Data:") => Shown::Unclear,
        _ => not_shown(reply),
    }
}

fn not_shown(reply: &str) -> Shown {
    match reply.trim() {
        "" | "Permission denied" => Shown::Unclear,
        text if text.starts_with("Unknown command") => Shown::Unclear,
        text => Shown::Garbled(text.to_owned()),
    }
}

/// `Nov 24 13:14:56 2026 GMT` as `2026-11-24T13:14:56Z`.
fn time(text: &str) -> Option<String> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = text.split_whitespace();
    let (month, day, time, year) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let day: u8 = day.parse().ok()?;
    Some(format!("{year}-{month:02}-{day:02}T{time}Z"))
}

/// What `show env` tells of where HAProxy's files are.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Environment {
    /// The configuration files, as they were named at its start.
    pub(crate) configuration_files: Vec<String>,
    /// The admin sockets, as they are configured.
    pub(crate) sockets: Vec<String>,
    /// The directory that it was started in, as far as its environment tells.
    pub(crate) working_directory: Option<String>,
}

impl Environment {
    /// Takes a line of the reply to `show env`. All other variables are nobody's business, and not kept.
    pub(crate) fn add(&mut self, line: &str) {
        let list = |value: &str| value.split(';').filter(|item| !item.is_empty()).map(str::to_owned).collect();
        match line.split_once('=') {
            Some(("HAPROXY_CFGFILES", value)) => self.configuration_files = list(value),
            Some(("HAPROXY_CLI", value)) => self.sockets = list(value),
            Some(("PWD", value)) => self.working_directory = Some(value.to_owned()),
            _ => {}
        }
    }
}

/// What hexadecimal digits stand for.
fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    if !hex.len().is_multiple_of(2) || !hex.is_ascii() {
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
        assert_eq!(commit("Committing a.pem.\n bad\nFailed!\n", "a.pem"), CommitReply::Failed);
        assert_eq!(commit("Committing b.pem.\nSuccess!\n", "a.pem"), CommitReply::Failed);
        assert_eq!(commit("Success!\n", "a.pem"), CommitReply::Failed);
        for over in
            ["No ongoing transaction! !\n", "The ongoing transaction is about 'b.pem' but you are trying to set"]
        {
            assert_eq!(commit(&format!("{over}\nCan't commit a.pem!\n"), "a.pem"), CommitReply::Over);
        }
        let locked = "Can't commit the certificate!\nOperations on certificates are currently locked!\n";
        assert_eq!(commit(locked, "a.pem"), CommitReply::Locked);
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
        let expected = Loaded {
            serial: "1001".into(),
            fingerprint: "0F0A".into(),
            has_chain: true,
            response_key: vec![0x30, 0x3b],
            file: None,
            is_unused: false,
        };
        assert!(expected.is("001001", "0f0a") && !expected.is("1001", "0F0B") && !expected.is("1002", "0F0A"));
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
        assert!(is_locked(locked) && !is_locked("currently locked!"));
    }

    #[test]
    fn lists_are_read_by_line() {
        assert_eq!(bytes_of("300a"), Some(vec![0x30, 0x0a]));
        assert_eq!(bytes_of("300"), None);
        assert_eq!(bytes_of("3\u{e9}"), None);
        assert_eq!(listed_name("*a.pem"), None);
        assert_eq!(listed_name("# filename"), None);
        assert_eq!(listed_name("a.pem"), Some("a.pem"));
    }

    #[test]
    fn a_shown_response_has_its_bytes_or_its_times() {
        assert_eq!(shown_response("MAo=\n"), Shown::Response(vec![0x30, 0x0a]));
        assert_eq!(shown_response("Certificate ID or path does not match any certificate.\n"), Shown::Nothing);
        assert_eq!(shown_response("Permission denied\n"), Shown::Unclear);
        assert_eq!(shown_response(""), Shown::Unclear);
        assert!(matches!(shown_response("OCSP Response updated!\n"), Shown::Garbled(_)));
        assert!(matches!(shown_in_words("OCSP Response updated!\n"), Shown::Garbled(_)));
        let said = "OCSP Response Data:\n    Cert Status: good\n    This Update: Nov 24 13:14:56 2026 GMT\n    \
                    Next Update: Dec  7 03:14:56 2026 GMT\n";
        let times = |is_good, certificates| Shown::Times {
            is_good,
            this_update: "2026-11-24T13:14:56Z".into(),
            next_update: "2026-12-07T03:14:56Z".into(),
            certificates,
        };
        assert_eq!(shown_in_words(said), times(true, 0));
        assert_eq!(shown_in_words(&said.replace("good", "revoked")), times(false, 0));
        let embedded = "Certificate:\n    Data:\n        Version: 3 (0x2)\n";
        assert_eq!(shown_in_words(&format!("{said}{embedded}{embedded}")), times(true, 2));
        assert_eq!(shown_in_words("Certificate ID does not match any certificate.\n"), Shown::Nothing);
        assert_eq!(shown_in_words("OCSP Response Data:\n"), Shown::Unclear);
    }

    #[test]
    fn a_list_tells_what_is_under_way() {
        let lines = ["# transaction", "*/a.pem", "# filename", "/a.pem", ""];
        assert_eq!(lines.map(name_in_transaction), [None, Some("/a.pem"), None, None, None]);
        assert_eq!(lines.map(listed_name), [None, None, None, Some("/a.pem"), None]);
    }

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

    #[test]
    fn the_environment_tells_of_files_and_sockets() {
        let mut environment = Environment::default();
        for line in ["SECRET=x", "HAPROXY_CFGFILES=a.cfg;/b/c.cfg", "HAPROXY_CLI=unix@/s;sockpair@4", "PWD=/w"] {
            environment.add(line);
        }
        assert_eq!(environment.configuration_files, ["a.cfg", "/b/c.cfg"]);
        assert_eq!(environment.sockets, ["unix@/s", "sockpair@4"]);
        assert_eq!(environment.working_directory.as_deref(), Some("/w"));
    }

    proptest! {
        #[test]
        fn no_reply_panics(said in "(?s).{0,200}", name in ".{0,20}") {
            let _ = (level(&said), push(&said), set(&said, &name), commit(&said, &name), probe(&said), show(&said));
            let _ = (listed_name(&said), shown_response(&said), shown_in_words(&said), Environment::default().add(&said));
            let _ = show(&format!("Serial: 1\nOCSP Response Key: {said}"));
            let _ = shown_in_words(&format!("Cert Status: {name}\nThis Update: {said}\nNext Update: {said}\n"));
        }
    }
}
