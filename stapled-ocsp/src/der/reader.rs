//! Splits bytes into elements, and checks the form of each.

use super::error::DerError;
use super::tags::{BIT_STRING, BOOLEAN, ENUMERATED, Element, INTEGER, NULL, OID, context};
use crate::hexadecimal::hex_upper;

/// The deepest nesting of elements. Real responses with an embedded certificate reach about 12.
const MAX_DEPTH: usize = 24;

/// Reads the elements of a byte string, one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn peek_tag(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// The next element, with any tag.
    pub(crate) fn any(&mut self) -> Result<Element<'a>, DerError> {
        let (&tag, after_tag) = self.rest.split_first().ok_or(DerError::new("an element is missing"))?;
        if tag & 0x1f == 0x1f {
            return Err(DerError::new("a tag number above 30"));
        }
        let (&first, mut rest) = after_tag.split_first().ok_or(DerError::new("a length is missing"))?;
        let length = match first {
            0..=0x7f => usize::from(first),
            0x80 => return Err(DerError::new("an indefinite length")),
            0x81..=0x84 => {
                let mut length = 0usize;
                let count = first & 0x7f;
                for i in 0..count {
                    let (&byte, after) = rest.split_first().ok_or(DerError::new("a length is cut off"))?;
                    if i == 0 && byte == 0 {
                        return Err(DerError::new("a length with leading zeros"));
                    }
                    length = length << 8 | usize::from(byte);
                    rest = after;
                }
                if length < 0x80 {
                    return Err(DerError::new("a short length in long form"));
                }
                length
            }
            _ => return Err(DerError::new("a length of more than four bytes")),
        };
        let (contents, rest) = rest.split_at_checked(length).ok_or(DerError::new("contents are cut off"))?;
        let (raw, _) = self.rest.split_at(self.rest.len() - rest.len());
        self.rest = rest;
        let element = Element { tag, contents, raw };
        check_form(element).map_err(|error| error.of(element))?;
        Ok(element)
    }

    /// The next element, which must have this tag.
    pub(crate) fn expect(&mut self, tag: u8) -> Result<Element<'a>, DerError> {
        match self.any()? {
            element if element.tag == tag => Ok(element),
            element => Err(DerError::new("an element of another type than expected").of(element).instead_of(tag)),
        }
    }

    /// The next element if it has this tag.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<Element<'a>>, DerError> {
        if self.peek_tag() == Some(tag) { self.any().map(Some) } else { Ok(None) }
    }

    /// The next element, which must have this tag, as a reader of its contents.
    pub(crate) fn inside(&mut self, tag: u8) -> Result<Reader<'a>, DerError> {
        Ok(Reader::new(self.expect(tag)?.contents))
    }

    /// Checks that all elements were read.
    pub(crate) fn end(self) -> Result<(), DerError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DerError::new("bytes after the end")) }
    }
}

/// The accepted encodings of INTEGERs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// The shortest form only, as DER requires.
    Shortest,
    /// Also forms with superfluous octets in front: some certificates have such a serial number.
    Padded,
}

/// Checks that `bytes` are exactly one element, and that all elements in it are strict DER.
pub(crate) fn check_framing(bytes: &[u8], numbers: Numbers) -> Result<(), DerError> {
    let mut reader = Reader::new(bytes);
    let element = reader.any()?;
    reader.end()?;
    check_element(element, numbers, MAX_DEPTH)
}

/// Checks the tag and the contents of one element, without the elements in it.
fn check_form(element: Element<'_>) -> Result<(), DerError> {
    if element.tag & 0xc0 != 0 {
        return Ok(());
    }
    // Universal tags (class bits 00): only SEQUENCE, SET, EXTERNAL and EMBEDDED PDV are constructed in DER.
    let constructed = element.tag & 0x20 != 0;
    let number = element.tag & 0x1f;
    if number == 0 {
        return Err(DerError::new("an end-of-contents mark"));
    }
    if constructed != matches!(number, 0x08 | 0x0b | 0x10 | 0x11) {
        return Err(DerError::new("a constructed string, or a primitive sequence"));
    }
    match element.tag {
        INTEGER | ENUMERATED | OID | BIT_STRING if element.contents.is_empty() => {
            Err(DerError::new("an empty number, name or bit string"))
        }
        BIT_STRING if !matches!(element.contents, [0] | [0..=7, _, ..]) => {
            Err(DerError::new("a bit string with more unused bits than it has"))
        }
        NULL if !element.contents.is_empty() => Err(DerError::new("a NULL with contents")),
        BOOLEAN if !matches!(element.contents, [0x00 | 0xff]) => {
            Err(DerError::new("a BOOLEAN that is neither 00 nor FF"))
        }
        OID if !is_identifier(element.contents) => {
            Err(DerError::new("an object identifier that breaks off, or with superfluous octets"))
        }
        _ => Ok(()),
    }
}

/// Checks that an INTEGER or ENUMERATED has its shortest form.
pub(crate) fn check_shortest(number: Element<'_>) -> Result<(), DerError> {
    match shortest_integer(number.contents) == number.contents {
        true => Ok(()),
        false => Err(DerError::new("a number with superfluous octets in front").of(number)),
    }
}

fn check_element(element: Element<'_>, numbers: Numbers, depth: usize) -> Result<(), DerError> {
    if matches!(element.tag, INTEGER | ENUMERATED) && numbers == Numbers::Shortest {
        check_shortest(element)?;
    }
    if element.tag & 0x20 == 0 {
        return Ok(());
    }
    let depth = depth.checked_sub(1).ok_or(DerError::new("elements nested too deep"))?;
    let mut reader = Reader::new(element.contents);
    while !reader.is_empty() {
        check_element(reader.any()?, numbers, depth)?;
    }
    Ok(())
}

/// Whether these are the contents of an OBJECT IDENTIFIER (X.690 §8.19): each arc is complete and has no superfluous
/// octet in front.
fn is_identifier(contents: &[u8]) -> bool {
    let mut begins = true;
    for octet in contents {
        if begins && *octet == 0x80 {
            return false;
        }
        begins = octet & 0x80 == 0;
    }
    begins
}

/// The bits of a BIT STRING that must consist of whole bytes, such as a signature or a public key.
pub(crate) fn whole_bytes<'a>(element: Element<'a>) -> Result<&'a [u8], DerError> {
    match element.contents.split_first() {
        Some((0, bytes)) => Ok(bytes),
        _ => Err(DerError::new("a bit string that is not whole bytes").of(element)),
    }
}

/// Reads `version [0] EXPLICIT INTEGER DEFAULT v1`. An encoded default is not DER, but it occurs and means the same. A
/// number that does not fit a byte becomes 255, which is no known version either.
pub(crate) fn version(fields: &mut Reader<'_>) -> Result<u8, DerError> {
    let Some(explicit) = fields.optional(context(0))? else { return Ok(0) };
    let mut explicit = Reader::new(explicit.contents);
    let version = explicit.expect(INTEGER)?.contents;
    explicit.end()?;
    Ok(if let [version] = version { *version } else { u8::MAX })
}

/// The contents of an INTEGER in their shortest form, so that equal numbers are equal bytes even if a certificate's
/// encoder added octets.
pub(crate) fn shortest_integer(mut contents: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = contents {
        match (first, rest.first()) {
            (0x00, Some(0x00..=0x7f)) | (0xff, Some(0x80..=0xff)) => contents = rest,
            _ => break,
        }
    }
    contents
}

/// Formats the contents of an INTEGER in hexadecimal, as OpenSSL prints serial numbers: whole bytes, with a minus sign
/// if the number is negative.
pub(crate) fn integer_hex(contents: &[u8]) -> String {
    match contents {
        [0, rest @ ..] if !rest.is_empty() => hex_upper(rest),
        [0x80..=0xff, ..] => {
            // The magnitude of a number in two's complement is its inverted bits plus one. The bytes are processed from
            // the last, for the carry.
            let mut carry = true;
            let mut magnitude: Vec<u8> = contents
                .iter()
                .rev()
                .map(|byte| {
                    let (turned, carried) = (!byte).overflowing_add(carry.into());
                    carry = carried;
                    turned
                })
                .collect();
            // A magnitude has no leading zeros.
            while magnitude.last() == Some(&0) {
                magnitude.pop();
            }
            magnitude.reverse();
            format!("-{}", hex_upper(&magnitude))
        }
        contents => hex_upper(contents),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::der::tags::{OCTET_STRING, SEQUENCE};
    use crate::der::writer::element;

    #[test]
    fn accepts_der_and_refuses_ber() {
        for good in [
            &b"\x30\x00"[..],
            b"\x30\x03\x02\x01\x00",
            b"\x01\x01\xff",
            b"\xa0\x02\x05\x00",
            b"\x06\x04\x2b\x81\x80\x00",
        ] {
            assert_eq!(check_framing(good, Numbers::Shortest), Ok(()), "{good:02x?}");
        }
        for bad in [
            &b""[..],
            b"\x30",
            b"\x30\x80\x00\x00",             // indefinite
            b"\x30\x81\x03\x02\x01\x00",     // long form of a short length
            b"\x30\x82\x00\x03\x02\x01\x00", // leading zero
            b"\x30\x03\x02\x01",             // cut off
            b"\x30\x00\x00",                 // trailing
            b"\x1f\x81\x00\x00",             // high tag
            b"\x24\x02\x04\x00",             // constructed OCTET STRING
            b"\x10\x00",                     // primitive SEQUENCE
            b"\x30\x02\x02\x00",             // empty INTEGER
            b"\x03\x01\x01",                 // unused bits in a BIT STRING without bits
            b"\x03\x02\x08\x00",             // more unused bits than an octet has
            b"\x06\x00",                     // empty OBJECT IDENTIFIER
            b"\x06\x02\x80\x01",             // a first arc with a superfluous octet
            b"\x06\x03\x2b\x80\x01",         // a later arc with a superfluous octet
            b"\x06\x02\x2b\x81",             // an arc without an end
            b"\x01\x01\x01",                 // BOOLEAN TRUE as BER allows it
            b"\x05\x01\x00",
            b"\x30\x85\x00\x00\x00\x00\x00",
        ] {
            assert!(check_framing(bad, Numbers::Padded).is_err(), "{bad:02x?}");
        }
    }

    #[test]
    fn padded_numbers_are_accepted_only_if_allowed() {
        for padded in [&b"\x02\x02\x00\x05"[..], b"\x02\x02\xff\x80", b"\x0a\x02\x00\x01"] {
            assert!(check_framing(padded, Numbers::Shortest).is_err(), "{padded:02x?}");
            assert_eq!(check_framing(padded, Numbers::Padded), Ok(()), "{padded:02x?}");
        }
        assert_eq!(check_framing(b"\x02\x02\x00\x80", Numbers::Shortest), Ok(()));
    }

    #[test]
    fn depth_is_bounded() {
        let nest = |n| (0..n).fold(Vec::new(), |inside, _| element(SEQUENCE, &inside));
        assert!(check_framing(&nest(MAX_DEPTH), Numbers::Shortest).is_ok());
        assert!(check_framing(&nest(MAX_DEPTH + 1), Numbers::Shortest).is_err());
        assert!(check_framing(&nest(10_000), Numbers::Shortest).is_err());
    }

    #[test]
    fn elements_read_back_at_every_length() {
        for length in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x1_0000] {
            let contents = vec![0xaa; length];
            let bytes = element(OCTET_STRING, &contents);
            let mut reader = Reader::new(&bytes);
            assert_eq!(reader.expect(OCTET_STRING).unwrap().contents, contents);
            assert!(reader.is_empty());
        }
    }

    #[test]
    fn numbers_in_hexadecimal() {
        for (contents, text) in [
            (&[0][..], "00"),
            (&[0x7f], "7F"),
            (&[0, 0x80], "80"),
            (&[1, 0], "0100"),
            (&[0xff], "-01"),
            (&[0x80], "-80"),
            (&[0xff, 0x7f], "-81"),
            (&[0xfe, 0x00], "-0200"),
        ] {
            assert_eq!(integer_hex(contents), text, "{contents:02x?}");
        }
    }

    #[test]
    fn encoded_versions_are_read() {
        let read = |bytes: &[u8]| version(&mut Reader::new(bytes));
        assert_eq!(read(b"\x30\x00"), Ok(0), "left out");
        assert_eq!(read(b"\xa0\x03\x02\x01\x00"), Ok(0));
        assert_eq!(read(b"\xa0\x03\x02\x01\x02"), Ok(2));
        assert_eq!(read(b"\xa0\x04\x02\x02\x01\x00"), Ok(255));
        assert!(read(b"\xa0\x05\x02\x01\x00\x05\x00").is_err());
    }

    #[test]
    fn tags_of_every_class() {
        for good in
            [&b"\x31\x00"[..], b"\x80\x00", b"\xa1\x02\x05\x00", b"\x41\x01\x00", b"\xc1\x00", b"\x0c\x00", b"\x28\x00"]
        {
            assert_eq!(check_framing(good, Numbers::Shortest), Ok(()), "{good:02x?}");
        }
        // Nested elements are checked as strictly, in elements of any tag.
        for bad in
            [&b"\x00\x00"[..], b"\x20\x00", b"\x30\x02\x02\x00", b"\xa0\x02\x24\x00", b"\xe1\x02\x10\x00", b"\x11\x00"]
        {
            assert!(check_framing(bad, Numbers::Padded).is_err(), "{bad:02x?}");
        }
    }

    #[test]
    fn bit_strings_of_whole_bytes() {
        let read = |bytes: &[u8]| Reader::new(bytes).any().and_then(whole_bytes).map(<[u8]>::to_vec);
        assert_eq!(read(b"\x03\x03\x00\x01\x02"), Ok(vec![1, 2]));
        assert!(read(b"\x03\x03\x01\x01\x02").is_err() && read(b"\x03\x00").is_err());
    }

    #[test]
    fn integers_shorten() {
        assert_eq!(shortest_integer(&[0, 0, 0x80]), [0, 0x80]);
        assert_eq!(shortest_integer(&[0xff, 0xff, 0x7f]), [0xff, 0x7f]);
        assert_eq!(shortest_integer(&[0]), [0]);
        assert_eq!(shortest_integer(&[0xff, 0x80]), [0x80]);
    }
}
