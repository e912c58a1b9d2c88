//! Reads the certificates of a "certs-only" CMS message, which a caIssuers URL may return (RFC 5280 §4.2.2.1, RFC 5652
//! §5.1; files of the kinds .p7c and .p7b). The message must be DER. Nothing in it is verified.

use crate::der::{DerError, INTEGER, OID, Reader, SEQUENCE, SET, context};

/// id-signedData, 1.2.840.113549.1.7.2 (RFC 5652 §5.1).
const SIGNED_DATA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";

/// Whether the DER is a CMS message rather than a certificate.
pub(crate) fn is_message(der: &[u8]) -> bool {
    Reader::new(der)
        .inside(SEQUENCE)
        .and_then(|mut fields| fields.expect(OID))
        .is_ok_and(|oid| oid.contents == SIGNED_DATA)
}

/// The certificates in the message, each as its bytes.
pub(crate) fn certificates(der: &[u8]) -> Result<impl Iterator<Item = &[u8]>, DerError> {
    let mut message = Reader::new(der).inside(SEQUENCE)?;
    message.expect(OID)?;
    let mut signed_data = message.inside(context(0))?.inside(SEQUENCE)?;
    // The version, the digest algorithms, and the contents, which are absent.
    signed_data.expect(INTEGER)?;
    signed_data.expect(SET)?;
    signed_data.expect(SEQUENCE)?;
    let set = signed_data.optional(context(0))?.map(|set| set.contents).unwrap_or_default();
    let mut elements = Vec::new();
    let mut rest = Reader::new(set);
    while !rest.is_empty() {
        elements.push(rest.any()?);
    }
    // Other kinds of certificates (RFC 5652 §10.2.2) have tags of their own.
    Ok(elements.into_iter().filter(|element| element.tag == SEQUENCE).map(|element| element.raw))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::der::element;

    fn message(certificates: &[u8]) -> Vec<u8> {
        let contents = element(SEQUENCE, &element(OID, b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01"));
        let certificates = element(context(0), certificates);
        let fields = [&element(INTEGER, &[1])[..], &element(SET, &[]), &contents, &certificates, &element(SET, &[])];
        let signed_data = element(context(0), &element(SEQUENCE, &fields.concat()));
        element(SEQUENCE, &[element(OID, SIGNED_DATA), signed_data].concat())
    }

    #[test]
    fn the_certificates_of_a_message_are_read() {
        let [one, two] = [b"\x30\x00", b"\x30\x00"];
        // An attribute certificate between the two certificates.
        let message = message(b"\x30\x00\xa2\x00\x30\x00");
        assert!(is_message(&message));
        assert!(certificates(&message).unwrap().eq([&one[..], two]));
        assert_eq!(certificates(&self::message(b"")).unwrap().count(), 0);
        // A message that is cut off at any byte is an error, without a panic.
        for end in 0..message.len() {
            assert!(certificates(&message[..end]).is_err(), "{end}");
        }
        assert!(certificates(&self::message(b"\x30\x05")).is_err());
        for other in [&b""[..], b"\x30\x00", b"\x30\x02\x30\x00", b"hello"] {
            assert!(!is_message(other));
        }
    }
}
