//! Compares running HAProxys with their configurations while the program runs.

use std::time::Duration;

use stapled_haproxy::Haproxys;
use tokio::task::JoinHandle;

/// Compares until it is dropped.
pub(crate) struct Comparing(JoinHandle<()>);

impl Comparing {
    /// Compares the HAProxys, with the sockets that they have now, at this interval.
    pub(crate) fn start(haproxys: &mut Haproxys, interval: Duration) -> Self {
        Comparing(tokio::spawn(haproxys.comparison().run(interval)))
    }
}

impl Drop for Comparing {
    fn drop(&mut self) {
        self.0.abort();
    }
}
