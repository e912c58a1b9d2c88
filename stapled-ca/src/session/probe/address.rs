//! Which addresses the authority asks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::session::policy::Network;

/// Which addresses the authority asks. A client chooses the address, so without rules it could make the authority ask
/// services that trust the authority's machine.
///
/// Loopback, link-local, multicast, unspecified and broadcast addresses are refused, unless a network allows them. Private
/// addresses are allowed: private names live there.
///
/// An IPv6 address that contains an IPv4 address (mapped, compatible, NAT64, 6to4, Teredo) leads to the IPv4 address. It is asked
/// only if the rules allow both.
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
        let address = address.to_canonical();
        let contained = match address {
            IpAddr::V4(_) => Vec::new(),
            IpAddr::V6(address) => embedded(address),
        };
        self.allow_one(address) && contained.into_iter().all(|address| self.allow_one(IpAddr::V4(address)))
    }

    /// The same, without the address that this one contains.
    fn allow_one(&self, address: IpAddr) -> bool {
        let among = |networks: &[Network]| networks.iter().any(|network| network.contains(address));
        among(&self.allowed) || !among(&self.denied) && !is_special(address)
    }
}

fn is_special(address: IpAddr) -> bool {
    match address {
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
        }
    }
}

/// The IPv4 addresses to which an IPv6 address may lead: of NAT64 (64:ff9b::/96, and 64:ff9b:1::/48 of RFC 8215, where the
/// operator chooses the place), 6to4 (2002::/16), Teredo (2001::/32: server and client), or the deprecated compatible form
/// (::/96).
fn embedded(address: Ipv6Addr) -> Vec<Ipv4Addr> {
    let of = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match address.segments() {
        // :: and ::1 are addresses of their own.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => Vec::new(),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0, 0, 0, 0, 0, 0, high, low] => vec![of(high, low)],
        // Bits 64 to 71 are not part of the address (RFC 6052, 2.2).
        [0x64, 0xff9b, 1, a, b, c, high, low] => {
            vec![of(high, low), of(a, b << 8 | c >> 8), of(b << 8 | c >> 8, c << 8 | high >> 8)]
        }
        [0x2002, high, low, ..] => vec![of(high, low)],
        [0x2001, 0, high, low, _, _, other_high, other_low] => vec![of(high, low), of(!other_high, !other_low)],
        _ => Vec::new(),
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
            "64:ff9b:1::7f00:1",
            "64:ff9b:1:7f00:0:100::",
            "2001:0:7f00:1::",
            "2001::80ff:fffe",
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

    #[test]
    fn networks_hold_for_an_ipv4_address_in_an_ipv6_address() {
        let networks = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let mut rules = AddressRules { allowed: networks(&["10.1.0.0/16"]), denied: networks(&["10.0.0.0/8"]) };
        for (address, allowed) in [
            ("::ffff:10.2.0.1", false),
            ("::10.2.0.1", false),
            ("64:ff9b::10.2.0.1", false),
            ("64:ff9b::10.1.0.1", true),
            ("64:ff9b::11.2.0.1", true),
            ("64:ff9b:1:a02::10.1.0.1", false),
            ("2002:a02:1::1", false),
            ("2002:a01:1::1", true),
            ("2001:0:a02:1::", false),
            ("2001::f5fd:fffe", false),
        ] {
            assert_eq!(rules.allow(address.parse().unwrap()), allowed, "{address}");
        }
        // A network that allows the IPv6 address does not allow the IPv4 address in it.
        rules.allowed = networks(&["64:ff9b::/96"]);
        assert!(!rules.allow("64:ff9b::10.2.0.1".parse().unwrap()));
        assert!(!rules.allow("64:ff9b::127.0.0.1".parse().unwrap()));
    }
}
