//! Serial numbers.

use std::fmt;
use std::str::FromStr;

use x509_parser::prelude::FromDer as _;

use crate::{der, hex};

/// The most octets of a serial number (RFC 5280, 4.1.2.2).
pub(crate) const LONGEST_SERIAL: usize = 20;

/// A certificate's serial number: a non-negative integer. It is kept as a magnitude without leading zeros, so that
/// equal numbers are equal values.
///
/// Its text is hexadecimal, as `openssl x509 -serial` prints it. Reading allows `:` between digits and `0x` before
/// them.
///
/// ```
/// let serial: stapled_ca::Serial = "00:0a:FF".parse()?;
/// assert_eq!(serial.to_string(), "0AFF");
/// # Ok::<(), stapled_ca::SerialError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Serial(Vec<u8>);

/// Why a text is not a serial number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SerialError {
    /// The text is not hexadecimal, or empty.
    #[error("{text:?} is not a serial number: write it in hexadecimal, for example 0A:1F or 0x0a1f")]
    NotHexadecimal {
        /// The text.
        text: String,
    },
}

impl Serial {
    /// The number whose big-endian magnitude is `magnitude`.
    #[must_use]
    pub fn from_bytes(magnitude: &[u8]) -> Self {
        Self(magnitude.iter().copied().skip_while(|octet| *octet == 0).collect())
    }

    /// The serial number of a certificate, DER; `None` when the bytes are not a certificate.
    #[must_use]
    pub fn of_certificate(certificate: &[u8]) -> Option<Self> {
        let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(certificate).ok()?;
        Some(Self::from_bytes(parsed.raw_serial()))
    }

    /// A random number of 16 octets. The first bit is clear and the first octet is not zero, so that all such numbers
    /// have the same length in DER.
    ///
    /// # Errors
    /// When the system has no randomness.
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
        let octets = hex::decode(&bare.replace(':', "")).filter(|octets| !octets.is_empty()).ok_or_else(wrong)?;
        Ok(Self::from_bytes(&octets))
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("00");
        }
        f.write_str(&hex::upper(&self.0))
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
    fn texts_are_read_as_their_numbers() {
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
    fn random_numbers_have_the_same_length() {
        for _ in 0..64 {
            assert_eq!(Serial::random().unwrap().integer_contents().len(), 16);
        }
    }
}
