//! What a certificate shall say.

use std::net::IpAddr;
use std::sync::Arc;

use crate::der;
use crate::key::{Key, KeyType};
use crate::serial::Serial;

/// The certificate that is wanted: subject, names, key, validity, extensions.
///
/// ```
/// use stapled_ca::{KeyType, Profile};
///
/// let profile = Profile::server("www.example.org")
///     .dns("example.org")
///     .key(KeyType::Rsa2048)
///     .ocsp_url("http://127.0.0.1:8888/")
///     .must_staple(true);
/// ```
#[derive(Clone, Debug)]
pub struct Profile {
    pub(crate) subject: Vec<(NameAttribute, String)>,
    pub(crate) names: Vec<SubjectName>,
    pub(crate) key: KeySource,
    pub(crate) serial: Option<Serial>,
    pub(crate) validity: Validity,
    pub(crate) ocsp_urls: Vec<String>,
    pub(crate) ca_issuer_urls: Vec<String>,
    pub(crate) must_staple: bool,
    pub(crate) no_check: bool,
    pub(crate) key_usages: Vec<KeyUsage>,
    pub(crate) extended_key_usages: Vec<ExtendedKeyUsage>,
    pub(crate) extensions: Vec<Extension>,
    pub(crate) names_issuer_key: bool,
}

/// From when until when a certificate is valid, in Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Validity {
    /// From a minute before the moment of issue, for so many days.
    Days(u32),
    /// Exactly so, also in the past or the wrong way round.
    Between {
        /// The first second.
        not_before: i64,
        /// The last second.
        not_after: i64,
    },
}

/// A part of a distinguished name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameAttribute {
    /// CN
    CommonName,
    /// O
    Organization,
    /// OU
    OrganizationalUnit,
    /// C
    Country,
}

/// A subjectAltName.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubjectName {
    /// dNSName
    Dns(String),
    /// iPAddress
    Ip(IpAddr),
}

/// A bit of keyUsage (RFC 5280, 4.2.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyUsage {
    /// digitalSignature
    DigitalSignature,
    /// nonRepudiation, called contentCommitment as well
    NonRepudiation,
    /// keyEncipherment
    KeyEncipherment,
    /// keyAgreement
    KeyAgreement,
    /// keyCertSign
    KeyCertSign,
    /// cRLSign
    CrlSign,
}

/// A purpose of extKeyUsage (RFC 5280, 4.2.1.12).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExtendedKeyUsage {
    /// id-kp-serverAuth
    ServerAuth,
    /// id-kp-clientAuth
    ClientAuth,
    /// id-kp-OCSPSigning
    OcspSigning,
    /// anyExtendedKeyUsage, which does *not* include OCSP signing.
    Any,
    /// Any other, by its arcs.
    Other(Vec<u64>),
}

/// An X.509 or OCSP extension, its value already in DER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// The arcs of its object identifier.
    pub oid: Vec<u64>,
    /// Whether whoever does not know it must refuse.
    pub critical: bool,
    /// The DER inside the extnValue `OCTET STRING`.
    pub value: Vec<u8>,
}

impl Profile {
    /// A TLS server's certificate: `name` is its common name and its first
    /// dNSName (or iPAddress), the purpose serverAuth, the key P-256, valid for
    /// 90 days, with no OCSP URL.
    #[must_use]
    pub fn server(name: &str) -> Self {
        Self {
            subject: vec![(NameAttribute::CommonName, name.to_owned())],
            names: vec![SubjectName::of(name)],
            key: KeySource::New(KeyType::default()),
            serial: None,
            validity: Validity::Days(90),
            ocsp_urls: Vec::new(),
            ca_issuer_urls: Vec::new(),
            must_staple: false,
            no_check: false,
            key_usages: vec![KeyUsage::DigitalSignature],
            extended_key_usages: vec![ExtendedKeyUsage::ServerAuth],
            extensions: Vec::new(),
            names_issuer_key: true,
        }
    }

    /// Whether it has an authorityKeyIdentifier; it has one if not said. Certificates of old private CAs have none.
    #[must_use]
    pub fn authority_key_identifier(self, names_issuer_key: bool) -> Self {
        Self { names_issuer_key, ..self }
    }

    /// A delegated OCSP responder's certificate (RFC 6960, 4.2.2.2):
    /// id-kp-OCSPSigning, id-pkix-ocsp-nocheck, digitalSignature, 30 days.
    #[must_use]
    pub fn ocsp_responder(name: &str) -> Self {
        Self {
            names: Vec::new(),
            validity: Validity::Days(30),
            no_check: true,
            extended_key_usages: vec![ExtendedKeyUsage::OcspSigning],
            ..Self::server(name)
        }
    }

    /// Adds a dNSName, or an iPAddress if it is one.
    #[must_use]
    pub fn dns(mut self, name: &str) -> Self {
        let name = SubjectName::of(name);
        if !self.names.contains(&name) {
            self.names.push(name);
        }
        self
    }

    /// Replaces all subjectAltNames; none leaves the extension out.
    #[must_use]
    pub fn names(mut self, names: impl IntoIterator<Item = SubjectName>) -> Self {
        self.names = names.into_iter().collect();
        self
    }

    /// Replaces the subject; none makes it empty (and subjectAltName critical).
    #[must_use]
    pub fn subject(mut self, subject: impl IntoIterator<Item = (NameAttribute, String)>) -> Self {
        self.subject = subject.into_iter().collect();
        self
    }

    /// Makes a new key of this type.
    #[must_use]
    pub fn key(mut self, key_type: KeyType) -> Self {
        self.key = KeySource::New(key_type);
        self
    }

    /// Uses a key that exists: a renewal under the same key, or many
    /// certificates without making many keys.
    #[must_use]
    pub fn existing_key(mut self, key: Arc<Key>) -> Self {
        self.key = KeySource::Existing(key);
        self
    }

    /// Sets the serial number; otherwise it is random.
    #[must_use]
    pub fn serial(mut self, serial: Serial) -> Self {
        self.serial = Some(serial);
        self
    }

    /// Valid from now for so many days.
    #[must_use]
    pub fn days(mut self, days: u32) -> Self {
        self.validity = Validity::Days(days);
        self
    }

    /// Valid exactly between these Unix seconds.
    #[must_use]
    pub fn valid_between(mut self, not_before: i64, not_after: i64) -> Self {
        self.validity = Validity::Between { not_before, not_after };
        self
    }

    /// Adds an OCSP URL to authorityInfoAccess.
    #[must_use]
    pub fn ocsp_url(mut self, url: impl Into<String>) -> Self {
        self.ocsp_urls.push(url.into());
        self
    }

    /// Adds a caIssuers URL to authorityInfoAccess.
    #[must_use]
    pub fn ca_issuers_url(mut self, url: impl Into<String>) -> Self {
        self.ca_issuer_urls.push(url.into());
        self
    }

    /// Whether the certificate demands a staple (RFC 7633, `status_request`).
    #[must_use]
    pub fn must_staple(mut self, must_staple: bool) -> Self {
        self.must_staple = must_staple;
        self
    }

    /// Whether id-pkix-ocsp-nocheck is in (RFC 6960, 4.2.2.2.1).
    #[must_use]
    pub fn ocsp_no_check(mut self, no_check: bool) -> Self {
        self.no_check = no_check;
        self
    }

    /// Replaces the bits of keyUsage; none leaves the extension out.
    #[must_use]
    pub fn key_usages(mut self, usages: impl IntoIterator<Item = KeyUsage>) -> Self {
        self.key_usages = usages.into_iter().collect();
        self
    }

    /// Replaces the purposes; none leaves the extension out.
    #[must_use]
    pub fn extended_key_usages(mut self, usages: impl IntoIterator<Item = ExtendedKeyUsage>) -> Self {
        self.extended_key_usages = usages.into_iter().collect();
        self
    }

    /// Adds any other extension.
    #[must_use]
    pub fn extension(mut self, extension: Extension) -> Self {
        self.extensions.push(extension);
        self
    }

    /// The extensions that this profile asks for beyond names and usages.
    pub(crate) fn further_extensions(&self) -> Vec<Extension> {
        let mut extensions = Vec::new();
        let access = |method: u64, urls: &[String]| -> Vec<Vec<u8>> {
            let description = |url: &String| {
                der::sequence(&[der::oid(&[1, 3, 6, 1, 5, 5, 7, 48, method]), der::implicit(6, url.as_bytes())])
            };
            urls.iter().map(description).collect()
        };
        let mut descriptions = access(1, &self.ocsp_urls);
        descriptions.extend(access(2, &self.ca_issuer_urls));
        if !descriptions.is_empty() {
            extensions.push(Extension::new(&[1, 3, 6, 1, 5, 5, 7, 1, 1], der::sequence(&descriptions)));
        }
        if self.must_staple {
            // RFC 7633, 4.2.3.1: the TLS extension status_request has number 5.
            extensions.push(Extension::new(&[1, 3, 6, 1, 5, 5, 7, 1, 24], der::sequence(&[der::unsigned(&[5])])));
        }
        if self.no_check {
            extensions.push(Extension::new(&[1, 3, 6, 1, 5, 5, 7, 48, 1, 5], der::NULL.to_vec()));
        }
        extensions.extend(self.extensions.iter().cloned());
        extensions
    }
}

impl Validity {
    /// not_before and not_after for a certificate issued at `now`.
    #[must_use]
    pub fn at(self, now: i64) -> (i64, i64) {
        match self {
            Self::Days(days) => (now - 60, now + i64::from(days) * 86_400),
            Self::Between { not_before, not_after } => (not_before, not_after),
        }
    }
}

impl SubjectName {
    /// An iPAddress if `name` is one, else a dNSName.
    #[must_use]
    pub fn of(name: &str) -> Self {
        name.parse().map_or_else(|_| Self::Dns(name.to_owned()), Self::Ip)
    }
}

impl Extension {
    /// One that may be ignored.
    #[must_use]
    pub fn new(oid: &[u64], value: Vec<u8>) -> Self {
        Self { oid: oid.to_vec(), critical: false, value }
    }

    /// One that must be understood.
    #[must_use]
    pub fn critical(oid: &[u64], value: Vec<u8>) -> Self {
        Self { oid: oid.to_vec(), critical: true, value }
    }

    /// The `Extension` in DER.
    #[must_use]
    pub fn to_der(&self) -> Vec<u8> {
        let mut parts = vec![der::oid(&self.oid)];
        if self.critical {
            parts.push(der::value(der::BOOLEAN, &[0xff]));
        }
        parts.push(der::value(der::OCTET_STRING, &self.value));
        der::sequence(&parts)
    }
}

#[derive(Clone, Debug)]
pub(crate) enum KeySource {
    New(KeyType),
    Existing(Arc<Key>),
}
