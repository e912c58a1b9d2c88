//! DER: functions that write values, and functions that cut values from bytes.
//!
//! A response that breaks exactly one rule must be wrong in exactly one place. So bytes are written value by value,
//! without types that would correct them.

/// `BOOLEAN`.
pub const BOOLEAN: u8 = 0x01;
/// `INTEGER`.
pub const INTEGER: u8 = 0x02;
/// `BIT STRING`.
pub const BIT_STRING: u8 = 0x03;
/// `OCTET STRING`.
pub const OCTET_STRING: u8 = 0x04;
/// `OBJECT IDENTIFIER`.
pub const OBJECT_IDENTIFIER: u8 = 0x06;
/// `ENUMERATED`.
pub const ENUMERATED: u8 = 0x0a;
/// `SEQUENCE`.
pub const SEQUENCE: u8 = 0x30;
/// `GeneralizedTime`.
pub const GENERALIZED_TIME: u8 = 0x18;
/// `NULL`, with its tag and length.
pub const NULL: &[u8] = &[0x05, 0x00];

/// One value: the tag, the length in its shortest form, the contents.
#[must_use]
pub fn value(tag: u8, contents: &[u8]) -> Vec<u8> {
    of_parts(tag, &[contents])
}

/// Like [`value`], with contents in several parts, which are copied once.
fn of_parts<P: AsRef<[u8]>>(tag: u8, parts: &[P]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.as_ref().len()).sum();
    let mut out = Vec::with_capacity(length + 6);
    out.push(tag);
    if length < 0x80 {
        out.push(length as u8);
    } else {
        let octets = length.to_be_bytes();
        let zeros = (length.leading_zeros() / 8) as usize;
        out.push(0x80 | (octets.len() - zeros) as u8);
        out.extend_from_slice(octets.get(zeros..).unwrap_or_default());
    }
    for part in parts {
        out.extend_from_slice(part.as_ref());
    }
    out
}

/// A `SEQUENCE` of encoded values.
#[must_use]
pub fn sequence<P: AsRef<[u8]>>(parts: &[P]) -> Vec<u8> {
    of_parts(SEQUENCE, parts)
}

/// `[number] EXPLICIT` around an encoded value.
#[must_use]
pub fn explicit(number: u8, inner: &[u8]) -> Vec<u8> {
    value(0xa0 | (number & 0x1f), inner)
}

/// `[number] IMPLICIT` of a primitive type, with these contents.
#[must_use]
pub fn implicit(number: u8, contents: &[u8]) -> Vec<u8> {
    value(0x80 | (number & 0x1f), contents)
}

/// An `OBJECT IDENTIFIER` from its arcs.
#[must_use]
pub fn oid(arcs: &[u64]) -> Vec<u8> {
    let mut contents = Vec::new();
    let first = arcs.first().copied().unwrap_or(0);
    let second = arcs.get(1).copied().unwrap_or(0);
    base128(&mut contents, first * 40 + second);
    for arc in arcs.iter().skip(2) {
        base128(&mut contents, *arc);
    }
    value(OBJECT_IDENTIFIER, &contents)
}

/// A non-negative `INTEGER` with this big-endian magnitude, in its shortest form.
#[must_use]
pub fn unsigned(magnitude: &[u8]) -> Vec<u8> {
    value(INTEGER, &unsigned_contents(magnitude))
}

/// The contents octets of a non-negative `INTEGER`: without superfluous leading zeros, and with one zero where the
/// first bit would make the number negative.
#[must_use]
pub fn unsigned_contents(magnitude: &[u8]) -> Vec<u8> {
    let mut contents: Vec<u8> = magnitude.iter().copied().skip_while(|o| *o == 0).collect();
    if contents.first().is_none_or(|o| o & 0x80 != 0) {
        contents.insert(0, 0);
    }
    contents
}

/// A `BIT STRING` of whole octets.
#[must_use]
pub fn bit_string(octets: &[u8]) -> Vec<u8> {
    of_parts(BIT_STRING, &[&[0], octets])
}

/// A `GeneralizedTime` of Unix seconds, in the only form that RFC 5280, 4.1.2.5.2 allows: whole seconds and `Z`.
/// Times outside of the years 0 to 9999 become the first or last second of these years.
#[must_use]
pub fn generalized_time(unix_seconds: i64) -> Vec<u8> {
    // The year 0.
    let lowest = -62_167_219_200;
    let highest = jiff::Timestamp::MAX.as_second();
    let at = jiff::Timestamp::from_second(unix_seconds.clamp(lowest, highest)).unwrap_or_default();
    // Without a format that is parsed each time: every response has several times.
    let at = jiff::tz::Offset::UTC.to_datetime(at);
    let mut text = Vec::with_capacity(15);
    let year = at.year().unsigned_abs();
    let pairs = [(year / 100) as u8, (year % 100) as u8]
        .into_iter()
        .chain([at.month(), at.day(), at.hour(), at.minute(), at.second()].map(i8::unsigned_abs));
    pairs.for_each(|pair| text.extend([b'0' + pair / 10, b'0' + pair % 10]));
    text.push(b'Z');
    value(GENERALIZED_TIME, &text)
}

/// Encoded values, concatenated.
#[must_use]
pub fn concat<P: AsRef<[u8]>>(parts: &[P]) -> Vec<u8> {
    let mut out = Vec::with_capacity(parts.iter().map(|p| p.as_ref().len()).sum());
    for part in parts {
        out.extend_from_slice(part.as_ref());
    }
    out
}

/// One value in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice<'a> {
    /// The tag octet.
    pub tag: u8,
    /// The contents octets.
    pub contents: &'a [u8],
    /// Tag, length and contents.
    pub whole: &'a [u8],
}

/// Cuts the first value off `input` and moves `input` behind it.
///
/// `None` when the tag has more than one octet, or when the length is indefinite, not in its shortest form, or larger
/// than the rest of the input.
pub fn next<'a>(input: &mut &'a [u8]) -> Option<Slice<'a>> {
    let all = *input;
    let (&tag, rest) = all.split_first()?;
    if tag & 0x1f == 0x1f {
        return None;
    }
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let count = usize::from(first & 0x7f);
        if count == 0 || count > 4 {
            return None;
        }
        let (octets, rest) = rest.split_at_checked(count)?;
        let length = octets.iter().fold(0usize, |n, o| (n << 8) | usize::from(*o));
        let shortest = length >= 0x80 && octets.first().is_some_and(|o| *o != 0);
        if !shortest {
            return None;
        }
        (length, rest)
    };
    let (contents, after) = rest.split_at_checked(length)?;
    let whole = all.get(..all.len() - after.len())?;
    *input = after;
    Some(Slice { tag, contents, whole })
}

/// Like [`next`], but `None` without moving `input` when the tag is not `tag`.
pub fn expect<'a>(input: &mut &'a [u8], tag: u8) -> Option<Slice<'a>> {
    let mut ahead = *input;
    let slice = next(&mut ahead)?;
    if slice.tag != tag {
        return None;
    }
    *input = ahead;
    Some(slice)
}

/// The value that `input` consists of; `None` when the tag is not `tag` or anything follows the value.
#[must_use]
pub fn only(mut input: &[u8], tag: u8) -> Option<Slice<'_>> {
    let slice = expect(&mut input, tag)?;
    input.is_empty().then_some(slice)
}

fn base128(out: &mut Vec<u8>, arc: u64) {
    let groups = (64 - arc.leading_zeros()).div_ceil(7).max(1);
    for group in (0..groups).rev() {
        let more = if group > 0 { 0x80 } else { 0 };
        out.push(more | (arc >> (7 * group) & 0x7f) as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_their_shortest_form() {
        assert_eq!(value(SEQUENCE, &[0; 127])[..2], [0x30, 0x7f]);
        assert_eq!(value(SEQUENCE, &[0; 128])[..3], [0x30, 0x81, 0x80]);
        assert_eq!(value(SEQUENCE, &[0; 256])[..4], [0x30, 0x82, 0x01, 0x00]);
    }

    #[test]
    fn integers_are_not_negative() {
        assert_eq!(unsigned(&[0x7f]), [2, 1, 0x7f]);
        assert_eq!(unsigned(&[0x80]), [2, 2, 0, 0x80]);
        assert_eq!(unsigned(&[0, 0, 5]), [2, 1, 5]);
        assert_eq!(unsigned(&[]), [2, 1, 0]);
    }

    #[test]
    fn object_identifiers_use_base_128() {
        // id-pkix-ocsp-basic, as RFC 6960 responses carry it.
        let basic = [0x06, 0x09, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01];
        assert_eq!(oid(&[1, 3, 6, 1, 5, 5, 7, 48, 1, 1]), basic);
        assert_eq!(oid(&[2, 5, 29, 37]), [0x06, 0x03, 0x55, 0x1d, 0x25]);
        assert_eq!(oid(&[1, 0, 0, 127, 128, 16_384]), [0x06, 0x08, 0x28, 0, 0x7f, 0x81, 0, 0x81, 0x80, 0]);
        assert_eq!(oid(&[0, 0, u64::MAX])[3..], [0x81, 255, 255, 255, 255, 255, 255, 255, 255, 0x7f]);
    }

    #[test]
    fn times_are_whole_seconds_of_utc() {
        assert_eq!(generalized_time(0), value(GENERALIZED_TIME, b"19700101000000Z"));
        assert_eq!(generalized_time(1_767_225_599), value(GENERALIZED_TIME, b"20251231235959Z"));
        assert_eq!(generalized_time(1_709_208_000), value(GENERALIZED_TIME, b"20240229120000Z"));
        assert_eq!(generalized_time(i64::MAX), value(GENERALIZED_TIME, b"99991230220000Z"));
        assert_eq!(generalized_time(i64::MIN), value(GENERALIZED_TIME, b"00000101000000Z"));
    }

    #[test]
    fn lengths_that_are_not_der_are_refused() {
        assert!(next(&mut &[0x30, 0x81, 0x01, 0x00][..]).is_none());
        assert!(next(&mut &[0x30, 0x80, 0x00, 0x00][..]).is_none());
        assert!(next(&mut &[0x30, 0x02, 0x00][..]).is_none());
        assert!(next(&mut &[0x3f, 0x81, 0x00][..]).is_none());
        assert!(only(&[0x30, 0x00, 0x00], SEQUENCE).is_none());
        assert!(only(&[0x30, 0x00], SEQUENCE).is_some());
    }
}
