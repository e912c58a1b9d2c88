//! Reads one certificate: the fields that stapling needs, and the names.

use std::fmt;
use std::sync::Arc;

use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry as oids;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::alike;
use super::as_issuer::{AsIssuer, Hashes};
use super::name::{display_name, name_in_words, name_key, printable, same_name};
use crate::der::{
    self, BIT_STRING, DerError, Element, GENERALIZED_TIME, INTEGER, Numbers, OID, Reader, SEQUENCE, UTC_TIME,
    integer_hex,
};
use crate::hash::Sha256;
use crate::oid;
use crate::pem;
use crate::provider;
use crate::shape;
use crate::signature::{self, PublicKey, SignatureError, Verified};
use crate::time::Timestamp;
use crate::url_text;

/// The largest certificate that is read, in bytes.
const MAX_SIZE: usize = 64 * 1024;
/// The most URLs of one kind that are kept of a certificate.
const MAX_URLS: usize = 8;
/// The most characters of a malformed time in an error.
const LONGEST_TIME: usize = 32;
/// The longest URL that is kept, in bytes.
const MAX_URL: usize = 2048;

/// id-pe-tlsfeature, 1.3.6.1.5.5.7.1.24 (RFC 7633).
const TLS_FEATURE: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x18];
/// The TLS feature `status_request`: a server must send a staple with the certificate.
const STATUS_REQUEST: u64 = 5;
/// id-pkix-ocsp-nocheck, 1.3.6.1.5.5.7.48.1.5.
const OCSP_NOCHECK: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x05];

/// id-ce-keyUsage, 2.5.29.15.
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
/// id-ce-basicConstraints, 2.5.29.19.
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
/// id-ce-extKeyUsage, 2.5.29.37.
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];

/// A part of a certificate's bytes. Small, because a stapler may hold a million certificates. Each part begins and is shorter than
/// [`MAX_SIZE`], since the certificate's own tag and length come before it.
#[derive(Clone, Copy)]
pub(super) struct Part {
    start: u16,
    length: u16,
}

/// A certificate: its bytes, and the fields that stapling needs.
///
/// Nothing is verified: neither the signature nor the validity.
#[derive(Clone)]
pub struct Certificate {
    der: Box<[u8]>,
    tbs: Part,
    pub(super) signature_algorithm: Part,
    signature: Part,
    subject: Part,
    issuer: Part,
    key_algorithm: Part,
    key: Part,
    serial: Part,
    not_before: Timestamp,
    not_after: Timestamp,
    /// What few certificates have.
    odd: Option<Box<Odd>>,
    is_ca: bool,
    key_usage: Option<KeyUsage>,
    extended_key_usage: Option<ExtendedKeyUsage>,
    /// The OCSP URLs, and then the caIssuers URLs.
    urls: Arc<[String]>,
    /// How many of them are OCSP URLs.
    ocsp_urls: u8,
    must_staple: bool,
    ocsp_no_check: bool,
    subject_key_id: Option<Part>,
    authority_key_id: Option<Part>,
    /// Whether authorityKeyIdentifier names the issuer's certificate, by its issuer or its serial number.
    names_certificate: bool,
    name: Name,
    as_issuer: AsIssuer<Delegate>,
}

/// A certificate whose signature by its issuer was verified. Nothing else is decided: whether the certificate is valid, and whether
/// its signature is strong enough, depends on the time and the policy of a judgement.
pub(crate) struct Delegate {
    pub(crate) certificate: Certificate,
    pub(crate) certified: Verified,
}

/// What few certificates have.
#[derive(Clone, Default)]
struct Odd {
    /// The error of a time of the validity whose form is not that of RFC 5280.
    time: Option<CertificateError>,
    unknown_critical_extension: Option<String>,
}

/// A name for people.
#[derive(Clone)]
enum Name {
    /// It is in the certificate as it is shown.
    In(Part),
    Other(Box<str>),
}

impl Default for Name {
    fn default() -> Self {
        Name::Other(Box::default())
    }
}

/// The bits of keyUsage that allow signatures.
#[derive(Clone, Copy, Debug)]
struct KeyUsage {
    digital_signature: bool,
    non_repudiation: bool,
    key_cert_sign: bool,
}

/// The purposes of extendedKeyUsage for TLS servers and for signers of OCSP responses.
#[derive(Clone, Copy, Debug)]
struct ExtendedKeyUsage {
    any: bool,
    server_auth: bool,
    ocsp_signing: bool,
}

/// Why bytes are not a certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The certificate is larger than the limit.
    #[error("the certificate has {size} bytes; the limit is {MAX_SIZE}")]
    TooLarge {
        /// The size of the certificate in bytes.
        size: usize,
    },
    /// The bytes are not DER, or bytes follow the certificate.
    #[error("{0}")]
    Framing(#[from] DerError),
    /// A time of the validity has a form that some clients do not read.
    #[error("{field} does not have the form of RFC 5280 §4.1.2.5: {value}")]
    Time {
        /// `notBefore` or `notAfter`.
        field: &'static str,
        /// The time, shortened.
        value: String,
    },
    /// The bytes are DER, but not a certificate as RFC 5280 defines it.
    #[error("not an X.509 certificate: {0}")]
    Malformed(String),
}

impl Certificate {
    /// Reads one certificate in DER. Bytes after the certificate are an error.
    pub fn from_der(bytes: &[u8]) -> Result<Self, CertificateError> {
        if bytes.len() > MAX_SIZE {
            return Err(CertificateError::TooLarge { size: bytes.len() });
        }
        Self::cut(bytes).map_err(|error| in_which_field(bytes).unwrap_or(error))
    }

    fn cut(bytes: &[u8]) -> Result<Self, CertificateError> {
        der::check_framing(bytes, Numbers::Padded)?;
        let mut outer = Reader::new(bytes).inside(SEQUENCE)?;
        let tbs = outer.expect(SEQUENCE)?.raw;
        let algorithm = outer.expect(SEQUENCE)?;
        let signature_algorithm = algorithm.contents;
        let signature = der::whole_bytes(outer.expect(BIT_STRING)?)?;
        outer.end()?;

        let (rest, parsed) =
            X509Certificate::from_der(bytes).map_err(|error| CertificateError::Malformed(error.to_string()))?;
        if !rest.is_empty() {
            return Err(DerError::new("bytes after the end").into());
        }
        // RFC 5280 §4.1.1.2: the algorithm inside of the signed part and the algorithm outside are the same.
        if !names_algorithm(tbs, algorithm)? {
            return Err(CertificateError::Malformed("it names two different algorithms for its signature".to_owned()));
        }
        let mut key_info = Reader::new(parsed.public_key().raw).inside(SEQUENCE)?;
        let key_algorithm = key_info.expect(SEQUENCE)?.contents;
        let key = der::whole_bytes(key_info.expect(BIT_STRING)?)?;

        let range = |part: &[u8]| {
            // Every part is a slice of `bytes`: neither x509-parser nor the reader copies.
            let start = (part.as_ptr() as usize).saturating_sub(bytes.as_ptr() as usize);
            // `MAX_SIZE` is the limit.
            let short = |position: usize| u16::try_from(position).unwrap_or(u16::MAX);
            Part { start: short(start), length: short(part.len()) }
        };
        let mut certificate = Certificate {
            tbs: range(tbs),
            signature_algorithm: range(signature_algorithm),
            signature: range(signature),
            subject: range(parsed.subject().as_raw()),
            issuer: range(parsed.issuer().as_raw()),
            key_algorithm: range(key_algorithm),
            key: range(key),
            serial: range(der::shortest_integer(parsed.tbs_certificate.raw_serial())),
            not_before: Timestamp::from_unix(parsed.validity().not_before.timestamp()),
            not_after: Timestamp::from_unix(parsed.validity().not_after.timestamp()),
            odd: None,
            is_ca: false,
            key_usage: None,
            extended_key_usage: None,
            urls: Arc::default(),
            ocsp_urls: 0,
            must_staple: false,
            ocsp_no_check: false,
            subject_key_id: None,
            authority_key_id: None,
            names_certificate: false,
            name: Name::default(),
            as_issuer: AsIssuer::new(),
            der: bytes.into(),
        };
        if let Some(time) = odd_time(tbs)? {
            certificate.odd().time = Some(time);
        }
        certificate.read_extensions(&parsed, range)?;
        for extension in parsed.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(id) => certificate.subject_key_id = Some(range(id.0)),
                ParsedExtension::AuthorityKeyIdentifier(id) => {
                    certificate.authority_key_id = id.key_identifier.as_ref().map(|id| range(id.0));
                    certificate.names_certificate =
                        id.authority_cert_issuer.is_some() || id.authority_cert_serial.is_some();
                }
                _ => {}
            }
        }
        if certificate.name().is_empty() {
            certificate.name = Name::Other(display_name(parsed.subject()).into());
        }
        Ok(certificate)
    }

    /// `range` is the place of a part of the bytes.
    fn read_extensions(
        &mut self,
        parsed: &X509Certificate<'_>,
        range: impl Fn(&[u8]) -> Part,
    ) -> Result<(), CertificateError> {
        let malformed = |what: &str| CertificateError::Malformed(format!("the extension {what} cannot be read"));
        let mut seen: Vec<&[u8]> = Vec::new();
        let (mut ocsp_urls, mut ca_issuers_urls) = (Vec::new(), Vec::new());
        for extension in parsed.extensions() {
            let oid = extension.oid.as_bytes();
            if seen.contains(&oid) {
                return Err(CertificateError::Malformed(format!("the extension {} occurs twice", oid::dotted(oid))));
            }
            seen.push(oid);
            if !decides_readably(oid, extension.value) {
                return Err(malformed(&oid::dotted(oid)));
            }
            match extension.parsed_extension() {
                ParsedExtension::BasicConstraints(constraints) => self.is_ca = constraints.ca,
                ParsedExtension::KeyUsage(usage) => {
                    self.key_usage = Some(KeyUsage {
                        digital_signature: usage.digital_signature(),
                        non_repudiation: usage.non_repudiation(),
                        key_cert_sign: usage.key_cert_sign(),
                    });
                }
                ParsedExtension::ExtendedKeyUsage(usage) => {
                    self.extended_key_usage = Some(ExtendedKeyUsage {
                        any: usage.any,
                        server_auth: usage.server_auth,
                        ocsp_signing: usage.ocsp_signing,
                    });
                }
                ParsedExtension::AuthorityInfoAccess(access) => {
                    for description in access.iter() {
                        let GeneralName::URI(url) = description.access_location else { continue };
                        let urls = match &description.access_method {
                            method if *method == oids::OID_PKIX_ACCESS_DESCRIPTOR_OCSP => &mut ocsp_urls,
                            method if *method == oids::OID_PKIX_ACCESS_DESCRIPTOR_CA_ISSUERS => &mut ca_issuers_urls,
                            _ => continue,
                        };
                        let url = url_text::tidied(url);
                        if urls.len() < MAX_URLS && (1..=MAX_URL).contains(&url.len()) && !urls.contains(&url) {
                            urls.push(url);
                        }
                    }
                }
                ParsedExtension::SubjectAlternativeName(names) => {
                    let first = names.general_names.iter().find_map(|name| match name {
                        GeneralName::DNSName(name) => Some((*name, printable(name))),
                        _ => None,
                    });
                    self.name = match first {
                        Some((name, shown)) if *name == *shown => Name::In(range(name.as_bytes())),
                        Some((_, shown)) => Name::Other(shown.into()),
                        None => Name::default(),
                    };
                }
                // Extensions that decide about trust must be readable. Errors in other extensions are ignored.
                ParsedExtension::ParseError { .. }
                    if extension.critical || matches!(oid, KEY_USAGE | BASIC_CONSTRAINTS | EXTENDED_KEY_USAGE) =>
                {
                    return Err(malformed(&oid::dotted(oid)));
                }
                ParsedExtension::UnsupportedExtension { .. } if oid == TLS_FEATURE => {
                    self.must_staple = has_status_request(extension.value).map_err(|_| malformed("TLS feature"))?;
                }
                ParsedExtension::UnsupportedExtension { .. } if oid == OCSP_NOCHECK => self.ocsp_no_check = true,
                ParsedExtension::UnsupportedExtension { .. } if extension.critical => {
                    self.odd().unknown_critical_extension = Some(oid::dotted(oid));
                }
                _ => {}
            }
        }
        self.ocsp_urls = u8::try_from(ocsp_urls.len()).unwrap_or(u8::MAX);
        ocsp_urls.append(&mut ca_issuers_urls);
        self.urls = alike::shared(ocsp_urls);
        Ok(())
    }

    fn odd(&mut self) -> &mut Odd {
        self.odd.get_or_insert_default()
    }

    pub(super) fn part(&self, part: &Part) -> &[u8] {
        let start = usize::from(part.start);
        self.der.get(start..start + usize::from(part.length)).unwrap_or_default()
    }

    /// The DER of the certificate.
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// A name for people: the first DNS name, or else the common name, or else the whole subject.
    pub fn name(&self) -> &str {
        match &self.name {
            Name::In(part) => str::from_utf8(self.part(part)).unwrap_or_default(),
            Name::Other(name) => name,
        }
    }

    /// The DER of the subject's name.
    pub fn subject(&self) -> &[u8] {
        self.part(&self.subject)
    }

    /// The DER of the issuer's name.
    pub fn issuer(&self) -> &[u8] {
        self.part(&self.issuer)
    }

    /// The bits of the public key, from which CertIDs and byKey ResponderIDs are hashed.
    pub fn public_key(&self) -> &[u8] {
        self.part(&self.key)
    }

    /// The certificate as PEM, with a line feed at its end.
    pub fn to_pem(&self) -> String {
        Certificate::pem_of(&self.der)
    }

    /// The DER of a certificate as PEM, with a line feed at its end.
    pub fn pem_of(der: &[u8]) -> String {
        pem::certificate(der)
    }

    /// The serial number: the contents bytes of the INTEGER in their shortest form, the most significant byte first.
    pub fn serial(&self) -> &[u8] {
        self.part(&self.serial)
    }

    /// The serial number in hexadecimal, as `openssl x509 -serial` prints it.
    pub fn serial_hex(&self) -> String {
        integer_hex(self.serial())
    }

    /// The first instant of the validity.
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// The last second of the validity.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// The error of a time of the validity whose form is not that of RFC 5280 §4.1.2.5: UTCTime as `YYMMDDHHMMSSZ`, or
    /// GeneralizedTime as `YYYYMMDDHHMMSSZ`. OpenSSL's clients refuse certificates with other forms.
    pub(crate) fn odd_time(&self) -> Option<&CertificateError> {
        self.odd.as_ref()?.time.as_ref()
    }

    /// Whether the certificate is a CA's, by its basicConstraints.
    pub fn is_ca(&self) -> bool {
        self.is_ca
    }

    /// The URLs of the responders (RFC 5280 §4.2.2.1, id-ad-ocsp), in the certificate's order; at most eight. White
    /// space around a URL is removed. Credentials are replaced by `***`; the stapler does not use such a URL.
    pub fn ocsp_urls(&self) -> &[String] {
        self.urls.get(..usize::from(self.ocsp_urls)).unwrap_or_default()
    }

    /// The URLs of the issuer's certificate (RFC 5280 §4.2.2.1, id-ad-caIssuers), in the certificate's order; at most
    /// eight.
    pub fn ca_issuers_urls(&self) -> &[String] {
        self.urls.get(usize::from(self.ocsp_urls)..).unwrap_or_default()
    }

    /// Whether clients refuse the certificate without a staple (RFC 7633).
    pub fn must_staple(&self) -> bool {
        self.must_staple
    }

    /// Whether the certificate has id-pkix-ocsp-nocheck: clients do not check its revocation (RFC 6960 §4.2.2.2.1).
    pub fn has_ocsp_no_check(&self) -> bool {
        self.ocsp_no_check
    }

    /// Whether a TLS server may use the certificate: extendedKeyUsage is absent or allows serverAuth.
    pub fn allows_server_auth(&self) -> bool {
        self.extended_key_usage.is_none_or(|usage| usage.server_auth || usage.any)
    }

    /// Whether extendedKeyUsage names id-kp-OCSPSigning itself; anyExtendedKeyUsage is not enough.
    pub fn allows_ocsp_signing(&self) -> bool {
        self.extended_key_usage.is_some_and(|usage| usage.ocsp_signing)
    }

    /// Whether the key may sign OCSP responses: keyUsage is absent, or has digitalSignature or nonRepudiation (RFC 5280
    /// §4.2.1.12, id-kp-OCSPSigning).
    pub fn allows_signing_responses(&self) -> bool {
        self.key_usage.is_none_or(|usage| usage.digital_signature || usage.non_repudiation)
    }

    /// The object identifier of a critical extension that this crate does not know, in dotted form.
    pub fn unknown_critical_extension(&self) -> Option<&str> {
        self.odd.as_ref()?.unknown_critical_extension.as_deref()
    }

    /// Whether this certificate's authorityKeyIdentifier is the subjectKeyIdentifier of `issuer` (RFC 5280 §4.2.1.1).
    /// `false` if one of them is missing.
    pub fn names_key_of(&self, issuer: &Certificate) -> bool {
        match (&self.authority_key_id, &issuer.subject_key_id) {
            (Some(named), Some(own)) => self.part(named) == issuer.part(own),
            _ => false,
        }
    }

    /// Whether authorityKeyIdentifier and the subjectKeyIdentifier of `issuer` are both there, and differ.
    pub(crate) fn names_other_key_than(&self, issuer: &Certificate) -> bool {
        self.authority_key_id.is_some() && issuer.subject_key_id.is_some() && !self.names_key_of(issuer)
    }

    /// Whether authorityKeyIdentifier names the issuer's certificate, by its issuer or its serial number.
    pub(crate) fn names_certificate(&self) -> bool {
        self.names_certificate
    }

    /// Whether keyUsage, where present, allows keyCertSign.
    pub(crate) fn may_certify(&self) -> bool {
        self.key_usage.is_none_or(|usage| usage.key_cert_sign)
    }

    /// The bytes of the object identifiers of the signature's algorithm and of the key's.
    pub(crate) fn algorithms(&self) -> [&[u8]; 2] {
        [&self.signature_algorithm, &self.key_algorithm].map(|part| {
            let identifier = Reader::new(self.part(part)).expect(OID);
            identifier.map(|identifier| identifier.contents).unwrap_or_default()
        })
    }

    /// A comparison key for a name in DER. Equal names have equal keys: string types, case and surplus white space do
    /// not count (RFC 5280 §7.1). `None` if the bytes are not a name.
    pub fn name_key(name: &[u8]) -> Option<Vec<u8>> {
        name_key(name)
    }

    /// The issuer's name for people, such as `Example CA`.
    pub fn issuer_name(&self) -> String {
        name_in_words(self.issuer())
    }

    /// The SHA-256 hash of the certificate.
    pub fn fingerprint(&self) -> [u8; 32] {
        Sha256::of(&self.der)
    }

    /// The SHA-1 hash of the certificate, by which some servers name it. A forger can make another certificate with the same
    /// hash, so the hash proves nothing.
    pub fn sha1_fingerprint(&self) -> [u8; 20] {
        let mut hash = [0; 20];
        hash.copy_from_slice(provider::digest(provider::Hash::Sha1, &[&self.der]).as_ref());
        hash
    }

    /// Whether the names of subject and issuer are the same.
    pub fn is_self_issued(&self) -> bool {
        same_name(self.subject(), self.issuer())
    }

    /// Whether `issuer` issued this certificate: its name fits, and its key made the signature.
    pub fn is_issued_by(&self, issuer: &Certificate) -> bool {
        // A weak signature is enough: it only confirms the name. Clients verify the certificate themselves.
        self.check_issued_by(issuer).is_ok()
    }

    /// Checks the issuer's name, then the signature by the issuer's key.
    pub(crate) fn check_issued_by(&self, issuer: &Certificate) -> Result<Verified, SignatureError> {
        if !same_name(self.issuer(), issuer.subject()) {
            return Err(SignatureError::BadSignature);
        }
        self.verify_issued_by(issuer)
    }

    /// Verifies the signature by the issuer's key, without a check of the name.
    pub(crate) fn verify_issued_by(&self, issuer: &Certificate) -> Result<Verified, SignatureError> {
        signature::verify(
            self.part(&self.signature_algorithm),
            issuer.lasting_key(),
            self.part(&self.tbs),
            self.part(&self.signature),
        )
    }

    /// The name for people of this issuer, which the facts about its responses share.
    pub(crate) fn shared_name(&self) -> Arc<str> {
        self.as_issuer.name(self.name())
    }

    /// The hashes of this issuer in CertIDs.
    pub(crate) fn issuer_hashes(&self, hash: provider::Hash) -> Hashes {
        self.as_issuer.hashes(hash, self.subject(), self.public_key())
    }

    /// The delegate with exactly these bytes, if it is known that this issuer certified it.
    pub(crate) fn known_delegate(&self, der: &[u8]) -> Option<Arc<Delegate>> {
        self.as_issuer.delegate(|known| known.certificate.as_der() == der)
    }

    /// Remembers that this issuer certified a delegate: [`Self::verify_issued_by`] was successful.
    pub(crate) fn remember_delegate(&self, delegate: &Certificate, certified: Verified) {
        let certificate = delegate.clone();
        self.as_issuer.remember(Delegate { certificate, certified }, |known| known.certificate == *delegate);
    }

    pub(crate) fn verification_key(&self) -> PublicKey<'_> {
        PublicKey { algorithm: self.part(&self.key_algorithm), bits: self.public_key(), prepared: None }
    }

    /// The key of an issuer or of a remembered delegate, which verifies many signatures.
    pub(crate) fn lasting_key(&self) -> PublicKey<'_> {
        PublicKey { prepared: Some(self.as_issuer.key()), ..self.verification_key() }
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("name", &self.name()).field("serial", &self.serial_hex()).finish()
    }
}

/// Whether the value of an extension that decides about trust has exactly the form of RFC 5280. A general parser skips
/// elements that it does not know, which other readers may understand differently. Other extensions are not checked,
/// because nothing depends on them.
fn decides_readably(oid: &[u8], value: &[u8]) -> bool {
    let read = || -> Result<(), DerError> {
        der::check_framing(value, Numbers::Shortest)?;
        match oid {
            KEY_USAGE => {
                Reader::new(value).expect(BIT_STRING)?;
            }
            BASIC_CONSTRAINTS => {
                let mut fields = Reader::new(value).inside(SEQUENCE)?;
                fields.optional(der::BOOLEAN)?;
                fields.optional(INTEGER)?;
                fields.end()?;
            }
            _ => {
                let mut purposes = Reader::new(value).inside(SEQUENCE)?;
                purposes.expect(OID)?;
                while !purposes.is_empty() {
                    purposes.expect(OID)?;
                }
            }
        }
        Ok(())
    };
    !matches!(oid, KEY_USAGE | BASIC_CONSTRAINTS | EXTENDED_KEY_USAGE) || read().is_ok()
}

/// Finds the field of the error in bytes that are not a certificate. `None` if no field can be named.
fn in_which_field(bytes: &[u8]) -> Option<CertificateError> {
    let mut whole = Reader::new(bytes);
    let certificate = whole.expect(SEQUENCE).ok().filter(|_| whole.is_empty())?;
    if let Err(error) = shape::check_certificate(certificate) {
        return Some(error.into());
    }
    let tbs = Reader::new(certificate.contents).expect(SEQUENCE).ok()?;
    odd_time(tbs.raw).ok().flatten()
}

/// Whether `tbs`, a TBSCertificate, names this algorithm for its signature.
fn names_algorithm(tbs: &[u8], algorithm: Element<'_>) -> Result<bool, DerError> {
    let mut fields = Reader::new(tbs).inside(SEQUENCE)?;
    fields.optional(der::context(0))?;
    fields.expect(INTEGER)?;
    Ok(fields.expect(SEQUENCE)?.raw == algorithm.raw)
}

/// Finds the first time in the validity of `tbs`, a TBSCertificate, whose form is not that of RFC 5280 §4.1.2.5. A year
/// before 2050 in a GeneralizedTime is accepted, as all clients accept it.
fn odd_time(tbs: &[u8]) -> Result<Option<CertificateError>, DerError> {
    let mut fields = Reader::new(tbs).inside(SEQUENCE)?;
    fields.optional(der::context(0))?;
    fields.expect(INTEGER)?;
    // signature, issuer
    for _ in 0..2 {
        fields.expect(SEQUENCE)?;
    }
    let mut validity = fields.inside(SEQUENCE)?;
    for field in ["notBefore", "notAfter"] {
        let time = validity.any()?;
        let digits = time.contents.strip_suffix(b"Z");
        let is_right = match (time.tag, digits) {
            // A year of two digits: from 1950 to 2049.
            (UTC_TIME, Some(digits @ [decade, ..])) if digits.len() == 12 => {
                let century: &[u8] = if *decade >= b'5' { b"19" } else { b"20" };
                is_time(&[century, digits].concat())
            }
            (GENERALIZED_TIME, Some(digits)) => is_time(digits),
            _ => false,
        };
        if !is_right {
            let value = printable(&String::from_utf8_lossy(time.contents)).chars().take(LONGEST_TIME).collect();
            return Ok(Some(CertificateError::Time { field, value }));
        }
    }
    Ok(None)
}

fn is_time(digits: &[u8]) -> bool {
    digits.try_into().is_ok_and(|digits| Timestamp::from_digits(digits).is_some())
}

/// Features ::= SEQUENCE OF INTEGER (RFC 7633 §6).
fn has_status_request(value: &[u8]) -> Result<bool, DerError> {
    let mut reader = Reader::new(value);
    let mut features = reader.inside(SEQUENCE)?;
    reader.end()?;
    let mut found = false;
    while !features.is_empty() {
        let feature = features.expect(INTEGER)?.contents;
        found |= feature.iter().fold(0u64, |sum, &byte| sum << 8 | u64::from(byte)) == STATUS_REQUEST;
    }
    Ok(found)
}

/// Whether this crate reads an extension that the parser does not support.
pub(super) fn is_known_here(oid: &[u8]) -> bool {
    [TLS_FEATURE, OCSP_NOCHECK].contains(&oid)
}
