//! The settings of a responder.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crate::clock::DAY;

/// A clock: the present, in Unix seconds.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The answer for a serial number that was never issued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownSerial {
    /// A signed response with the status `unknown`.
    #[default]
    Unknown,
    /// The unsigned error `unauthorized`, as in RFC 9919.
    Unauthorized,
}

/// The settings of a responder.
#[derive(Debug)]
pub(crate) struct Policy {
    /// Seconds from signing to nextUpdate. May change while the responder runs.
    pub(crate) validity: AtomicU64,
    /// The time from thisUpdate to signing.
    pub(crate) backdate: Duration,
    pub(crate) unknown_serial: UnknownSerial,
    pub(crate) echo_nonce: bool,
    /// Whether signed responses are kept and used again.
    pub(crate) prepare: bool,
    pub(crate) responder_by_name: bool,
    /// Whether the first question about each certificate is written into the ledger.
    pub(crate) record_first_questions: bool,
    /// The most responses that are signed in advance.
    pub(crate) presign: usize,
    /// The validity of certificate revocation lists; `None` when none are published.
    pub(crate) crl_validity: Option<Duration>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            validity: AtomicU64::new(7 * DAY.unsigned_abs()),
            backdate: Duration::ZERO,
            unknown_serial: UnknownSerial::default(),
            echo_nonce: false,
            prepare: true,
            responder_by_name: false,
            record_first_questions: false,
            presign: 0,
            crl_validity: None,
        }
    }
}

impl FromStr for UnknownSerial {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "unknown" => Ok(Self::Unknown),
            "unauthorized" => Ok(Self::Unauthorized),
            _ => Err(format!("{name:?} is not an answer; choose unknown or unauthorized")),
        }
    }
}
