//! The shape of names and certificates in a response, no more.
//!
//! What a name or a certificate says is read where it matters. But clients decode a response whole: one in which
//! something calls itself a certificate and is none, even beside the signer's, is no response to them.

use crate::der::{
    BIT_STRING, BOOLEAN, DerError, Element, GENERALIZED_TIME, INTEGER, OCTET_STRING, OID, Reader, SEQUENCE, SET,
    UTC_TIME, context, whole_bytes,
};

const UTF8_STRING: u8 = 0x0c;
const UNIVERSAL_STRING: u8 = 0x1c;
const BMP_STRING: u8 = 0x1e;

/// RDNSequence (RFC 5280 §4.1.2.4).
pub(super) fn check_name(name: Element<'_>) -> Result<(), DerError> {
    let mut name = Reader::new(name.contents);
    while !name.is_empty() {
        let mut attributes = name.inside(SET)?;
        if attributes.is_empty() {
            return Err(DerError::new("a relative name without attributes"));
        }
        while !attributes.is_empty() {
            let mut attribute = attributes.inside(SEQUENCE)?;
            attribute.expect(OID)?;
            check_value(attribute.any()?)?;
            attribute.end()?;
        }
    }
    Ok(())
}

fn check_value(value: Element<'_>) -> Result<(), DerError> {
    let is_whole = match value.tag {
        UTF8_STRING => std::str::from_utf8(value.contents).is_ok(),
        UNIVERSAL_STRING => value.contents.len().is_multiple_of(4),
        BMP_STRING => value.contents.len().is_multiple_of(2),
        // NumericString, PrintableString, TeletexString, VideotexString, IA5String; GraphicString, VisibleString,
        // GeneralString. And what x500UniqueIdentifier and structured attributes have.
        0x12..=0x16 | 0x19..=0x1b | BIT_STRING | SEQUENCE => true,
        _ => false,
    };
    if is_whole { Ok(()) } else { Err(DerError::new("a name's value that is no string, or not whole characters")) }
}

/// The DER of the subject and the bits of the key of bytes that have the shape of a certificate.
pub(crate) fn subject_and_key(certificate: &[u8]) -> Option<(&[u8], &[u8])> {
    let read = || -> Result<_, DerError> {
        let mut tbs = Reader::new(certificate).inside(SEQUENCE)?.inside(SEQUENCE)?;
        tbs.optional(context(0))?;
        tbs.expect(INTEGER)?;
        // signature, issuer, validity
        for _ in 0..3 {
            tbs.expect(SEQUENCE)?;
        }
        let subject = tbs.expect(SEQUENCE)?.raw;
        let mut key = tbs.inside(SEQUENCE)?;
        key.expect(SEQUENCE)?;
        Ok((subject, whole_bytes(key.expect(BIT_STRING)?)?))
    };
    read().ok()
}

/// Certificate (RFC 5280 §4.1).
pub(super) fn check_certificate(certificate: Element<'_>) -> Result<(), DerError> {
    let mut outer = Reader::new(certificate.contents);
    let mut tbs = outer.inside(SEQUENCE)?;
    check_algorithm(&mut outer)?;
    outer.expect(BIT_STRING)?;
    outer.end()?;

    let mut is_v3 = false;
    if let Some(version) = tbs.optional(context(0))? {
        let mut version = Reader::new(version.contents);
        is_v3 = version.expect(INTEGER)?.contents == [2];
        version.end()?;
    }
    tbs.expect(INTEGER)?;
    check_algorithm(&mut tbs)?;
    check_name(tbs.expect(SEQUENCE)?)?;
    let mut validity = tbs.inside(SEQUENCE)?;
    for _ in 0..2 {
        if !matches!(validity.any()?.tag, UTC_TIME | GENERALIZED_TIME) {
            return Err(DerError::new("a certificate's validity that is no time"));
        }
    }
    validity.end()?;
    check_name(tbs.expect(SEQUENCE)?)?;
    let mut key = tbs.inside(SEQUENCE)?;
    check_algorithm(&mut key)?;
    key.expect(BIT_STRING)?;
    key.end()?;
    // issuerUniqueID and subjectUniqueID: [1] and [2] IMPLICIT BIT STRING.
    tbs.optional(0x81)?;
    tbs.optional(0x82)?;
    if let Some(explicit) = tbs.optional(context(3))? {
        if !is_v3 {
            return Err(DerError::new("a certificate with extensions that is not of version 3"));
        }
        let mut explicit = Reader::new(explicit.contents);
        let mut extensions = explicit.inside(SEQUENCE)?;
        explicit.end()?;
        while !extensions.is_empty() {
            let mut extension = extensions.inside(SEQUENCE)?;
            extension.expect(OID)?;
            extension.optional(BOOLEAN)?;
            extension.expect(OCTET_STRING)?;
            extension.end()?;
        }
    }
    tbs.end()
}

/// AlgorithmIdentifier: an identifier, and at most one value of any type.
fn check_algorithm(fields: &mut Reader<'_>) -> Result<(), DerError> {
    let mut algorithm = fields.inside(SEQUENCE)?;
    algorithm.expect(OID)?;
    if !algorithm.is_empty() {
        algorithm.any()?;
    }
    algorithm.end()
}
