//! Bytes in hexadecimal.

use std::fmt;

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
        write(self.0, UPPER, f)
    }
}

impl fmt::LowerHex for Hexadecimal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(self.0, LOWER, f)
    }
}

const UPPER: &[u8; 16] = b"0123456789ABCDEF";
const LOWER: &[u8; 16] = b"0123456789abcdef";

/// The number of bytes whose digits are written at once.
const AT_ONCE: usize = 32;

/// Each certificate has several numbers and hashes that are written so: a formatter for each byte, or even each digit, would take
/// longer than the reading of the certificate's fields.
fn write(bytes: &[u8], digits: &[u8; 16], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for part in bytes.chunks(AT_ONCE) {
        let mut text = [0; 2 * AT_ONCE];
        for (pair, byte) in text.chunks_exact_mut(2).zip(part) {
            pair.copy_from_slice(&digits_of(*byte, digits));
        }
        let written = text.get(..2 * part.len()).and_then(|text| std::str::from_utf8(text).ok());
        f.write_str(written.ok_or(fmt::Error)?)?;
    }
    Ok(())
}

fn digits_of(byte: u8, digits: &[u8; 16]) -> [u8; 2] {
    [byte >> 4, byte & 0xf].map(|number| digits.get(usize::from(number)).copied().unwrap_or(b'?'))
}

/// Bytes in hexadecimal, in upper case.
pub(crate) fn hex_upper(bytes: &[u8]) -> String {
    let mut text = Vec::with_capacity(bytes.len() * 2);
    bytes.iter().for_each(|byte| text.extend_from_slice(&digits_of(*byte, UPPER)));
    String::from_utf8(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_has_two_digits() {
        let bytes = Hexadecimal::of(&[0x00, 0x0a, 0xff]);
        assert_eq!((format!("{bytes:x}"), format!("{bytes:X}")), ("000aff".to_owned(), "000AFF".to_owned()));
        for length in 0..100 {
            let bytes: Vec<u8> = (0..length).map(|number: u8| number.wrapping_mul(7)).collect();
            let slowly: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
            assert_eq!((format!("{:X}", Hexadecimal::of(&bytes)), hex_upper(&bytes)), (slowly.clone(), slowly));
        }
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
