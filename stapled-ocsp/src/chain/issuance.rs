//! Decides whether one certificate issued another, as far as the supported algorithms allow. Pure.

use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::certificate::{Certificate, same_name};
use crate::der;
use crate::signature::SignatureError;

/// The relation of two certificates, of which the first names the second as its issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Issuance {
    /// The issuer's key made the signature.
    Signed,
    /// Everything fits but the signature, whose algorithm is not supported: the relation cannot be decided.
    Unsupported,
    /// The second certificate did not issue the first: the name, the key identifier, the kind of key or the signature
    /// does not fit.
    Wrong,
}

impl Issuance {
    /// Compares the names and verifies the signature. With an unsupported algorithm, it checks the same fields as
    /// OpenSSL.
    pub fn of(certificate: &Certificate, issuer: &Certificate) -> Self {
        match certificate.check_issued_by(issuer) {
            Ok(_) => Issuance::Signed,
            Err(SignatureError::UnsupportedAlgorithm) if certificate.seems_issued_by(issuer) => Issuance::Unsupported,
            Err(_) => Issuance::Wrong,
        }
    }
}

impl Certificate {
    /// Whether OpenSSL takes `issuer` for the issuer (`X509_check_issued`), and with it every server that uses this
    /// function. OpenSSL checks the names, authorityKeyIdentifier where both sides have the fields that it names, the
    /// kind of key that the signature needs, and keyCertSign. It does *not* check the signature. So OpenSSL takes a CA
    /// that was renewed with another key under its old name for the issuer of a certificate without
    /// authorityKeyIdentifier.
    pub fn seems_issued_by(&self, issuer: &Certificate) -> bool {
        let ([signature, _], [_, key]) = (self.algorithms(), issuer.algorithms());
        same_name(self.issuer(), issuer.subject())
            && !self.names_other_key_than(issuer)
            && is_made_by(signature, key)
            && issuer.may_certify()
            && (!self.names_certificate() || names_no_other(self, issuer))
    }
}

/// Whether the issuer and the serial number in authorityKeyIdentifier agree with the issuer's certificate. Few certificates name
/// them, so they are read again here.
fn names_no_other(certificate: &Certificate, issuer: &Certificate) -> bool {
    let (Ok((_, certificate)), Ok((_, issuer))) =
        (X509Certificate::from_der(certificate.as_der()), X509Certificate::from_der(issuer.as_der()))
    else {
        return false;
    };
    let named = certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(named) => Some(named),
        _ => None,
    });
    let Some(named) = named else { return true };
    let is_other_serial = named
        .authority_cert_serial
        .is_some_and(|serial| der::shortest_integer(serial) != der::shortest_integer(issuer.raw_serial()));
    let names = named.authority_cert_issuer.iter().flatten();
    let first = names.filter_map(|name| match name {
        GeneralName::DirectoryName(name) => Some(name),
        _ => None,
    });
    let is_other_issuer = first.take(1).any(|name| !same_name(name.as_raw(), issuer.issuer().as_raw()));
    !is_other_serial && !is_other_issuer
}

/// 1.2.840.113549.1.1, PKCS #1: keys (1), signatures, and RSASSA-PSS (10) for both.
const PKCS_1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
/// 1.2.840.10045.4: signatures by ECDSA. 1.2.840.10045.2.1: its keys.
const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04];
const EC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// 1.2.840.10040.4, DSA: keys (1), signatures (3).
const DSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x38, 0x04];
/// 2.16.840.1.101.3.4.3: signatures of NIST. DSA up to 8, ECDSA up to 12, RSA up to 16, then keys with one signature
/// algorithm.
const NIST: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03];
/// 1.3.101: keys with one signature algorithm, Ed25519 and Ed448.
const EDWARDS: &[u8] = &[0x2b, 0x65];

/// Whether a key of this kind can make a signature of this algorithm, by the bytes of both object identifiers.
fn is_made_by(signature: &[u8], key: &[u8]) -> bool {
    let last = |prefix: &[u8], oid: &[u8]| match oid.strip_prefix(prefix) {
        Some([last]) => Some(*last),
        _ => None,
    };
    let is_rsa = last(PKCS_1, key) == Some(1);
    let is_dsa = last(DSA, key) == Some(1);
    let is_ec = key == EC_KEY;
    match (last(PKCS_1, signature), last(NIST, signature)) {
        (Some(10), _) => is_rsa || key == signature,
        (Some(_), _) => is_rsa,
        (_, Some(..=8)) => is_dsa,
        (_, Some(9..=12)) => is_ec,
        (_, Some(13..=16)) => is_rsa,
        (_, Some(_)) => key == signature,
        _ if signature.starts_with(ECDSA) => is_ec,
        _ if signature.starts_with(DSA) => is_dsa,
        _ if signature.starts_with(EDWARDS) => key == signature,
        // An unknown algorithm belongs to none of these kinds of keys.
        _ => !is_rsa && !is_dsa && !key.starts_with(PKCS_1) && !key.starts_with(EDWARDS) && !key.starts_with(NIST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_signature_is_made_by_keys_of_its_own_kind() {
        let oid = |prefix: &[u8], last: u8| [prefix, &[last]].concat();
        let keys =
            [oid(PKCS_1, 1), oid(PKCS_1, 10), EC_KEY.to_vec(), oid(DSA, 1), oid(EDWARDS, 112), oid(EDWARDS, 113)];
        let made_by = |signature: &[u8]| -> Vec<usize> {
            (0..keys.len()).filter(|&number| is_made_by(signature, &keys[number])).collect()
        };
        assert_eq!(made_by(&oid(PKCS_1, 11)), [0]);
        assert_eq!(made_by(&oid(PKCS_1, 10)), [0, 1]);
        assert_eq!(made_by(&[ECDSA, &[3, 2]].concat()), [2]);
        assert_eq!(made_by(&[ECDSA, &[1]].concat()), [2]);
        assert_eq!(made_by(&oid(DSA, 3)), [3]);
        assert_eq!(made_by(&oid(NIST, 2)), [3]);
        assert_eq!(made_by(&oid(NIST, 10)), [2]);
        assert_eq!(made_by(&oid(NIST, 14)), [0]);
        assert_eq!(made_by(&oid(NIST, 17)), Vec::<usize>::new());
        assert!(is_made_by(&oid(NIST, 17), &oid(NIST, 17)));
        assert_eq!(made_by(&oid(EDWARDS, 112)), [4]);
        assert_eq!(made_by(&oid(EDWARDS, 113)), [5]);
        // SM2 with SM3, whose keys have the same object identifier as ECDSA's.
        assert_eq!(made_by(&[0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x01, 0x83, 0x75]), [2]);
    }
}
