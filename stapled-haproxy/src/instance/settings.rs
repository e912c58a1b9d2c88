//! How a sink or a source was adjusted.

use std::sync::Arc;
use std::time::Duration;

use stapled_core::clock::{Clock, SystemClock};

use stapled_core::report::Reporters;
use stapled_core::staple::JudgePolicy;

use crate::cli::connection::Patience;
use crate::cli::process::mixes_transactions;

/// What HAProxy takes with its default `tune.bufsize` of 16,384 in every version, with room for the command.
pub(crate) const MAX_SIZE: usize = 11 * 1024;

/// Where a certificate that HAProxy started without a staple is brought its first one while HAProxy runs. That takes a
/// transaction (`set ssl cert`, `commit ssl cert`), of which a process has one at a time, whoever begins it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transactions {
    /// Everywhere. A transaction of somebody else's that is under way is waited for. HAProxy before 3.0 puts what others
    /// set within the microseconds that ours takes into it, and one about the same certificate that others begin within
    /// the last round trip before it is committed with it.
    #[default]
    Always,
    /// Only where HAProxy keeps the transactions of its clients apart: 3.0 and newer.
    Isolated,
    /// Nowhere: such a certificate gets its first staple when HAProxy starts the next time, from its `.ocsp` file.
    Never,
}

impl Transactions {
    pub(crate) fn allowed_in(self, version: (u32, u32)) -> bool {
        match self {
            Transactions::Always => true,
            Transactions::Isolated => !mixes_transactions(version),
            Transactions::Never => false,
        }
    }

    /// What keeps a first staple from being brought, and what to do.
    pub(crate) fn why_not(self) -> String {
        let why = match self {
            Transactions::Isolated => {
                "HAProxy before 3.0 mixes up transactions of several clients, and may have none of ours"
            }
            _ => "no transactions are to be used",
        };
        format!("{why}: the first staple comes with the next start, from the staple's file; reload HAProxy")
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) patience: Patience,
    pub(crate) max_size: usize,
    pub(crate) look_interval: Duration,
    pub(crate) compare_interval: Duration,
    pub(crate) transactions: Transactions,
    pub(crate) judge_policy: JudgePolicy,
    pub(crate) clock: Arc<dyn Clock>,
    /// Where what an operator must know goes. Clones of the settings share it.
    pub(crate) reporters: Reporters,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            patience: Patience {
                connect: Duration::from_secs(2),
                reply: Duration::from_secs(5),
                keepalive: Duration::from_secs(10),
            },
            max_size: MAX_SIZE,
            look_interval: Duration::from_secs(1),
            compare_interval: Duration::from_secs(60),
            transactions: Transactions::default(),
            judge_policy: JudgePolicy::default(),
            clock: Arc::new(SystemClock),
            reporters: Reporters::new(),
        }
    }
}
