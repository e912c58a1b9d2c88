//! A certificate of which only the issuer and the serial number are known, as a CertID names it.

use std::fmt;
use std::sync::Arc;

use crate::certificate::Certificate;
use crate::der;
use crate::ocsp::{CertId, CertIdHash};

/// A certificate of which only the issuer and the serial number are known, as a CertID names it. Whether the issuer issued
/// such a certificate is not known: the answer of its responder says so.
#[derive(Clone, PartialEq, Eq)]
pub struct NamedCertificate {
    issuer: Arc<Certificate>,
    serial: Box<[u8]>,
}

impl NamedCertificate {
    /// The certificate of `issuer` that a CertID names. `None`: the CertID names a certificate of another issuer, or its
    /// hash is not supported. The issuer's name counts in the encoding of the issuer's own certificate.
    pub fn of(issuer: &Arc<Certificate>, cert_id: &CertId) -> Option<Self> {
        let named = NamedCertificate { issuer: Arc::clone(issuer), serial: cert_id.serial_number().into() };
        named.cert_id(cert_id.hash()?).names_same(cert_id).then_some(named)
    }

    /// The certificate of the issuer.
    pub fn issuer(&self) -> &Arc<Certificate> {
        &self.issuer
    }

    /// The serial number: the contents bytes of the INTEGER, in their shortest form.
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }

    /// The serial number in hexadecimal, as `openssl x509 -serial` prints it.
    pub fn serial_hex(&self) -> String {
        der::integer_hex(&self.serial)
    }

    /// The certificate's CertID, made with this hash.
    pub fn cert_id(&self, hash: CertIdHash) -> CertId {
        CertId::of_issued(hash, &self.issuer, self.issuer.subject(), &self.serial)
    }
}

impl fmt::Debug for NamedCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamedCertificate").field("issuer", &self.issuer).field("serial", &self.serial_hex()).finish()
    }
}
