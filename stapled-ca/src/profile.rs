//! Profiles: the contents of a certificate to be issued.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::clock::DAY;
use crate::der;
use crate::extension::Extension;
use crate::key::Key;
use crate::key_type::KeyType;
use crate::serial::Serial;

/// The contents of a certificate to be issued: subject, names, key, validity, extensions.
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
    pub(crate) crl_urls: Vec<String>,
    pub(crate) must_staple: bool,
    pub(crate) no_check: bool,
    pub(crate) key_usages: Vec<KeyUsage>,
    pub(crate) extended_key_usages: Vec<ExtendedKeyUsage>,
    pub(crate) extensions: Vec<Extension>,
    pub(crate) names_issuer_key: bool,
}

/// The validity of a certificate, in Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Validity {
    /// From a minute before the certificate is issued, for this number of days.
    Days(u32),
    /// Exactly these times. They may be past, or in the wrong order.
    Between {
        /// The first second.
        not_before: i64,
        /// The last second.
        not_after: i64,
    },
}

/// An attribute of a distinguished name.
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
    /// nonRepudiation, also called contentCommitment
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
    /// anyExtendedKeyUsage, which does *not* include OCSP signing
    Any,
    /// Any other purpose, by the arcs of its object identifier
    Other(Vec<u64>),
}

impl Profile {
    /// A TLS server's certificate: `name` is its common name and its first dNSName (or iPAddress), the purpose is
    /// serverAuth, the key is P-256, and the validity is 90 days. It has no OCSP URL.
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
            crl_urls: Vec::new(),
            must_staple: false,
            no_check: false,
            key_usages: vec![KeyUsage::DigitalSignature],
            extended_key_usages: vec![ExtendedKeyUsage::ServerAuth],
            extensions: Vec::new(),
            names_issuer_key: true,
        }
    }

    /// Whether the certificate has an authorityKeyIdentifier. Default: true. Certificates of old private CAs have none.
    #[must_use]
    pub fn authority_key_identifier(self, names_issuer_key: bool) -> Self {
        Self { names_issuer_key, ..self }
    }

    /// A delegated OCSP responder's certificate (RFC 6960, 4.2.2.2): id-kp-OCSPSigning, id-pkix-ocsp-nocheck,
    /// digitalSignature, 30 days.
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

    /// Adds a dNSName, or an iPAddress if `name` is an IP address.
    #[must_use]
    pub fn dns(mut self, name: &str) -> Self {
        let name = SubjectName::of(name);
        if !self.names.contains(&name) {
            self.names.push(name);
        }
        self
    }

    /// Replaces all subjectAltNames. An empty list omits the extension.
    #[must_use]
    pub fn names(mut self, names: impl IntoIterator<Item = SubjectName>) -> Self {
        self.names = names.into_iter().collect();
        self
    }

    /// Replaces the subject. An empty list makes the subject empty, and subjectAltName critical.
    #[must_use]
    pub fn subject(mut self, subject: impl IntoIterator<Item = (NameAttribute, String)>) -> Self {
        self.subject = subject.into_iter().collect();
        self
    }

    /// Uses a new key of this type.
    #[must_use]
    pub fn key(mut self, key_type: KeyType) -> Self {
        self.key = KeySource::New(key_type);
        self
    }

    /// Uses an existing key: for a renewal with the same key, or for many certificates, because making keys takes long.
    #[must_use]
    pub fn existing_key(mut self, key: Arc<Key>) -> Self {
        self.key = KeySource::Existing(key);
        self
    }

    /// Sets the serial number. Default: a random one.
    #[must_use]
    pub fn serial(mut self, serial: Serial) -> Self {
        self.serial = Some(serial);
        self
    }

    /// Makes the certificate valid from now for this number of days.
    #[must_use]
    pub fn days(mut self, days: u32) -> Self {
        self.validity = Validity::Days(days);
        self
    }

    /// Makes the certificate valid exactly between these Unix seconds.
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

    /// Adds a URL of the issuer's certificate revocation list (RFC 5280, 4.2.1.13). All URLs lead to the same list.
    #[must_use]
    pub fn crl_url(mut self, url: impl Into<String>) -> Self {
        self.crl_urls.push(url.into());
        self
    }

    /// Whether the certificate is must-staple (RFC 7633, `status_request`).
    #[must_use]
    pub fn must_staple(mut self, must_staple: bool) -> Self {
        self.must_staple = must_staple;
        self
    }

    /// Whether the certificate has id-pkix-ocsp-nocheck (RFC 6960, 4.2.2.2.1).
    #[must_use]
    pub fn ocsp_no_check(mut self, no_check: bool) -> Self {
        self.no_check = no_check;
        self
    }

    /// Replaces the bits of keyUsage. An empty list omits the extension.
    #[must_use]
    pub fn key_usages(mut self, usages: impl IntoIterator<Item = KeyUsage>) -> Self {
        self.key_usages = usages.into_iter().collect();
        self
    }

    /// Replaces the purposes of extKeyUsage. An empty list omits the extension.
    #[must_use]
    pub fn extended_key_usages(mut self, usages: impl IntoIterator<Item = ExtendedKeyUsage>) -> Self {
        self.extended_key_usages = usages.into_iter().collect();
        self
    }

    /// Adds an extension.
    #[must_use]
    pub fn extension(mut self, extension: Extension) -> Self {
        self.extensions.push(extension);
        self
    }

    /// The extensions of this profile, without those for names and usages.
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
        if !self.crl_urls.is_empty() {
            let urls: Vec<Vec<u8>> = self.crl_urls.iter().map(|url| der::implicit(6, url.as_bytes())).collect();
            // One distribution point with several names: distributionPoint [0], fullName [0].
            let point = der::sequence(&[der::value(0xa0, &der::value(0xa0, &der::concat(&urls)))]);
            extensions.push(Extension::new(&[2, 5, 29, 31], der::sequence(&[point])));
        }
        if self.must_staple {
            // RFC 7633, 4.2.3.1: the TLS extension status_request has the number 5.
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
    /// The first and the last second of a certificate that is issued at `now`.
    #[must_use]
    pub fn at(self, now: i64) -> (i64, i64) {
        match self {
            Self::Days(days) => (now - 60, now + i64::from(days) * DAY),
            Self::Between { not_before, not_after } => (not_before, not_after),
        }
    }
}

impl SubjectName {
    /// An iPAddress if `name` is an IP address, otherwise a dNSName.
    #[must_use]
    pub fn of(name: &str) -> Self {
        name.parse().map_or_else(|_| Self::Dns(name.to_owned()), Self::Ip)
    }
}

impl fmt::Display for SubjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Ip(address) => address.fmt(f),
        }
    }
}

/// Where a certificate's key comes from.
#[derive(Clone, Debug)]
pub(crate) enum KeySource {
    New(KeyType),
    Existing(Arc<Key>),
}
