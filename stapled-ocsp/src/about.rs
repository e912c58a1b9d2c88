//! The certificate that a question or a judgement is about: a whole certificate, or one that only its issuer and its serial
//! number name. OCSP needs no more than these two.

use crate::certificate::Certificate;
use crate::chain::CertChain;
use crate::chain::named::NamedCertificate;
use crate::ocsp::{CertId, CertIdHash};

/// The certificate that a question or a judgement is about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum About<'a> {
    /// A certificate with its issuer.
    Chain(&'a CertChain),
    /// A certificate of which only the issuer and the serial number are known.
    Named(&'a NamedCertificate),
}

impl<'a> About<'a> {
    /// The certificate of the issuer.
    pub(crate) fn issuer(self) -> &'a Certificate {
        match self {
            About::Chain(chain) => chain.issuer(),
            About::Named(named) => named.issuer(),
        }
    }

    /// The serial number, in its shortest form.
    pub(crate) fn serial(self) -> &'a [u8] {
        match self {
            About::Chain(chain) => chain.end_entity().serial(),
            About::Named(named) => named.serial(),
        }
    }

    /// The serial number in hexadecimal.
    pub(crate) fn serial_hex(self) -> String {
        match self {
            About::Chain(chain) => chain.end_entity().serial_hex(),
            About::Named(named) => named.serial_hex(),
        }
    }

    /// The certificate's CertID, made with this hash.
    pub(crate) fn cert_id(self, hash: CertIdHash) -> CertId {
        match self {
            About::Chain(chain) => chain.cert_id(hash),
            About::Named(named) => named.cert_id(hash),
        }
    }
}
