//! The name and the key of a certificate's subject.

use x509_parser::prelude::FromDer as _;

/// The name and the public key of an issuer. A CertID hashes both, and a ResponderID is one of the two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerIdentity {
    /// The subject `Name`, DER, exactly as in the issuer's certificate.
    pub name: Vec<u8>,
    /// The contents of the subjectPublicKey `BIT STRING`, without the count of unused bits.
    pub public_key: Vec<u8>,
}

impl IssuerIdentity {
    /// The identity in an issuer's certificate, DER; `None` when the bytes are not exactly one certificate.
    #[must_use]
    pub fn from_certificate(certificate: &[u8]) -> Option<Self> {
        let (rest, parsed) = x509_parser::certificate::X509Certificate::from_der(certificate).ok()?;
        if !rest.is_empty() {
            return None;
        }
        Some(Self {
            name: parsed.subject().as_raw().to_vec(),
            public_key: parsed.public_key().subject_public_key.data.to_vec(),
        })
    }
}
