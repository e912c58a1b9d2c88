//! Certificate revocation lists (RFC 5280, 5).

use std::collections::BTreeMap;
use std::time::Duration;

use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevocationReason, RevokedCertParams, SerialNumber};
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer as _;

use crate::authority::Authority;
use crate::clock;
use crate::error::AuthorityError;
use crate::issue;
use crate::ledger::{Reason, Record, Status};
use crate::pem;
use crate::serial::Serial;

/// A signed certificate revocation list of an authority. It names all revoked certificates that have not expired, and those that
/// expired after the list before.
#[derive(Clone, Debug)]
pub struct Crl {
    der: Vec<u8>,
    number: u64,
    this_update: i64,
    next_update: i64,
    entries: BTreeMap<Serial, Status>,
}

impl Crl {
    /// The CertificateList, DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The CertificateList, PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        pem::encode("X509 CRL", &self.der)
    }

    /// The CRL number. Each list of an authority has a higher number than all before.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The first second at which the list is valid, Unix.
    #[must_use]
    pub fn this_update(&self) -> i64 {
        self.this_update
    }

    /// The last second at which the list is valid, Unix.
    #[must_use]
    pub fn next_update(&self) -> i64 {
        self.next_update
    }

    /// The status of a certificate in the list; `None` when the list does not name it.
    #[must_use]
    pub fn status(&self, serial: &Serial) -> Option<Status> {
        self.entries.get(serial).copied()
    }
}

impl Authority {
    /// Signs a certificate revocation list that is valid from now on for `validity`, but not longer than the authority itself.
    /// The ledger has the number of the last list, so each has a higher number than all before.
    ///
    /// # Errors
    /// When the ledger cannot be written, the key cannot sign, or the authority has expired.
    pub fn crl(&self, validity: Duration) -> Result<Crl, AuthorityError> {
        let now = clock::now();
        self.crl_between(now, now + clock::seconds(validity))
    }

    /// Signs a certificate revocation list with these times. It does not outlive the authority.
    pub(crate) fn crl_between(&self, this_update: i64, next_update: i64) -> Result<Crl, AuthorityError> {
        let next_update = next_update.min(self.not_after());
        if next_update <= this_update {
            return Err(AuthorityError::Crl { source: rcgen::Error::InvalidCrlNextUpdate });
        }
        let (number, records) = self.number_crl(this_update)?;
        let at = |seconds| issue::after(rcgen::date_time_ymd(1970, 1, 1), seconds);
        let revoked_certs = records.iter().filter_map(|record| {
            let Status::Revoked { at: revoked_at, reason } = record.status else { return None };
            Some(RevokedCertParams {
                serial_number: SerialNumber::from_slice(record.serial.as_bytes()),
                revocation_time: at(revoked_at),
                reason_code: reason.and_then(reason_code),
                invalidity_date: None,
            })
        });
        let parameters = CertificateRevocationListParams {
            this_update: at(this_update),
            next_update: at(next_update),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked_certs.collect(),
            // The same as in the certificates of the authority, whatever made its own certificate.
            key_identifier_method: key_identifier(self.certificate())
                .map_or(KeyIdMethod::Sha256, KeyIdMethod::PreSpecified),
        };
        let issuer = rcgen::Issuer::from_ca_cert_der(&self.certificate().into(), &**self.key())?;
        let der = parameters.signed_by(&issuer).map_err(|source| AuthorityError::Crl { source })?.der().to_vec();
        let entries = records.into_iter().map(|Record { serial, status, .. }| (serial, status)).collect();
        Ok(Crl { der, number, this_update, next_update, entries })
    }
}

/// The reason in a list. RFC 5280, 5.3.1: the entry has no reason instead of `unspecified`.
fn reason_code(reason: Reason) -> Option<RevocationReason> {
    match reason {
        Reason::Unspecified => None,
        Reason::KeyCompromise => Some(RevocationReason::KeyCompromise),
        Reason::CaCompromise => Some(RevocationReason::CaCompromise),
        Reason::AffiliationChanged => Some(RevocationReason::AffiliationChanged),
        Reason::Superseded => Some(RevocationReason::Superseded),
        Reason::CessationOfOperation => Some(RevocationReason::CessationOfOperation),
        Reason::CertificateHold => Some(RevocationReason::CertificateHold),
        Reason::PrivilegeWithdrawn => Some(RevocationReason::PrivilegeWithdrawn),
    }
}

/// The subjectKeyIdentifier of a certificate.
fn key_identifier(certificate: &[u8]) -> Option<Vec<u8>> {
    let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(certificate).ok()?;
    parsed.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(identifier) => Some(identifier.0.to_vec()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profile;

    const NOW: i64 = 1_800_000_000;

    /// The serial numbers that a list names, by a parser of its own.
    fn named(crl: &Crl) -> Vec<Serial> {
        let (rest, parsed) = x509_parser::revocation_list::CertificateRevocationList::from_der(crl.der()).unwrap();
        assert!(rest.is_empty());
        assert_eq!(parsed.crl_number().map(ToString::to_string), Some(crl.number().to_string()));
        assert_eq!(parsed.last_update().timestamp(), crl.this_update());
        assert_eq!(parsed.next_update().unwrap().timestamp(), crl.next_update());
        parsed.iter_revoked_certificates().map(|entry| Serial::from_bytes(entry.raw_serial())).collect()
    }

    #[test]
    fn numbers_rise_over_restarts_and_processes() {
        let directory = tempfile::tempdir().unwrap();
        let one = Authority::root("CA").create_in(directory.path()).unwrap();
        let other = Authority::open(directory.path()).unwrap();
        let number = |ca: &Authority| ca.crl_between(NOW, NOW + 60).unwrap().number();
        let first = NOW.unsigned_abs();
        assert_eq!([number(&one), number(&other), number(&one)], [first, first + 1, first + 2]);
        drop((one, other));
        assert_eq!(number(&Authority::open(directory.path()).unwrap()), first + 3);
    }

    #[test]
    fn numbers_rise_after_the_ledger_was_restored_from_a_backup() {
        let directory = tempfile::tempdir().unwrap();
        let number = |now| {
            let ca = Authority::open(directory.path()).unwrap();
            let crl = ca.crl_between(now, now + 60).unwrap();
            named(&crl);
            crl.number()
        };
        Authority::root("CA").create_in(directory.path()).unwrap();
        number(NOW);
        let ledger = directory.path().join("ledger");
        let backup = std::fs::read(&ledger).unwrap();
        let last = (1..=20).map(|second| number(NOW + second)).max().unwrap();
        std::fs::write(&ledger, backup).unwrap();
        assert!(number(NOW + 21) > last);
        assert!(number(NOW - 9) > last, "also while the clock is behind");
    }

    #[test]
    fn a_clock_that_was_ahead_hides_no_revocation() {
        let directory = tempfile::tempdir().unwrap();
        let validity = crate::Validity::Between { not_before: 0, not_after: NOW * 2 };
        for ca in [
            Authority::root("CA").validity(validity).create().unwrap(),
            Authority::root("CA").validity(validity).create_in(directory.path()).unwrap(),
        ] {
            let profile = Profile::server("a.example").valid_between(NOW - 100, NOW + 10_000);
            let serial = ca.issue(&profile).unwrap().serial().clone();
            ca.set_status(&serial, Status::Revoked { at: NOW, reason: Some(Reason::KeyCompromise) }).unwrap();
            let at = |now| named(&ca.crl_between(now, now + 1000).unwrap());
            let only = std::slice::from_ref(&serial);
            // Two lists while the clock is ahead: the certificate seems to have expired before the first one.
            assert_eq!((at(NOW + 90_000), at(NOW + 90_100)), (only.to_vec(), vec![]));
            for now in [NOW + 100, NOW + 200, NOW + 10_100] {
                assert_eq!(at(now), only, "at {now}");
            }
            assert_eq!(at(NOW + 10_200), []);
        }
    }

    #[test]
    fn an_expired_certificate_is_named_once_more_and_then_no_longer() {
        let ca = Authority::root("CA").validity(crate::Validity::Between { not_before: 0, not_after: NOW * 2 });
        let ca = ca.create().unwrap();
        let profile = Profile::server("a.example").valid_between(NOW - 100, NOW + 100);
        let serial = ca.issue(&profile).unwrap().serial().clone();
        ca.set_status(&serial, Status::Revoked { at: NOW, reason: Some(Reason::KeyCompromise) }).unwrap();
        let at = |now| ca.crl_between(now, now + 1000).unwrap();
        let only = std::slice::from_ref(&serial);
        assert_eq!(named(&at(NOW)), only);
        assert_eq!(named(&at(NOW + 200)), only, "the first list after the end (RFC 5280, 3.3)");
        assert_eq!(named(&at(NOW + 300)), []);
        // Revoked after its end: this has to be seen, too.
        ca.set_status(&serial, Status::Revoked { at: NOW + 400, reason: None }).unwrap();
        assert_eq!(named(&at(NOW + 500)), only);
        assert_eq!(named(&at(NOW + 600)), []);
        // The revocation is entered late, with a time before the last list.
        ca.set_status(&serial, Status::Good).unwrap();
        ca.set_status(&serial, Status::Revoked { at: NOW + 50, reason: None }).unwrap();
        assert_eq!(named(&at(NOW + 700)), only);
        assert_eq!(named(&at(NOW + 800)), []);
    }

    #[test]
    fn a_hold_that_ends_is_no_longer_named() {
        let ca = Authority::root("CA").create().unwrap();
        let serial = ca.issue(&Profile::server("a.example")).unwrap().serial().clone();
        ca.revoke(&serial, Some(Reason::CertificateHold)).unwrap();
        let crl = ca.crl(Duration::from_secs(60)).unwrap();
        assert!(matches!(crl.status(&serial), Some(Status::Revoked { reason: Some(Reason::CertificateHold), .. })));
        ca.set_status(&serial, Status::Good).unwrap();
        let crl = ca.crl(Duration::from_secs(60)).unwrap();
        assert_eq!((crl.status(&serial), named(&crl)), (None, vec![]));
    }

    #[test]
    fn a_list_does_not_outlive_its_authority() {
        let ca = Authority::root("CA")
            .validity(crate::Validity::Between { not_before: 0, not_after: NOW })
            .create()
            .unwrap();
        assert_eq!(ca.crl_between(NOW - 10, NOW + 10).unwrap().next_update(), NOW);
        assert!(matches!(ca.crl_between(NOW, NOW + 10), Err(AuthorityError::Crl { .. })));
    }
}
