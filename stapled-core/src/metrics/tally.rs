//! What events add up to, whichever stapler they come from.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::labels::{Code, Delivery, EventLabels, Fraction, Gauges, Responder, Source, count};
use crate::event::count::{Counting, GOOD};
use crate::event::facts::host_of;
use crate::event::names::Names;
#[cfg(feature = "web")]
use crate::event::names::shown;
use crate::event::{Event, EventKind};
use crate::time::Timestamp;

/// How many responders and sources are told apart. The rest has the label `other`.
const RESPONDERS: usize = 50;
const SOURCES: usize = 100;
/// The bounds of the times that responders take, in seconds. A request is given up after some ten seconds.
const BOUNDS: [f64; 9] = [0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// What events add up to. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    counting: Counting,
    renewals: Family<Code, Counter>,
    events: Family<EventLabels, Counter>,
    deliveries: Family<Delivery, Counter>,
    durations: Family<Responder, Histogram, fn() -> Histogram>,
    failures: Family<Responder, Counter>,
    asked: Arc<Mutex<BTreeMap<String, Asked>>>,
    /// The responders that have series of their own.
    pub(super) responders: Names,
    scans: Arc<Mutex<BTreeMap<String, Scan>>>,
    sources: Names,
}

/// The requests to one responder.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    requests: u64,
    failures: u64,
    time: Duration,
}

/// The last scan of a source.
#[derive(Clone, Copy, Debug)]
struct Scan {
    at: Timestamp,
    took: Duration,
    places: usize,
}

impl Tally {
    pub(super) fn new() -> Self {
        let renewals = Family::<Code, Counter>::default();
        // A counter that appears with its first count shows no increase.
        renewals.get_or_create(&Code { code: GOOD.to_owned() }).inc_by(0);
        Tally {
            counting: Counting::new(),
            renewals,
            events: Family::default(),
            deliveries: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(BOUNDS)),
            failures: Family::default(),
            asked: Arc::default(),
            responders: Names::up_to(RESPONDERS),
            scans: Arc::default(),
            sources: Names::up_to(SOURCES),
        }
    }

    /// Counts an event.
    pub(super) fn count(&self, event: &Event) {
        let count = self.counting.of(event);
        let (name, severity) = count.event;
        self.events.get_or_create(&EventLabels { event: name, severity }).inc();
        if let Some(code) = count.renewal {
            self.renewals.get_or_create(&Code { code }).inc();
        }
        if let Some((server, outcome)) = count.delivery {
            self.deliveries.get_or_create(&Delivery { server, outcome }).inc();
        }
        if let EventKind::Scanned { source, places, took, .. } = &event.kind {
            let scan = Scan { at: event.at, took: *took, places: *places };
            let source = self.sources.of(source);
            self.scans.lock().unwrap_or_else(PoisonError::into_inner).insert(source, scan);
        }
    }

    /// Counts a request to the responder at this URL.
    pub(super) fn took(&self, url: &str, took: Duration, is_down: bool) {
        let Some(host) = host_of(url) else { return };
        let labels = Responder { responder: self.responders.of(&host) };
        self.durations.get_or_create(&labels).observe(took.as_secs_f64());
        self.failures.get_or_create(&labels).inc_by(u64::from(is_down));
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = asked.entry(labels.responder).or_default();
        asked.requests += 1;
        asked.failures += u64::from(is_down);
        asked.time += took;
    }

    /// How many requests a responder got, how many of them it did not answer, and their mean time.
    #[cfg(feature = "web")]
    pub(super) fn requests_to(&self, responder: &str) -> (u64, u64, Option<Duration>) {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(asked) = asked.get(&shown(responder)) else { return (0, 0, None) };
        let requests = u32::try_from(asked.requests).unwrap_or(u32::MAX);
        (asked.requests, asked.failures, asked.time.checked_div(requests))
    }

    /// Registers everything but scans.
    pub(super) fn register(&self, registry: &mut Registry) {
        let renewals = "Renewals by outcome: good, revoked, or the reason code of the failure";
        registry.register("renewals", renewals, self.renewals.clone());
        registry.register("events", "Events by name and severity", self.events.clone());
        let deliveries = "Deliveries and withdrawals of staples by server and outcome";
        registry.register("deliveries", deliveries, self.deliveries.clone());
        let durations = "How long OCSP requests take, by responder";
        registry.register_with_unit("responder_request_duration", durations, Unit::Seconds, self.durations.clone());
        let failures = "OCSP requests without an answer, because the responder is down, by responder";
        registry.register("responder_failures", failures, self.failures.clone());
    }

    /// Registers the last scans of these sources. Sources of an earlier configuration are not scanned any more.
    pub(super) fn register_scans(&self, sources: &[String], registry: &mut Registry) {
        let (last, places) = (Gauges::<Source>::default(), Gauges::<Source>::default());
        let took = Family::<Source, Fraction>::default();
        let scans = self.scans.lock().unwrap_or_else(PoisonError::into_inner);
        for source in sources.iter().map(|source| self.sources.of(source)) {
            let Some(scan) = scans.get(&source) else { continue };
            let labels = Source { source };
            last.get_or_create(&labels).set(scan.at.unix());
            places.get_or_create(&labels).set(count(scan.places));
            took.get_or_create(&labels).set(scan.took.as_secs_f64());
        }
        let help = "When the last scan of a source ended, as seconds since the Unix epoch";
        registry.register_with_unit("source_last_scan_timestamp", help, Unit::Seconds, last);
        registry.register_with_unit(
            "source_scan_duration",
            "How long the last scan of a source took",
            Unit::Seconds,
            took,
        );
        registry.register("source_places", "Places with certificates at the last scan of a source", places);
    }
}
