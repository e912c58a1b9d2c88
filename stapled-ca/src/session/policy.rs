//! What the authority certifies: names, keys, numbers.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use super::bad_keys::{self, BadKeys, BadKeysError};
use super::hook::{Answer, Hook, HookError, Question, Stage};
use super::name_suffix::NameSuffix;
use super::request::{CertificateRequest, RequestKey};
use crate::hash::HashAlgorithm;
use crate::hex;
use crate::profile::SubjectName;

/// The rules for certificate requests. The default allows every name, and refuses weak keys.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Policy {
    /// Host names must be one of these or below one of these. None: every host name is allowed.
    pub suffixes: Vec<NameSuffix>,
    /// IP addresses must be in one of these networks. None: every address is allowed.
    pub networks: Vec<Network>,
    /// Host names that are not certified, and those below them.
    pub blocked: Vec<NameSuffix>,
    /// The shortest RSA modulus, in bits.
    pub rsa_bits: usize,
    /// SHA-256 of the SubjectPublicKeyInfo of each key that is known to be bad.
    pub bad_keys: HashSet<[u8; 32]>,
    /// Of each RSA key that is known to be bad: the last ten octets of the SHA-1 of `Modulus=`, the modulus in hexadecimal digits
    /// in upper case, and a line feed. Debian's package `openssl-blacklist` lists the weak keys of CVE-2008-0166 so.
    pub bad_moduli: HashSet<[u8; 10]>,
    /// The most names of a certificate.
    pub names: usize,
    /// A program that may refuse what the other rules allow.
    pub hook: Option<Hook>,
}

impl Default for Policy {
    fn default() -> Self {
        let (suffixes, networks, blocked) = (Vec::new(), Vec::new(), Vec::new());
        let (rsa_bits, bad_keys, bad_moduli, names, hook) = (2048, HashSet::new(), HashSet::new(), 100, None);
        Policy { suffixes, networks, blocked, rsa_bits, bad_keys, bad_moduli, names, hook }
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
    /// The RSA key is too short, or its exponent or modulus is weak.
    #[error("the RSA key is too short or easy to break; make a new one with an exponent of 65,537")]
    WeakKey,
    /// The key is known to be bad.
    #[error("the key is known to be compromised")]
    BadKey,
    /// The hook refuses the request.
    #[error("refused by the rules of this authority: {reason}")]
    Hook {
        /// Its reason.
        reason: String,
    },
}

/// Why a request does not pass.
#[derive(Debug)]
pub(crate) enum NotAllowed {
    /// It never will.
    Refused(Refusal),
    /// The hook gave no answer; it is asked again later.
    NoAnswer(HookError),
}

impl Policy {
    /// Adds the keys in a file to those that are known to be bad, and returns how many the file has: on each line the SHA-256 of a
    /// SubjectPublicKeyInfo in hexadecimal, the 20 digits of a [modulus](Policy::bad_moduli), a comment after `#`, or nothing.
    ///
    /// # Errors
    /// When the file cannot be read, is longer than 64 MiB, or has a malformed line. No key of it is added then.
    pub fn read_bad_keys(&mut self, path: impl AsRef<Path>) -> Result<usize, BadKeysError> {
        let BadKeys { keys, moduli } = bad_keys::read(path.as_ref())?;
        let count = keys.len() + moduli.len();
        self.bad_keys.extend(keys);
        self.bad_moduli.extend(moduli);
        Ok(count)
    }

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
        if let RequestKey::Rsa { bits, has_sound_exponent, has_sound_modulus } = request.key
            && (bits < self.rsa_bits || !has_sound_exponent || !has_sound_modulus)
        {
            return Err(Refusal::WeakKey);
        }
        let digest: Option<[u8; 32]> = HashAlgorithm::Sha256.digest(&request.public_key).try_into().ok();
        let modulus = request.rsa_modulus().and_then(|modulus| bad_keys::modulus_digest(&modulus));
        let is_bad = digest.is_some_and(|digest| self.bad_keys.contains(&digest));
        if is_bad || modulus.is_some_and(|modulus| self.bad_moduli.contains(&modulus)) {
            return Err(Refusal::BadKey);
        }
        Ok(())
    }

    /// Checks a request, and asks the hook about it.
    pub(crate) async fn decide(
        &self,
        stage: Stage,
        request: &CertificateRequest,
        session: Option<&str>,
        client: &str,
    ) -> Result<(), NotAllowed> {
        self.check(request).map_err(NotAllowed::Refused)?;
        let Some(hook) = &self.hook else { return Ok(()) };
        let key = hex::lower(&HashAlgorithm::Sha256.digest(&request.public_key));
        let (names, csr) = (request.name_texts(), request.to_pem());
        let question = Question { version: 1, stage, session, client, names, key, csr };
        match hook.ask(&question).await {
            Ok(Answer::Allowed) => Ok(()),
            Ok(Answer::Refused(reason)) => Err(NotAllowed::Refused(Refusal::Hook { reason })),
            Err(error) => Err(NotAllowed::NoAnswer(error)),
        }
    }

    fn allows(&self, name: &SubjectName) -> bool {
        match name {
            SubjectName::Dns(name) => {
                let is_below = |suffix: &NameSuffix| suffix.contains(name);
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
    /// The most active sessions: those that are neither dead nor in the ledger.
    pub active: usize,
    /// The most active sessions of one client: of an IPv4 address, or of the 2^64 addresses of an IPv6 network.
    pub per_client: usize,
    /// How long a session may wait for its challenges to be made.
    pub make: Duration,
    /// How long a client has to answer its challenges.
    pub test: Duration,
    /// How long a session may wait for its certificate.
    pub issue: Duration,
    /// How long the record of a session is kept whose certificate is in the ledger. The certificate stays in the ledger.
    pub keep: Duration,
    /// How long a dead session is kept, so that its client reads why.
    pub keep_dead: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        const HOUR: Duration = Duration::from_secs(3600);
        let (make, test, issue, keep, keep_dead) = (HOUR, HOUR, HOUR, 24 * HOUR, HOUR / 6);
        let (csr, attempts, waiting, active, per_client) = (20 * 1024, 3, 20_000, 20_000, 100);
        Limits { csr, attempts, waiting, active, per_client, make, test, issue, keep, keep_dead }
    }
}

/// The limit on the number of sessions that a new session would exceed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TooMany {
    /// Those of one client.
    #[error(
        "client {client} has {limit} sessions in progress, and may have no more: finish one, or wait until one expires"
    )]
    OfClient {
        /// The client: an IP address, or an IPv6 network.
        client: String,
        /// The most sessions.
        limit: usize,
    },
    /// Those of all clients.
    #[error("{limit} sessions are in progress, and the authority takes no more: try again in some minutes")]
    Active {
        /// The most sessions.
        limit: usize,
    },
    /// Those that wait for their challenges to be made.
    #[error("{limit} sessions wait for their challenges, and the authority takes no more: try again in some minutes")]
    Waiting {
        /// The most sessions.
        limit: usize,
    },
}

/// The client as it is counted: an address without its port, and the network of 64 bits of an IPv6 address, since a client
/// usually has all addresses of it. Another text counts as it is.
pub(crate) fn counted_client(client: &str) -> String {
    let address = client.parse().or_else(|_| client.parse().map(|socket: SocketAddr| socket.ip()));
    match address.map(|address| address.to_canonical()) {
        Ok(IpAddr::V4(address)) => address.to_string(),
        Ok(IpAddr::V6(address)) => format!("{}/64", Ipv6Addr::from(u128::from(address) >> 64 << 64)),
        Err(_) => client.to_owned(),
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
            suffixes: vec!["example.org".parse().unwrap()],
            networks: vec!["10.0.0.0/8".parse().unwrap()],
            blocked: vec!["secret.example.org".parse().unwrap()],
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
    fn clients_are_counted_by_address_or_network() {
        for (client, counted) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:4711", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("[::ffff:192.0.2.1]:4711", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("[2001:db8:1:2:ffff::1]:80", "2001:db8:1:2::/64"),
            ("2001:db8:1:3::", "2001:db8:1:3::/64"),
            ("::1", "::/64"),
            ("unix socket", "unix socket"),
            ("", ""),
        ] {
            assert_eq!(counted_client(client), counted, "{client}");
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
