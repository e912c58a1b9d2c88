//! Events of the crate `tracing` as lines of a log, for the layer of a program's subscriber.

use std::fmt;

use tracing::Level;
use tracing::field::{Field, Visit};

use crate::event::Severity;
use crate::event::line::Line;

/// The line has the fields of the event.
impl From<&tracing::Event<'_>> for Line {
    fn from(event: &tracing::Event<'_>) -> Self {
        let mut line = Line::new(match *event.metadata().level() {
            Level::ERROR => Severity::Error,
            Level::WARN => Severity::Warning,
            Level::INFO => Severity::Info,
            _ => Severity::Debug,
        });
        event.record(&mut line);
        line
    }
}

/// Adds each field.
impl Visit for Line {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field.name(), value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field.name(), format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::subscriber::with_default;
    use tracing::{Metadata, Subscriber, span};

    use super::*;
    use crate::event::line::Form;
    use crate::time::Timestamp;

    /// Keeps the lines of events.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<String>>>);

    impl Subscriber for Lines {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }

        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

        fn event(&self, event: &tracing::Event<'_>) {
            let line = Line::from(event).to_text(Form::Priority, Timestamp::from_unix(0));
            self.0.lock().unwrap().push(line);
        }

        fn enter(&self, _: &span::Id) {}

        fn exit(&self, _: &span::Id) {}
    }

    #[test]
    fn a_line_has_the_level_the_text_and_the_fields_of_its_event() {
        let lines = Lines::default();
        with_default(lines.clone(), || {
            tracing::warn!(event = "renewed", count = 3_u64, good = true, what = ?Some(1), "a {}", "text");
            tracing::trace!("each step");
        });
        let expected = ["<4>a text event=renewed count=3 good=true what=Some(1)\n", "<7>each step\n"];
        assert_eq!(*lines.0.lock().unwrap(), expected);
    }
}
