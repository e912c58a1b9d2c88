//! The route of a connection: to the process behind an admin socket, or to one worker behind a master.

use std::fmt;

use crate::cli::address::Address;

/// The route to a process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Route {
    pub(crate) address: Address,
    /// The process id of the worker behind a master.
    pub(crate) worker: Option<u64>,
}

impl Route {
    /// The route to the process that answers at this address.
    pub(crate) fn to(address: Address) -> Self {
        Route { address, worker: None }
    }

    /// The route to this worker of the master at this address.
    pub(crate) fn to_worker(address: Address, pid: u64) -> Self {
        Route { address, worker: Some(pid) }
    }

    /// The form in which two routes to one socket are equal.
    pub(crate) fn resolved(&self) -> Route {
        Route { address: self.address.resolved(), worker: self.worker }
    }

    /// The prompts that HAProxy may write at the beginning of a line.
    pub(crate) fn prompts(&self) -> Vec<String> {
        match (self.worker, &self.address) {
            (Some(pid), _) => vec![format!("{pid}> ")],
            // After a failed reload, until one succeeds, the prompt says so.
            (None, Address::Master(_)) => vec!["master> ".to_owned(), "master[ReloadFailed]> ".to_owned()],
            (None, _) => vec!["> ".to_owned()],
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.worker {
            Some(pid) => write!(f, "{} (worker {pid})", self.address),
            None => self.address.fmt(f),
        }
    }
}
