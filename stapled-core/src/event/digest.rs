//! Joins events that are alike, so that a log does not repeat one fault for each certificate.
//!
//! A responder that fails concerns thousands of certificates. The first events are told one by one. Later ones are counted,
//! and told together after pauses that grow.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Event, EventKind, Severity};
use crate::gather::{Gather, Gathered, Pauses};
use crate::reason::ReasonCode;

/// When events that are alike are told.
const PAUSES: Pauses = Pauses {
    at_once: 5,
    first: Duration::from_secs(10),
    longest: Duration::from_secs(300),
    memory: Duration::from_secs(60),
};
/// How many events may wait. Further ones are counted only.
const HELD: usize = 20_000;
/// How many certificates are named of those that are told together.
const NAMED: usize = 3;

/// Which events are told one by one, and which together.
#[derive(Debug)]
pub struct Digest {
    alike: Mutex<Gather<Key, Event>>,
    /// There is a new pause.
    changed: Notify,
}

/// What events have in common: name, reason code, responder, sink, and whether they are an outage.
type Key = (&'static str, Option<ReasonCode>, Option<String>, Option<String>, bool);

/// Events that are alike, told together.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Alike {
    /// The last one.
    pub event: Event,
    /// How many there are.
    pub count: u64,
    /// How many certificates, or places, they are about.
    pub certificates: u64,
    /// The names of the first of these.
    pub among: Vec<String>,
}

impl Default for Digest {
    fn default() -> Self {
        Digest { alike: Mutex::new(Gather::new(PAUSES, HELD)), changed: Notify::new() }
    }
}

impl Digest {
    /// Whether an event is told by itself. Otherwise it is told together with others, later.
    pub fn passes(&self, event: &Event) -> bool {
        let is_of_many = event.certificate.is_some() || matches!(event.kind, EventKind::PlaceProblem { .. });
        // Each revocation needs an operator.
        if !is_of_many || matches!(event.kind, EventKind::Revoked { .. }) || event.severity() == Severity::Debug {
            return true;
        }
        let sink = event.sink().map(str::to_owned);
        let key = (event.kind.name(), event.kind.code(), event.responder(), sink, event.is_outage());
        let passed = self.alike().take(key, event.clone(), Instant::now()).is_some();
        self.changed.notify_one();
        passed
    }

    /// Waits until events are to be told together, and returns them. One caller at a time; a dropped call loses nothing.
    pub async fn next(&self) -> Vec<Alike> {
        loop {
            let due = self.alike().next_due();
            tokio::select! {
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
                () = self.changed.notified() => continue,
            }
            let told = self.alike().take_due(Instant::now());
            if !told.is_empty() {
                return told.into_iter().filter_map(|(_, gathered)| Alike::of(gathered)).collect();
            }
        }
    }

    /// What waits, at the end of a program.
    pub fn rest(&self) -> Vec<Alike> {
        self.alike().take_all().into_iter().filter_map(|(_, gathered)| Alike::of(gathered)).collect()
    }

    fn alike(&self) -> std::sync::MutexGuard<'_, Gather<Key, Event>> {
        self.alike.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Alike {
    fn of(gathered: Gathered<Event>) -> Option<Alike> {
        let Gathered { mut items, left_out } = gathered;
        let subject = |event: &Event| match &event.certificate {
            Some(about) => (about.name.clone(), about.serial.clone()),
            None => (event.places().join(", "), String::new()),
        };
        let (mut known, mut among) = (HashSet::new(), Vec::new());
        for (name, serial) in items.iter().map(subject) {
            if known.insert((name.clone(), serial)) && among.len() < NAMED {
                among.push(name);
            }
        }
        let (count, certificates) = (items.len() as u64 + left_out, known.len() as u64 + left_out);
        Some(Alike { event: items.pop()?, count, certificates, among })
    }
}

/// One line of text, without the time.
impl fmt::Display for Alike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Alike { event, certificates, among, .. } = self;
        match (among.as_slice(), certificates, self.count) {
            ([name], 1, 1) => return write!(f, "{name}: {}", event.kind),
            ([name], 1, count) => return write!(f, "{name}, {count} times more: {}", event.kind),
            _ => {}
        }
        let more = if among.len() as u64 == *certificates { "" } else { ", …" };
        write!(f, "{certificates} more certificates ({}{more}): {}", among.join(", "), event.kind)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::event::About;
    use crate::time::Timestamp;

    fn failed(name: &str, responder: &str) -> Event {
        let kind = EventKind::RenewalFailed {
            responder: responder.into(),
            code: ReasonCode::new("timed_out"),
            what: "no answer".to_owned(),
            attempts: 1,
            again: Timestamp::from_unix(0),
            held_until: None,
        };
        Event::new(Timestamp::from_unix(0), Some(Arc::new(About::new(name, "0a"))), kind)
    }

    #[tokio::test(start_paused = true)]
    async fn many_certificates_of_a_dead_ca_are_a_few_lines_a_minute() {
        let digest = Digest::default();
        let (mut lines, mut told) = (0, 0);
        let begin = Instant::now();
        // 2,000 certificates within 20 s, and then each again every 100 s.
        while begin.elapsed() < Duration::from_secs(600) {
            let number = begin.elapsed().as_millis() / 10 % 2000;
            if digest.passes(&failed(&format!("{number}.example"), "dead:80")) {
                (lines, told) = (lines + 1, told + 1);
            }
            let pause = if begin.elapsed() < Duration::from_secs(20) { 10 } else { 50 };
            let until = Instant::now() + Duration::from_millis(pause);
            while let Ok(alike) = tokio::time::timeout_at(until, digest.next()).await {
                lines += alike.len();
                told += alike.iter().map(|alike| alike.count).sum::<u64>();
            }
        }
        told += digest.rest().iter().map(|alike| alike.count).sum::<u64>();
        assert!((7..=10).contains(&lines), "{lines} lines in ten minutes");
        assert!(told > 10_000, "every event is counted: {told}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_certificates_are_told_one_by_one() {
        let digest = Digest::default();
        for minute in 0..10 {
            for name in ["a", "b", "c"] {
                assert!(digest.passes(&failed(name, "r:80")), "{minute} {name}");
            }
            assert!(digest.passes(&failed("d", "other:80")));
            let minute = Instant::now() + Duration::from_secs(61);
            assert!(tokio::time::timeout_at(minute, digest.next()).await.is_err());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn events_that_are_told_together_name_some_and_count_all() {
        let digest = Digest::default();
        let passed = (0..10).filter(|number| digest.passes(&failed(&format!("{number}.example"), "r:80"))).count();
        let alike = digest.next().await;
        let text: Vec<String> = alike.iter().map(ToString::to_string).collect();
        assert_eq!((passed, text.len()), (5, 1));
        let text = text.concat();
        assert!(
            text.starts_with("5 more certificates (5.example, 6.example, 7.example, …): renewal failed (1×): no"),
            "{text}"
        );
        for _ in 0..3 {
            assert!(!digest.passes(&failed("x", "r:80")));
        }
        let rest: Vec<String> = digest.rest().iter().map(ToString::to_string).collect();
        assert!(rest.len() == 1 && rest.concat().starts_with("x, 3 times more: renewal failed"), "{rest:?}");
        // A revocation is always told, and so is what concerns no certificate.
        let mut revoked = failed("x", "r:80");
        let status = crate::ocsp::CertStatus::Revoked { at: Timestamp::from_unix(0), reason: None };
        revoked.kind = EventKind::Revoked { status, again: Timestamp::from_unix(60) };
        assert!((0..20).all(|_| digest.passes(&revoked)));
    }
}
