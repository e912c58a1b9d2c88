//! Who asked what.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::ocsp::HashAlgorithm;
use crate::serial::Serial;

/// One question and how it was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// `GET` or `POST`.
    pub method: String,
    /// The (first) certificate asked for; `None` if it was no OCSP request.
    pub serial: Option<Serial>,
    /// The CertID's hash algorithm, if known.
    pub hash: Option<HashAlgorithm>,
    /// Whether the request had a nonce.
    pub nonce: bool,
    /// What was answered.
    pub outcome: Outcome,
    /// When, Unix seconds.
    pub at: i64,
}

/// How a question was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// With a response prepared before.
    Prepared,
    /// With a response signed now.
    Signed,
    /// 304, the client has it.
    NotModified,
    /// With an OCSP error: malformedRequest, unauthorized, internalError.
    Refused,
}

/// Is told of every question. Called on the thread that answers: be quick.
pub trait AccessObserver: Send + Sync {
    /// A question was answered.
    fn asked(&self, access: &Access);
}

/// How often what was asked.
#[derive(Debug, Default)]
pub struct Tally {
    total: AtomicU64,
    by_serial: Mutex<HashMap<Serial, u64>>,
}

impl Tally {
    /// All OCSP questions, also malformed ones.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Questions for this certificate, if it was issued here.
    #[must_use]
    pub fn of(&self, serial: &Serial) -> u64 {
        self.by_serial.lock().unwrap_or_else(PoisonError::into_inner).get(serial).copied().unwrap_or(0)
    }

    pub(crate) fn count(&self) {
        self.total.fetch_add(1, Ordering::Relaxed);
    }

    /// Only for certificates that exist, or strangers could fill the memory.
    pub(crate) fn count_serial(&self, serial: &Serial) {
        let mut by_serial = self.by_serial.lock().unwrap_or_else(PoisonError::into_inner);
        match by_serial.get_mut(serial) {
            Some(count) => *count += 1,
            None => {
                by_serial.insert(serial.clone(), 1);
            }
        }
    }
}
