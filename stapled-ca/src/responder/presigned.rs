//! Responses that are signed before a question.
//!
//! The background thread signs two responses about each certificate that has not expired, for CertIDs with SHA-1 and SHA-256, up to
//! a number of certificates. Responses about revoked certificates come first. Each response is due for renewal between three
//! eighths and a half of its validity, at a place that depends on the serial number, so that responses that were signed together
//! are not renewed together. No lock is held while a response is signed.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::hash::HashAlgorithm;
use crate::ledger::{Record, Status};
use crate::responder::prepared::Prepared;
use crate::serial::Serial;

/// The hash algorithms of the CertIDs that clients send (RFC 9919).
pub(crate) const HASHES: [HashAlgorithm; 2] = [HashAlgorithm::Sha1, HashAlgorithm::Sha256];
/// The time after a failure until the next attempt, in seconds.
const RETRY: i64 = 60;

/// The responses, by the CertID of their question.
#[derive(Debug, Default)]
pub(crate) struct Presigned {
    responses: RwLock<HashMap<Vec<u8>, Arc<Prepared>>>,
    /// The number of times that all responses were dropped.
    dropped: AtomicU64,
}

impl Presigned {
    /// The response to a question about this CertID, DER.
    pub(crate) fn find(&self, cert_id: &[u8]) -> Option<Arc<Prepared>> {
        self.responses.read().unwrap_or_else(PoisonError::into_inner).get(cert_id).cloned()
    }

    pub(crate) fn insert(&self, responses: Vec<(Vec<u8>, Arc<Prepared>)>) {
        self.responses.write().unwrap_or_else(PoisonError::into_inner).extend(responses);
    }

    pub(crate) fn remove(&self, cert_id: &[u8]) {
        self.responses.write().unwrap_or_else(PoisonError::into_inner).remove(cert_id);
    }

    /// Drops all responses. They are signed again.
    pub(crate) fn clear(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        self.responses.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The number of times that all responses were dropped.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.responses.read().unwrap().len()
    }
}

/// When a response that is signed at `now` and ends at `next_update` is renewed: between three eighths and a half of its
/// validity, at a place that depends on the serial number.
pub(crate) fn renewal(serial: &Serial, now: i64, next_update: i64) -> i64 {
    let validity = next_update - now;
    let mut hasher = DefaultHasher::new();
    serial.hash(&mut hasher);
    let place = i64::from((hasher.finish() >> 48) as u16);
    let earlier = (validity / 8).saturating_mul(place) / i64::from(u16::MAX);
    now + (validity / 2 - earlier).max(1)
}

/// A certificate: the position of its authority in the responder, and its serial number.
pub(crate) type Certificate = (usize, Serial);

/// When the responses about each certificate are signed next.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    /// The most certificates, so that the memory is bounded.
    most: usize,
    queue: BinaryHeap<Reverse<(i64, Certificate)>>,
    /// The time in the queue that counts, and the end of the certificate. Other times in the queue are void.
    certificates: HashMap<Certificate, (i64, i64)>,
    is_overflow_reported: bool,
}

impl Schedule {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, ..Self::default() }
    }

    /// Puts a record that was added or changed into the schedule, unless it has expired.
    pub(crate) fn changed(&mut self, authority: usize, record: &Record, now: i64) {
        let certificate = (authority, record.serial.clone());
        let known = self.certificates.get(&certificate);
        if record.not_after < now && known.is_none() {
            return;
        }
        if known.is_none() && self.certificates.len() >= self.most {
            if !self.is_overflow_reported && self.most > 0 {
                tracing::warn!(
                    most = self.most,
                    "more certificates than are signed in advance; the others are signed when asked"
                );
            }
            self.is_overflow_reported = true;
            return;
        }
        let at = if record.status == Status::Good { i64::MIN + 1 } else { i64::MIN };
        if known.is_none_or(|(known, _)| at < *known) {
            self.put(certificate, at, record.not_after);
        }
    }

    /// Takes the next certificate that is due from the schedule, with the end of its validity. [`Schedule::signed`] or
    /// [`Schedule::failed`] puts it back.
    pub(crate) fn next(&mut self, now: i64) -> Option<(Certificate, i64)> {
        while self.queue.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            let Reverse((at, certificate)) = self.queue.pop()?;
            if let Some((counting, not_after)) = self.certificates.get(&certificate).copied()
                && counting == at
            {
                self.certificates.remove(&certificate);
                return Some((certificate, not_after));
            }
        }
        None
    }

    /// Whether a certificate may be due: a time that no longer counts also says so.
    pub(crate) fn is_due(&self, now: i64) -> bool {
        self.queue.peek().is_some_and(|Reverse((at, _))| *at <= now)
    }

    /// Puts a certificate back, whose responses are renewed at this time.
    pub(crate) fn signed(&mut self, certificate: Certificate, renew_at: i64, not_after: i64) {
        self.put(certificate, renew_at, not_after);
    }

    /// Puts a certificate back, whose responses could not be signed.
    pub(crate) fn failed(&mut self, certificate: Certificate, now: i64, not_after: i64) {
        self.put(certificate, now + RETRY, not_after);
    }

    fn put(&mut self, certificate: Certificate, at: i64, not_after: i64) {
        self.certificates.insert(certificate.clone(), (at, not_after));
        self.queue.push(Reverse((at, certificate)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewals_are_spread_over_an_eighth_of_the_validity() {
        let at: Vec<i64> = (1..2000u64).map(|number| renewal(&number.into(), 1000, 9000)).collect();
        assert!(at.iter().all(|at| (4000..=5000).contains(at)), "{at:?}");
        for part in 0..10 {
            let from = 4000 + part * 100;
            let count = at.iter().filter(|at| (from..from + 100).contains(*at)).count();
            assert!((120..280).contains(&count), "{count} from {from}");
        }
        assert_eq!(renewal(&1.into(), 1000, 1001), 1001);
    }
}
