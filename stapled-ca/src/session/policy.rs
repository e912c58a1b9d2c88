//! What the authority certifies: names, keys, numbers.

use std::collections::HashSet;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use super::request::{CertificateRequest, RequestKey};
use crate::hash::HashAlgorithm;
use crate::profile::SubjectName;

/// The rules for certificate requests. The default allows every name, and refuses weak keys.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Policy {
    /// Host names must be one of these or end in a dot and one of these. None: every host name is allowed.
    pub suffixes: Vec<String>,
    /// IP addresses must be in one of these networks. None: every address is allowed.
    pub networks: Vec<Network>,
    /// Host names that are not certified, and those below them.
    pub blocked: Vec<String>,
    /// The shortest RSA modulus, in bits.
    pub rsa_bits: usize,
    /// SHA-256 of the SubjectPublicKeyInfo of each key that is known to be bad.
    pub bad_keys: HashSet<[u8; 32]>,
    /// The most names of a certificate.
    pub names: usize,
}

impl Default for Policy {
    fn default() -> Self {
        let (suffixes, networks, blocked) = (Vec::new(), Vec::new(), Vec::new());
        Policy { suffixes, networks, blocked, rsa_bits: 2048, bad_keys: HashSet::new(), names: 100 }
    }
}

/// Why the authority does not certify a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The name is not among the allowed ones, or is blocked.
    #[error("{name} is not certified here")]
    Name {
        /// The name.
        name: String,
    },
    /// There are too many names.
    #[error("{count} names are asked for; at most {limit} are certified at once")]
    Names {
        /// Their number.
        count: usize,
        /// The most names.
        limit: usize,
    },
    /// The key is too short, or has a weak exponent.
    #[error("the key is too weak")]
    WeakKey,
    /// The key is known to be bad.
    #[error("the key is known to be compromised")]
    BadKey,
}

impl Policy {
    /// Checks a request.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn check(&self, request: &CertificateRequest) -> Result<(), Refusal> {
        if request.names.len() > self.names {
            return Err(Refusal::Names { count: request.names.len(), limit: self.names });
        }
        if let Some(name) = request.names.iter().find(|name| !self.allows(name)) {
            return Err(Refusal::Name { name: name.to_string() });
        }
        if let RequestKey::Rsa { bits, has_sound_exponent } = request.key
            && (bits < self.rsa_bits || !has_sound_exponent)
        {
            return Err(Refusal::WeakKey);
        }
        let digest = HashAlgorithm::Sha256.digest(&request.public_key);
        if self.bad_keys.iter().any(|bad| bad[..] == digest[..]) {
            return Err(Refusal::BadKey);
        }
        Ok(())
    }

    fn allows(&self, name: &SubjectName) -> bool {
        match name {
            SubjectName::Dns(name) => {
                let is_below = |suffix: &String| {
                    name.strip_suffix(suffix.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
                };
                (self.suffixes.is_empty() || self.suffixes.iter().any(is_below)) && !self.blocked.iter().any(is_below)
            }
            SubjectName::Ip(address) => {
                self.networks.is_empty() || self.networks.iter().any(|network| network.contains(*address))
            }
        }
    }
}

/// The numbers that bound sessions.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// The most octets of a certificate request.
    pub csr: usize,
    /// How many rounds of tests may fail. After the last one the session is dead.
    pub attempts: u32,
    /// The most sessions that wait for their challenges to be made.
    pub waiting: usize,
    /// How long a session may wait for its challenges to be made.
    pub make: Duration,
    /// How long a client has to answer its challenges.
    pub test: Duration,
    /// How long a session may wait for its certificate.
    pub issue: Duration,
    /// How long a session is kept that is dead or in the ledger.
    pub keep: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        const HOUR: Duration = Duration::from_secs(3600);
        Limits { csr: 20 * 1024, attempts: 3, waiting: 20_000, make: HOUR, test: HOUR, issue: HOUR, keep: 24 * HOUR }
    }
}

/// A network: addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    /// Whether the address is in the network. An IPv4 address in an IPv6 address (`::ffff:a.b.c.d`) is the IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let (one, other) = (number(self.address.to_canonical()), number(address.to_canonical()));
        one.1 == other.1 && (self.bits == 0 || (one.0 ^ other.0) >> (one.1 - self.bits) == 0)
    }
}

/// An address as a number, with its length in bits.
fn number(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (u32::from(address).into(), 32),
        IpAddr::V6(address) => (address.into(), 128),
    }
}

/// A text that is not a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a network; write ADDRESS/BITS, for example 10.0.0.0/8 or fd00::/8")]
pub struct NoNetwork {
    /// The text.
    pub text: String,
}

impl FromStr for Network {
    type Err = NoNetwork;

    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        let wrong = || NoNetwork { text: text.to_owned() };
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let longest = number(address).1;
        let bits = bits.map_or(Ok(longest), |bits| bits.parse().map_err(|_| wrong()))?;
        if bits > longest || address.to_canonical() != address {
            return Err(wrong());
        }
        Ok(Network { address, bits })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        Policy {
            suffixes: vec!["example.org".to_owned()],
            networks: vec!["10.0.0.0/8".parse().unwrap()],
            blocked: vec!["secret.example.org".to_owned()],
            ..Policy::default()
        }
    }

    #[test]
    fn names_are_allowed_by_their_ends() {
        for (name, allowed) in [
            ("example.org", true),
            ("a.b.example.org", true),
            ("badexample.org", false),
            ("example.com", false),
            ("secret.example.org", false),
            ("a.secret.example.org", false),
            ("notsecret.example.org", true),
            ("10.1.2.3", true),
            ("11.1.2.3", false),
            ("::1", false),
        ] {
            let name = SubjectName::of(name);
            assert_eq!(policy().allows(&name), allowed, "{name}");
            assert!(Policy::default().allows(&name));
        }
    }

    #[test]
    fn networks_are_read_and_compared() {
        let network = |text: &str| text.parse::<Network>();
        for text in ["", "a", "10.0.0.0/33", "::/129", "10.0.0.0/x", "10.0.0.0/-1", "::ffff:10.0.0.0/104"] {
            assert!(network(text).is_err(), "{text}");
        }
        for (text, address, contained) in [
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("127.0.0.0/8", "127.255.0.1", true),
            ("127.0.0.0/8", "::ffff:127.0.0.1", true),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "1.2.3.4", false),
            ("fd00::/8", "fdff::1", true),
            ("fd00::/8", "fe00::1", false),
        ] {
            assert_eq!(network(text).unwrap().contains(address.parse().unwrap()), contained, "{text} {address}");
        }
    }
}
