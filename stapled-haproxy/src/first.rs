//! Whether a certificate can get its first staple while HAProxy runs: what `introduce` would do, said beforehand.

use stapled_core::certificate::Certificate;
use stapled_core::reason::ReasonCode;

use crate::codes;
use crate::command::NameError;
use crate::configuration::Level;
use crate::introduce::Identity;
use crate::reply::plain_serial;
use crate::source::ServedCertificate;

/// How a running HAProxy can be brought the first staple of a certificate that it has loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FirstStaple {
    /// It takes responses for it already: it has one, or had one.
    TakesResponses,
    /// By a transaction: `set ssl cert NAME.ocsp`, `commit ssl cert NAME`.
    Transaction {
        /// Whether the issuer's certificate is given to HAProxy with it (`set ssl cert NAME.issuer`), since HAProxy has
        /// none.
        with_issuer: bool,
    },
    /// Not at all.
    Refused {
        /// The stable word for why.
        code: ReasonCode,
        /// Why, and what to do.
        what: String,
    },
}

impl ServedCertificate {
    /// How the first staple of this certificate can be brought over a socket of this level. Whoever brings it must know
    /// the issuer: HAProxy need not. HAProxy 2.6 does not tell that it takes responses for a certificate that it started
    /// with an empty one; there, it may be that less is promised than comes true.
    pub fn first_staple(&self, level: Level) -> FirstStaple {
        if let Err(error) = NameError::check(&self.name) {
            return FirstStaple::Refused {
                code: codes::UNUSABLE_NAME,
                what: format!("its name cannot be said on HAProxy's command line: {error}; rename the file"),
            };
        }
        if self.takes_responses {
            return FirstStaple::TakesResponses;
        }
        if level < Level::Admin {
            return FirstStaple::Refused {
                code: codes::SOCKET_LEVEL,
                what: "HAProxy allows `set ssl cert` over sockets of level admin only: give its `stats socket` line `level \
                       admin`"
                    .to_owned(),
            };
        }
        FirstStaple::Transaction { with_issuer: !self.has_chain }
    }

    /// Whether this very certificate is loaded, as far as HAProxy tells.
    pub fn is(&self, certificate: &Certificate) -> bool {
        let Identity { serial, fingerprint } = Identity::of(certificate);
        // HAProxy does not tell the fingerprint of every certificate.
        plain_serial(&self.serial) == plain_serial(&serial)
            && (self.fingerprint.is_empty() || self.fingerprint.eq_ignore_ascii_case(&fingerprint))
    }
}

#[cfg(test)]
mod tests {
    use stapled_ca::{Authority, Profile};

    use super::*;

    fn served(name: &str, takes_responses: bool, has_chain: bool) -> ServedCertificate {
        ServedCertificate {
            name: name.to_owned(),
            serial: "0A".to_owned(),
            fingerprint: String::new(),
            is_used: true,
            takes_responses,
            has_chain,
            file: None,
            is_in_file: false,
        }
    }

    fn code(first: &FirstStaple) -> Option<&'static str> {
        match first {
            FirstStaple::Refused { code, .. } => Some(code.as_str()),
            _ => None,
        }
    }

    #[test]
    fn a_transaction_takes_level_admin_and_a_name_that_can_be_said() {
        use Level::{Admin, Operator, User};
        let by = |with_issuer| FirstStaple::Transaction { with_issuer };
        assert_eq!(served("a", true, false).first_staple(User), FirstStaple::TakesResponses);
        assert_eq!(served("a", false, true).first_staple(Admin), by(false));
        assert_eq!(served("a", false, false).first_staple(Admin), by(true));
        for level in [User, Operator] {
            assert_eq!(code(&served("a", false, true).first_staple(level)), Some("socket_level"));
        }
        for takes_responses in [false, true] {
            assert_eq!(code(&served("a\nb", takes_responses, true).first_staple(Admin)), Some("unusable_name"));
        }
    }

    #[test]
    fn a_certificate_is_known_by_serial_and_fingerprint() {
        let authority = Authority::root("Issuer").create().unwrap();
        let [one, other] = ["one.example", "other.example"]
            .map(|name| Certificate::from_der(authority.issue(&Profile::server(name)).unwrap().der()).unwrap());
        let Identity { serial, fingerprint } = Identity::of(&one);
        let of = |serial: &str, fingerprint: &str| ServedCertificate {
            serial: serial.to_owned(),
            fingerprint: fingerprint.to_owned(),
            ..served("a", false, true)
        };
        assert!(of(&serial, &fingerprint).is(&one) && of(&serial, &fingerprint.to_lowercase()).is(&one));
        assert!(of(&format!("00{serial}"), "").is(&one));
        assert!(!of(&serial, &fingerprint).is(&other));
        assert!(!of(&serial, &Identity::of(&other).fingerprint).is(&one));
    }
}
