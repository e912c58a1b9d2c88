//! Whether a certificate can get its first staple while HAProxy runs: what `introduce` would do, said beforehand.

use stapled_core::certificate::Certificate;
use stapled_core::reason::ReasonCode;

use crate::cli::command::NameError;
use crate::cli::process;
use crate::cli::reply::plain_serial;
use crate::codes;
use crate::configuration::Level;
use crate::instance::first_staple::Identity;
use crate::instance::settings::Transactions;
use crate::running::source::{Picture, ServedCertificate};

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

impl Picture {
    /// How the first staple of one of its certificates can be brought over the socket that was asked, by a sink with these
    /// [`Transactions`]; `None` where HAProxy does not tell the socket's level. Whoever brings it must know the issuer:
    /// HAProxy need not. HAProxy 2.6 does not tell that it takes responses for a certificate that it started with an empty
    /// one; there, it may be that less is promised than comes true.
    pub fn first_staple(&self, served: &ServedCertificate, transactions: Transactions) -> Option<FirstStaple> {
        if let Err(error) = NameError::check(&served.name) {
            return Some(FirstStaple::Refused {
                code: codes::UNUSABLE_NAME,
                what: format!("its name cannot be said on HAProxy's command line: {error}; rename the file"),
            });
        }
        if !served.is_used {
            return Some(FirstStaple::Refused {
                code: codes::CERTIFICATE_UNUSED,
                what: "HAProxy has loaded it and uses it nowhere: no client sees it".to_owned(),
            });
        }
        if served.takes_responses {
            return Some(FirstStaple::TakesResponses);
        }
        if !transactions.allowed_in(process::version(&self.version).unwrap_or_default()) {
            return Some(FirstStaple::Refused { code: codes::TRANSACTIONS_OFF, what: transactions.why_not() });
        }
        if self.level? < Level::Admin {
            return Some(FirstStaple::Refused {
                code: codes::SOCKET_LEVEL,
                what: "HAProxy allows `set ssl cert` over sockets of level admin only: give its `stats socket` line `level \
                       admin`"
                    .to_owned(),
            });
        }
        Some(FirstStaple::Transaction { with_issuer: !served.has_chain })
    }
}

impl ServedCertificate {
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
            cert_id: Vec::new(),
            has_chain,
            file: None,
            is_in_file: false,
            configured: None,
            staple: None,
            is_clients: false,
        }
    }

    fn code(first: &FirstStaple) -> Option<&'static str> {
        match first {
            FirstStaple::Refused { code, .. } => Some(code.as_str()),
            _ => None,
        }
    }

    fn running(version: &str, level: Option<Level>) -> Picture {
        Picture { version: version.to_owned(), level, ..Picture::default() }
    }

    #[test]
    fn a_transaction_takes_level_admin_and_a_name_that_can_be_said() {
        use Level::{Admin, Operator, User};
        let first = |served: &ServedCertificate, level: Option<Level>| {
            running("3.0.11", level).first_staple(served, Transactions::Always)
        };
        let by = |with_issuer| Some(FirstStaple::Transaction { with_issuer });
        for level in [None, Some(User)] {
            assert_eq!(first(&served("a", true, false), level), Some(FirstStaple::TakesResponses));
        }
        assert_eq!(first(&served("a", false, true), Some(Admin)), by(false));
        assert_eq!(first(&served("a", false, false), Some(Admin)), by(true));
        assert_eq!(first(&served("a", false, true), None), None);
        for level in [User, Operator] {
            let refused = first(&served("a", false, true), Some(level)).expect("an answer");
            assert_eq!(code(&refused), Some("socket_level"));
        }
        for takes_responses in [false, true] {
            let refused = first(&served("a\nb", takes_responses, true), Some(Admin)).expect("an answer");
            assert_eq!(code(&refused), Some("unusable_name"));
        }
    }

    #[test]
    fn a_transaction_must_be_allowed() {
        for (transactions, version, is_allowed) in [
            (Transactions::Always, "2.6.12-1+deb12u4", true),
            (Transactions::Isolated, "2.6.12-1+deb12u4", false),
            (Transactions::Isolated, "2.9.15", false),
            (Transactions::Isolated, "said to nobody", false),
            (Transactions::Isolated, "3.0.11-1+deb13u4", true),
            (Transactions::Never, "3.2.26", false),
        ] {
            let running = running(version, Some(Level::Admin));
            let first = running.first_staple(&served("a", false, true), transactions).expect("an answer");
            let expected = if is_allowed { None } else { Some("transactions_off") };
            assert_eq!(code(&first), expected, "{transactions:?} {version}");
            let first = running.first_staple(&served("a", true, true), transactions);
            assert_eq!(first, Some(FirstStaple::TakesResponses));
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
