//! Serial numbers.

use std::fmt;
use std::str::FromStr;

use x509_parser::prelude::FromDer as _;

use crate::der;

/// The most octets RFC 5280, 4.1.2.2 allows a serial number.
pub(crate) const LONGEST_SERIAL: usize = 20;

/// A certificate's serial number: a positive integer, kept as its magnitude
/// without leading zeros, so that equal numbers are equal values.
///
/// Written and read in hexadecimal, as `openssl x509 -serial` prints it.
///
/// ```
/// let serial: stapled_ca::Serial = "00:0a:FF".parse()?;
/// assert_eq!(serial.to_string(), "0AFF");
/// # Ok::<(), stapled_ca::SerialError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Serial(Vec<u8>);

/// Why a text is no serial number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SerialError {
    /// Neither digits nor the separators `:` and `0x`.
    #[error("{text:?} is not a serial number: write it in hexadecimal, for example 0A:1F or 0x0a1f")]
    NotHexadecimal {
        /// What was given.
        text: String,
    },
}

impl Serial {
    /// The number whose big-endian magnitude is `magnitude`.
    #[must_use]
    pub fn from_bytes(magnitude: &[u8]) -> Self {
        Self(magnitude.iter().copied().skip_while(|octet| *octet == 0).collect())
    }

    /// The serial number of a certificate, DER; `None` when it is not one.
    #[must_use]
    pub fn of_certificate(certificate: &[u8]) -> Option<Self> {
        let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(certificate).ok()?;
        Some(Self::from_bytes(parsed.raw_serial()))
    }

    /// A random number of 16 octets whose first bit is clear and whose first
    /// octet is not zero, so that all of them have the same length in DER.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn random() -> Result<Self, aws_lc_rs::error::Unspecified> {
        let mut octets = [0; 16];
        aws_lc_rs::rand::fill(&mut octets)?;
        if let Some(first) = octets.first_mut() {
            *first = (*first & 0x3f) | 0x40;
        }
        Ok(Self::from_bytes(&octets))
    }

    /// The big-endian magnitude without leading zeros; empty for zero.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The contents octets of the DER `INTEGER`.
    #[must_use]
    pub fn integer_contents(&self) -> Vec<u8> {
        der::unsigned_contents(&self.0)
    }
}

impl From<u64> for Serial {
    fn from(number: u64) -> Self {
        Self::from_bytes(&number.to_be_bytes())
    }
}

impl FromStr for Serial {
    type Err = SerialError;

    fn from_str(text: &str) -> Result<Self, SerialError> {
        let wrong = || SerialError::NotHexadecimal { text: text.to_owned() };
        let bare = text.trim();
        let bare = bare.strip_prefix("0x").or_else(|| bare.strip_prefix("0X")).unwrap_or(bare);
        let mut digits = Vec::new();
        for letter in bare.chars().filter(|letter| *letter != ':') {
            digits.push(letter.to_digit(16).ok_or_else(wrong)? as u8);
        }
        if digits.is_empty() {
            return Err(wrong());
        }
        if digits.len() % 2 == 1 {
            digits.insert(0, 0);
        }
        let octets: Vec<u8> =
            digits.chunks(2).map(|pair| pair.iter().fold(0, |octet, digit| (octet << 4) | digit)).collect();
        Ok(Self::from_bytes(&octets))
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("00");
        }
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02X}"))
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Serial({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_number_agree() {
        for text in ["0x1", "01", "1", "00:01", "0X0001"] {
            assert_eq!(text.parse::<Serial>(), Ok(Serial::from(1)), "{text}");
        }
        assert_eq!(Serial::from(0).to_string(), "00");
        assert_eq!(Serial::from(0xfe).integer_contents(), [0, 0xfe]);
        for text in ["", "0x", "zz", "1-2"] {
            assert!(text.parse::<Serial>().is_err(), "{text}");
        }
    }

    #[test]
    fn random_numbers_have_one_length() {
        for _ in 0..64 {
            assert_eq!(Serial::random().unwrap().integer_contents().len(), 16);
        }
    }
}
