//! Where first staples may be delivered by a transaction.

use crate::cli::process::mixes_transactions;

/// Where a certificate that HAProxy loaded without a staple gets its first one while HAProxy runs. The first staple needs
/// a transaction (`set ssl cert`, `commit ssl cert`), and a process has one transaction at a time, for all its clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transactions {
    /// Everywhere. A foreign transaction that is open is awaited. HAProxy before 3.0 adds the parts that other clients
    /// set within the microseconds of our transaction to it; a foreign transaction about the same certificate that begins
    /// within the last round trip is committed with ours.
    #[default]
    Always,
    /// Only where HAProxy keeps the transactions of its clients apart: 3.0 and newer.
    Isolated,
    /// Nowhere: such a certificate gets its first staple from its `.ocsp` file, when HAProxy starts the next time.
    Never,
}

impl Transactions {
    /// Each with its name and its meaning, for options of programs.
    pub const ALL: [(Transactions, &'static str, &'static str); 3] = [
        (Transactions::Always, "always", "In every HAProxy, by `set ssl cert` and `commit ssl cert`"),
        (
            Transactions::Isolated,
            "isolated",
            "Only in HAProxy 3.0 and later, which keeps the transactions of different clients apart",
        ),
        (
            Transactions::Never,
            "never",
            "Nowhere: HAProxy reads the first staple from its file, at the next start or reload",
        ),
    ];

    pub(crate) fn allowed_in(self, version: (u32, u32)) -> bool {
        match self {
            Transactions::Always => true,
            Transactions::Isolated => !mixes_transactions(version),
            Transactions::Never => false,
        }
    }

    /// Why a first staple is not delivered, and what to do.
    pub(crate) fn why_not(self) -> String {
        format!("{}; reload HAProxy", self.why())
    }

    /// Why a first staple is not delivered.
    pub(crate) fn why(self) -> String {
        let why = match self {
            Transactions::Isolated => "HAProxy before 3.0 mixes up the transactions of its clients",
            Transactions::Always | Transactions::Never => "transactions are switched off",
        };
        format!("{why}: HAProxy reads the first staple from its file at the next start")
    }
}
