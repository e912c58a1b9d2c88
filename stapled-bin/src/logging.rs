//! Logging: one line for each event, to standard error, files and syslog.

use std::fmt::{self, Write};
use std::io::{self, IsTerminal};

use stapled_core::clock::{Clock, SystemClock};
use stapled_core::describe::visible::Visible;
use stapled_core::event::{Event, Observer, Severity};
use tracing::Level;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, MakeWriter};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};
use tracing_subscriber::util::SubscriberInitExt;

use crate::configuration::Logging;
use crate::progress::Terminal;

/// How many log files are kept, one per day.
const KEPT_DAYS: usize = 31;

/// Why there is no log: exit code 2.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoggingError {
    #[error("--logdir {directory}: cannot log there: {why}; let this user write there, or name another directory")]
    Directory { directory: String, why: String },
    #[error("the syslog cannot be opened")]
    Syslog,
    #[error("logging is set up already")]
    Twice,
}

/// Running logging. Dropping it writes the lines that are still in its queues.
#[must_use]
pub(crate) struct Started(#[allow(dead_code)] Vec<WorkerGuard>); // held for its drop

/// Starts logging. `stderr` is standard error, if lines go there.
pub(crate) fn start(logging: &Logging, stderr: Option<&Terminal>) -> Result<Started, LoggingError> {
    let mut guards = Vec::new();
    let mut layers: Vec<Box<dyn Layer<Registry> + Send + Sync>> = Vec::new();
    if let Some(terminal) = stderr {
        let verbosity = if logging.quiet { logging.verbosity.min(1) } else { logging.verbosity };
        let writer = not_waiting(terminal.clone(), &mut guards);
        let is_journal = std::env::var_os("JOURNAL_STREAM").is_some() && !io::stderr().is_terminal();
        let head = if is_journal { Head::Priority } else { Head::Time };
        let ansi = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        layers.push(layer(head, ansi, writer, verbosity));
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
            .map_err(|error| unusable(with_sources(&error)))?;
        layers.push(layer(Head::Time, false, not_waiting(file, &mut guards), logging.verbosity));
    }
    if logging.syslog {
        let options = syslog_tracing::Options::LOG_PID;
        let syslog = syslog_tracing::Syslog::new(c"stapled", options, syslog_tracing::Facility::Daemon)
            .ok_or(LoggingError::Syslog)?;
        layers.push(layer(Head::Nothing, false, syslog, logging.verbosity));
    }
    tracing_subscriber::registry().with(layers).try_init().map_err(|_| LoggingError::Twice)?;
    // A process in the background has no standard error; a panic must show where the rest is logged.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let payload = panic.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let what = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or_default();
        tracing::error!(event = "panic", place, "a bug: {what}");
    }));
    Ok(Started(guards))
}

/// A writer that never blocks: a full pipe must not delay renewals.
fn not_waiting(writer: impl io::Write + Send + 'static, guards: &mut Vec<WorkerGuard>) -> NonBlocking {
    let (writer, guard) = NonBlockingBuilder::default().thread_name("stapled log").finish(writer);
    guards.push(guard);
    writer
}

fn layer<W>(head: Head, ansi: bool, writer: W, verbosity: u8) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let level = match verbosity {
        0 => LevelFilter::OFF,
        1 => LevelFilter::ERROR,
        2 => LevelFilter::WARN,
        3 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    // All lines of stapled's own crates; of other libraries, only warnings and errors.
    let targets = Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("stapled", level);
    tracing_subscriber::fmt::layer()
        .event_format(Line { head })
        .with_ansi(ansi)
        .with_writer(writer)
        .with_filter(targets)
        .boxed()
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let _ = write!(text, ": {error}");
        source = error.source();
    }
    text
}

/// Logs one line for each event.
pub(crate) struct LogObserver;

impl Observer for LogObserver {
    fn observe(&self, event: &Event) {
        let severity = event.severity();
        let about = event.certificate.as_deref();
        let certificate = about.map(|about| about.name.as_str());
        let serial = about.map(|about| about.serial.as_str());
        let places = event.places().join(",");
        let place = Some(places.as_str()).filter(|places| !places.is_empty());
        let sink = event.sink();
        let code = event.kind.code().map(|code| code.as_str());
        let must_staple = about.filter(|about| about.must_staple).map(|_| true);
        let outage = event.is_outage().then_some(true);
        let urgent = if must_staple.is_some() && severity >= Severity::Warning { "MUST-STAPLE " } else { "" };
        let name = event.kind.name();
        macro_rules! line {
            ($level:expr) => {
                tracing::event!(
                    target: "stapled", $level, event = name, code, certificate, serial, place, sink, outage, must_staple,
                    "{urgent}{event}"
                )
            };
        }
        match severity {
            Severity::Debug => line!(Level::DEBUG),
            Severity::Info => line!(Level::INFO),
            Severity::Warning => line!(Level::WARN),
            Severity::Error => line!(Level::ERROR),
        }
    }
}

/// The beginning of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Head {
    /// Time and level.
    Time,
    /// The priority, in the form that systemd's journal reads (sd-daemon(3)). The journal adds the time.
    Priority,
    /// Nothing: syslog adds time and level.
    Nothing,
}

/// The form of a log line: the event in words, then the facts as `name=value`.
struct Line {
    head: Head,
}

impl<S, N> FormatEvent<S, N> for Line
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
        let level = *event.metadata().level();
        match self.head {
            Head::Time => {
                let (colour, end) = match writer.has_ansi_escapes() {
                    true => (colour(level), "\u{1b}[0m"),
                    false => ("", ""),
                };
                write!(writer, "{} {colour}{level:<5}{end} ", SystemClock.now())?;
            }
            Head::Priority => write!(writer, "<{}>", priority(level))?,
            Head::Nothing => {}
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        write!(writer, "{}", Visible::new(&fields.message))?;
        writer.write_str(&fields.facts)?;
        writer.write_char('\n')
    }
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\u{1b}[1;31m",
        Level::WARN => "\u{1b}[33m",
        Level::INFO => "\u{1b}[32m",
        _ => "\u{1b}[2m",
    }
}

fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

/// The message of an event, and its other fields as `name=value`.
#[derive(Default)]
struct Fields {
    message: String,
    facts: String,
}

impl Fields {
    fn add(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
            return;
        }
        let needs_quotes = value.is_empty() || value.contains([' ', '"', '=', '\\']);
        // Writing to a String does not fail.
        let _ = match needs_quotes {
            false => write!(self.facts, " {}={}", field.name(), Visible::new(value)),
            true => {
                let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
                write!(self.facts, " {}=\"{}\"", field.name(), Visible::new(&escaped))
            }
        };
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use stapled_core::event::{About, EventKind};
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

    fn lines(head: Head, verbosity: u8, tell: impl FnOnce()) -> String {
        let page = Page::default();
        let writer = page.clone();
        let subscriber = tracing_subscriber::registry().with(layer(head, false, move || writer.clone(), verbosity));
        tracing::subscriber::with_default(subscriber, tell);
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
        let said = lines(Head::Nothing, 3, || LogObserver.observe(&failed("a\nb\u{1b}[0m", false)));
        assert_eq!(
            said,
            "a\\nb\\u{1b}[0m: renewal failed (1×): no answer; tried again at 1970-01-01T00:00:00Z; there is no staple \
             event=renewal_failed code=timed_out certificate=a\\nb\\u{1b}[0m serial=0a place=\"/etc/a b.pem\"\n"
        );
    }

    #[test]
    fn must_staple_is_marked_and_the_journal_gets_priorities() {
        let said = lines(Head::Priority, 1, || {
            LogObserver.observe(&failed("a", true));
            LogObserver.observe(&failed("b", false));
        });
        assert!(said.starts_with("<3>MUST-STAPLE a: renewal failed"), "{said}");
        assert!(said.ends_with("outage=true must_staple=true\n"), "{said}");
        assert_eq!(said.lines().count(), 1, "a warning at verbosity 1: {said}");
    }

    #[test]
    fn verbosity_0_logs_nothing() {
        assert_eq!(lines(Head::Time, 0, || LogObserver.observe(&failed("a", true))), "");
    }
}
