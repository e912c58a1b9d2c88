//! Makes a signed certificate from a profile.

use std::fmt::Write as _;
use std::ops::{Add, Sub};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyUsagePurpose, SanType, SerialNumber, SubjectPublicKeyInfo,
};
use x509_parser::prelude::FromDer as _;

use crate::error::AuthorityError;
use crate::identity::IssuerIdentity;
use crate::issued::Issued;
use crate::key::Key;
use crate::ledger::{Kind, Record, Status};
use crate::profile::{ExtendedKeyUsage, KeySource, KeyUsage, NameAttribute, Profile, SubjectName};
use crate::serial::{LONGEST_SERIAL, Serial};

/// Whether a certificate may sign other certificates.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    EndEntity,
    Authority,
}

/// A certificate before it is signed, with its key.
pub(crate) struct Draft {
    params: CertificateParams,
    key: Arc<Key>,
    record: Record,
}

impl Draft {
    /// The certificate of this profile, issued at `now`.
    pub(crate) fn new(profile: &Profile, now: i64, subject: Subject) -> Result<Self, AuthorityError> {
        let key = match &profile.key {
            KeySource::New(key_type) => Arc::new(Key::generate(*key_type)?),
            KeySource::Existing(key) => Arc::clone(key),
        };
        let (params, record) = contents(profile, now, subject, key.key_type().is_rsa())?;
        Ok(Self { params, key, record })
    }

    /// The certificate's key.
    pub(crate) fn key(&self) -> &Arc<Key> {
        &self.key
    }

    /// The record for the ledger.
    pub(crate) fn record(&self, kind: Kind) -> Record {
        Record { kind, ..self.record.clone() }
    }

    /// The certificate, DER, signed by an issuer.
    pub(crate) fn signed_by(&self, issuer: &Issuer<'_, &Key>) -> Result<Vec<u8>, AuthorityError> {
        Ok(self.params.signed_by(&*self.key, issuer)?.der().to_vec())
    }

    /// The certificate, DER, signed by its own key.
    pub(crate) fn self_signed(&self) -> Result<Vec<u8>, AuthorityError> {
        Ok(self.params.self_signed(&*self.key)?.der().to_vec())
    }

    /// The issued certificate with its chain.
    pub(crate) fn issued(self, der: Vec<u8>, chain: Vec<Vec<u8>>) -> Result<Issued, AuthorityError> {
        let identity = IssuerIdentity::from_certificate(&der).ok_or(AuthorityError::Unreadable)?;
        let Record { serial, not_before, not_after, .. } = self.record;
        Ok(Issued { der, chain, key: self.key, identity, serial, not_before, not_after })
    }
}

/// The certificate of this profile for the key of a certificate request (SubjectPublicKeyInfo, DER), signed by an issuer.
pub(crate) fn for_request(
    profile: &Profile,
    now: i64,
    public_key: &[u8],
    is_rsa: bool,
    issuer: &Issuer<'_, &Key>,
) -> Result<Vec<u8>, AuthorityError> {
    let (params, _) = contents(profile, now, Subject::EndEntity, is_rsa)?;
    let public_key = SubjectPublicKeyInfo::from_der(public_key)?;
    Ok(params.signed_by(&public_key, issuer)?.der().to_vec())
}

/// The contents of the certificate of this profile, issued at `now`, and its record.
fn contents(
    profile: &Profile,
    now: i64,
    subject: Subject,
    is_rsa: bool,
) -> Result<(CertificateParams, Record), AuthorityError> {
    let serial = match &profile.serial {
        Some(serial) => serial.clone(),
        None => Serial::random().map_err(|_| AuthorityError::Randomness)?,
    };
    if serial.as_bytes().is_empty() || serial.as_bytes().len() > LONGEST_SERIAL {
        return Err(AuthorityError::SerialLength { serial });
    }
    let (not_before, not_after) = profile.validity.at(now);

    let mut params = CertificateParams::default();
    params.serial_number = Some(SerialNumber::from_slice(serial.as_bytes()));
    set_validity(&mut params, not_before, not_after);
    params.distinguished_name = distinguished_name(&profile.subject);
    for name in &profile.names {
        params.subject_alt_names.push(match name {
            SubjectName::Dns(name) => SanType::DnsName(name.as_str().try_into()?),
            SubjectName::Ip(address) => SanType::IpAddress(*address),
        });
    }
    params.use_authority_key_identifier_extension = profile.names_issuer_key;
    let usages = match subject {
        Subject::Authority => {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            // digitalSignature: the authority may sign OCSP responses itself.
            vec![KeyUsage::KeyCertSign, KeyUsage::CrlSign, KeyUsage::DigitalSignature]
        }
        Subject::EndEntity => {
            params.is_ca = IsCa::ExplicitNoCa;
            end_entity_usages(profile, is_rsa)
        }
    };
    params.key_usages = usages.into_iter().map(key_usage).collect();
    params.extended_key_usages = profile.extended_key_usages.iter().map(extended_key_usage).collect();
    for extension in profile.further_extensions() {
        let mut custom = CustomExtension::from_oid_content(&extension.oid, extension.value);
        custom.set_criticality(extension.critical);
        params.custom_extensions.push(custom);
    }

    let record = Record {
        serial,
        kind: Kind::EndEntity,
        subject: subject_text(&profile.subject),
        names: profile.names.iter().map(SubjectName::to_string).collect(),
        not_before,
        not_after,
        issued_at: now,
        status: Status::Good,
    };
    Ok((params, record))
}

/// The first and the last second of a certificate's validity, Unix; `None` when the bytes are not a certificate.
pub(crate) fn validity(certificate: &[u8]) -> Option<(i64, i64)> {
    let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(certificate).ok()?;
    Some((parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp()))
}

/// The last second of a certificate's validity, Unix; `None` when the bytes are not a certificate.
pub(crate) fn not_after(certificate: &[u8]) -> Option<i64> {
    validity(certificate).map(|(_, not_after)| not_after)
}

fn set_validity(params: &mut CertificateParams, not_before: i64, not_after: i64) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = after(epoch, not_before);
    params.not_after = after(epoch, not_after);
}

/// The time of these Unix seconds in the type of `epoch`, within the years 1 to 9999, the range of GeneralizedTime.
pub(crate) fn after<T: Add<Duration, Output = T> + Sub<Duration, Output = T>>(epoch: T, seconds: i64) -> T {
    let seconds = seconds.clamp(-62_135_596_800, 253_402_300_799);
    let distance = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { epoch - distance } else { epoch + distance }
}

fn distinguished_name(subject: &[(NameAttribute, String)]) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    for (attribute, value) in subject {
        let attribute = match attribute {
            NameAttribute::CommonName => DnType::CommonName,
            NameAttribute::Organization => DnType::OrganizationName,
            NameAttribute::OrganizationalUnit => DnType::OrganizationalUnitName,
            NameAttribute::Country => DnType::CountryName,
        };
        name.push(attribute, value.as_str());
    }
    name
}

/// The bits of keyUsage. An RSA key of a TLS server gets keyEncipherment, for the RSA key exchange of TLS 1.2.
fn end_entity_usages(profile: &Profile, is_rsa: bool) -> Vec<KeyUsage> {
    let mut usages = profile.key_usages.clone();
    let serves = profile.extended_key_usages.contains(&ExtendedKeyUsage::ServerAuth);
    if is_rsa && serves && usages == [KeyUsage::DigitalSignature] {
        usages.push(KeyUsage::KeyEncipherment);
    }
    usages
}

fn key_usage(usage: KeyUsage) -> KeyUsagePurpose {
    match usage {
        KeyUsage::DigitalSignature => KeyUsagePurpose::DigitalSignature,
        KeyUsage::KeyEncipherment => KeyUsagePurpose::KeyEncipherment,
        KeyUsage::NonRepudiation => KeyUsagePurpose::ContentCommitment,
        KeyUsage::KeyAgreement => KeyUsagePurpose::KeyAgreement,
        KeyUsage::KeyCertSign => KeyUsagePurpose::KeyCertSign,
        KeyUsage::CrlSign => KeyUsagePurpose::CrlSign,
    }
}

fn extended_key_usage(usage: &ExtendedKeyUsage) -> ExtendedKeyUsagePurpose {
    match usage {
        ExtendedKeyUsage::ServerAuth => ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsage::ClientAuth => ExtendedKeyUsagePurpose::ClientAuth,
        ExtendedKeyUsage::OcspSigning => ExtendedKeyUsagePurpose::OcspSigning,
        ExtendedKeyUsage::Any => ExtendedKeyUsagePurpose::Any,
        ExtendedKeyUsage::Other(arcs) => ExtendedKeyUsagePurpose::Other(arcs.clone()),
    }
}

fn subject_text(subject: &[(NameAttribute, String)]) -> String {
    let mut text = String::new();
    for (attribute, value) in subject {
        let label = match attribute {
            NameAttribute::CommonName => "CN",
            NameAttribute::Organization => "O",
            NameAttribute::OrganizationalUnit => "OU",
            NameAttribute::Country => "C",
        };
        let separator = if text.is_empty() { "" } else { ", " };
        // Writing to a String cannot fail.
        let _ = write!(text, "{separator}{label}={value}");
    }
    text
}
