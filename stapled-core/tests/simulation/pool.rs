//! The pool that all seeds share, since keys and signatures are expensive: two authorities, an unrelated authority with
//! the name of each, delegates, and certificates of every kind.

use std::collections::HashMap;
use std::sync::OnceLock;

use stapled_ca::ocsp::Signer;
use stapled_ca::{Authority, KeyType, Profile};
use stapled_core::certificate::Certificate;
use stapled_core::time::Timestamp;

/// 2027-03-14T03:00:00Z: four hours before clocks go forward in New York.
pub(crate) const START: Timestamp = Timestamp::from_unix(1_804_993_200);
/// The number of responders. Those with even numbers answer for the first authority, those with odd numbers for the
/// second.
pub(crate) const RESPONDERS: usize = 6;
pub(crate) const AUTHORITIES: usize = 2;
/// The number of families of two certificates each. The second certificate is the renewal of the first.
pub(crate) const FAMILIES: usize = 24;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

pub(crate) struct Pool {
    pub(crate) authorities: Vec<Signers>,
    pub(crate) certificates: Vec<Known>,
    by_der: HashMap<Vec<u8>, usize>,
    by_serial: HashMap<String, usize>,
}

/// The rightful and wrongful signers for an authority.
pub(crate) struct Signers {
    pub(crate) authority: Authority,
    /// An authority of the same name with another key.
    pub(crate) stranger: Authority,
    pub(crate) delegate: Signer,
    /// Delegates whose validity ends one after the other, every two hours from the start.
    pub(crate) ending: Vec<(Signer, Timestamp)>,
    /// A server certificate of the same authority, which is not a responder.
    pub(crate) sibling: Signer,
}

/// A certificate of the pool.
pub(crate) struct Known {
    pub(crate) authority: usize,
    /// The responders that the certificate names, in its order.
    pub(crate) responders: Vec<usize>,
    /// Whether its file lacks the issuer, which is at a caIssuers URL.
    pub(crate) lacks_issuer: bool,
    pub(crate) pem: String,
    pub(crate) serial: Vec<u8>,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
}

pub(crate) fn responder_url(responder: usize) -> String {
    format!("http://r{responder}.test/")
}

pub(crate) fn issuer_url(authority: usize) -> String {
    format!("http://ca{authority}.test/ca.crt")
}

/// The number in the host of a URL.
pub(crate) fn number_in(url: &str) -> usize {
    url.bytes().find(u8::is_ascii_digit).map(|digit| usize::from(digit - b'0')).unwrap()
}

impl Pool {
    pub(crate) fn shared() -> &'static Pool {
        static POOL: OnceLock<Pool> = OnceLock::new();
        POOL.get_or_init(Pool::new)
    }

    fn new() -> Self {
        let mut pool = Pool {
            authorities: (0..AUTHORITIES).map(Signers::new).collect(),
            certificates: Vec::new(),
            by_der: HashMap::new(),
            by_serial: HashMap::new(),
        };
        for family in 0..FAMILIES {
            for variant in 0..2 {
                pool.issue(family, variant);
            }
        }
        pool
    }

    fn issue(&mut self, family: usize, variant: usize) {
        let authority = family % AUTHORITIES;
        let first = authority + AUTHORITIES * (family / AUTHORITIES % (RESPONDERS / AUTHORITIES));
        let mut responders = vec![first];
        if family % 4 == 3 {
            responders.push((first + AUTHORITIES) % RESPONDERS);
        }
        if family % 8 == 1 && variant == 1 {
            responders.clear();
        }
        let not_before = START.unix() + if family % 9 == 4 && variant == 1 { 3 * HOUR } else { -DAY };
        let not_after = START.unix() + if family % 7 == 2 && variant == 0 { 10 * HOUR } else { 800 * DAY };
        let name = format!("{family}.test");
        let lacks_issuer = family % 6 == 5;
        let mut profile = Profile::server(&name)
            .key(KeyType::EcdsaP256)
            .valid_between(not_before, not_after)
            .must_staple(family.is_multiple_of(5));
        for responder in &responders {
            profile = profile.ocsp_url(responder_url(*responder));
        }
        if lacks_issuer {
            profile = profile.ca_issuers_url(issuer_url(authority));
        }
        let issuer = &self.authorities[authority].authority;
        let issued = issuer.issue(&profile).unwrap();
        let mut pem = issued.certificate_pem();
        if !lacks_issuer {
            pem.push_str(&issuer.certificate_pem());
        }
        let read = Certificate::from_der(issued.der()).unwrap();
        let number = self.certificates.len();
        self.by_der.insert(issued.der().to_vec(), number);
        self.by_serial.insert(read.serial_hex(), number);
        self.certificates.push(Known {
            authority,
            responders,
            lacks_issuer,
            pem,
            serial: issued.serial().as_bytes().to_vec(),
            not_before: Timestamp::from_unix(not_before),
            not_after: Timestamp::from_unix(not_after),
        });
    }

    pub(crate) fn by_der(&self, der: &[u8]) -> usize {
        self.by_der[der]
    }

    pub(crate) fn by_serial(&self, serial: &str) -> Option<usize> {
        self.by_serial.get(serial).copied()
    }
}

impl Signers {
    fn new(number: usize) -> Self {
        let root = || Authority::root(&format!("Simulated CA {number}")).key(KeyType::EcdsaP256).create().unwrap();
        let authority = root();
        let certify = |until: i64| {
            let profile = Profile::ocsp_responder("Delegate").key(KeyType::EcdsaP256);
            let profile = profile.valid_between(START.unix() - 900 * DAY, until);
            Signer::delegate(&authority.issue(&profile).unwrap())
        };
        let ending = |step: i64| {
            let until = START.unix() + step * 2 * HOUR;
            (certify(until), Timestamp::from_unix(until))
        };
        let server = Profile::server("sibling.test").key(KeyType::EcdsaP256);
        let server = server.valid_between(START.unix() - DAY, START.unix() + 800 * DAY);
        Signers {
            delegate: certify(START.unix() + 900 * DAY),
            ending: (-1..30).map(ending).collect(),
            sibling: Signer::delegate(&authority.issue(&server).unwrap()),
            stranger: root(),
            authority,
        }
    }
}
