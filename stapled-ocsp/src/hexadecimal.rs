//! Bytes in hexadecimal.

use std::fmt::{self, Write as _};

/// Bytes that are formatted in hexadecimal, two digits each: by `{:X}` in upper case, by `{:x}` in lower case.
#[derive(Clone, Copy, Debug)]
pub struct Hexadecimal<'a>(&'a [u8]);

impl<'a> Hexadecimal<'a> {
    /// These bytes.
    pub fn of(bytes: &'a [u8]) -> Self {
        Hexadecimal(bytes)
    }
}

impl Hexadecimal<'_> {
    /// The bytes of hexadecimal digits in either case; `None` for other characters and for an odd number of digits.
    pub fn decode(digits: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let byte = |pair: &[u8]| match *pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        };
        digits.as_ref().chunks(2).map(byte).collect()
    }
}

impl fmt::UpperHex for Hexadecimal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        digits(self.0, b"0123456789ABCDEF").try_for_each(|digit| f.write_char(digit))
    }
}

impl fmt::LowerHex for Hexadecimal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        digits(self.0, b"0123456789abcdef").try_for_each(|digit| f.write_char(digit))
    }
}

/// The digits of the bytes, two each. Each certificate has several numbers and hashes that are written so: a formatter for each byte
/// would take longer than the reading of the certificate's fields.
fn digits(bytes: &[u8], digits: &'static [u8; 16]) -> impl Iterator<Item = char> {
    let digit = |number: u8| digits.get(usize::from(number & 0xf)).map_or('?', |digit| char::from(*digit));
    bytes.iter().flat_map(move |byte| [digit(byte >> 4), digit(*byte)])
}

/// Bytes in hexadecimal, in upper case.
pub(crate) fn hex_upper(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    text.extend(digits(bytes, b"0123456789ABCDEF"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_has_two_digits() {
        let bytes = Hexadecimal::of(&[0x00, 0x0a, 0xff]);
        assert_eq!((format!("{bytes:x}"), format!("{bytes:X}")), ("000aff".to_owned(), "000AFF".to_owned()));
    }

    #[test]
    fn digits_are_read_back() {
        assert_eq!(Hexadecimal::decode("000aFf"), Some(vec![0x00, 0x0a, 0xff]));
        assert_eq!(Hexadecimal::decode(""), Some(Vec::new()));
        for odd in ["0", "300", "0g", "+1", "0x", "é", "3é"] {
            assert_eq!(Hexadecimal::decode(odd), None, "{odd}");
        }
    }
}
