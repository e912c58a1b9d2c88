//! The settings of a sink or a source.

use std::sync::Arc;
use std::time::Duration;

use stapled_core::clock::{Clock, SystemClock};
use stapled_core::report::Reporters;
use stapled_core::staple::JudgePolicy;

use crate::cli::connection::Timeouts;
use crate::cli::transactions::Transactions;

/// The largest response, in bytes of DER, that every version takes with the default `tune.bufsize` of 16,384 beside the
/// command.
pub(crate) const MAX_SIZE: usize = 11 * 1024;

/// The settings of a sink or a source.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) timeouts: Timeouts,
    /// The largest response that is sent, in bytes of DER.
    pub(crate) max_size: usize,
    /// The time between two rounds.
    pub(crate) look_interval: Duration,
    /// The time between two comparisons of the staples that HAProxy shows with the delivered ones.
    pub(crate) compare_interval: Duration,
    pub(crate) transactions: Transactions,
    /// How a foreign response is judged.
    pub(crate) judge_policy: JudgePolicy,
    pub(crate) clock: Arc<dyn Clock>,
    /// The observers that get reports. Clones of the settings share them.
    pub(crate) reporters: Reporters,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            timeouts: Timeouts {
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
