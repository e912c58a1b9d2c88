//! Checks the shape of names and certificates, and nothing else.
//!
//! Their contents are read by the modules that use them. But clients decode a response as a whole: they refuse a
//! response in which any certificate, even one beside the signer's, has a wrong shape.

use crate::der::{
    BIT_STRING, BOOLEAN, DerError, Element, GENERALIZED_TIME, INTEGER, OCTET_STRING, OID, Reader, SEQUENCE, SET,
    UTC_TIME, at, context, whole_bytes,
};

const UTF8_STRING: u8 = 0x0c;
const UNIVERSAL_STRING: u8 = 0x1c;
const BMP_STRING: u8 = 0x1e;

/// RDNSequence (RFC 5280 §4.1.2.4).
pub(crate) fn check_name(name: Element<'_>) -> Result<(), DerError> {
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
        // GeneralString; the types of x500UniqueIdentifier and of structured attributes.
        0x12..=0x16 | 0x19..=0x1b | BIT_STRING | SEQUENCE => true,
        _ => false,
    };
    if is_whole {
        Ok(())
    } else {
        Err(DerError::new("a name's value that is no string, or not whole characters").of(value))
    }
}

/// The subject's DER and the bits of the key, from bytes that have the shape of a certificate.
pub(crate) fn subject_and_key(certificate: &[u8]) -> Option<(&[u8], &[u8])> {
    let read = || -> Result<_, DerError> {
        let mut tbs = Reader::new(certificate).inside(SEQUENCE)?.inside(SEQUENCE)?;
        tbs.optional(context(0))?;
        tbs.expect(INTEGER)?;
        // signature, issuer and validity
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
pub(crate) fn check_certificate(certificate: Element<'_>) -> Result<(), DerError> {
    let mut outer = Reader::new(certificate.contents);
    let mut tbs = outer.inside(SEQUENCE).map_err(at("tbsCertificate"))?;
    check_algorithm(&mut outer).map_err(at("signatureAlgorithm"))?;
    outer.expect(BIT_STRING).map_err(at("signatureValue"))?;
    outer.end().map_err(at("signatureValue"))?;

    let is_v3 = is_v3(&mut tbs).map_err(at("version"))?;
    tbs.expect(INTEGER).map_err(at("serialNumber"))?;
    check_algorithm(&mut tbs).map_err(at("signature"))?;
    tbs.expect(SEQUENCE).and_then(check_name).map_err(at("issuer"))?;
    check_validity(&mut tbs).map_err(at("validity"))?;
    tbs.expect(SEQUENCE).and_then(check_name).map_err(at("subject"))?;
    check_key(&mut tbs).map_err(at("subjectPublicKeyInfo"))?;
    // issuerUniqueID and subjectUniqueID: [1] and [2] IMPLICIT BIT STRING.
    tbs.optional(0x81).map_err(at("issuerUniqueID"))?;
    tbs.optional(0x82).map_err(at("subjectUniqueID"))?;
    if let Some(explicit) = tbs.optional(context(3)).map_err(at("extensions"))? {
        check_extensions(explicit, is_v3).map_err(at("extensions"))?;
    }
    tbs.end().map_err(at("extensions"))
}

fn is_v3(tbs: &mut Reader<'_>) -> Result<bool, DerError> {
    let Some(version) = tbs.optional(context(0))? else { return Ok(false) };
    let mut explicit = Reader::new(version.contents);
    let version = explicit.expect(INTEGER)?.contents;
    explicit.end()?;
    Ok(version == [2])
}

fn check_validity(tbs: &mut Reader<'_>) -> Result<(), DerError> {
    let mut validity = tbs.inside(SEQUENCE)?;
    for field in ["notBefore", "notAfter"] {
        let time = validity.any().map_err(at(field))?;
        if !matches!(time.tag, UTC_TIME | GENERALIZED_TIME) {
            return Err(at(field)(DerError::new("a certificate's validity that is no time").of(time)));
        }
    }
    validity.end()
}

fn check_key(tbs: &mut Reader<'_>) -> Result<(), DerError> {
    let mut key = tbs.inside(SEQUENCE)?;
    check_algorithm(&mut key).map_err(at("algorithm"))?;
    key.expect(BIT_STRING).map_err(at("subjectPublicKey"))?;
    key.end()
}

fn check_extensions(explicit: Element<'_>, is_v3: bool) -> Result<(), DerError> {
    if !is_v3 {
        return Err(DerError::new("a certificate with extensions that is not of version 3"));
    }
    let mut explicit = Reader::new(explicit.contents);
    let mut extensions = explicit.inside(SEQUENCE)?;
    explicit.end()?;
    while !extensions.is_empty() {
        let mut extension = extensions.inside(SEQUENCE)?;
        extension.expect(OID).map_err(at("extnID"))?;
        extension.optional(BOOLEAN).map_err(at("critical"))?;
        extension.expect(OCTET_STRING).map_err(at("extnValue"))?;
        extension.end()?;
    }
    Ok(())
}

/// AlgorithmIdentifier: an object identifier and at most one value of any type.
fn check_algorithm(fields: &mut Reader<'_>) -> Result<(), DerError> {
    let mut algorithm = fields.inside(SEQUENCE)?;
    algorithm.expect(OID)?;
    if !algorithm.is_empty() {
        algorithm.any()?;
    }
    algorithm.end()
}
