//! A session, and its form in the store.

use std::fmt;
use std::str::FromStr;

use stapled_core::scheduler::{Record, Recorded};
use stapled_core::task::Subject;

use super::challenge::Challenge;
use super::fields::{self, Damaged};
use super::state::State;
use crate::hex;
use crate::serial::Serial;

/// The name of a session: 32 hexadecimal digits, drawn at random, so that no other client guesses it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(String);

impl SessionId {
    /// A new name.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn random() -> Result<Self, aws_lc_rs::error::Unspecified> {
        let mut octets = [0; 16];
        aws_lc_rs::rand::fill(&mut octets)?;
        Ok(SessionId(hex::lower(&octets)))
    }

    /// The name made of the first 16 octets of a digest.
    pub(crate) fn of_digest(digest: &[u8]) -> Self {
        SessionId(hex::lower(digest.get(..16).unwrap_or(digest)))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The subject of its record and its tasks.
    pub(crate) fn subject(&self) -> Subject {
        Subject::from(self.as_str())
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is not the name of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a session: it has 32 hexadecimal digits in lower case")]
pub struct NoSessionId;

impl FromStr for SessionId {
    type Err = NoSessionId;

    fn from_str(text: &str) -> Result<Self, NoSessionId> {
        let is_digit = |octet: u8| matches!(octet, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 32 || !text.bytes().all(is_digit) {
            return Err(NoSessionId);
        }
        Ok(SessionId(text.to_owned()))
    }
}

/// A session: the way of one certificate request to its certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Session {
    /// Its name.
    pub id: SessionId,
    /// When it was made, in Unix seconds.
    pub created: i64,
    /// Its state.
    pub state: State,
    /// The certificate request, PEM.
    pub csr: String,
    /// The client, such as its IP address.
    pub client: String,
    /// The names asked for, as texts.
    pub names: Vec<String>,
    /// Its challenges.
    pub challenges: Vec<Challenge>,
    /// How many rounds of tests failed.
    pub attempts: u32,
    /// The serial number of its certificate, chosen before it is signed: signing again gives the same certificate.
    pub serial: Option<Serial>,
    /// When its certificate was ordered, in Unix seconds: the beginning of its validity.
    pub ordered_at: Option<i64>,
    /// The certificate, PEM.
    pub certificate: Option<String>,
    /// When the certificate was moved into the ledger, in Unix seconds.
    pub entered_at: Option<i64>,
    /// Why the session is dead, or why the last round of tests failed.
    pub reason: Option<String>,
}

impl Session {
    /// The session of a record.
    pub(crate) fn read(id: SessionId, stored: &Recorded) -> Result<Self, Damaged> {
        let all = &stored.fields;
        let names = stored.lists.get("names").into_iter().flatten();
        let names = names.map(|name| String::from_utf8(name.clone()).map_err(|_| Damaged::new("names", "not UTF-8")));
        let count = fields::number_of::<usize>(all, "challenges")?;
        let challenge = |number: usize| {
            let part = stored.parts.get(&number.to_string());
            Challenge::from_fields(part.ok_or_else(|| Damaged::new("challenges", "more than there are"))?)
        };
        let serial = fields::optional_text(all, "serial")?.map(|text| text.parse());
        Ok(Session {
            id,
            created: fields::number_of(all, "created")?,
            state: stored.state.parse().map_err(|_| Damaged::new("state", "no state"))?,
            csr: fields::text_of(all, "csr")?,
            client: fields::optional_text(all, "client")?.unwrap_or_default(),
            names: names.collect::<Result<_, _>>()?,
            challenges: (1..=count).map(challenge).collect::<Result<_, _>>()?,
            attempts: fields::number_of(all, "attempts")?,
            serial: serial.transpose().map_err(|_| Damaged::new("serial", "not a serial number"))?,
            ordered_at: fields::optional_number(all, "ordered")?,
            certificate: fields::optional_text(all, "cert")?,
            entered_at: fields::optional_number(all, "entered")?,
            reason: fields::optional_text(all, "reason")?,
        })
    }

    /// The first record of a session.
    pub(crate) fn first_record(id: &SessionId, csr: &str, client: &str, names: &[String], now: i64) -> Record {
        Record::new(id.subject(), State::MakeChallenge.as_str())
            .field("created", now.to_string())
            .field("live", fields::from_bool(true))
            .field("csr", csr)
            .field("client", client)
            .field("challenges", "0")
            .field("attempts", "0")
            .field("cert", "")
            .list("names", names.iter().map(|name| name.clone().into_bytes()).collect())
    }

    /// Whether every name is satisfied by some challenge, and there is a name. An empty list never issues.
    #[must_use]
    pub fn is_satisfied(&self) -> bool {
        !self.names.is_empty() && self.names.iter().all(|name| self.is_name_satisfied(name))
    }

    /// Whether some challenge of this name is satisfied.
    #[must_use]
    pub fn is_name_satisfied(&self, name: &str) -> bool {
        self.challenges.iter().any(|challenge| challenge.name == name && challenge.is_satisfied)
    }

    /// Whether there is work for the daemon of its state. A session in testchallenge has work after its client said that it is
    /// ready. A session in done has work until its certificate is in the ledger.
    #[must_use]
    pub fn is_due(&self) -> bool {
        match self.state {
            State::MakeChallenge | State::Issue => true,
            State::TestChallenge => self.challenges.iter().any(Challenge::awaits_test),
            State::Done => self.entered_at.is_none(),
            State::Dead(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::session::challenge::ChallengeType;
    use crate::session::state::End;

    fn stored(names: &[&str]) -> Recorded {
        let id = SessionId::random().unwrap();
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        Recorded::updated(None, Session::first_record(&id, "PEM", "::1", &names, 5)).unwrap()
    }

    fn read(stored: &Recorded) -> Result<Session, Damaged> {
        Session::read(SessionId::random().unwrap(), stored)
    }

    #[test]
    fn names_of_sessions_are_checked() {
        let id = SessionId::random().unwrap();
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in ["", "clock", "active-requests", &"A".repeat(32), &"0".repeat(33), &format!("{}:1", "0".repeat(30))]
        {
            assert_eq!(text.parse::<SessionId>(), Err(NoSessionId), "{text}");
        }
    }

    #[test]
    fn an_empty_list_of_names_is_never_satisfied() {
        let mut session = read(&stored(&[])).unwrap();
        assert!(!session.is_satisfied());
        let mut challenge = Challenge::new(ChallengeType::Http01, "", "t".into(), b"", 0);
        challenge.is_satisfied = true;
        session.challenges.push(challenge);
        assert!(!session.is_satisfied());
    }

    #[test]
    fn every_name_needs_one_satisfied_challenge() {
        let mut session = read(&stored(&["a", "b"])).unwrap();
        for name in ["a", "a", "b", "b"] {
            session.challenges.push(Challenge::new(ChallengeType::Http01, name, "t".into(), b"", 0));
        }
        for (number, expected) in [(0, false), (1, false), (3, true)] {
            session.challenges[number].is_satisfied = true;
            assert_eq!(session.is_satisfied(), expected, "{number}");
        }
    }

    #[test]
    fn a_session_in_testchallenge_is_due_only_after_the_client_said_so() {
        let mut session = read(&stored(&["a"])).unwrap();
        assert!(session.is_due());
        session.state = State::TestChallenge;
        session.challenges.push(Challenge::new(ChallengeType::Http01, "a", "t".into(), b"", 0));
        assert!(!session.is_due());
        session.challenges[0].asked = 1;
        assert!(session.is_due());
        session.challenges[0].tested = 1;
        assert!(!session.is_due());
        (session.state, session.challenges[0].asked) = (State::Dead(End::Failed), 2);
        assert!(!session.is_due());
    }

    #[test]
    fn damage_is_named() {
        for (field, value) in [("created", "x"), ("challenges", "1"), ("serial", "x"), ("csr", ""), ("attempts", "-1")]
        {
            let mut stored = stored(&["a"]);
            stored.fields.insert(field.to_owned(), value.into());
            assert_eq!(read(&stored).unwrap_err().field, field);
        }
        let empty = Recorded::new("makechallenge", BTreeMap::new());
        assert!(read(&empty).is_err());
    }
}
