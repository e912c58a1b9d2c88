//! Responders: how many requests each gets at once, whether it is down, and by which method and hash it answers.

mod record;

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio::time::Instant;

use crate::certificate::Certificate;
use crate::chain::CertChain;
use crate::event::facts::host_of;
use crate::event::faults::Failing;
use crate::exchange::inquiry::Habits;
use crate::fetch::Method;
use crate::memo::Memo;
use crate::overrides::ResponderOverrides;
use crate::reason::ReasonCode;
use crate::task::{Queue, Subject};
use crate::time::Timestamp;

use record::Record;
pub(crate) use record::Snapshot;

/// How many requests a responder gets at once before it has ever answered.
const FIRST_SLOTS: usize = 1;
/// How long the first request of such a responder may take before it gets one more: the certificate that was asked about
/// first may be the only one for which it hangs. A dead responder takes up no more than these two.
const FIRST_PATIENCE: Duration = Duration::from_secs(2);
/// How many failures in a row open the breaker.
const BREAKER_FAILURES: u32 = 8;
/// How long the breaker stays open at first. The time doubles with each failed probe.
const BREAKER_FIRST: Duration = Duration::from_secs(10);
/// How long the breaker stays open at most.
const BREAKER_CAP: Duration = Duration::from_secs(300);
/// How long a responder at which GET failed is asked by POST. After that, one request uses GET again: caches answer only
/// GET, and the cause of the failure may have been a proxy or cache that is gone.
const METHOD_MEMORY: Duration = Duration::from_secs(86_400);
/// How long that one request may take before another GET is tried.
const METHOD_PROBE: Duration = Duration::from_secs(600);
/// How many responders are remembered. With more, unused ones are forgotten.
const MAX_REMEMBERED: usize = 16_384;
/// How many queues there are for responders. With more responders, some share one.
const MAX_QUEUES: usize = 1024;

/// All responders.
pub(crate) struct Responders {
    overrides: ResponderOverrides,
    per_responder: usize,
    rate: Option<NonZeroU32>,
    known: Mutex<Known>,
    queues: Mutex<Queues>,
    opened: mpsc::UnboundedSender<Queue>,
}

/// The responders that are remembered.
#[derive(Debug, Default)]
struct Known {
    by_host: HashMap<String, Arc<Responder>>,
    /// The responders again, by the URLs that are asked: few certificates have a URL of their own, and URLs take long to parse.
    by_url: Memo<Box<str>, Arc<Responder>>,
}

/// The queues that came into use.
#[derive(Debug, Default)]
struct Queues {
    by_name: HashMap<String, Queue>,
    /// The queues again, by the first URL that is asked for a certificate.
    by_url: Memo<Box<str>, Queue>,
}

/// One responder: a host and port.
#[derive(Debug)]
pub(crate) struct Responder {
    slots: Semaphore,
    /// The shortest time between the starts of two requests.
    pause: Option<Duration>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// When the next request may start.
    next: Option<Instant>,
    granted: usize,
    limit: usize,
    failures: u32,
    open_until: Option<Timestamp>,
    openings: u32,
    /// The certificates whose renewals found the breaker open, and the queues of these renewals.
    waiting: HashMap<Subject, Queue>,
    /// When one of the waiting renewals probes the responder.
    probe_at: Option<Timestamp>,
    habits: Habits,
    /// Until when the remembered method is used without a probe.
    method_until: Option<Instant>,
    record: Record,
}

impl Responders {
    /// No responder yet. Each gets at most `per_responder` requests at once, and `rate` a second. Queues that come into use
    /// are sent to `opened`.
    pub(crate) fn new(
        overrides: ResponderOverrides,
        per_responder: usize,
        rate: Option<NonZeroU32>,
        opened: mpsc::UnboundedSender<Queue>,
    ) -> Self {
        Responders {
            overrides,
            per_responder: per_responder.max(1),
            rate,
            known: Mutex::default(),
            queues: Mutex::default(),
            opened,
        }
    }

    /// The URLs of a certificate's responders.
    pub(crate) fn urls_of(&self, certificate: &Certificate) -> Vec<String> {
        self.overrides.urls_of(certificate)
    }

    /// Whether stapling is turned off for a certificate.
    pub(crate) fn is_off(&self, certificate: &Certificate) -> bool {
        self.overrides.is_off(certificate)
    }

    /// The queue of a certificate's renewals, by its first responder.
    pub(crate) fn queue_for(&self, chain: &CertChain) -> Queue {
        let urls = self.urls_of(chain.end_entity());
        let first = urls.first().map(String::as_str).unwrap_or_default();
        let queues = || self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = queues().by_url.get(first) {
            return queue;
        }
        let host_of_first = host_of(first);
        let is_by_first = host_of_first.is_some();
        let host = host_of_first.or_else(|| urls.iter().find_map(|url| host_of(url))).unwrap_or_default();
        let mut queues = queues();
        let queue = self.queue_of(host, &mut queues.by_name);
        if is_by_first {
            queues.by_url.insert(first, queue.clone());
        }
        queue
    }

    fn queue_of(&self, host: String, queues: &mut HashMap<String, Queue>) -> Queue {
        if let Some(queue) = queues.get(&host) {
            return queue.clone();
        }
        let name = if queues.len() < MAX_QUEUES {
            host
        } else {
            // Any hash function will do.
            let sum = host.bytes().fold(0usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
            format!("shared-{}", sum % 64)
        };
        if let Some(queue) = queues.get(&name) {
            return queue.clone();
        }
        let queue = crate::queues::renew(&name);
        queues.insert(name, queue.clone());
        // The receiver closes only when the stapler ends.
        let _ = self.opened.send(queue.clone());
        queue
    }

    /// Whether a certificate has this responder: a host with or without a port, or a URL.
    pub(crate) fn is_asked(&self, chain: &CertChain, responder: &str) -> bool {
        let responder = host_of(responder).unwrap_or_else(|| responder.to_ascii_lowercase());
        self.urls_of(chain.end_entity())
            .iter()
            .filter_map(|url| host_of(url))
            .any(|host| host == responder || host.rsplit_once(':').is_some_and(|(name, _)| name == responder))
    }

    /// The hosts of a certificate's responders, each once.
    pub(crate) fn hosts_of(&self, chain: &CertChain) -> BTreeSet<String> {
        self.urls_of(chain.end_entity()).iter().filter_map(|url| host_of(url)).collect()
    }

    /// The state of each responder that was asked.
    pub(crate) fn snapshots(&self) -> HashMap<String, Snapshot> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).by_host.clone();
        known.into_iter().map(|(host, responder)| (host, responder.snapshot())).collect()
    }

    /// Closes the breakers of a certificate's responders for the next request.
    pub(crate) fn ask_again(&self, chain: &CertChain) {
        for responder in self.urls_of(chain.end_entity()).iter().filter_map(|url| self.at(url)) {
            responder.reopen();
        }
    }

    /// The responder at this URL. `None` if the URL cannot be asked.
    pub(crate) fn at(&self, url: &str) -> Option<Arc<Responder>> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(responder) = known().by_url.get(url) {
            return Some(responder);
        }
        let host = host_of(url)?;
        let mut known = known();
        if known.by_host.len() >= MAX_REMEMBERED && !known.by_host.contains_key(&host) {
            known.by_url.clear();
            known.by_host.retain(|_, responder| Arc::strong_count(responder) > 1);
        }
        let new = || Arc::new(Responder::new(self.per_responder, self.rate));
        let responder = Arc::clone(known.by_host.entry(host).or_insert_with(new));
        known.by_url.insert(url, Arc::clone(&responder));
        Some(responder)
    }
}

impl Responder {
    fn new(limit: usize, rate: Option<NonZeroU32>) -> Self {
        let granted = FIRST_SLOTS.min(limit);
        Responder {
            slots: Semaphore::new(granted),
            pause: rate.map(|rate| Duration::from_secs(1) / rate.get()),
            state: Mutex::new(State {
                next: None,
                granted,
                limit,
                failures: 0,
                open_until: None,
                openings: 0,
                waiting: HashMap::new(),
                probe_at: None,
                habits: Habits::default(),
                method_until: None,
                record: Record::default(),
            }),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a slot at this responder. A renewal keeps it for all its requests: otherwise the first requests of all other
    /// renewals would come before its second one.
    pub(crate) async fn slot(&self) -> Option<SemaphorePermit<'_>> {
        if let Ok(slot) = tokio::time::timeout(FIRST_PATIENCE, self.slots.acquire()).await {
            return slot.ok();
        }
        self.allow_second();
        self.slots.acquire().await.ok()
    }

    /// Allows a second request at once to a responder that has never answered.
    fn allow_second(&self) {
        let mut state = self.state();
        if state.granted == FIRST_SLOTS && state.granted < state.limit {
            state.granted += 1;
            self.slots.add_permits(1);
        }
    }

    /// Waits until the rate allows another request.
    pub(crate) async fn turn(&self) {
        if let Some(pause) = self.pause {
            let moment = {
                let mut state = self.state();
                let now = Instant::now();
                let moment = state.next.map_or(now, |next| next.max(now));
                state.next = Some(moment + pause);
                moment
            };
            tokio::time::sleep_until(moment).await;
        }
    }

    /// Checks the breaker. After the instant in the error, one request goes out as a probe; other renewals
    /// [wait](Self::wait) for its result.
    pub(crate) fn check(&self, now: Timestamp) -> Result<(), Timestamp> {
        let mut state = self.state();
        match state.open_until {
            // A later instant than is ever set comes from a clock that was ahead.
            Some(until) if now < until && until <= now + BREAKER_CAP => Err(until),
            Some(_) => {
                state.open_until = Some(now + BREAKER_FIRST);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Closes the breaker for the next request. Another failure opens it again.
    pub(crate) fn reopen(&self) {
        self.state().open_until = None;
    }

    /// Whether its last request failed. Requests to such responders share half of the slots, so that there is always room
    /// for responders that answer.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.state().failures > 0
    }

    /// Records a renewal that found the breaker open. Returns the time of the probe if this renewal is the one that probes;
    /// the others wait for its result.
    pub(crate) fn wait(&self, queue: &Queue, subject: &Subject, now: Timestamp) -> Option<Timestamp> {
        let mut state = self.state();
        // A later instant than is ever set comes from a clock that was ahead.
        let until = state.open_until?.min(now + BREAKER_CAP);
        state.waiting.insert(subject.clone(), queue.clone());
        // The certificate that was to probe may be gone.
        let is_seen_to = state.probe_at.is_some_and(|at| now < at && at <= now + BREAKER_CAP);
        if is_seen_to {
            return None;
        }
        state.probe_at = Some(until);
        Some(until)
    }

    /// Whether a certificate still waits.
    pub(crate) fn awaits(&self, subject: &Subject) -> bool {
        self.state().waiting.contains_key(subject)
    }

    /// Ends the wait of a certificate that is renewed now.
    pub(crate) fn turn_of(&self, subject: &Subject) {
        let mut state = self.state();
        // Almost always nobody waits, and a removal hashes the subject even then.
        if !state.waiting.is_empty() {
            state.waiting.remove(subject);
        }
    }

    /// Records how long an exchange took.
    pub(crate) fn took(&self, took: Duration) {
        self.state().record.took = Some(took);
    }

    /// Records an answer that is believed.
    pub(crate) fn believed(&self, now: Timestamp) {
        self.state().record.success = Some(now);
    }

    /// Records a question without a believed answer.
    pub(crate) fn refused(&self, code: ReasonCode, what: String, now: Timestamp) {
        self.state().record.error = Some(Failing { code, what, since: now });
    }

    fn snapshot(&self) -> Snapshot {
        let state = self.state();
        Snapshot {
            record: state.record.clone(),
            failures: state.failures,
            open_until: state.open_until.filter(|_| state.failures >= BREAKER_FAILURES),
            under_way: state.granted.saturating_sub(self.slots.available_permits()),
            waiting: state.waiting.len(),
        }
    }

    /// Records an answer of any kind: the breaker closes, and more requests are allowed at once. Returns the renewals that
    /// waited.
    pub(crate) fn answered(&self) -> HashMap<Subject, Queue> {
        let mut state = self.state();
        state.failures = 0;
        state.openings = 0;
        state.open_until = None;
        state.probe_at = None;
        let more = state.granted.min(state.limit - state.granted);
        state.granted += more;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        self.slots.add_permits(more);
        waiting
    }

    /// Records a request without an answer.
    pub(crate) fn failed(&self, now: Timestamp) {
        let mut state = self.state();
        state.failures = state.failures.saturating_add(1);
        if state.failures >= BREAKER_FAILURES {
            let pause = BREAKER_FIRST.saturating_mul(2u32.saturating_pow(state.openings)).min(BREAKER_CAP);
            if state.open_until.is_none_or(|until| until < now + pause) {
                state.open_until = Some(now + pause);
                state.openings = state.openings.saturating_add(1);
            }
        }
    }

    /// The method and hash that brought answers. From time to time one caller gets no method, and so tries GET again.
    pub(crate) fn habits(&self) -> Habits {
        let mut state = self.state();
        let mut habits = state.habits;
        let now = Instant::now();
        if state.method_until.is_some_and(|until| until <= now) {
            state.method_until = Some(now + METHOD_PROBE);
            habits.method = None;
        }
        habits
    }

    /// Remembers the hash and the method that a believed answer to a request by this method confirms.
    pub(crate) fn remember(&self, learnt: Habits, by: Method) {
        let mut state = self.state();
        state.habits.hash = learnt.hash.or(state.habits.hash);
        if learnt.method.is_some() {
            state.habits.method = learnt.method;
            state.method_until = Some(Instant::now() + METHOD_MEMORY);
        } else if by == Method::Get {
            state.habits.method = None;
            state.method_until = None;
        }
    }

    /// Forgets the method after it brought no answer.
    pub(crate) fn forget_method(&self) {
        let mut state = self.state();
        state.habits.method = None;
        state.method_until = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn slots_grow_with_answers_up_to_the_limit() {
        let responder = Responder::new(32, None);
        assert_eq!(responder.slots.available_permits(), 1);
        for expected in [2, 4, 8, 16, 32, 32] {
            responder.answered();
            assert_eq!(responder.slots.available_permits(), expected);
        }
        assert_eq!(Responder::new(1, None).slots.available_permits(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_responder_that_never_answered_gets_a_second_request_after_a_while_and_no_third() {
        let responder = Responder::new(32, None);
        let _first = responder.slot().await.unwrap();
        let begun = Instant::now();
        let _second = responder.slot().await.unwrap();
        assert_eq!(begun.elapsed(), FIRST_PATIENCE);
        assert!(tokio::time::timeout(Duration::from_secs(600), responder.slot()).await.is_err(), "a third request");

        let responder = Responder::new(1, None);
        let _only = responder.slot().await.unwrap();
        assert!(tokio::time::timeout(Duration::from_secs(600), responder.slot()).await.is_err(), "its limit is one");
    }

    #[tokio::test(start_paused = true)]
    async fn requests_keep_the_rate() {
        let responder = Responder::new(32, NonZeroU32::new(4));
        responder.answered();
        let begun = Instant::now();
        for number in 0..8 {
            responder.turn().await;
            assert_eq!(begun.elapsed().as_millis().div_ceil(250), number);
        }
        // Unused requests do not accumulate.
        tokio::time::sleep(Duration::from_secs(60)).await;
        let begun = Instant::now();
        responder.turn().await;
        responder.turn().await;
        assert!(begun.elapsed() >= Duration::from_millis(250));
    }

    #[test]
    fn the_breaker_opens_probes_and_closes() {
        let responder = Responder::new(32, None);
        let start = Timestamp::from_unix(1_800_000_000);
        for _ in 0..BREAKER_FAILURES {
            assert_eq!(responder.check(start), Ok(()));
            responder.failed(start);
        }
        let until = responder.check(start).unwrap_err();
        assert_eq!(until, start + BREAKER_FIRST);
        assert_eq!(responder.check(until), Ok(()), "one probe");
        assert!(responder.check(until).is_err(), "and only one");
        responder.failed(until);
        assert!(responder.check(until + BREAKER_FIRST).is_err(), "open for longer after a failed probe");
        let later = until + BREAKER_CAP;
        assert_eq!(responder.check(later), Ok(()));
        let (queue, subject) = (Queue::new("renew/x"), Subject::new("y"));
        let other = Subject::new("z");
        let probed = responder.wait(&queue, &subject, later).expect("a moment");
        assert_eq!(responder.check(later), Err(probed));
        assert_eq!(responder.wait(&queue, &other, later), None, "one is enough");
        responder.turn_of(&other);
        assert!(responder.wait(&queue, &subject, probed).is_some(), "the certificate that was to probe did not ask");
        assert!(responder.awaits(&subject));
        let waiting: Vec<_> = responder.answered().into_iter().collect();
        assert_eq!(waiting, [(subject.clone(), queue.clone())]);
        assert!(!responder.awaits(&subject));
        assert_eq!(responder.wait(&queue, &subject, later), None, "it has answered");
        assert!(!responder.awaits(&subject));
        assert!(responder.answered().is_empty());

        for _ in 0..BREAKER_FAILURES {
            responder.failed(later);
        }
        assert!(responder.wait(&queue, &subject, later).is_some());
        responder.turn_of(&subject);
        assert!(responder.answered().is_empty(), "another renewal asked about the certificate");
        assert_eq!(responder.check(later), Ok(()));
        assert_eq!(responder.check(later), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn get_is_tried_again_after_a_day_and_by_one_at_a_time() {
        let responder = Responder::new(32, None);
        let post = Some(Method::Post);
        let mut learnt = Habits::default();
        learnt.method = post;
        responder.remember(learnt, Method::Post);
        responder.remember(Habits::default(), Method::Post);
        tokio::time::sleep(METHOD_MEMORY - Duration::from_secs(1)).await;
        assert_eq!(responder.habits().method, post);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!((responder.habits().method, responder.habits().method), (None, post), "one question is a GET");
        tokio::time::sleep(METHOD_PROBE).await;
        assert_eq!(responder.habits().method, None, "the last probe brought no answer");
        responder.remember(Habits::default(), Method::Get);
        assert_eq!((responder.habits().method, responder.habits().method), (None, None), "GET is right again");
        responder.remember(learnt, Method::Post);
        responder.forget_method();
        assert_eq!(responder.habits().method, None);
    }

    #[test]
    fn hosts_with_different_ports_differ() {
        assert_eq!(host_of("http://A.example/ocsp").unwrap(), "a.example:80");
        assert_eq!(host_of("https://a.example:8443").unwrap(), "a.example:8443");
        for url in ["http://a.example:99999/", "ldap://a.example/", "http:///", "nonsense"] {
            assert_eq!(host_of(url), None, "{url}");
        }
    }
}
