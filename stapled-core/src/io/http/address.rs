//! The policy on addresses of responders.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses that may be asked: all, or only those of the public internet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AddressPolicy {
    pub(super) deny_private: bool,
}

/// The error for an address that may not be asked.
#[derive(Debug, thiserror::Error)]
#[error("{what} is not a public address, and others are not asked")]
pub(super) struct Denied {
    what: String,
}

impl Denied {
    /// The error for a host without an address that may be asked.
    pub(super) fn host(name: &str) -> Self {
        Denied { what: name.to_owned() }
    }
}

impl AddressPolicy {
    pub(super) fn check(self, address: IpAddr) -> Result<(), Denied> {
        if !self.deny_private || is_public(address) {
            return Ok(());
        }
        Err(Denied { what: address.to_string() })
    }
}

/// Whether an address belongs to the public internet, by IANA's registries of special-purpose addresses (RFC 6890).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(a == 0
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || a == 100 && (64..128).contains(&b)
        || a == 192 && b == 0 && c == 0
        || a == 192 && b == 88 && c == 99
        || a == 198 && (18..20).contains(&b)
        || a >= 240)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match (a, b, c, d, e, f) {
        // ::ffff:0:0/96 and ::/96, which contain :: and ::1.
        (0, 0, 0, 0, 0, 0xffff | 0) => embedded(g, h) && (g, h) != (0, 1),
        // 64:ff9b::/96, the well-known prefix of NAT64 (RFC 6052).
        (0x64, 0xff9b, 0, 0, 0, 0) => embedded(g, h),
        // 2002::/16, 6to4.
        (0x2002, high, low, ..) => embedded(high, low),
        // 2001::/23, which contains Teredo and ORCHID; 2001:db8::/32.
        (0x2001, second, ..) => second >= 0x200 && second != 0xdb8,
        // 3fff::/20, for documentation.
        (0x3fff, second, ..) => second >= 0x1000,
        // IANA has allocated only 2000::/3: all other addresses are local, multicast or reserved.
        (first, ..) => first >> 13 == 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_public() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:192.168.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:c0a8:101::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        for address in [
            "1.1.1.1",
            "100.63.0.1",
            "100.128.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2a00:1450::1",
            "2001:4860:4860::8888",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
            "2002:101:101::1",
        ] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }
}
