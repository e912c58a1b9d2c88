//! The faults that are set, and the questions so far.

use std::collections::{HashMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::hash::HashAlgorithm;
use crate::lab::fault::Fault;
use crate::ocsp::OcspRequest;
use crate::serial::Serial;

/// The most questions that are kept.
const LOG_LIMIT: usize = 100_000;

/// One question to a lab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LabRequest {
    /// `GET` or `POST`.
    pub method: String,
    /// The first certificate of the request; `None` when the bytes were not an OCSP request.
    pub serial: Option<Serial>,
    /// The hash algorithm of its CertID, if it is supported.
    #[serde(serialize_with = "hash_name")]
    pub hash: Option<HashAlgorithm>,
    /// Whether the request had a nonce.
    pub nonce: bool,
    /// `If-None-Match`, as sent.
    pub if_none_match: Option<String>,
    /// `Host`, as sent.
    pub host: Option<String>,
    /// The applied fault, if any.
    #[serde(serialize_with = "fault_name")]
    pub fault: Option<Fault>,
    /// When the question came, in Unix milliseconds.
    pub at_ms: u64,
}

/// The faults that are set, and the questions so far.
#[derive(Debug, Default)]
pub(crate) struct State {
    faults: Mutex<Faults>,
    requests: Mutex<VecDeque<LabRequest>>,
    asked: Condvar,
}

#[derive(Debug, Default)]
struct Faults {
    all: Option<Active>,
    by_serial: HashMap<Serial, Active>,
}

/// A fault that is set.
#[derive(Debug)]
struct Active {
    fault: Fault,
    /// The number of questions to which the fault still applies; `None` means all.
    left: Option<u32>,
}

impl State {
    /// Sets the fault of a certificate, or of all (`None`), for a number of questions.
    pub(crate) fn set(&self, serial: Option<&Serial>, fault: Fault, times: Option<u32>) {
        let active = Active { fault, left: times };
        let mut faults = lock(&self.faults);
        match serial {
            Some(serial) => {
                faults.by_serial.insert(serial.clone(), active);
            }
            None => faults.all = Some(active),
        }
    }

    /// Clears the fault of a certificate.
    pub(crate) fn clear(&self, serial: &Serial) {
        lock(&self.faults).by_serial.remove(serial);
    }

    /// Clears the fault for all certificates. Faults of single certificates stay.
    pub(crate) fn clear_for_all(&self) {
        lock(&self.faults).all = None;
    }

    /// Clears all faults.
    pub(crate) fn clear_all(&self) {
        *lock(&self.faults) = Faults::default();
    }

    /// The fault to apply to a request. Each call counts as one application.
    pub(crate) fn take_fault(&self, request: Option<&OcspRequest>) -> Option<Fault> {
        let mut faults = lock(&self.faults);
        let serials = request.map_or(&[][..], |request| &request.cert_ids).iter().map(|id| id.serial());
        for serial in serials {
            if let Some(fault) = faults.by_serial.get_mut(serial).and_then(Active::apply) {
                return Some(fault);
            }
        }
        faults.all.as_mut().and_then(Active::apply)
    }

    /// Records a question.
    pub(crate) fn record(&self, request: LabRequest) {
        let mut requests = lock(&self.requests);
        if requests.len() >= LOG_LIMIT {
            requests.pop_front();
        }
        requests.push_back(request);
        drop(requests);
        self.asked.notify_all();
    }

    /// The questions so far.
    pub(crate) fn requests(&self) -> Vec<LabRequest> {
        lock(&self.requests).iter().cloned().collect()
    }

    /// Calls `look` with the questions so far.
    pub(crate) fn with_requests<T>(&self, look: impl FnOnce(&VecDeque<LabRequest>) -> T) -> T {
        look(&lock(&self.requests))
    }

    /// Drops the questions so far.
    pub(crate) fn forget_requests(&self) {
        lock(&self.requests).clear();
    }

    /// Waits until the questions so far satisfy `enough`; `false` when `patience` is over before.
    pub(crate) fn wait_until(&self, patience: Duration, mut enough: impl FnMut(&[LabRequest]) -> bool) -> bool {
        let deadline = Instant::now() + patience;
        let mut requests = lock(&self.requests);
        loop {
            if enough(requests.make_contiguous()) {
                return true;
            }
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { return false };
            requests = self.asked.wait_timeout(requests, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Active {
    fn apply(&mut self) -> Option<Fault> {
        match &mut self.left {
            None => Some(self.fault.clone()),
            Some(0) => None,
            Some(left) => {
                *left -= 1;
                Some(self.fault.clone())
            }
        }
    }
}

/// Locks a mutex. A panic in the closure of a test must not stop the lab.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn hash_name<S: serde::Serializer>(hash: &Option<HashAlgorithm>, serializer: S) -> Result<S::Ok, S::Error> {
    hash.map(|hash| hash.to_string()).serialize(serializer)
}

fn fault_name<S: serde::Serializer>(fault: &Option<Fault>, serializer: S) -> Result<S::Ok, S::Error> {
    fault.as_ref().map(ToString::to_string).serialize(serializer)
}
