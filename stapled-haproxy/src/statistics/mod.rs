//! Handshakes with and without a staple, as HAProxy 3.2 and newer count them (feature `metrics`).
//!
//! The counters are read over connections of their own, by a command that HAProxy interrupts for others, and of frontends
//! alone. So deliveries do not wait for them.

mod reply;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use stapled_core::describe::visible::Visible;

use crate::cli::address::Address;
use crate::cli::command::Command;
use crate::cli::connection::{Connection, Timeouts};
use crate::cli::error::Error;
use crate::cli::route::Route;
use reply::{Frontend, Reader};

/// The time between two reads.
const PAUSE: Duration = Duration::from_secs(15);
/// How long reading the counters of one socket may take.
const READING: Duration = Duration::from_secs(5);
const TIMEOUTS: Timeouts =
    Timeouts { connect: Duration::from_secs(2), reply: Duration::from_secs(3), keepalive: Duration::from_secs(10) };
/// How many sockets are read at once, how many are read at all, and how many frontends of each are told apart.
const AT_ONCE: usize = 4;
const SOCKETS: usize = 100;
const FRONTENDS: usize = 50;
/// The name of the frontends beyond the limit.
const OTHER: &str = "other";

/// Counts the handshakes of HAProxys: a collector for [`Metrics::add`](stapled_core::metrics::Metrics::add).
#[derive(Debug, Default)]
pub struct Handshakes {
    sockets: Mutex<Vec<Address>>,
    read: Mutex<BTreeMap<String, Vec<Frontend>>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    server: String,
    frontend: String,
}

impl Handshakes {
    /// Reads the counters of the processes behind these admin sockets from now on, in place of others.
    pub fn of(&self, sockets: Vec<Address>) {
        *self.sockets.lock().unwrap_or_else(PoisonError::into_inner) = sockets;
    }

    /// Reads the counters again and again, until it is dropped.
    pub async fn run(&self) {
        loop {
            self.read().await;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Reads the counters once. A process that does not answer in time, or that has no such counters, is left out.
    pub async fn read(&self) {
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner).clone();
        sockets.truncate(SOCKETS);
        let read = stream::iter(sockets).map(|socket| async move {
            let frontends = tokio::time::timeout(READING, frontends(&socket)).await;
            (socket.to_string(), frontends)
        });
        let read = read.buffer_unordered(AT_ONCE).filter_map(|(socket, frontends)| async {
            match frontends {
                Ok(Ok(frontends)) if !frontends.is_empty() => Some((socket, frontends)),
                _ => None,
            }
        });
        let read = read.collect().await;
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = read;
    }
}

/// The frontends of the process behind a socket; of a master, those of its current workers.
async fn frontends(socket: &Address) -> Result<Vec<Frontend>, Error> {
    let route = Route::to(socket.clone());
    let Address::Master(_) = socket else { return frontends_at(&route).await };
    let mut all = Vec::new();
    for worker in Connection::workers(&route, TIMEOUTS).await? {
        if !worker.is_old {
            all.extend(frontends_at(&Route::to_worker(socket.clone(), worker.pid)).await?);
        }
    }
    Ok(all)
}

async fn frontends_at(route: &Route) -> Result<Vec<Frontend>, Error> {
    let mut connection = Connection::open(route, TIMEOUTS).await?;
    let (mut reader, mut frontends) = (Reader::default(), Vec::new());
    let mut other = Frontend { name: OTHER.to_owned(), ..Frontend::default() };
    let take = |line: &str| match reader.read(line) {
        Some(frontend) if frontends.len() < FRONTENDS => frontends.push(frontend),
        Some(frontend) => {
            other.stapled = other.stapled.saturating_add(frontend.stapled);
            other.failed = other.failed.saturating_add(frontend.failed);
        }
        None => {}
    };
    connection.ask_lines(&Command::show_frontends(), take).await?;
    if frontends.len() == FRONTENDS {
        frontends.push(other);
    }
    Ok(frontends)
}

impl Collector for Handshakes {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        type Count = fn(&Frontend) -> u64;
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let families: [(&str, &str, Count); 2] = [
            ("haproxy_stapled_handshakes", "Handshakes with a staple, as HAProxy counts them", |of| of.stapled),
            (
                "haproxy_failed_staples",
                "Handshakes without the staple that HAProxy has, because it had expired or for another fault",
                |of| of.failed,
            ),
        ];
        for (name, help, count) in families {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            // Frontends of several workers may have one name.
            let mut series: BTreeMap<(String, String), u64> = BTreeMap::new();
            for (server, frontend) in read.iter().flat_map(|(server, all)| all.iter().map(move |one| (server, one))) {
                let labels = [server, &frontend.name].map(|name| Visible::new(name).to_string());
                let sum = series.entry(labels.into()).or_default();
                *sum = sum.saturating_add(count(frontend));
            }
            for ((server, frontend), sum) in series {
                let labels = Labels { server, frontend };
                ConstCounter::new(sum).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
