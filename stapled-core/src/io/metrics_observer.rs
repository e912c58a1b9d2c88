//! An observer for programs that count with the crate `metrics`.

use crate::event::count::Counting;
use crate::event::{Event, Observer};

/// Counts events by the recorder of the crate `metrics` that the program has installed: `stapled_events_total` by event and severity,
/// `stapled_renewals_total` by code, `stapled_deliveries_total` by server and outcome, as `docs/monitoring.md` lists them. The
/// number of series is bounded. Clones share them.
///
/// ```
/// use stapled_core::io::metrics_observer::MetricsObserver;
/// # use stapled_core::{DirectorySource, FileSink, Stapler};
///
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let stapler = Stapler::builder()
///     .source(DirectorySource::new("/etc/ssl/private"))
///     .sink(FileSink::new())
///     .observer(MetricsObserver::new())
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct MetricsObserver {
    counting: Counting,
}

impl MetricsObserver {
    /// An observer that has counted nothing.
    pub fn new() -> Self {
        metrics::describe_counter!("stapled_events_total", "Events by name and severity");
        metrics::describe_counter!("stapled_renewals_total", "Renewals by outcome");
        metrics::describe_counter!("stapled_deliveries_total", "Deliveries and withdrawals by server and outcome");
        MetricsObserver { counting: Counting::new() }
    }
}

impl Default for MetricsObserver {
    fn default() -> Self {
        MetricsObserver::new()
    }
}

impl Observer for MetricsObserver {
    fn observe(&self, event: &Event) {
        let count = self.counting.of(event);
        let (name, severity) = count.event;
        metrics::counter!("stapled_events_total", "event" => name, "severity" => severity).increment(1);
        if let Some(code) = count.renewal {
            metrics::counter!("stapled_renewals_total", "code" => code).increment(1);
        }
        if let Some((server, outcome)) = count.delivery {
            metrics::counter!("stapled_deliveries_total", "server" => server, "outcome" => outcome).increment(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    use metrics::{Counter, CounterFn, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

    use super::*;
    use crate::event::EventKind;
    use crate::reason::ReasonCode;
    use crate::time::Timestamp;

    /// Adds up each series.
    #[derive(Clone, Default)]
    struct Sums(Arc<Mutex<BTreeMap<String, u64>>>);

    struct Series(Sums, String);

    impl CounterFn for Series {
        fn increment(&self, value: u64) {
            *self.0.0.lock().unwrap().entry(self.1.clone()).or_default() += value;
        }

        fn absolute(&self, _: u64) {}
    }

    impl Recorder for Sums {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
            let labels: String = key.labels().map(|label| format!(" {}={}", label.key(), label.value())).collect();
            Counter::from_arc(Arc::new(Series(self.clone(), format!("{}{labels}", key.name()))))
        }

        fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::noop()
        }

        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::noop()
        }
    }

    #[test]
    fn events_renewals_and_deliveries_are_counted() {
        let sums = Sums::default();
        let at = Timestamp::from_unix(0);
        metrics::with_local_recorder(&sums, || {
            let observer = MetricsObserver::new();
            let delivered = EventKind::Delivered { sink: "rustls".into(), expires: at };
            observer.observe(&Event::new(at, None, delivered.clone()));
            observer.clone().observe(&Event::new(at, None, delivered));
            let code = ReasonCode::new("timed_out");
            let (responder, what, again) = ("ocsp.test:80".into(), String::new(), at);
            let failed = EventKind::RenewalFailed { responder, code, what, attempts: 1, again, held_until: None };
            observer.observe(&Event::new(at, None, failed));
        });
        let sums: Vec<String> = sums.0.lock().unwrap().iter().map(|(series, sum)| format!("{series}: {sum}")).collect();
        let expected = [
            "stapled_deliveries_total server=rustls outcome=delivered: 2",
            "stapled_events_total event=delivered severity=info: 2",
            "stapled_events_total event=renewal_failed severity=warning: 1",
            "stapled_renewals_total code=timed_out: 1",
        ];
        assert_eq!(sums, expected);
    }
}
