//! Tests that the reports of sinks and sources reach the observers of the running staplers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use stapled_core::event::{Event, EventKind, Severity};
use stapled_core::reason::ReasonCode;
use stapled_core::report::{Report, Reporter, Reporters};
use stapled_core::sink::{Delivered, Requirements, SinkError, Site, StapleSink};
use stapled_core::source::{CertSource, Scan, SourceError};
use stapled_core::staple::Staple;
use stapled_core::stapler::{Stapler, StaplerBuilder};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::world::{Record, Shared, World};

const SECOND: Duration = Duration::from_secs(1);
const NAME: ReasonCode = ReasonCode::new("table_altered");
const CODE: ReasonCode = ReasonCode::new("foreign_row");

/// A sink and a source that report on the test's command, and at every delivery.
#[derive(Default)]
struct Watcher {
    reporters: Reporters,
}

impl Watcher {
    fn tell(&self, what: &str) {
        self.reporters.tell(Report::new(NAME, Severity::Warning, what).code(CODE));
    }
}

#[async_trait]
impl StapleSink for Shared<Watcher> {
    async fn deliver(&self, staple: &Staple, _: &[Site]) -> Result<Delivered, SinkError> {
        self.0.reporters.tell_of(staple.chain(), Report::new(NAME, Severity::Error, "another row"));
        Ok(Delivered::Confirmed)
    }

    fn name(&self) -> String {
        "the table".to_owned()
    }

    fn report_to(&self, reporter: Reporter) {
        self.0.reporters.add(reporter);
    }
}

#[async_trait]
impl CertSource for Shared<Watcher> {
    async fn scan(&self) -> Result<Scan, SourceError> {
        Ok(Scan::default())
    }

    fn name(&self) -> String {
        "the list".to_owned()
    }

    fn report_to(&self, reporter: Reporter) {
        self.0.reporters.add(reporter);
    }
}

/// A running stapler, and the channel that stops it.
struct Running(oneshot::Sender<()>, JoinHandle<()>);

impl Running {
    fn start(stapler: Stapler) -> Self {
        let (stop, stopped) = oneshot::channel();
        Running(
            stop,
            tokio::spawn(stapler.run(async {
                let _ = stopped.await;
            })),
        )
    }

    async fn stop(self) {
        self.0.send(()).unwrap();
        self.1.await.unwrap();
    }
}

fn told(record: &Record) -> Vec<String> {
    let events = record.0.lock().unwrap();
    events.iter().filter(|event| matches!(event.kind, EventKind::Reported { .. })).map(Event::to_string).collect()
}

fn observed(world: &World, record: &Arc<Record>) -> StaplerBuilder {
    Stapler::builder()
        .shared_fetcher(world.ca.clone())
        .shared_clock(world.clock.clone())
        .shared_observer(Arc::clone(record) as _)
}

#[tokio::test(start_paused = true)]
async fn a_report_is_an_event_with_its_sink_code_and_certificate() {
    let world = World::new();
    world.add("a.test");
    let watcher = Arc::new(Watcher::default());
    world.run(world.builder().sink(Shared(Arc::clone(&watcher))));
    world.pass(SECOND).await;
    watcher.tell("a row was removed");
    let events = world.record.0.lock().unwrap();
    let reports: Vec<&Event> = events.iter().filter(|event| matches!(event.kind, EventKind::Reported { .. })).collect();
    let [of_delivery, of_table] = reports[..] else { panic!("{reports:?}") };
    assert_eq!(of_delivery.to_string(), "a.test: the table: another row");
    assert_eq!(of_delivery.certificate.as_ref().unwrap().places, [Arc::<str>::from("a.test")]);
    assert_eq!((of_delivery.severity(), of_delivery.kind.name()), (Severity::Error, "table_altered"));
    assert_eq!(of_table.to_string(), "the table: a row was removed");
    assert_eq!((of_table.severity(), of_table.kind.code()), (Severity::Warning, Some(CODE)));
    assert_eq!(of_table.at, world.now());
}

#[tokio::test(start_paused = true)]
async fn a_sink_of_two_staplers_reports_to_both() {
    let world = World::new();
    let watcher = Arc::new(Watcher::default());
    let (first, second) = (Arc::new(Record::default()), Arc::new(Record::default()));
    for record in [&first, &second] {
        let builder = observed(&world, record).source(Shared(world.list.clone()));
        world.run(builder.sink(Shared(Arc::clone(&watcher))));
    }
    world.pass(SECOND).await;
    watcher.tell("x");
    assert_eq!((told(&first).len(), told(&second).len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_outlives_a_stapler_reports_to_the_next() {
    let world = World::new();
    let watcher = Arc::new(Watcher::default());
    watcher.tell("before any");
    let (first, second) = (Arc::new(Record::default()), Arc::new(Record::default()));
    let stapler = |record| {
        let builder = observed(&world, record).source(Shared(Arc::clone(&watcher)));
        builder.sink(Shared(world.server.clone())).build().unwrap()
    };
    let running = Running::start(stapler(&first));
    world.pass(SECOND).await;
    watcher.tell("during the first");
    // A stapler that never runs receives no reports, and does not take them from the others.
    drop(stapler(&second));
    watcher.tell("still the first");
    running.stop().await;
    watcher.tell("between");
    let running = Running::start(stapler(&second));
    world.pass(SECOND).await;
    watcher.tell("during the second");
    running.stop().await;
    let all = |whats: &[&str]| whats.iter().map(|what| format!("the list: {what}")).collect::<Vec<_>>();
    assert_eq!(told(&first), all(&["before any", "during the first", "still the first"]));
    assert_eq!(told(&second), all(&["between", "during the second"]));
}

#[tokio::test(start_paused = true)]
async fn every_observer_is_told() {
    let world = World::new();
    world.add("a.test");
    let counted = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&counted);
    let builder = world.builder().observer(move |_: &Event| {
        counter.fetch_add(1, Ordering::SeqCst);
    });
    world.run(builder);
    world.pass(SECOND).await;
    let recorded = world.record.0.lock().unwrap().len();
    assert!(recorded > 3);
    assert_eq!(counted.load(Ordering::SeqCst), recorded);
}

/// A sink whose deliveries never end.
struct Hanging;

#[async_trait]
impl StapleSink for Hanging {
    async fn deliver(&self, _: &Staple, _: &[Site]) -> Result<Delivered, SinkError> {
        std::future::pending().await
    }

    fn requirements(&self) -> Requirements {
        Requirements::default().deadline(7 * SECOND)
    }
}

#[tokio::test(start_paused = true)]
async fn a_delivery_has_the_deadline_that_its_sink_requires() {
    let world = World::new();
    world.add("a.test");
    world.run(world.builder().sink(Hanging));
    world.pass(6 * SECOND).await;
    assert_eq!(world.record.count("delivery_failed"), 0);
    world.pass(2 * SECOND).await;
    assert_eq!(world.record.codes("delivery_failed"), ["sink_timeout"]);
}
