//! Keys that make a submission repeatable.

use std::fmt;
use std::str::FromStr;

use super::contents::SessionId;
use crate::hash::HashAlgorithm;
use crate::hex;

/// A key that a client draws at random for one submission. A submission that is repeated with its key, because the answer was
/// lost, leads to the same session.
///
/// The name of the session is made from the key, so a session and its key are one record in every store. A key is as secret as
/// the name of a session.
#[derive(Clone, PartialEq, Eq)]
pub struct SubmitKey(String);

impl SubmitKey {
    /// A new key: 128 random bits.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn random() -> Result<Self, aws_lc_rs::error::Unspecified> {
        let mut octets = [0; 16];
        aws_lc_rs::rand::fill(&mut octets)?;
        Ok(SubmitKey(hex::lower(&octets)))
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of its session.
    pub(crate) fn session(&self) -> SessionId {
        let digest = HashAlgorithm::Sha256.digest(format!("stapled-ca session\n{}", self.0).as_bytes());
        SessionId::of_digest(&digest)
    }
}

impl fmt::Debug for SubmitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SubmitKey(..)")
    }
}

/// A text that is not a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a key of a submission: write 32 to 128 random letters, digits, `-` or `_`")]
pub struct NoSubmitKey;

impl FromStr for SubmitKey {
    type Err = NoSubmitKey;

    fn from_str(text: &str) -> Result<Self, NoSubmitKey> {
        let is_sound = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
        match (32..=128).contains(&text.len()) && text.bytes().all(is_sound) {
            true => Ok(SubmitKey(text.to_owned())),
            false => Err(NoSubmitKey),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_long_and_name_one_session_each() {
        let (one, other) = (SubmitKey::random().unwrap(), SubmitKey::random().unwrap());
        assert_eq!(one.as_str().parse(), Ok(one.clone()));
        assert_eq!(one.session(), one.clone().session());
        assert_ne!(one.session(), other.session());
        assert_eq!(one.session().as_str().parse(), Ok(one.session()));
        assert!("123e4567-e89b-42d3-a456-426614174000".parse::<SubmitKey>().is_ok());
        for text in ["", &"a".repeat(31), &"a".repeat(129), &format!("{} ", "a".repeat(32)), &"ä".repeat(32)] {
            assert_eq!(text.parse::<SubmitKey>(), Err(NoSubmitKey), "{text}");
        }
        assert!(!format!("{one:?}").contains(one.as_str()));
    }
}
