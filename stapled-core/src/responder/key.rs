//! The parts of a CertID by which an answer is found. The encoding of the parameters does not count.

use crate::ocsp::{CertId, CertIdHash};

/// The longest serial number that is asked about, in bytes. RFC 5280 §4.1.2.2 allows 20; some CAs use more.
const MAX_SERIAL: usize = 64;

/// A certificate as a question names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    parts: Box<[u8]>,
    /// How many of the bytes name the issuer.
    issuer: usize,
}

impl Key {
    /// The key of a CertID. `None`: the CertID is not of a supported hash, or not of its form.
    pub(super) fn of(cert_id: &CertId) -> Option<Self> {
        let (number, length) = match cert_id.hash()? {
            CertIdHash::Sha1 => (1, 20),
            CertIdHash::Sha256 => (2, 32),
            CertIdHash::Sha384 => (3, 48),
            CertIdHash::Sha512 => (4, 64),
            _ => return None,
        };
        let (name, key, serial) = (cert_id.issuer_name_hash(), cert_id.issuer_key_hash(), cert_id.serial_number());
        if name.len() != length || key.len() != length || serial.len() > MAX_SERIAL {
            return None;
        }
        let parts = [&[number], name, key, serial].concat().into_boxed_slice();
        Some(Key { parts, issuer: 1 + 2 * length })
    }

    /// The part that names the issuer.
    pub(super) fn issuer(&self) -> &[u8] {
        self.parts.get(..self.issuer).unwrap_or_default()
    }

    /// The serial number.
    pub(super) fn serial(&self) -> &[u8] {
        self.parts.get(self.issuer..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ocsp::request::RequestContents;

    #[test]
    fn keys_differ_in_every_part_and_odd_cert_ids_have_none() {
        let id = |hash, serial: &[u8]| CertId::new(hash, b"name", b"key", serial);
        let (sha1, sha256) = (id(CertIdHash::Sha1, &[1]), id(CertIdHash::Sha256, &[1]));
        let key = Key::of(&sha1).unwrap();
        assert_eq!((key.issuer().len(), key.serial()), (41, &[1][..]));
        assert_ne!(Some(key.clone()), Key::of(&sha256));
        assert_ne!(Some(key.clone()), Key::of(&id(CertIdHash::Sha1, &[2])));
        assert_eq!(Some(key.issuer()), Key::of(&id(CertIdHash::Sha1, &[2])).as_ref().map(Key::issuer));
        // The same bytes, divided otherwise.
        let hash = [0x30, 9, 6, 5, 0x2b, 0x0e, 3, 2, 0x1a, 5, 0];
        let fields = [&hash[..], &[4, 21], &[1; 21], &[4, 19], &[1; 19], &[2, 1, 1]].concat();
        let nested = |der: Vec<u8>| [&[0x30, u8::try_from(der.len()).unwrap()], der.as_slice()].concat();
        let request = nested(nested(nested(nested(nested(fields)))));
        let request = RequestContents::from_der(&request).unwrap();
        assert_eq!(Key::of(&request.requests[0].cert_id), None);
        assert_eq!(Key::of(&id(CertIdHash::Sha1, &[1; MAX_SERIAL + 1])), None);
    }
}
