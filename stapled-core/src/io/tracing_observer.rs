//! An observer for programs that log with the crate `tracing`.

use std::sync::Arc;

use tracing::Level;
use tracing::level_filters::LevelFilter;

use crate::event::digest::Digest;
use crate::event::facts::EventFacts;
use crate::event::{Event, Observer, Severity};

/// Emits an event of the crate `tracing` for each event of a stapler. Its target is `stapled`, its message the event in words, its
/// fields are the facts as in [`EventFacts`].
///
/// ```
/// use stapled_core::io::tracing_observer::TracingObserver;
/// # use stapled_core::{DirectorySource, FileSink, Stapler};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let observer = TracingObserver::joining();
/// let stapler = Stapler::builder()
///     .source(DirectorySource::new("/etc/ssl/private"))
///     .sink(FileSink::new())
///     .observer(observer.clone())
///     .build()?;
/// tokio::select! {
///     _ = stapler.run(std::future::pending()) => {}
///     _ = observer.run() => {}
/// }
/// observer.finish();
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct TracingObserver {
    digest: Option<Arc<Digest>>,
}

impl TracingObserver {
    /// An observer that emits every event.
    pub fn new() -> Self {
        TracingObserver::default()
    }

    /// An observer that emits the first ones of many events that are alike, and counts the others: a responder that fails concerns
    /// thousands of certificates. [`run`](TracingObserver::run) emits the counts. Where the subscriber wants the level `DEBUG`
    /// of any target, every event is emitted.
    pub fn joining() -> Self {
        TracingObserver { digest: Some(Arc::default()) }
    }

    /// Emits what was counted when it is due. Never returns; may be dropped.
    pub async fn run(&self) {
        let Some(digest) = &self.digest else { return std::future::pending().await };
        loop {
            digest.next().await.iter().for_each(|alike| emit(&alike.into()));
        }
    }

    /// Emits what was counted, at the end of a program.
    pub fn finish(&self) {
        if let Some(digest) = &self.digest {
            digest.rest().iter().for_each(|alike| emit(&alike.into()));
        }
    }
}

impl Observer for TracingObserver {
    fn observe(&self, event: &Event) {
        // `tracing::enabled!` would leave its result in the filters of tracing-subscriber's layers: those that do not take
        // `DEBUG` would then drop the next event.
        let is_every_step_wanted = LevelFilter::current() >= LevelFilter::DEBUG;
        if is_every_step_wanted || self.digest.as_ref().is_none_or(|digest| digest.passes(event)) {
            emit(&event.into());
        }
    }
}

fn emit(of: &EventFacts) {
    macro_rules! event {
        ($level:expr) => {
            tracing::event!(
                target: "stapled", $level, event = of.event, code = of.code, certificate = of.certificate,
                serial = of.serial, place = of.place, sink = of.sink, responder = of.responder, outage = of.outage,
                must_staple = of.must_staple, count = of.count, certificates = of.certificates, among = of.among,
                "{}", of.text
            )
        };
    }
    match of.severity {
        Severity::Debug => event!(Level::DEBUG),
        Severity::Info => event!(Level::INFO),
        Severity::Warning => event!(Level::WARN),
        Severity::Error => event!(Level::ERROR),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use tracing_subscriber::Layer;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::event::{About, EventKind};
    use crate::reason::ReasonCode;
    use crate::time::Timestamp;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// One subscriber at a time: the highest level of all is what counts.
    static TURN: Mutex<()> = Mutex::new(());

    fn turn() -> MutexGuard<'static, ()> {
        TURN.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lines(level: Level, work: impl FnOnce()) -> Vec<String> {
        let _turn = turn();
        let page = Page::default();
        let writer = page.clone();
        let subscriber = tracing_subscriber::fmt().with_max_level(level).with_ansi(false).without_time();
        tracing::subscriber::with_default(subscriber.with_writer(move || writer.clone()).finish(), work);
        let bytes = page.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
    }

    fn fail(observer: &TracingObserver, count: usize) {
        for number in 0..count {
            let kind = EventKind::RenewalFailed {
                responder: "ocsp.test:80".into(),
                code: ReasonCode::new("timed_out"),
                what: "no answer".to_owned(),
                attempts: 1,
                again: Timestamp::from_unix(0),
                held_until: None,
            };
            let about = Arc::new(About::new(format!("{number}.test"), "0a"));
            observer.observe(&Event::new(Timestamp::from_unix(0), Some(about), kind));
        }
    }

    #[test]
    fn an_event_has_its_level_its_words_and_its_facts() {
        let lines = lines(Level::INFO, || fail(&TracingObserver::new(), 20));
        assert_eq!(lines.len(), 20);
        for part in [" WARN stapled: 0.test: renewal failed (1", "code=\"timed_out\"", "responder=\"ocsp.test:80\""] {
            assert!(lines[0].contains(part), "{}", lines[0]);
        }
        assert!(!lines[0].contains("sink"), "a fact that does not apply: {}", lines[0]);
    }

    #[test]
    fn many_events_are_joined_unless_every_step_is_wanted() {
        let observer = TracingObserver::joining();
        let joined = lines(Level::INFO, || {
            fail(&observer, 20);
            observer.finish();
        });
        assert_eq!(joined.len(), 6);
        assert!(joined[5].contains("15 more certificates") && joined[5].contains("count=15"), "{}", joined[5]);
        assert_eq!(lines(Level::DEBUG, || fail(&observer, 20)).len(), 20);
    }

    #[test]
    fn an_output_for_errors_beside_one_for_everything_gets_the_errors() {
        let _turn = turn();
        let pages = [LevelFilter::ERROR, LevelFilter::DEBUG].map(|filter| (filter, Page::default()));
        let layers = pages.clone().map(|(filter, page)| {
            tracing_subscriber::fmt::layer().with_writer(move || page.clone()).with_filter(filter).boxed()
        });
        let subscriber = tracing_subscriber::registry().with(Vec::from(layers));
        tracing::subscriber::with_default(subscriber, || {
            let observer = TracingObserver::joining();
            let mut about = About::new("a.test", "0a");
            about.must_staple = true;
            for _ in 0..3 {
                let about = Some(Arc::new(about.clone()));
                observer.observe(&Event::new(Timestamp::from_unix(0), about, EventKind::MustStapleWithoutUrl));
            }
        });
        for (_, page) in pages {
            assert_eq!(String::from_utf8_lossy(&page.0.lock().unwrap()).lines().count(), 3);
        }
    }

    #[test]
    fn what_was_joined_is_emitted_when_it_is_due() {
        let page = Page::default();
        let writer = page.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
        let _turn = turn();
        let _guard = tracing::subscriber::set_default(subscriber);
        let observer = TracingObserver::joining();
        fail(&observer, 20);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let hour = std::time::Duration::from_secs(3600);
        assert!(runtime.block_on(async { tokio::time::timeout(hour, observer.run()).await }).is_err());
        assert!(String::from_utf8_lossy(&page.0.lock().unwrap()).contains("15 more certificates"));
    }
}
