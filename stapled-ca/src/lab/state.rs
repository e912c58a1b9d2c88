//! Which faults are set, and what was asked.

use std::collections::{HashMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::lab::fault::Fault;
use crate::ocsp::{HashAlgorithm, OcspRequest};
use crate::serial::Serial;

/// One question that reached the lab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LabRequest {
    /// `GET` or `POST`.
    pub method: String,
    /// The (first) certificate asked for; `None` if it was no OCSP request.
    pub serial: Option<Serial>,
    /// The CertID's hash algorithm, if known.
    #[serde(serialize_with = "hash_name")]
    pub hash: Option<HashAlgorithm>,
    /// Whether there was a nonce.
    pub nonce: bool,
    /// `If-None-Match`, as sent.
    pub if_none_match: Option<String>,
    /// `Host`, as sent.
    pub host: Option<String>,
    /// The fault that was applied.
    #[serde(serialize_with = "fault_name")]
    pub fault: Option<Fault>,
    /// When, Unix milliseconds.
    pub at_ms: u64,
}

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

#[derive(Debug)]
struct Active {
    fault: Fault,
    /// How often it is still applied; `None` means always.
    left: Option<u32>,
}

impl State {
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

    pub(crate) fn clear(&self, serial: &Serial) {
        lock(&self.faults).by_serial.remove(serial);
    }

    pub(crate) fn clear_for_all(&self) {
        lock(&self.faults).all = None;
    }

    pub(crate) fn clear_all(&self) {
        *lock(&self.faults) = Faults::default();
    }

    /// The fault to apply now; counts it.
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

    pub(crate) fn record(&self, request: LabRequest) {
        let mut requests = lock(&self.requests);
        if requests.len() >= MOST_REQUESTS {
            requests.pop_front();
        }
        requests.push_back(request);
        drop(requests);
        self.asked.notify_all();
    }

    pub(crate) fn requests(&self) -> Vec<LabRequest> {
        lock(&self.requests).iter().cloned().collect()
    }

    pub(crate) fn with_requests<T>(&self, look: impl FnOnce(&VecDeque<LabRequest>) -> T) -> T {
        look(&lock(&self.requests))
    }

    pub(crate) fn forget_requests(&self) {
        lock(&self.requests).clear();
    }

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

/// A panic in a test's closure must not take the lab with it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn hash_name<S: serde::Serializer>(hash: &Option<HashAlgorithm>, serializer: S) -> Result<S::Ok, S::Error> {
    hash.map(|hash| hash.to_string()).serialize(serializer)
}

fn fault_name<S: serde::Serializer>(fault: &Option<Fault>, serializer: S) -> Result<S::Ok, S::Error> {
    fault.as_ref().map(ToString::to_string).serialize(serializer)
}

const MOST_REQUESTS: usize = 100_000;
