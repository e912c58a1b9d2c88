//! The addresses of a `stats socket` line, which have the forms of a `bind` line.

use std::net::{Ipv4Addr, Ipv6Addr};

/// One address of a `stats socket` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Listener {
    /// A path; a relative one is taken from the directory that HAProxy was started in.
    Unix(Vec<u8>),
    /// An abstract name, padded with NUL.
    Abstract(String),
    /// An abstract name of exactly this length.
    AbstractExact(String),
    /// A TCP port of a host; an empty name stands for all addresses of this machine.
    Tcp { host: String, port: u16, family: Family },
    /// An address that cannot be connected to, and why.
    Unusable(String),
}

/// A family of IP addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Any,
    V4,
    V6,
}

/// Reads the addresses, which are separated by commas.
pub(super) fn listeners(text: &[u8]) -> Vec<Listener> {
    text.split(|byte| *byte == b',').filter(|one| !one.is_empty()).map(listener).collect()
}

fn listener(text: &[u8]) -> Listener {
    let text = text.strip_prefix(b"stream+").unwrap_or(text);
    let unix = |path: &[u8]| match path {
        b"" => Listener::Unusable("an empty path".to_owned()),
        path => Listener::Unix(path.to_vec()),
    };
    for prefix in [&b"unix@"[..], b"uxst@"] {
        if let Some(path) = text.strip_prefix(prefix) {
            return unix(path);
        }
    }
    if text.first() == Some(&b'/') {
        return unix(text);
    }
    let Ok(text) = std::str::from_utf8(text) else {
        return Listener::Unusable("not text in UTF-8".to_owned());
    };
    match text.split_once('@') {
        Some(("abns", name)) => Listener::Abstract(name.to_owned()),
        Some(("abnsz", name)) => Listener::AbstractExact(name.to_owned()),
        Some(("ipv4" | "tcp4", rest)) => tcp(rest, Family::V4),
        Some(("ipv6" | "tcp6", rest)) => tcp(rest, Family::V6),
        Some(("ip" | "tcp", rest)) => tcp(rest, Family::Any),
        Some(("fd" | "sockpair", _)) => Listener::Unusable("an inherited socket cannot be connected to".to_owned()),
        Some((family, _)) => Listener::Unusable(format!("{family}@ is not a known kind of address")),
        None => tcp(text, Family::Any),
    }
}

fn tcp(text: &str, family: Family) -> Listener {
    let Some((host, port)) = text.rsplit_once(':') else {
        return Listener::Unusable("the port is missing".to_owned());
    };
    // The first port of a range: all lead to the same process.
    let first = port.split_once('-').map_or(port, |(first, _)| first);
    match first.parse() {
        Ok(port) if port != 0 => {
            let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
            let host = if host == "*" { "" } else { host };
            Listener::Tcp { host: host.to_owned(), port, family }
        }
        _ => Listener::Unusable(format!("{port:?} is not a port")),
    }
}

impl Family {
    /// Whether this address belongs to the family.
    pub(super) fn has(self, address: std::net::IpAddr) -> bool {
        match self {
            Family::Any => true,
            Family::V4 => address.is_ipv4(),
            Family::V6 => address.is_ipv6(),
        }
    }

    /// The address to connect to a socket that listens on all addresses.
    pub(super) fn this_machine(self) -> std::net::IpAddr {
        match self {
            Family::V6 => Ipv6Addr::LOCALHOST.into(),
            Family::V4 | Family::Any => Ipv4Addr::LOCALHOST.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_form_is_read() {
        let tcp = |host: &str, port, family| Listener::Tcp { host: host.to_owned(), port, family };
        for (text, expected) in [
            ("/run/a.sock", Listener::Unix(b"/run/a.sock".to_vec())),
            ("unix@a.sock", Listener::Unix(b"a.sock".to_vec())),
            ("uxst@/a", Listener::Unix(b"/a".to_vec())),
            ("stream+unix@/a", Listener::Unix(b"/a".to_vec())),
            ("stream+/a@b", Listener::Unix(b"/a@b".to_vec())),
            ("abns@a", Listener::Abstract("a".to_owned())),
            ("abnsz@a", Listener::AbstractExact("a".to_owned())),
            (":9999", tcp("", 9999, Family::Any)),
            ("*:9999", tcp("", 9999, Family::Any)),
            ("ipv4@:9999", tcp("", 9999, Family::V4)),
            ("ipv6@*:9999", tcp("", 9999, Family::V6)),
            ("tcp4@127.0.0.1:1", tcp("127.0.0.1", 1, Family::V4)),
            ("tcp@localhost:1", tcp("localhost", 1, Family::Any)),
            ("localhost:1-5", tcp("localhost", 1, Family::Any)),
            ("[::1]:9", tcp("::1", 9, Family::Any)),
            ("::1:9", tcp("::1", 9, Family::Any)),
            (":::9", tcp("::", 9, Family::Any)),
        ] {
            assert_eq!(listeners(text.as_bytes()), [expected], "{text}");
        }
        assert_eq!(listeners(b"/a,unix@/b,").len(), 2);
        for text in
            ["admin.sock", "unix@", "fd@3", "sockpair@4", "mptcp@:1", "dgram+/a", ":x", ":0", ":99999", "ipv4@1.2.3.4"]
        {
            assert!(matches!(listeners(text.as_bytes()).as_slice(), [Listener::Unusable(_)]), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(text in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = listeners(&text);
        }
    }
}
