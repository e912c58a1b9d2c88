//! The options of single lines: `bind`, `load`, `stats socket`.

use super::words::Word;

/// Options of `bind` lines that take a value ("5.1. Bind options" of HAProxy's configuration manual): the word after
/// them is never an option.
const WITH_VALUE: [&str; 51] = [
    "accept-netscaler-cip",
    "alpn",
    "backlog",
    "ca-file",
    "ca-ignore-err",
    "ca-sign-file",
    "ca-sign-pass",
    "ca-verify-file",
    "cc",
    "ciphers",
    "ciphersuites",
    "client-sigalgs",
    "crl-file",
    "crt-ignore-err",
    "curves",
    "ecdhe",
    "ech",
    "expose-fd",
    "gid",
    "group",
    "guid-prefix",
    "id",
    "idle-ping",
    "interface",
    "ktls",
    "label",
    "level",
    "maxconn",
    "mode",
    "mss",
    "name",
    "namespace",
    "nbconn",
    "nice",
    "npn",
    "process",
    "proto",
    "quic-cc-algo",
    "quic-socket",
    "severity-output",
    "shards",
    "sigalgs",
    "ssl-max-ver",
    "ssl-min-ver",
    "tcp-md5sig",
    "tcp-ut",
    "thread",
    "tls-ticket-keys",
    "uid",
    "user",
    "verify",
];

/// The options of a `bind` line that concern certificates and admin sockets.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BindOption<'a> {
    /// `crt` or `default-crt`.
    Certificate(&'a Word),
    List(&'a Word),
    Level(&'a Word),
    Ssl,
    AcceptProxy,
}

/// Reads the options of a `bind` line, from the word after the address on.
pub(super) fn bind_options(words: &[Word]) -> Vec<BindOption<'_>> {
    let mut options = Vec::new();
    // HAProxy stops at an empty word.
    let mut words = words.iter().take_while(|word| !word.bytes.is_empty());
    while let Some(word) = words.next() {
        match word.bytes.as_slice() {
            b"crt" | b"default-crt" => options.extend(words.next().map(BindOption::Certificate)),
            b"crt-list" => options.extend(words.next().map(BindOption::List)),
            b"level" => options.extend(words.next().map(BindOption::Level)),
            b"ssl" => options.push(BindOption::Ssl),
            b"accept-proxy" => options.push(BindOption::AcceptProxy),
            option if WITH_VALUE.iter().any(|known| known.as_bytes() == option) => _ = words.next(),
            _ => {}
        }
    }
    options
}

/// The files of a certificate in a `load` line, an `ssl-f-use` line or the brackets of a crt-list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Files {
    pub(super) certificate: Option<Word>,
    pub(super) alias: Option<Word>,
    pub(super) staple: Option<Word>,
    pub(super) issuer: Option<Word>,
    /// `ocsp-update`: whether HAProxy asks for responses itself, if the line says so.
    pub(super) updates_itself: Option<bool>,
    /// Whether the line names the file of the key.
    pub(super) has_key: bool,
    /// Whether the line names files: then HAProxy looks for no others.
    pub(super) are_named: bool,
}

impl Files {
    /// Reads pairs of names and values, and skips single words.
    pub(super) fn read<'a>(words: impl Iterator<Item = &'a Word>) -> Self {
        let mut files = Files::default();
        let mut words = words.take_while(|word| !word.bytes.is_empty());
        while let Some(word) = words.next() {
            let (value, is_named) = match word.bytes.as_slice() {
                b"crt" => (&mut files.certificate, false),
                b"alias" => (&mut files.alias, false),
                b"ocsp" => (&mut files.staple, true),
                b"issuer" => (&mut files.issuer, true),
                option @ (b"key" | b"sctl") => {
                    let has_value = words.next().is_some();
                    files.are_named |= has_value;
                    files.has_key |= has_value && option == b"key";
                    continue;
                }
                b"ocsp-update" => {
                    files.updates_itself = words.next().map(|word| word.bytes == b"on");
                    continue;
                }
                option if takes_value(option) => {
                    words.next();
                    continue;
                }
                _ => continue,
            };
            *value = words.next().cloned();
            files.are_named |= is_named;
        }
        files
    }
}

/// Whether an option of a certificate that names no file takes a value.
fn takes_value(option: &[u8]) -> bool {
    matches!(option, b"acme" | b"domains" | b"jwt" | b"generate-dummy")
        || WITH_VALUE.iter().any(|known| known.as_bytes() == option)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Word> {
        text.split(' ').map(|word| Word { bytes: word.as_bytes().to_vec(), doubt: None }).collect()
    }

    #[test]
    fn values_of_other_options_are_not_options() {
        let said = words(
            "ssl crt a name crt crt b alpn crt-list crt-list c verify none default-crt d level admin strict-sni crt",
        );
        let options: Vec<_> = bind_options(&said)
            .into_iter()
            .map(|option| match option {
                BindOption::Certificate(word) => format!("crt {}", String::from_utf8_lossy(&word.bytes)),
                BindOption::List(word) => format!("list {}", String::from_utf8_lossy(&word.bytes)),
                BindOption::Level(word) => format!("level {}", String::from_utf8_lossy(&word.bytes)),
                BindOption::Ssl => "ssl".to_owned(),
                BindOption::AcceptProxy => "accept-proxy".to_owned(),
            })
            .collect();
        assert_eq!(options, ["ssl", "crt a", "crt b", "list c", "crt d", "level admin"]);
    }

    #[test]
    fn an_empty_word_ends_the_line() {
        assert_eq!(bind_options(&words("ssl  crt a")), [BindOption::Ssl]);
    }

    #[test]
    fn files_are_distinguished_from_other_options() {
        let said = words("crt a.crt key a.key alias crt ocsp a.ocsp ocsp-update on issuer i.pem");
        let files = Files::read(said.iter());
        let text = |word: &Option<Word>| word.as_ref().map(|word| String::from_utf8_lossy(&word.bytes).into_owned());
        assert_eq!(text(&files.certificate).as_deref(), Some("a.crt"));
        assert_eq!(text(&files.alias).as_deref(), Some("crt"));
        assert_eq!(text(&files.staple).as_deref(), Some("a.ocsp"));
        assert_eq!(text(&files.issuer).as_deref(), Some("i.pem"));
        assert!(files.are_named);
        assert_eq!(files.updates_itself, Some(true));
        assert!(!Files::read(words("ocsp-update on alpn h2 allow-0rtt").iter()).are_named);
    }
}
