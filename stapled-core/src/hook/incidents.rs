//! What is wrong with each certificate: when an outage begins and ends, when a fault is over, when a staple ends soon.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::happening::Happening;
use super::kind::Kind;
use crate::event::{About, Event, EventKind, Severity};
use crate::sink::Withdrawal;
use crate::time::Timestamp;

/// How many certificates with faults are remembered. Of further ones, no outage and no recovery is told.
const MAX_INCIDENTS: usize = 100_000;

/// The faults of all certificates that have some.
#[derive(Debug)]
pub(super) struct Incidents {
    /// How long before a staple's end its failing renewals are told, at most.
    expiring: Duration,
    open: HashMap<Key, Incident>,
}

/// A certificate by its serial number and name, or a place whose certificate is not known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Certificate(String, String),
    Place(Arc<str>),
}

/// The faults of one certificate.
#[derive(Debug)]
struct Incident {
    since: Timestamp,
    /// Each fault, and whether clients refuse the certificate because of it.
    faults: BTreeMap<Scope, Effect>,
    /// Whether a staple has come since renewals failed.
    is_renewed: bool,
    /// How long before its end the held staple counts as expiring.
    expiring: Option<Duration>,
    /// The end of the staple that was told as expiring.
    told_end: Option<Timestamp>,
}

/// What a fault is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    Certificate,
    Place(Arc<str>),
    Sink(Arc<str>),
}

/// Whether clients notice a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    Outage,
    None,
}

impl Incidents {
    pub(super) fn new(expiring: Duration) -> Self {
        Incidents { expiring, open: HashMap::new() }
    }

    /// Takes an event, and returns what follows from it.
    pub(super) fn observe(&mut self, event: &Event) -> Vec<Happening> {
        let Some(key) = key(event) else { return Vec::new() };
        let mut told = Vec::new();
        if let Some(scope) = begun(event) {
            if self.open.len() >= MAX_INCIDENTS && !self.open.contains_key(&key) {
                return told;
            }
            let incident = self.open.entry(key).or_insert_with(|| Incident::new(event.at));
            if incident.begin(scope, if event.is_outage() { Effect::Outage } else { Effect::None }) {
                told.push(Happening::derived(event, Kind::Outage, Severity::Error, &event.kind.to_string()));
            }
            told.extend(incident.expiring(event, self.expiring));
            return told;
        }
        if self.open.is_empty() {
            return told;
        }
        // A place that could not be read before has a certificate now.
        let places = event.certificate.iter().filter(|_| is_accepting(&event.kind)).flat_map(|about| &about.places);
        let keys: Vec<Key> = places.map(|place| Key::Place(Arc::clone(place))).chain([key]).collect();
        for key in keys {
            let Some(incident) = self.open.get_mut(&key) else { continue };
            told.extend(incident.end(event));
            if incident.faults.is_empty() {
                self.open.remove(&key);
            }
        }
        told
    }
}

impl Incident {
    fn new(since: Timestamp) -> Self {
        Incident { since, faults: BTreeMap::new(), is_renewed: false, expiring: None, told_end: None }
    }

    fn is_outage(&self) -> bool {
        self.faults.values().any(|effect| *effect == Effect::Outage)
    }

    /// Records a fault, and returns whether an outage begins.
    fn begin(&mut self, scope: Scope, effect: Effect) -> bool {
        let was_outage = self.is_outage();
        if scope == Scope::Certificate {
            self.is_renewed = false;
        }
        self.faults.insert(scope, effect);
        !was_outage && self.is_outage()
    }

    /// The event that the held staple ends soon, once for each staple.
    fn expiring(&mut self, event: &Event, at_most: Duration) -> Option<Happening> {
        let EventKind::RenewalFailed { held_until: Some(end), what, .. } = &event.kind else { return None };
        let left = end.since(event.at);
        // Of a staple that is valid for hours only, a quarter of what was left at the first failure.
        let limit = *self.expiring.get_or_insert(at_most.min(left / 4));
        if left > limit || self.told_end == Some(*end) {
            return None;
        }
        self.told_end = Some(*end);
        let what = format!("the staple ends at {end} and could not be renewed since {}: {what}", self.since);
        Some(Happening::derived(event, Kind::Expiring, Severity::Warning, &what))
    }

    /// Removes the faults that an event ends, and returns what is to be told.
    fn end(&mut self, event: &Event) -> Option<Happening> {
        let was_outage = self.is_outage();
        match &event.kind {
            EventKind::Retired => self.faults.clear(),
            EventKind::Renewed { .. } | EventKind::Recycled { .. } => {
                self.is_renewed = true;
                self.end_places();
                // Without a staple before, servers have it only after its delivery.
                self.faults.retain(|scope, effect| *scope != Scope::Certificate || *effect == Effect::Outage);
            }
            EventKind::Delivered { sink, .. } | EventKind::NotWanted { sink, .. } => {
                self.faults.remove(&Scope::Sink(Arc::clone(sink)));
                if self.is_renewed {
                    self.faults.remove(&Scope::Certificate);
                }
            }
            EventKind::Withdrawn { sink, why: Withdrawal::Retired, .. } => {
                self.faults.remove(&Scope::Sink(Arc::clone(sink)));
            }
            EventKind::Accepted | EventKind::NotApplicable => self.end_places(),
            _ => return None,
        }
        let ended = match (self.faults.is_empty(), was_outage && !self.is_outage()) {
            (true, _) if matches!(event.kind, EventKind::Retired) => "gone from all its places",
            (true, true) => "the outage is over, and nothing else is wrong",
            (true, false) => "nothing is wrong any more",
            (false, true) => "the outage is over; other faults remain",
            (false, false) => return None,
        };
        let what = format!("{ended}; the fault began at {}", self.since);
        Some(Happening::derived(event, Kind::Recovered, Severity::Info, &what))
    }

    /// Ends the faults of places. If the certificate had no staple because of them, it has none before its first delivery.
    fn end_places(&mut self) {
        let of_places = |scope: &Scope| matches!(scope, Scope::Place(_));
        let is_outage = self.faults.iter().any(|(scope, effect)| of_places(scope) && *effect == Effect::Outage);
        self.faults.retain(|scope, _| !of_places(scope));
        if is_outage {
            self.faults.entry(Scope::Certificate).or_insert(Effect::Outage);
        }
    }
}

/// The certificate of an event, or the place.
fn key(event: &Event) -> Option<Key> {
    match (event.certificate.as_deref(), &event.kind) {
        (Some(About { name, serial, .. }), _) => Some(Key::Certificate(serial.clone(), name.clone())),
        (None, EventKind::PlaceProblem { place, .. }) => Some(Key::Place(Arc::clone(place))),
        (None, _) => None,
    }
}

/// The fault that an event tells of.
fn begun(event: &Event) -> Option<Scope> {
    match &event.kind {
        EventKind::RenewalFailed { .. }
        | EventKind::Revoked { .. }
        | EventKind::MustStapleWithoutUrl
        | EventKind::CertificateExpired { .. } => Some(Scope::Certificate),
        EventKind::PlaceProblem { place, .. } => Some(Scope::Place(Arc::clone(place))),
        EventKind::DeliveryFailed { sink, .. } => Some(Scope::Sink(Arc::clone(sink))),
        EventKind::Withdrawn { sink, why, .. } if *why != Withdrawal::Retired => Some(Scope::Sink(Arc::clone(sink))),
        _ => None,
    }
}

/// Whether an event says that the places of its certificate hold it.
fn is_accepting(kind: &EventKind) -> bool {
    matches!(
        kind,
        EventKind::Accepted
            | EventKind::NotApplicable
            | EventKind::Recycled { .. }
            | EventKind::Renewed { .. }
            | EventKind::Delivered { .. }
    )
}

#[cfg(test)]
mod tests {
    use crate::event::faults::PlaceFault;
    use crate::reason::ReasonCode;

    use super::*;

    const DAY: u64 = 86_400;

    fn event(at: u64, must_staple: bool, kind: EventKind) -> Event {
        let mut about = About::new("a", "0a");
        about.must_staple = must_staple;
        about.places = vec!["/a.pem".into()];
        Event::new(Timestamp::from_unix(0) + Duration::from_secs(at), Some(Arc::new(about)), kind)
    }

    fn renewal_failed(held_until: Option<u64>) -> EventKind {
        EventKind::RenewalFailed {
            responder: "r:80".into(),
            code: ReasonCode::new("timed_out"),
            what: "no answer".to_owned(),
            attempts: 1,
            again: Timestamp::from_unix(0),
            held_until: held_until.map(|at| Timestamp::from_unix(0) + Duration::from_secs(at)),
        }
    }

    fn renewed() -> EventKind {
        EventKind::Recycled { expires: Timestamp::MAX, renew: Timestamp::MAX }
    }

    fn delivered(sink: &str) -> EventKind {
        EventKind::Delivered { sink: sink.into(), expires: Timestamp::MAX }
    }

    fn undelivered(sink: &str) -> EventKind {
        EventKind::DeliveryFailed {
            sink: sink.into(),
            code: ReasonCode::new("refused"),
            what: "no".to_owned(),
            again: Timestamp::MAX,
            served_until: None,
            is_felt: true,
            withdrawing: None,
        }
    }

    /// The names of what follows from each event in turn.
    fn told(must_staple: bool, kinds: impl IntoIterator<Item = EventKind>) -> Vec<Vec<&'static str>> {
        let mut incidents = Incidents::new(Duration::from_secs(DAY));
        let mut observe = |kind| incidents.observe(&event(0, must_staple, kind));
        kinds.into_iter().map(|kind| observe(kind).iter().map(|told| told.event).collect()).collect()
    }

    #[test]
    fn an_outage_begins_once_and_ends_with_the_delivery() {
        let kinds = [renewal_failed(None), renewal_failed(None), renewed(), delivered("files"), delivered("files")];
        let outage = [vec!["outage"], vec![], vec![], vec!["recovered"], vec![]];
        assert_eq!(told(true, kinds.clone()), outage);
        let failure: [Vec<&str>; 5] = [vec![], vec![], vec!["recovered"], vec![], vec![]];
        assert_eq!(told(false, kinds), failure, "not must-staple: no outage, and the failure ends with the renewal");
    }

    #[test]
    fn each_server_counts() {
        let kinds =
            [undelivered("a"), undelivered("b"), delivered("a"), delivered("b"), undelivered("a"), delivered("a")];
        let expected = [vec!["outage"], vec![], vec![], vec!["recovered"], vec!["outage"], vec!["recovered"]];
        assert_eq!(told(true, kinds), expected);
        // The outage is over while another fault remains.
        let file = EventKind::DeliveryFailed {
            sink: "files".into(),
            code: ReasonCode::new("refused"),
            what: "no".to_owned(),
            again: Timestamp::MAX,
            served_until: None,
            is_felt: false,
            withdrawing: None,
        };
        let kinds = [undelivered("a"), file, delivered("a"), delivered("files")];
        assert_eq!(told(true, kinds), [vec!["outage"], vec![], vec!["recovered"], vec!["recovered"]]);
    }

    #[test]
    fn a_certificate_that_is_gone_has_no_outage_any_more() {
        let kinds = [EventKind::MustStapleWithoutUrl, EventKind::Retired, EventKind::Retired];
        assert_eq!(told(true, kinds), [vec!["outage"], vec!["recovered"], vec![]]);
    }

    #[test]
    fn the_end_of_a_missing_issuer_is_told() {
        let missing = || EventKind::PlaceProblem {
            place: "/a.pem".into(),
            fault: PlaceFault::IssuerMissing,
            what: "no issuer".to_owned(),
            again: None,
        };
        let kinds = [missing(), EventKind::Accepted, renewed(), delivered("files")];
        assert_eq!(told(true, kinds.clone()), [vec!["outage"], vec![], vec![], vec!["recovered"]]);
        assert_eq!(told(false, kinds), [vec![], vec!["recovered"], vec![], vec![]]);
        // The certificate was not known: the place alone had the fault.
        let mut incidents = Incidents::new(Duration::from_secs(DAY));
        incidents.observe(&Event::new(Timestamp::from_unix(0), None, missing()));
        let ended = incidents.observe(&event(0, false, EventKind::Accepted));
        assert_eq!(ended.iter().map(|told| told.event).collect::<Vec<_>>(), ["recovered"]);
        assert!(incidents.open.is_empty());
    }

    #[test]
    fn a_staple_that_ends_soon_is_told_once() {
        let at = |incidents: &mut Incidents, at, until| {
            let told = incidents.observe(&event(at, false, renewal_failed(Some(until))));
            told.iter().map(|told| (told.event, told.kind)).collect::<Vec<_>>()
        };
        let mut incidents = Incidents::new(Duration::from_secs(DAY));
        let told = [("expiring", Kind::Expiring)];
        assert_eq!(at(&mut incidents, 0, 7 * DAY), []);
        assert_eq!(at(&mut incidents, 5 * DAY, 7 * DAY), []);
        assert_eq!(at(&mut incidents, 6 * DAY, 7 * DAY), told);
        assert_eq!(at(&mut incidents, 6 * DAY + 60, 7 * DAY), [], "once for each staple");
        // A staple that is valid for hours: a quarter.
        let mut incidents = Incidents::new(Duration::from_secs(DAY));
        assert_eq!(at(&mut incidents, 0, 40_000), []);
        assert_eq!(at(&mut incidents, 29_000, 40_000), []);
        assert_eq!(at(&mut incidents, 30_000, 40_000), told);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut incidents = Incidents::new(Duration::ZERO);
        let mut last = Vec::new();
        for number in 0..=MAX_INCIDENTS {
            let mut about = About::new("a", number.to_string());
            about.must_staple = true;
            let event = Event::new(Timestamp::from_unix(0), Some(Arc::new(about)), EventKind::MustStapleWithoutUrl);
            last = incidents.observe(&event);
        }
        assert_eq!((incidents.open.len(), last), (MAX_INCIDENTS, Vec::new()));
    }
}
