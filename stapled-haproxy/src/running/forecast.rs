//! Whether a certificate can get its first staple while HAProxy runs: a forecast of `instance::first_staple`.

use stapled_core::reason::ReasonCode;

use crate::cli::level::Level;
use crate::cli::name::NameError;
use crate::cli::process;
use crate::cli::transactions::Transactions;
use crate::codes;
use crate::running::snapshot::{ProcessSnapshot, ServedCertificate};

/// How a running HAProxy can get the first staple of a certificate that it has loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FirstStaple {
    /// HAProxy takes responses for it already: it has one, or had one.
    TakesResponses,
    /// By a transaction: `set ssl cert NAME.ocsp`, `commit ssl cert NAME`.
    Transaction {
        /// Whether HAProxy gets the issuer's certificate with it (`set ssl cert NAME.issuer`), since it has none.
        with_issuer: bool,
    },
    /// Not at all.
    Refused(NoFirstStaple),
}

/// Why a certificate cannot get its first staple while HAProxy runs, and what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoFirstStaple {
    /// The certificate's name cannot be written in a command.
    #[error("the certificate cannot be named on HAProxy's command line: {0}; rename the file")]
    UnusableName(NameError),
    /// No `bind` line and no crt-list uses the certificate.
    #[error("HAProxy has loaded the certificate and uses it nowhere: no client sees it")]
    Unused,
    /// Transactions are not allowed there.
    #[error("{}", .0.why_not())]
    TransactionsOff(Transactions),
    /// The level of the socket is too low for any staple.
    #[error(
        "HAProxy 3.3 and newer takes staples over sockets of level admin only: give its `stats socket` line `level admin`"
    )]
    NoPush,
    /// The level of the socket is too low.
    #[error(
        "HAProxy allows `set ssl cert` over sockets of level admin only: give its `stats socket` line `level admin`"
    )]
    LowLevel,
}

impl NoFirstStaple {
    /// The stable code of the reason.
    pub fn code(self) -> ReasonCode {
        match self {
            NoFirstStaple::UnusableName(error) => error.code(),
            NoFirstStaple::Unused => codes::CERTIFICATE_UNUSED,
            NoFirstStaple::TransactionsOff(_) => codes::TRANSACTIONS_OFF,
            NoFirstStaple::LowLevel | NoFirstStaple::NoPush => codes::SOCKET_LEVEL,
        }
    }
}

impl ProcessSnapshot {
    /// How the first staple of one of its certificates can be delivered over the socket that was asked, by a sink with
    /// these [`Transactions`]; `None` if HAProxy does not show the socket's level. The sink must know the issuer, HAProxy
    /// need not. HAProxy 2.6 does not show that it takes responses for a certificate that it started with an empty `.ocsp`
    /// file; in that case more is possible than the forecast says.
    pub fn first_staple(&self, served: &ServedCertificate, transactions: Transactions) -> Option<FirstStaple> {
        if let Err(error) = NameError::check(&served.name) {
            return Some(FirstStaple::Refused(NoFirstStaple::UnusableName(error)));
        }
        if !served.is_used {
            return Some(FirstStaple::Refused(NoFirstStaple::Unused));
        }
        let version = process::version(&self.version).unwrap_or_default();
        if process::pushes_need_admin(version) && self.level.is_some_and(|level| level < Level::Admin) {
            return Some(FirstStaple::Refused(NoFirstStaple::NoPush));
        }
        if served.takes_responses {
            return Some(FirstStaple::TakesResponses);
        }
        if !transactions.allowed_in(version) {
            return Some(FirstStaple::Refused(NoFirstStaple::TransactionsOff(transactions)));
        }
        if self.level? < Level::Admin {
            return Some(FirstStaple::Refused(NoFirstStaple::LowLevel));
        }
        Some(FirstStaple::Transaction { with_issuer: !served.has_chain })
    }
}

#[cfg(test)]
mod tests {
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
            FirstStaple::Refused(why) => Some(why.code().as_str()),
            _ => None,
        }
    }

    fn running(version: &str, level: Option<Level>) -> ProcessSnapshot {
        ProcessSnapshot { version: version.to_owned(), level, ..ProcessSnapshot::default() }
    }

    #[test]
    fn a_transaction_needs_level_admin_and_a_name_that_can_be_written() {
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
    fn from_3_3_on_every_staple_needs_level_admin() {
        use Level::{Admin, Operator, User};
        for (version, level, expected) in [
            ("3.2.26", Operator, None),
            ("3.3.0", User, Some("socket_level")),
            ("3.4.0", Operator, Some("socket_level")),
            ("3.5-dev5", Operator, Some("socket_level")),
            ("3.4.0", Admin, None),
        ] {
            let first = running(version, Some(level)).first_staple(&served("a", true, true), Transactions::Always);
            assert_eq!(code(&first.expect("an answer")), expected, "{version} {level}");
        }
    }

    #[test]
    fn a_transaction_must_be_allowed() {
        for (transactions, version, is_allowed) in [
            (Transactions::Always, "2.6.12-1+deb12u4", true),
            (Transactions::Isolated, "2.6.12-1+deb12u4", false),
            (Transactions::Isolated, "2.9.15", false),
            (Transactions::Isolated, "an unknown version", false),
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
}
