//! Certificates as PEM (RFC 7468).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The line before a certificate.
pub(crate) const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
/// The line behind a certificate.
pub(crate) const END: &str = "-----END CERTIFICATE-----";

/// The number of characters in a line of base64.
const LINE: usize = 64;

/// A certificate as PEM, with a line feed at its end.
pub(crate) fn certificate(der: &[u8]) -> String {
    let mut pem = BEGIN.to_owned();
    for (position, c) in STANDARD.encode(der).chars().enumerate() {
        if position % LINE == 0 {
            pem.push('\n');
        }
        pem.push(c);
    }
    pem + "\n" + END + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_64_characters() {
        let pem = certificate(&[0; 49]);
        let lengths: Vec<usize> = pem.lines().map(str::len).collect();
        assert_eq!(lengths, [27, 64, 4, 25], "{pem}");
    }
}
