//! The questions to a responder, for observers and counters.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::ocsp::HashAlgorithm;
use crate::serial::Serial;

/// One question with its outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// `GET`, `HEAD` or `POST`.
    pub method: String,
    /// The first certificate of the request; `None` when the bytes were not an OCSP request.
    pub serial: Option<Serial>,
    /// The hash algorithm of its CertID, if it is supported.
    pub hash: Option<HashAlgorithm>,
    /// Whether the request had a nonce.
    pub nonce: bool,
    /// How the question was answered.
    pub outcome: Outcome,
    /// When the question came, in Unix seconds.
    pub at: i64,
}

/// How a responder answered a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// With a prepared response.
    Prepared,
    /// With a response that was signed for the question.
    Signed,
    /// With 304: the client has the response.
    NotModified,
    /// With an OCSP error: malformedRequest, unauthorized or internalError.
    Refused,
}

/// Receives every question. It is called on the thread that answers, so it must return quickly.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use stapled_ca::responder::{Access, AccessObserver, Outcome};
///
/// /// Counts the questions that cost a signature.
/// #[derive(Default)]
/// struct Signatures(AtomicU64);
///
/// impl AccessObserver for Signatures {
///     fn asked(&self, access: &Access) {
///         self.0.fetch_add(u64::from(access.outcome == Outcome::Signed), Ordering::Relaxed);
///     }
/// }
/// ```
pub trait AccessObserver: Send + Sync {
    /// Called after each question.
    fn asked(&self, access: &Access);
}

/// Counts questions.
#[derive(Debug, Default)]
pub struct Tally {
    total: AtomicU64,
    by_serial: Mutex<HashMap<Serial, u64>>,
}

impl Tally {
    /// The number of all OCSP questions, including malformed ones.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// The number of questions about this certificate; 0 when it was never issued.
    #[must_use]
    pub fn of(&self, serial: &Serial) -> u64 {
        self.by_serial.lock().unwrap_or_else(PoisonError::into_inner).get(serial).copied().unwrap_or(0)
    }

    /// Counts a question.
    pub(crate) fn count(&self) {
        self.total.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a question about a certificate. Only for issued certificates: made-up serial numbers would fill the
    /// memory.
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
