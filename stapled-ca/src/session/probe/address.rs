//! The addresses of names, and which of them the authority asks.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr};

use async_trait::async_trait;

use crate::session::policy::Network;

/// Finds the addresses of host names.
#[async_trait]
pub trait Names: Send + Sync + fmt::Debug {
    /// The addresses of a host name.
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// The resolver of the system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemNames;

#[async_trait]
impl Names for SystemNames {
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect())
    }
}

/// Which addresses the authority asks. A client chooses the address, so without rules it could make the authority ask
/// services that trust the authority's machine.
///
/// Loopback, link-local, multicast, unspecified and broadcast addresses are refused, unless a network allows them. Private
/// addresses are allowed: private names live there.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct AddressRules {
    /// Networks that are asked in any case.
    pub allowed: Vec<Network>,
    /// Networks that are not asked, unless one of `allowed` has the address.
    pub denied: Vec<Network>,
}

impl AddressRules {
    /// Whether the authority asks this address.
    #[must_use]
    pub fn allow(&self, address: IpAddr) -> bool {
        let among = |networks: &[Network]| networks.iter().any(|network| network.contains(address));
        among(&self.allowed) || !among(&self.denied) && !is_special(address)
    }
}

fn is_special(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [first, ..] = address.octets();
            // 0.0.0.0/8 is "this host".
            first == 0
                || address.is_loopback()
                || address.is_link_local()
                || address.is_multicast()
                || address.is_broadcast()
        }
        IpAddr::V6(address) => {
            address.is_loopback()
                || address.is_unspecified()
                || address.is_multicast()
                || address.is_unicast_link_local()
                || embedded(address).is_some_and(is_special)
        }
    }
}

/// The IPv4 address in an IPv6 address of NAT64 (64:ff9b::/96), 6to4 (2002::/16), or the deprecated compatible form (::/96).
fn embedded(address: Ipv6Addr) -> Option<IpAddr> {
    let octets = address.octets();
    let part = |range: std::ops::Range<usize>| <[u8; 4]>::try_from(octets.get(range)?).ok().map(IpAddr::from);
    match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, ..] | [0, 0, 0, 0, 0, 0, ..] => part(12..16),
        [0x2002, ..] => part(2..6),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_addresses_are_refused_in_every_form() {
        let rules = AddressRules::default();
        for address in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "::ffff:169.254.0.1",
        ] {
            assert!(!rules.allow(address.parse().unwrap()), "{address}");
        }
        for address in
            ["10.0.0.1", "192.168.1.1", "172.16.0.1", "fd00::1", "192.0.2.1", "2001:db8::1", "64:ff9b::a00:1"]
        {
            assert!(rules.allow(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn networks_allow_and_deny() {
        let networks = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let rules =
            AddressRules { allowed: networks(&["127.0.0.0/8", "10.1.0.0/16"]), denied: networks(&["10.0.0.0/8"]) };
        for (address, allowed) in
            [("127.0.0.1", true), ("::ffff:127.0.0.1", true), ("::1", false), ("10.1.0.1", true), ("10.2.0.1", false)]
        {
            assert_eq!(rules.allow(address.parse().unwrap()), allowed, "{address}");
        }
    }
}
