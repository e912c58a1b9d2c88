//! The sections of a configuration.

/// Words that begin a section.
const SECTIONS: [&str; 23] = [
    "acme",
    "backend",
    "cache",
    "crt-store",
    "defaults",
    "dynamic-update",
    "fcgi-app",
    "frontend",
    "global",
    "haterm",
    "healthcheck",
    "http-errors",
    "listen",
    "log-forward",
    "log-profile",
    "mailers",
    "namespace_list",
    "peers",
    "program",
    "resolvers",
    "ring",
    "traces",
    "userlist",
];

/// A section, as far as certificates and admin sockets are concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Global,
    Store {
        name: Vec<u8>,
        base: Option<Vec<u8>>,
    },
    /// `defaults`, where no listener can be.
    Defaults,
    Other,
}

impl Section {
    /// The section of this keyword and name.
    pub(super) fn of(keyword: &[u8], name: Vec<u8>) -> Self {
        match keyword {
            b"global" => Section::Global,
            b"crt-store" => Section::Store { name, base: None },
            b"defaults" => Section::Defaults,
            _ => Section::Other,
        }
    }

    /// Whether a word begins a section.
    pub(super) fn is_keyword(word: &[u8]) -> bool {
        SECTIONS.iter().any(|section| section.as_bytes() == word)
    }
}
