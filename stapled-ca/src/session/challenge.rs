//! Challenges: how a client proves that a name is its own.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::fields::{self, Damaged, Fields};
use crate::hash::HashAlgorithm;

/// The type of a challenge. Its number is stored. The numbers 0 to 3 are reserved: the first server of this design used them for
/// DVSNI, TLSExt, Email and Payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChallengeType {
    /// http-01 (RFC 8555, 8.3): number 4.
    Http01,
    /// tls-alpn-01 (RFC 8737): number 5.
    TlsAlpn01,
}

impl ChallengeType {
    /// All types with their numbers and names.
    const ALL: [(ChallengeType, u8, &'static str); 2] =
        [(ChallengeType::Http01, 4, "http-01"), (ChallengeType::TlsAlpn01, 5, "tls-alpn-01")];

    /// The stored number.
    #[must_use]
    pub fn number(self) -> u8 {
        Self::ALL.iter().find(|(kind, ..)| *kind == self).map_or(u8::MAX, |(_, number, _)| *number)
    }

    /// The type with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.iter().find(|(_, known, _)| *known == number).map(|(kind, ..)| *kind)
    }
}

impl fmt::Display for ChallengeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL.iter().find(|(kind, ..)| kind == self).map_or("", |(.., name)| name))
    }
}

/// One challenge of a session: part `1`, `2`, … of its record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Challenge {
    /// When it was made, in Unix seconds.
    pub made_at: i64,
    /// How the name is proved.
    pub kind: ChallengeType,
    /// The name: a host name, or an IP address as text.
    pub name: String,
    /// Whether the client passed the challenge.
    pub is_satisfied: bool,
    /// Whether the challenge was given up.
    pub has_failed: bool,
    /// How often the client said that it is ready. During a test, the number may grow: then the challenge is tested again.
    pub asked: u32,
    /// The value of `asked` when the last test began.
    pub tested: u32,
    /// The token: the file name of http-01.
    pub token: String,
    /// The key authorization (RFC 8555, 8.1). http-01: the contents of the file. tls-alpn-01: the certificate has its SHA-256.
    pub authorization: String,
    /// Why the last test failed.
    pub reason: Option<String>,
}

/// The field `data` in JSON: the values whose meaning depends on the type of the challenge. The version is that of this form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    version: u8,
    token: String,
    authorization: String,
}

/// The version of [`Data`] that is written.
const VERSION: u8 = 1;

impl Challenge {
    /// A new challenge for a certificate request with this public key (SubjectPublicKeyInfo, DER): only the holder of the
    /// token for this key can answer it.
    pub(crate) fn new(kind: ChallengeType, name: &str, token: String, public_key: &[u8], now: i64) -> Self {
        let thumbprint = URL_SAFE_NO_PAD.encode(HashAlgorithm::Sha256.digest(public_key));
        let authorization = format!("{token}.{thumbprint}");
        let (asked, tested, reason, name) = (0, 0, None, name.to_owned());
        let (is_satisfied, has_failed) = (false, false);
        Challenge { made_at: now, kind, name, is_satisfied, has_failed, asked, tested, token, authorization, reason }
    }

    /// Whether the client said that it is ready, and this was not tested yet.
    #[must_use]
    pub fn awaits_test(&self) -> bool {
        self.asked > self.tested && !self.is_satisfied && !self.has_failed
    }

    /// The fields of its part.
    pub(crate) fn fields(&self) -> Fields {
        let data = Data { version: VERSION, token: self.token.clone(), authorization: self.authorization.clone() };
        // Three texts and numbers: this cannot fail.
        let data = serde_json::to_vec(&data).unwrap_or_default();
        let mut all = self.result_fields();
        all.extend([
            ("challtime".to_owned(), self.made_at.to_string().into_bytes()),
            ("type".to_owned(), self.kind.number().to_string().into_bytes()),
            ("name".to_owned(), self.name.clone().into_bytes()),
            ("data".to_owned(), data),
            ("asked".to_owned(), self.asked.to_string().into_bytes()),
        ]);
        all
    }

    /// The fields that a test changes. `asked` is not among them, because the client may change it during the test.
    pub(crate) fn result_fields(&self) -> Fields {
        Fields::from([
            ("satisfied".to_owned(), fields::from_bool(self.is_satisfied).into()),
            ("failed".to_owned(), fields::from_bool(self.has_failed).into()),
            ("tested".to_owned(), self.tested.to_string().into_bytes()),
            ("reason".to_owned(), self.reason.clone().unwrap_or_default().into_bytes()),
        ])
    }

    /// The challenge in a part.
    pub(crate) fn from_fields(stored: &Fields) -> Result<Self, Damaged> {
        let data = fields::text_of(stored, "data")?;
        let data: Data = serde_json::from_str(&data).map_err(|_| Damaged::new("data", "not one of this type"))?;
        if data.version != VERSION {
            return Err(Damaged::new("data", "of an unknown version"));
        }
        let number = fields::number_of(stored, "type")?;
        Ok(Challenge {
            made_at: fields::number_of(stored, "challtime")?,
            kind: ChallengeType::from_number(number).ok_or_else(|| Damaged::new("type", "no type of challenge"))?,
            name: fields::text_of(stored, "name")?,
            is_satisfied: fields::bool_of(stored, "satisfied")?,
            has_failed: fields::bool_of(stored, "failed")?,
            asked: fields::number_of(stored, "asked")?,
            tested: fields::number_of(stored, "tested")?,
            token: data.token,
            authorization: data.authorization,
            reason: fields::optional_text(stored, "reason")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_read_as_it_is_written() {
        for kind in [ChallengeType::Http01, ChallengeType::TlsAlpn01] {
            let mut challenge = Challenge::new(kind, "a.example", "token".into(), b"key", 7);
            assert_eq!(Challenge::from_fields(&challenge.fields()), Ok(challenge.clone()));
            challenge.asked = 2;
            assert!(challenge.awaits_test());
            (challenge.tested, challenge.is_satisfied, challenge.reason) = (2, true, Some("because".into()));
            assert!(!challenge.awaits_test());
            assert_eq!(Challenge::from_fields(&challenge.fields()), Ok(challenge));
        }
    }

    #[test]
    fn the_numbers_of_the_first_server_mean_nothing_here() {
        for number in 0..=3 {
            assert_eq!(ChallengeType::from_number(number), None);
        }
        assert_eq!([ChallengeType::Http01, ChallengeType::TlsAlpn01].map(ChallengeType::number), [4, 5]);
    }

    #[test]
    fn damaged_data_is_refused() {
        let challenge = Challenge::new(ChallengeType::Http01, "a.example", "token".into(), b"key", 7);
        for (field, value) in [
            ("data", r#"{"version":2,"token":"t","authorization":"a"}"#),
            ("data", r#"{"version":1,"token":"t"}"#),
            ("data", "token"),
            ("type", "0"),
            ("type", "444"),
            ("satisfied", "true"),
            ("challtime", "now"),
            ("name", ""),
        ] {
            let mut fields = challenge.fields();
            fields.insert(field.to_owned(), value.into());
            assert_eq!(Challenge::from_fields(&fields).unwrap_err().field, field, "{value}");
        }
    }
}
