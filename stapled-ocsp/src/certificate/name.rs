//! Names of subjects and issuers: compared, and in words.

use x509_parser::prelude::{FromDer, X509Name};

use crate::der::{
    self, Element, IA5_STRING, NUMERIC_STRING, OID, PRINTABLE_STRING, Reader, SEQUENCE, SET, UTF8_STRING,
};

/// Whether two names in DER are the same: byte for byte, or else value by value, because encoders differ. String types,
/// case and surplus white space do not count (RFC 5280 §7.1).
pub(crate) fn same_name(a: &[u8], b: &[u8]) -> bool {
    a == b || has_same_values(a, b).unwrap_or(false)
}

/// Whether the names have the same comparison key. Names that differ mostly do so in their first parts, so no key is made, and nothing
/// behind the first difference is read. `None`: one of them is not a name.
fn has_same_values(a: &[u8], b: &[u8]) -> Option<bool> {
    let (mut a, mut b) = (relative_names(a)?, relative_names(b)?);
    while !a.is_empty() && !b.is_empty() {
        let (mut one, mut other) = (a.inside(SET).ok()?, b.inside(SET).ok()?);
        while !one.is_empty() && !other.is_empty() {
            let ((one_type, one_value), (other_type, other_value)) = (attribute(&mut one)?, attribute(&mut other)?);
            let is_same = one_type == other_type
                && match (text(one_value), text(other_value)) {
                    (Some(one), Some(other)) => one == other || words(one).eq(words(other)),
                    (None, None) => one_value.raw == other_value.raw,
                    _ => false,
                };
            if !is_same {
                return Some(false);
            }
        }
        if !one.is_empty() || !other.is_empty() {
            return Some(false);
        }
    }
    Some(a.is_empty() && b.is_empty())
}

/// The list of a name's relative names.
fn relative_names(name: &[u8]) -> Option<Reader<'_>> {
    let mut outer = Reader::new(name);
    let list = outer.inside(SEQUENCE).ok()?;
    outer.end().ok()?;
    Some(list)
}

/// The next attribute of a relative name: its type, and its value.
fn attribute<'a>(attributes: &mut Reader<'a>) -> Option<(&'a [u8], Element<'a>)> {
    let mut attribute = attributes.inside(SEQUENCE).ok()?;
    let kind = attribute.expect(OID).ok()?.raw;
    let value = attribute.any().ok()?;
    attribute.end().ok()?;
    Some((kind, value))
}

/// The words of a text as they are compared.
fn words(text: &str) -> impl Iterator<Item = String> {
    text.split_whitespace().map(str::to_lowercase)
}

/// The comparison key of a name: see [`Certificate::name_key`].
pub(crate) fn name_key(name: &[u8]) -> Option<Vec<u8>> {
    let mut list = relative_names(name)?;
    let mut key = Vec::with_capacity(name.len());
    while !list.is_empty() {
        let mut attributes = list.inside(SET).ok()?;
        let mut relative = Vec::new();
        while !attributes.is_empty() {
            let (kind, value) = attribute(&mut attributes)?;
            relative.extend_from_slice(kind);
            match text(value) {
                Some(text) => {
                    let words: Vec<String> = words(text).collect();
                    relative.extend(der::element(UTF8_STRING, words.join(" ").as_bytes()));
                }
                None => relative.extend_from_slice(value.raw),
            }
        }
        // Every part is written with its length, so that one text cannot equal several parts.
        key.extend(der::element(SET, &relative));
    }
    Some(key)
}

/// The text of a string whose characters are a subset of UTF-8.
fn text(value: Element<'_>) -> Option<&str> {
    matches!(value.tag, UTF8_STRING | NUMERIC_STRING | PRINTABLE_STRING | IA5_STRING)
        .then(|| std::str::from_utf8(value.contents).ok())
        .flatten()
}

pub(super) fn display_name(subject: &X509Name<'_>) -> String {
    let common_name = subject.iter_common_name().filter_map(|name| name.as_str().ok()).next();
    printable(&common_name.map_or_else(|| subject.to_string(), str::to_owned))
}

/// A text from a certificate, made fit for one line of a log: shortened, and without control characters.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(253).collect()
}

/// A name for people, from its DER: the common name, or else the whole name.
pub(crate) fn name_in_words(name: &[u8]) -> String {
    X509Name::from_der(name).map_or_else(|_| "a name that cannot be read".to_owned(), |(_, name)| display_name(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The DER of a name. Each relative name has attributes: the last number of the type, the tag and bytes of the
    /// value.
    fn name(relative_names: &[&[(u8, u8, &[u8])]]) -> Vec<u8> {
        let attribute = |(kind, tag, value): &(u8, u8, &[u8])| {
            der::element(SEQUENCE, &[der::element(OID, &[0x55, 4, *kind]), der::element(*tag, value)].concat())
        };
        let relative = |attributes: &&[(u8, u8, &[u8])]| {
            der::element(SET, &attributes.iter().map(attribute).collect::<Vec<_>>().concat())
        };
        der::element(SEQUENCE, &relative_names.iter().map(relative).collect::<Vec<_>>().concat())
    }

    fn common(tag: u8, value: &[u8]) -> Vec<u8> {
        name(&[&[(3, tag, value)]])
    }

    /// The comparison, which must say what the comparison keys say.
    fn same_name(a: &[u8], b: &[u8]) -> bool {
        let is_same = super::same_name(a, b);
        assert_eq!(is_same, a == b || name_key(a).is_some() && name_key(a) == name_key(b), "{a:02x?}, {b:02x?}");
        is_same
    }

    #[test]
    fn encodings_of_the_same_name_are_equal() {
        let plain = common(UTF8_STRING, "Größe 1 CA".as_bytes());
        assert!(same_name(&plain, &plain));
        assert!(same_name(&plain, &common(UTF8_STRING, "  größe 1\t ca ".as_bytes())));
        let ascii = common(UTF8_STRING, b"12 3");
        for tag in [PRINTABLE_STRING, IA5_STRING, NUMERIC_STRING] {
            assert!(same_name(&ascii, &common(tag, b" 12  3")), "{tag:02x}");
        }
        assert!(same_name(&name(&[]), &name(&[])));
        // The last letter of a Greek word has a form of its own.
        assert!(same_name(&common(UTF8_STRING, "ΟΔΟΣ".as_bytes()), &common(UTF8_STRING, "οδος".as_bytes())));
        assert!(same_name(&common(UTF8_STRING, b" "), &common(PRINTABLE_STRING, b"")));
    }

    #[test]
    fn names_that_differ() {
        let plain = name(&[&[(6, PRINTABLE_STRING, b"XX")], &[(3, UTF8_STRING, b"CA")]]);
        for other in [
            name(&[]),
            name(&[&[(3, UTF8_STRING, b"CA")]]),
            name(&[&[(3, UTF8_STRING, b"CA")], &[(6, PRINTABLE_STRING, b"XX")]]),
            name(&[&[(6, PRINTABLE_STRING, b"XX"), (3, UTF8_STRING, b"CA")]]),
            name(&[&[(6, PRINTABLE_STRING, b"XX")], &[(3, UTF8_STRING, b"C A")]]),
            name(&[&[(6, PRINTABLE_STRING, b"XX")], &[(10, UTF8_STRING, b"CA")]]),
        ] {
            assert!(!same_name(&plain, &other) && !same_name(&other, &plain), "{other:02x?}");
            // A part that is cut or added.
            (0..other.len()).for_each(|length| assert!(!same_name(&plain, other.get(..length).unwrap())));
        }
        let empty = name(&[&[]]);
        assert!(!same_name(&empty, &name(&[])) && same_name(&empty, &empty) && !same_name(&empty, &plain));
        assert!(!same_name(&name(&[&[(3, UTF8_STRING, b"a"), (3, UTF8_STRING, b"b")]]), &common(UTF8_STRING, b"a")));
        // Strings of other types are compared by their bytes alone: BMPString.
        assert!(!same_name(&common(0x1e, b"\0A"), &common(0x1e, b"\0a")));
        // Text that looks like the end of one attribute and the beginning of another.
        let two = name(&[&[(3, UTF8_STRING, b"a")], &[(3, UTF8_STRING, b"b")]]);
        assert!(!same_name(&two, &common(UTF8_STRING, b"a\x00\x01\x55\x04\x03\x02b")));
        // Bytes that are not UTF-8 are compared as bytes.
        assert!(!same_name(&common(UTF8_STRING, &[0xff]), &common(PRINTABLE_STRING, &[0xff])));
    }

    #[test]
    fn bytes_that_are_not_a_name_have_no_key() {
        let good = common(UTF8_STRING, b"CA");
        assert!(name_key(&good).is_some());
        let refused = |bytes: &[u8]| assert_eq!(name_key(bytes), None, "{bytes:02x?}");
        refused(&[&good[..], b"\0"].concat());
        (0..good.len()).for_each(|length| refused(good.get(..length).unwrap()));
        // A string in place of the object identifier; one value too many; a SEQUENCE in place of the SET.
        refused(b"\x30\x0e\x31\x0c\x30\x0a\x16\x03\x55\x04\x03\x0c\x03abc");
        refused(b"\x30\x11\x31\x0f\x30\x0d\x06\x03\x55\x04\x03\x0c\x03abc\x0c\x01d");
        refused(b"\x30\x0e\x30\x0c\x30\x0a\x06\x03\x55\x04\x03\x0c\x03abc");
    }
}
