//! Numbers for monitoring (feature `metrics`), in the text formats of OpenMetrics and Prometheus.
//!
//! [`Metrics`] counts events as an observer, and reads the state of a stapler through its handle each time the numbers are
//! asked for. The number of series is bounded: `event::names` limits the values of labels, and certificates have series of their
//! own only up to a limit. `docs/monitoring.md` lists every metric.
//!
//! `tally` has what events add up to, `state` what the handle shows, `requests` the time that responders take,
//! [`exposition`] the text.

pub mod exposition;
mod labels;
mod requests;
mod state;
mod tally;
#[cfg(feature = "files")]
mod textfile;

use std::fmt;
#[cfg(feature = "files")]
use std::io;
#[cfg(feature = "files")]
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
#[cfg(any(feature = "web", feature = "files"))]
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::{Registry, Unit};

use crate::clock::{Clock, SystemClock};
use crate::event::{Event, Observer};
use crate::fetch::OcspFetcher;
use crate::stapler::Handle;
use crate::time::Timestamp;
use exposition::Format;
use labels::{Version, gauge};
use requests::TimedFetcher;
use tally::Tally;

/// The beginning of every name.
const PREFIX: &str = "stapled";
/// How often a file is written.
#[cfg(feature = "files")]
const WRITING: Duration = Duration::from_secs(15);
/// How many certificates have series of their own, where nothing else is said.
const CERTIFICATES: usize = 1000;

/// The numbers of a program: one observer for all its staplers, one after the other. Clones share the numbers.
///
/// ```
/// use stapled_core::Stapler;
/// use stapled_core::metrics::Metrics;
/// use stapled_core::metrics::exposition::Format;
/// # use stapled_core::{DirectorySource, FileSink};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let metrics = Metrics::new(env!("CARGO_PKG_VERSION"));
/// let stapler = Stapler::builder()
///     .source(DirectorySource::new("/etc/ssl/private"))
///     .sink(FileSink::new())
///     .observer(metrics.clone())
///     .build()?;
/// metrics.watch(stapler.handle());
/// println!("{}", metrics.text(Format::OpenMetrics).await);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    version: Version,
    clock: Arc<dyn Clock>,
    started: Timestamp,
    /// How many certificates have series of their own.
    certificates: usize,
    tally: Tally,
    watched: Mutex<Option<Watched>>,
    collectors: Mutex<Vec<Arc<dyn Collector>>>,
    /// One text at a time is made, so that frequent questions do not take all processors.
    turn: tokio::sync::Mutex<()>,
}

/// The stapler whose state is shown.
#[derive(Clone)]
struct Watched {
    handle: Handle,
    since: Timestamp,
}

impl Metrics {
    /// The numbers of a program of this version that starts now.
    #[must_use]
    pub fn new(version: &str) -> Self {
        Metrics::with(version, CERTIFICATES, SystemClock)
    }

    /// The same, by another clock, and with series of their own for this many certificates at most. With more certificates,
    /// none has its own: what they have in common is shown alone.
    #[must_use]
    pub fn with(version: &str, certificates: usize, clock: impl Clock + 'static) -> Self {
        Metrics(Arc::new(Inner {
            version: Version { version: version.to_owned() },
            started: clock.now(),
            clock: Arc::new(clock),
            certificates,
            tally: Tally::new(),
            watched: Mutex::default(),
            collectors: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }))
    }

    /// Shows the state of this stapler from now on, in place of another one.
    pub fn watch(&self, handle: Handle) {
        let watched = Watched { handle, since: self.0.clock.now() };
        *self.0.watched.lock().unwrap_or_else(PoisonError::into_inner) = Some(watched);
    }

    /// A fetcher that does what this one does, and counts how long each responder takes.
    pub fn timed(&self, fetcher: impl OcspFetcher + 'static) -> impl OcspFetcher + 'static {
        TimedFetcher { fetcher, tally: self.0.tally.clone() }
    }

    /// The stapler that is watched.
    #[cfg(feature = "web")]
    pub(crate) fn handle(&self) -> Option<Handle> {
        let watched = self.0.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.as_ref().map(|watched| watched.handle.clone())
    }

    /// The version of the program.
    #[cfg(feature = "web")]
    pub(crate) fn version(&self) -> &str {
        &self.0.version.version
    }

    /// The time, by the clock of the numbers.
    #[cfg(feature = "web")]
    pub(crate) fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// How many requests a responder got, how many of them it did not answer, and their mean time.
    #[cfg(feature = "web")]
    pub(crate) fn requests_to(&self, responder: &str) -> (u64, u64, Option<Duration>) {
        self.0.tally.requests_to(responder)
    }

    /// Adds numbers of another part of the program. Their names get the prefix `stapled_`.
    pub fn add(&self, collector: Arc<dyn Collector>) {
        self.0.collectors.lock().unwrap_or_else(PoisonError::into_inner).push(collector);
    }

    /// All numbers as text.
    pub async fn text(&self, format: Format) -> String {
        let inner = &self.0;
        let _turn = inner.turn.lock().await;
        let mut registry = Registry::with_prefix(PREFIX);
        inner.register(&mut registry);
        let watched = inner.watched.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(Watched { handle, since }) = watched {
            let configured = "When the configuration was read last, as seconds since the Unix epoch";
            registry.register_with_unit("configured_timestamp", configured, Unit::Seconds, gauge(since.unix()));
            state::register(&handle, inner.certificates, inner.clock.now(), &inner.tally, &mut registry).await;
        }
        for collector in inner.collectors.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            registry.register_collector(Box::new(Shared(Arc::clone(collector))));
        }
        exposition::text(&registry, format)
    }

    /// Writes all numbers into a file for the textfile collector of Prometheus' node_exporter. The file appears complete or
    /// not at all, and all users may read it.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    #[cfg(feature = "files")]
    pub async fn write(&self, path: &Path) -> io::Result<()> {
        let (text, path) = (self.text(Format::Prometheus).await, path.to_owned());
        tokio::task::spawn_blocking(move || textfile::write(&path, &text)).await.map_err(io::Error::other)?
    }

    /// Writes the file again and again, every 15 seconds. Calls `failed` when a failure begins. Never ends; may be dropped.
    #[cfg(feature = "files")]
    pub async fn keep_written(&self, path: &Path, failed: impl Fn(&io::Error)) {
        let mut has_failed = false;
        loop {
            let written = self.write(path).await;
            written.as_ref().err().filter(|_| !has_failed).into_iter().for_each(&failed);
            has_failed = written.is_err();
            tokio::time::sleep(WRITING).await;
        }
    }
}

impl Inner {
    /// Registers what does not depend on a stapler, and what events add up to.
    fn register(&self, registry: &mut Registry) {
        let version =
            prometheus_client::metrics::family::Family::<Version, prometheus_client::metrics::gauge::Gauge>::default();
        version.get_or_create(&self.version).set(1);
        registry.register("build_info", "The version that runs; the value is always 1", version);
        for (name, help, at) in [
            ("start_timestamp", "When the process started, as seconds since the Unix epoch", self.started),
            ("exposed_timestamp", "When these numbers were made, as seconds since the Unix epoch", self.clock.now()),
        ] {
            registry.register_with_unit(name, help, Unit::Seconds, gauge(at.unix()));
        }
        self.tally.register(registry);
    }
}

impl Observer for Metrics {
    fn observe(&self, event: &Event) {
        self.0.tally.count(event);
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("version", &self.0.version).finish_non_exhaustive()
    }
}

/// A collector that others hold, too.
#[derive(Debug)]
struct Shared(Arc<dyn Collector>);

impl Collector for Shared {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0.encode(encoder)
    }
}
