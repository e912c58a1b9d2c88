//! How HAProxy identifies a certificate: by serial number and SHA-1 fingerprint, both in hexadecimal.

use stapled_core::certificate::Certificate;
use stapled_core::hexadecimal::Hexadecimal;

/// The serial number and the fingerprint of a certificate, as HAProxy writes them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    pub(crate) serial: String,
    /// The SHA-1 hash of the certificate.
    pub(crate) fingerprint: String,
}

impl Identity {
    pub(crate) fn of(certificate: &Certificate) -> Self {
        Identity { serial: upper(certificate.serial()), fingerprint: upper(&certificate.sha1_fingerprint()) }
    }

    /// Whether HAProxy's serial number and fingerprint stand for this certificate. HAProxy does not show the fingerprint
    /// of every certificate: without a fingerprint the serial number decides, and HAProxy then checks the CertID.
    pub(crate) fn matches(&self, serial: &str, fingerprint: &str) -> bool {
        (fingerprint.is_empty() || fingerprint.eq_ignore_ascii_case(&self.fingerprint))
            && plain_serial(serial) == plain_serial(&self.serial)
    }
}

/// A serial number in hexadecimal in the form that compares: upper case, without leading zeros.
pub(crate) fn plain_serial(serial: &str) -> String {
    serial.trim_start_matches('0').to_ascii_uppercase()
}

/// Bytes in hexadecimal, in upper case, as HAProxy writes serial numbers and fingerprints.
fn upper(bytes: &[u8]) -> String {
    format!("{:X}", Hexadecimal::of(bytes))
}
