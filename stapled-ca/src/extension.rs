//! X.509 and OCSP extensions.

use crate::der;

/// An X.509 or OCSP extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// The arcs of the object identifier.
    pub oid: Vec<u64>,
    /// Whether a reader that does not know the extension must refuse.
    pub critical: bool,
    /// The contents of the extnValue `OCTET STRING`, DER.
    pub value: Vec<u8>,
}

impl Extension {
    /// An extension that a reader may ignore.
    #[must_use]
    pub fn new(oid: &[u64], value: Vec<u8>) -> Self {
        Self { oid: oid.to_vec(), critical: false, value }
    }

    /// A critical extension.
    #[must_use]
    pub fn critical(oid: &[u64], value: Vec<u8>) -> Self {
        Self { oid: oid.to_vec(), critical: true, value }
    }

    /// The `Extension`, DER.
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
