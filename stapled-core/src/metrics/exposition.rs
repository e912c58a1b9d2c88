//! The text formats.

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

/// A text format for numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// OpenMetrics 1.0, which Prometheus asks for.
    OpenMetrics,
    /// The older text format of Prometheus, version 0.0.4: of textfile collectors, and of clients that ask for no format.
    Prometheus,
}

impl Format {
    /// The format that a client gets with this `Accept` header.
    pub fn accepted(accept: &str) -> Self {
        match accept.contains("application/openmetrics-text") {
            true => Format::OpenMetrics,
            false => Format::Prometheus,
        }
    }

    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// The numbers of a registry as text.
pub(super) fn text(registry: &Registry, format: Format) -> String {
    let mut text = String::new();
    // Writing into a text does not fail.
    let _ = encode(&mut text, registry);
    match format {
        Format::OpenMetrics => text,
        Format::Prometheus => without_units(&text),
    }
}

/// The same numbers in the older format. There, the name of a counter ends in `_total` everywhere, and comments have neither
/// units nor an end.
fn without_units(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut older = String::with_capacity(text.len());
    let is_counter = |name: &str| {
        let kind = format!("# TYPE {name} counter");
        // The line of the type follows the help, and no family has the name of another one.
        lines.iter().any(|line| *line == kind)
    };
    for line in &lines {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words.as_slice() {
            ["#", "UNIT", ..] | ["#", "EOF"] => continue,
            ["#", what @ ("HELP" | "TYPE"), name, rest] if is_counter(name) => {
                older.push_str(&format!("# {what} {name}_total {rest}"));
            }
            _ => older.push_str(line),
        }
        older.push('\n');
    }
    older
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::gauge::Gauge;
    use prometheus_client::registry::Unit;

    use super::*;

    #[test]
    fn counters_have_their_whole_name_in_the_older_format() {
        let mut registry = Registry::with_prefix("x");
        registry.register("asked", "Questions", Counter::<u64>::default());
        registry.register_with_unit("age", "An age", Unit::Seconds, Gauge::<i64>::default());
        assert!(text(&registry, Format::OpenMetrics).ends_with("# EOF\n"));
        assert_eq!(
            text(&registry, Format::Prometheus),
            "# HELP x_asked_total Questions.\n# TYPE x_asked_total counter\nx_asked_total 0\n\
             # HELP x_age_seconds An age.\n# TYPE x_age_seconds gauge\nx_age_seconds 0\n"
        );
    }

    #[test]
    fn a_client_gets_openmetrics_if_it_asks_for_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
        assert_eq!(Format::accepted(prometheus), Format::OpenMetrics);
        assert_eq!(Format::accepted("*/*"), Format::Prometheus);
    }
}
