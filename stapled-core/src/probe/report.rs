//! What a probe found, in words and as JSON.

use std::fmt::{self, Display, Formatter};
use std::sync::Arc;

use bytes::Bytes;

use super::target::Target;
use crate::certificate::Certificate;
use crate::describe::visible::Visible;
use crate::time::Timestamp;
use crate::verdict::Verdict;

/// The result of a probe of one address. `Display` writes it in lines; with the feature `serde`, it is written as a JSON object.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Probed {
    /// The target, as it was given.
    pub target: String,
    /// The address. None: the name has none.
    pub address: Option<String>,
    /// The name that the server was asked for.
    pub server_name: String,
    /// What came, or why nothing came.
    pub findings: Result<Findings, String>,
    /// Whether another address of the target has answered, so that clients do not notice that this one does not.
    pub is_passed_over: bool,
}

/// What a server sent, with its judgement.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Findings {
    /// The version of TLS, such as `TLSv1.3`.
    pub protocol: Option<String>,
    /// The cipher suite.
    pub cipher: Option<String>,
    /// The certificates that can be read, in the order in which the server sent them.
    pub chain: Vec<Arc<Certificate>>,
    /// Whether clients trust the chain.
    pub trust: Trust,
    /// Why the handshake did not end, although certificates came: the server may want a certificate of the client.
    pub handshake_error: Option<String>,
    /// Whether clients refuse the server's certificate without a staple.
    pub must_staple: bool,
    /// The staple, byte for byte.
    pub staple: Option<Bytes>,
    /// The judgement of the staple.
    pub verdict: Option<Verdict>,
    /// The time of the judgement.
    pub at: Timestamp,
}

/// Whether clients trust a chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trust {
    /// No roots were given.
    #[default]
    NotChecked,
    /// The chain ends at one of the roots, and the name fits.
    Trusted,
    /// It does not, for this reason.
    Refused(String),
}

impl Probed {
    /// The fields of the JSON object and their meaning, as text for a manual.
    pub const FIELDS: &str = "\
target, address, server_name, error (why nothing came), passed_over (another address answered instead), protocol, cipher, trust
  (\"not_checked\", \"trusted\" or \"refused\"), trust_error, handshake_error, must_staple, chain (name, issuer, serial, not_before,
  not_after), staple (its size in bytes), and verdict, the object of `stapled verify`";

    pub(super) fn new(
        target: &Target,
        address: Option<String>,
        server_name: &str,
        findings: Result<Findings, String>,
    ) -> Self {
        let (target, server_name) = (target.to_string(), server_name.to_owned());
        Probed { target, address, server_name, findings, is_passed_over: false }
    }

    pub(super) fn is_reached(&self) -> bool {
        self.findings.is_ok()
    }

    pub(super) fn pass_over(&mut self) {
        self.is_passed_over = true;
    }
}

impl Findings {
    /// Whether clients refuse the server's certificate whatever its staple says: the chain is not trusted, or the certificate
    /// demands a staple and there is none.
    pub fn is_untrusted(&self) -> bool {
        let lacks_staple = self.must_staple && self.staple.is_none();
        lacks_staple || matches!(self.trust, Trust::Refused(_))
    }
}

impl Trust {
    /// A word or two, with the reason.
    fn in_words(&self) -> String {
        match self {
            Trust::NotChecked => "not checked".to_owned(),
            Trust::Trusted => "trusted, and for this name".to_owned(),
            Trust::Refused(why) => format!("NOT TRUSTED: {}", Visible::new(why)),
        }
    }
}

impl Display for Probed {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let address = self.address.as_deref().unwrap_or("no address");
        write!(f, "{}, {}", Visible::new(&self.target), Visible::new(address))?;
        if self.server_name != self.target {
            write!(f, ", for {}", Visible::new(&self.server_name))?;
        }
        writeln!(f)?;
        match &self.findings {
            Ok(findings) => write!(f, "{findings}"),
            Err(why) if self.is_passed_over => {
                writeln!(f, "  no answer    {}; clients take another address", Visible::new(why))
            }
            Err(why) => writeln!(f, "  NO ANSWER    {}", Visible::new(why)),
        }
    }
}

impl Display for Findings {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (protocol, cipher) = (self.protocol.as_deref().unwrap_or("-"), self.cipher.as_deref().unwrap_or("-"));
        writeln!(f, "  handshake    {protocol}, {cipher}")?;
        if let Some(error) = &self.handshake_error {
            writeln!(f, "  ended early  {}: the server may want a certificate of the client", Visible::new(error))?;
        }
        for (number, one) in self.chain.iter().enumerate() {
            let (name, issuer) = (one.name(), one.issuer_name());
            let until = one.not_after();
            let over = if until < self.at { "EXPIRED at" } else { "until" };
            let (name, issuer) = (Visible::new(name), Visible::new(&issuer));
            writeln!(
                f,
                "  chain {number}      {name}, by {issuer}, serial number {}, {over} {until}",
                one.serial_hex()
            )?;
        }
        writeln!(f, "  trust        {}", self.trust.in_words())?;
        let must_staple = match (self.must_staple, &self.staple) {
            (false, _) => "no",
            (true, Some(_)) => "yes",
            (true, None) => "yes: clients REFUSE the certificate without a staple",
        };
        writeln!(f, "  must-staple  {must_staple}")?;
        match (&self.verdict, &self.staple) {
            (Some(verdict), Some(staple)) => {
                write!(f, "  staple       {} bytes: ", staple.len())?;
                let text = verdict.to_string();
                let mut lines = text.lines();
                writeln!(f, "{}", lines.next().unwrap_or_default())?;
                // Stapleable is what a server asks; this server has done it.
                for line in lines.filter(|line| !line.trim_start().starts_with("stapleable")) {
                    writeln!(f, "  {line}")?;
                }
                Ok(())
            }
            _ => writeln!(f, "  staple       NONE: the server sent no response"),
        }
    }
}

#[cfg(feature = "serde")]
mod json {
    use serde::ser::{Serialize, SerializeStruct, Serializer};

    use super::{Certificate, Probed, Trust};

    /// An object with the fields `target`, `address`, `server_name`, `error` (why nothing came), `passed_over`, `protocol`,
    /// `cipher`, `trust` (`not_checked`, `trusted` or `refused`), `trust_error`, `handshake_error`, `must_staple`, `chain` (a list
    /// of `name`, `issuer`, `serial`, `not_before`, `not_after`), `staple` (its size in bytes) and `verdict`, an object as
    /// that of [`Verdict`](crate::verdict::Verdict). What is not known is null.
    impl Serialize for Probed {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let found = self.findings.as_ref().ok();
            let trust = found.map(|found| match &found.trust {
                Trust::NotChecked => ("not_checked", None),
                Trust::Trusted => ("trusted", None),
                Trust::Refused(why) => ("refused", Some(why)),
            });
            let chain: Option<Vec<Link<'_>>> = found.map(|found| found.chain.iter().map(|one| Link::of(one)).collect());
            let mut object = serializer.serialize_struct("Probed", 14)?;
            object.serialize_field("target", &self.target)?;
            object.serialize_field("address", &self.address)?;
            object.serialize_field("server_name", &self.server_name)?;
            object.serialize_field("error", &self.findings.as_ref().err())?;
            object.serialize_field("passed_over", &self.is_passed_over)?;
            object.serialize_field("protocol", &found.and_then(|found| found.protocol.as_ref()))?;
            object.serialize_field("cipher", &found.and_then(|found| found.cipher.as_ref()))?;
            object.serialize_field("trust", &trust.map(|(word, _)| word))?;
            object.serialize_field("trust_error", &trust.and_then(|(_, why)| why))?;
            object.serialize_field("handshake_error", &found.and_then(|found| found.handshake_error.as_ref()))?;
            object.serialize_field("must_staple", &found.map(|found| found.must_staple))?;
            object.serialize_field("chain", &chain)?;
            object.serialize_field("staple", &found.and_then(|found| found.staple.as_ref()).map(bytes::Bytes::len))?;
            object.serialize_field("verdict", &found.and_then(|found| found.verdict.as_ref()))?;
            object.end()
        }
    }

    #[derive(serde::Serialize)]
    struct Link<'a> {
        name: &'a str,
        issuer: String,
        serial: String,
        not_before: crate::time::Timestamp,
        not_after: crate::time::Timestamp,
    }

    impl<'a> Link<'a> {
        fn of(one: &'a Certificate) -> Self {
            Link {
                name: one.name(),
                issuer: one.issuer_name(),
                serial: one.serial_hex(),
                not_before: one.not_before(),
                not_after: one.not_after(),
            }
        }
    }
}

#[cfg(all(test, feature = "serde"))]
mod tests {
    use super::*;

    #[test]
    fn the_text_for_manuals_names_every_field() {
        let probed = Probed {
            target: String::new(),
            address: None,
            server_name: String::new(),
            findings: Err("no answer".to_owned()),
            is_passed_over: false,
        };
        let object = serde_json::to_value(&probed).unwrap();
        for field in object.as_object().unwrap().keys() {
            assert!(Probed::FIELDS.contains(field), "{field}");
        }
    }
}
