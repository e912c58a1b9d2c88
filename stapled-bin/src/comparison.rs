//! Logs what running HAProxys have otherwise than their configurations.

use std::time::Duration;

use stapled_haproxy::{Address, Haproxys, News};
use tokio::task::JoinHandle;

/// Compares until it is dropped.
pub(crate) struct Comparing(JoinHandle<()>);

impl Comparing {
    /// Compares the HAProxys, with the sockets that they have now, at this interval.
    pub(crate) fn start(haproxys: &mut Haproxys, interval: Duration) -> Self {
        Comparing(tokio::spawn(haproxys.comparison().run(interval, log)))
    }
}

impl Drop for Comparing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn log(socket: &Address, news: &News) {
    match news {
        News::Differs(difference) => {
            tracing::warn!(event = "configuration_differs", code = difference.code().as_str(), %socket, "{difference}");
        }
        News::MoreDiffer(more) => tracing::warn!(
            event = "configuration_differs",
            %socket,
            "{more} more differences between the running HAProxy and its configuration: `stapled check` shows them"
        ),
        News::Agrees => {
            tracing::info!(event = "configuration_agrees", %socket, "the running HAProxy has what its configuration names");
        }
        _ => {}
    }
}
