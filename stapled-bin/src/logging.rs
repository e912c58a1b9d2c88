//! Logging: one line for each event, or for many that are alike, to standard error, files, the journal and syslog.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use stapled_core::clock::{Clock, SystemClock};
use stapled_core::event::line::{Form, Line};
use stapled_core::hook::automation::Automation;
use stapled_core::io::journal::Journal;
use stapled_core::io::tracing_observer::TracingObserver;
use tokio::task::JoinSet;
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, MakeWriter};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use crate::configuration::{Configuration, Logging};
use crate::options::value::LogFormat;
use crate::progress::Terminal;

/// How many log files are kept, one per day.
const KEPT_DAYS: usize = 31;

/// Why there is no log: exit code 2.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoggingError {
    #[error("--logdir {directory}: cannot log there: {why}; let this user write there, or name another directory")]
    Directory { directory: String, why: String },
    #[error("--log-format journald: {0}; leave the option out where systemd does not run")]
    Journal(io::Error),
    #[error("the syslog cannot be opened")]
    Syslog,
    #[error("logging is set up already")]
    Twice,
}

/// Running logging. Dropping it writes the lines that still wait.
#[must_use]
pub(crate) struct Started {
    observer: TracingObserver,
    /// How much is logged.
    pub(crate) verbosity: Verbosity,
    telling: JoinSet<()>,
    #[allow(dead_code)] // held for its drop, which is the last one
    guards: Vec<WorkerGuard>,
}

impl Started {
    /// Starts the hook and the reload command, with this log. To be called inside a tokio runtime.
    pub(crate) fn automation(&self, configuration: &Configuration) -> Automation {
        let log = Arc::new(self.observer.clone());
        Automation::start(log, configuration.hook.as_ref(), &configuration.reloads)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        self.telling.abort_all();
        self.observer.finish();
    }
}

/// How much is logged, which can be changed while the program runs.
#[derive(Clone, Debug)]
pub(crate) struct Verbosity {
    level: Arc<AtomicU8>,
    filter: reload::Handle<Targets, Registry>,
}

impl Verbosity {
    /// The present one, from 0 to 4.
    pub(crate) fn get(&self) -> u8 {
        self.level.load(Ordering::Relaxed)
    }

    /// Changes it until the program ends.
    pub(crate) fn set(&self, verbosity: u8) {
        let before = self.level.swap(verbosity, Ordering::Relaxed);
        // It fails once logging has ended. The line is there with the more verbose of the two.
        let _ = self.filter.reload(targets(verbosity.max(before)));
        tracing::info!(event = "log_level", "the log level is {verbosity}, and was {before}, until the next restart");
        let _ = self.filter.reload(targets(verbosity));
    }
}

/// Starts logging. `stderr` is standard error, if lines go there. To be called inside a tokio runtime.
pub(crate) fn start(logging: &Logging, stderr: Option<&Terminal>) -> Result<Started, LoggingError> {
    let mut guards = Vec::new();
    let mut layers: Vec<Box<dyn Layer<Registry> + Send + Sync>> = Vec::new();
    if logging.format == LogFormat::Journald {
        let journal = Journal::open().map_err(LoggingError::Journal)?;
        layers.push(layer(Form::Journal, not_waiting(journal, &mut guards)));
    } else if let Some(terminal) = stderr {
        let writer = not_waiting(terminal.clone(), &mut guards);
        let form = if logging.format == LogFormat::Json { Form::Json } else { Form::of_stderr() };
        let highest = if logging.quiet { LevelFilter::ERROR } else { LevelFilter::TRACE };
        layers.push(layer(form, writer).with_filter(highest).boxed());
    }
    if let Some(directory) = &logging.directory {
        let unusable = |why: String| LoggingError::Directory { directory: directory.display().to_string(), why };
        std::fs::create_dir_all(directory).map_err(|error| unusable(error.to_string()))?;
        let file = RollingFileAppender::builder()
            .rotation(Rotation::DAILY)
            .filename_prefix("stapled")
            .filename_suffix("log")
            .max_log_files(KEPT_DAYS)
            .build(directory)
            .map_err(|error| unusable(error.source().map_or(error.to_string(), |why| format!("{error}: {why}"))))?;
        let form = if logging.format == LogFormat::Json { Form::Json } else { Form::Time };
        layers.push(layer(form, not_waiting(file, &mut guards)));
    }
    if logging.syslog {
        let options = syslog_tracing::Options::LOG_PID;
        let syslog = syslog_tracing::Syslog::new(c"stapled", options, syslog_tracing::Facility::Daemon)
            .ok_or(LoggingError::Syslog)?;
        layers.push(layer(Form::Words, syslog));
    }
    let (filter, handle) = reload::Layer::new(targets(logging.verbosity));
    tracing_subscriber::registry().with(layers.with_filter(filter)).try_init().map_err(|_| LoggingError::Twice)?;
    // A process in the background has no standard error; a panic must show where the rest is logged.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let payload = panic.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let what = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or_default();
        tracing::error!(event = "panic", place, "a bug: {what}");
    }));
    let observer = TracingObserver::joining();
    let told = observer.clone();
    let mut telling = JoinSet::new();
    telling.spawn(async move { told.run().await });
    let verbosity = Verbosity { level: Arc::new(logging.verbosity.into()), filter: handle };
    Ok(Started { observer, verbosity, telling, guards })
}

/// A writer that never blocks: a full pipe must not delay renewals.
fn not_waiting(writer: impl io::Write + Send + 'static, guards: &mut Vec<WorkerGuard>) -> NonBlocking {
    let (writer, guard) = NonBlockingBuilder::default().thread_name("stapled log").finish(writer);
    guards.push(guard);
    writer
}

/// An output for lines of this form.
fn layer<W>(form: Form, writer: W) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    tracing_subscriber::fmt::layer().event_format(Formatter(form)).with_ansi(false).with_writer(writer).boxed()
}

/// The lines that a verbosity shows: of stapled's own crates, those of its level; of other libraries, warnings and errors at most.
fn targets(verbosity: u8) -> Targets {
    // `tracing` has the same numbers.
    let level = verbosity.to_string().parse().unwrap_or(LevelFilter::DEBUG);
    Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("stapled", level)
}

/// Writes lines of one form.
struct Formatter(Form);

impl<S, N> FormatEvent<S, N> for Formatter
where
    S: tracing::Subscriber + for<'l> LookupSpan<'l>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &tracing::Event<'_>,
    ) -> fmt::Result {
        writer.write_str(&Line::from(event).to_text(self.0, SystemClock.now()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use stapled_core::event::{About, Event, EventKind, Observer};
    use stapled_core::reason::ReasonCode;
    use stapled_core::time::Timestamp;

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines(form: Form, verbosity: u8, tell: impl FnOnce(&TracingObserver)) -> String {
        // One subscriber at a time: the highest level of all decides whether every step is logged.
        static TURN: Mutex<()> = Mutex::new(());
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let page = Page::default();
        let writer = page.clone();
        let layer = layer(form, move || writer.clone()).with_filter(targets(verbosity));
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || tell(&TracingObserver::joining()));
        let bytes = page.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn failed(name: &str, must_staple: bool) -> Event {
        let mut about = About::new(name, "0a");
        about.places = vec!["/etc/a b.pem".into()];
        about.must_staple = must_staple;
        let kind = EventKind::RenewalFailed {
            responder: "ocsp.test:80".into(),
            code: ReasonCode::new("timed_out"),
            what: "no answer".to_owned(),
            attempts: 1,
            again: Timestamp::from_unix(0),
            held_until: None,
        };
        Event::new(Timestamp::from_unix(0), Some(Arc::new(about)), kind)
    }

    #[test]
    fn a_line_has_words_then_facts_and_no_control_characters() {
        let said = lines(Form::Words, 3, |log| log.observe(&failed("a\nb\u{1b}[0m", false)));
        assert_eq!(
            said,
            "a\\nb\\u{1b}[0m: renewal failed (1×): no answer; tried again at 1970-01-01T00:00:00Z; there is no staple \
             event=renewal_failed code=timed_out certificate=a\\nb\\u{1b}[0m serial=0a place=\"/etc/a b.pem\" responder=ocsp.test:80\n"
        );
    }

    #[test]
    fn must_staple_is_marked_and_the_journal_gets_priorities() {
        let said = lines(Form::Priority, 1, |log| {
            log.observe(&failed("a", true));
            log.observe(&failed("b", false));
        });
        assert!(said.starts_with("<3>MUST-STAPLE a: renewal failed"), "{said}");
        assert!(said.ends_with("outage=true must_staple=true\n"), "{said}");
        assert_eq!(said.lines().count(), 1, "a warning at verbosity 1: {said}");
    }

    #[test]
    fn verbosity_0_logs_nothing() {
        assert_eq!(lines(Form::Time, 0, |log| log.observe(&failed("a", true))), "");
    }

    #[test]
    fn every_object_of_json_has_the_same_fields() {
        let said = lines(Form::Json, 4, |log| {
            log.observe(&failed("a\n\"b", true));
            tracing::info!(event = "started", version = "1", "stapled runs");
        });
        let objects: Vec<serde_json::Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let field =
            |number: usize, name: &str| objects.get(number).and_then(|object| object.get(name)).cloned().unwrap();
        for (name, first, second) in [
            ("level", "error".into(), "info".into()),
            ("event", "renewal_failed".into(), "started".into()),
            ("code", "timed_out".into(), serde_json::Value::Null),
            ("certificate", "a\\n\"b".into(), serde_json::Value::Null),
            ("responder", "ocsp.test:80".into(), serde_json::Value::Null),
            ("server", serde_json::Value::Null, serde_json::Value::Null),
        ] {
            assert_eq!((field(0, name), field(1, name)), (first, second), "{name}");
        }
        assert_eq!((field(0, "outage"), field(0, "files")), (true.into(), "/etc/a b.pem".into()));
        assert!(field(0, "text").as_str().unwrap().starts_with("MUST-STAPLE a\\n\"b: renewal failed"), "{said}");
        assert!(field(1, "time").as_str().unwrap().ends_with('Z'), "{said}");
    }

    #[test]
    fn of_many_alike_the_first_have_lines_unless_every_step_is_logged() {
        let many = |log: &TracingObserver| (0..50).for_each(|number| log.observe(&failed(&number.to_string(), false)));
        assert_eq!(lines(Form::Words, 3, many).lines().count(), 5);
        assert_eq!(lines(Form::Words, 4, many).lines().count(), 50);
        let said = lines(Form::Words, 3, |log| {
            many(log);
            log.finish();
        });
        let last = said.lines().last().unwrap();
        assert!(last.starts_with("45 more certificates (5, 6, 7, …): renewal failed (1×): no answer"), "{last}");
        assert!(
            last.ends_with(
                "event=renewal_failed code=timed_out responder=ocsp.test:80 count=45 certificates=45 among=\"5, 6, 7\""
            ),
            "{last}"
        );
    }
}
