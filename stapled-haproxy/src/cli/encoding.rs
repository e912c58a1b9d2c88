//! Certificates as PEM, and bytes in hexadecimal, as HAProxy reads and writes them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The number of characters in a line of PEM.
const PEM_LINE: usize = 64;

/// A certificate as PEM, without a line feed at its end.
pub(crate) fn pem(der: &[u8]) -> String {
    let mut pem = String::from("-----BEGIN CERTIFICATE-----");
    for (position, c) in STANDARD.encode(der).chars().enumerate() {
        if position % PEM_LINE == 0 {
            pem.push('\n');
        }
        pem.push(c);
    }
    pem.push_str("\n-----END CERTIFICATE-----");
    pem
}

/// Bytes in hexadecimal, in lower case.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pem_lines_have_64_characters() {
        let pem = pem(&[0; 49]);
        let lengths: Vec<usize> = pem.lines().map(str::len).collect();
        assert_eq!(lengths, [27, 64, 4, 25], "{pem}");
    }

    #[test]
    fn each_byte_has_two_digits() {
        assert_eq!(hexadecimal(&[0x00, 0x0a, 0xff]), "000aff");
    }
}
