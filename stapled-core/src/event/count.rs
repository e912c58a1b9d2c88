//! The counters that an event adds to, with a limited number of values for their labels.

use super::names::Names;
use super::{Event, EventKind, Severity};

/// How many reason codes, names of events and servers are told apart. The rest has the label `other`.
const CODES: usize = 200;
const EVENTS: usize = 100;
const SERVERS: usize = 100;
/// The outcome of a renewal that brought a staple, as a code.
pub(crate) const GOOD: &str = "good";

/// The counters that one event adds to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Count {
    /// The name of the event, and how much it matters.
    pub(crate) event: (String, &'static str),
    /// The outcome of a renewal: good, revoked, or the reason code of the failure.
    pub(crate) renewal: Option<String>,
    /// The server and the outcome of a delivery or withdrawal.
    pub(crate) delivery: Option<(String, &'static str)>,
}

/// The values of labels that are in use. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Counting {
    codes: Names,
    events: Names,
    servers: Names,
}

impl Counting {
    pub(crate) fn new() -> Self {
        Counting { codes: Names::up_to(CODES), events: Names::up_to(EVENTS), servers: Names::up_to(SERVERS) }
    }

    /// The counters that this event adds to.
    pub(crate) fn of(&self, event: &Event) -> Count {
        let (renewal, delivery) = match &event.kind {
            EventKind::Renewed { .. } => (Some(GOOD), None),
            EventKind::RenewalFailed { code, .. } => (Some(code.as_str()), None),
            EventKind::Revoked { .. } => (Some("revoked"), None),
            EventKind::Delivered { sink, .. } => (None, Some((sink, "delivered"))),
            EventKind::DeliveryFailed { sink, withdrawing: None, .. } => (None, Some((sink, "failed"))),
            EventKind::Withdrawn { sink, confirmed: true, .. } => (None, Some((sink, "withdrawn"))),
            EventKind::DeliveryFailed { sink, .. } | EventKind::Withdrawn { sink, .. } => {
                (None, Some((sink, "not_withdrawn")))
            }
            _ => (None, None),
        };
        Count {
            event: (self.events.of(event.kind.name()), word(event.severity())),
            renewal: renewal.map(|code| self.codes.of(code)),
            delivery: delivery.map(|(sink, outcome)| (self.servers.of(sink), outcome)),
        }
    }
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Debug => "debug",
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}
