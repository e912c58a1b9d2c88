//! A small world in simulated time: a CA that answers or fails as a test says, a list of certificates, and a server
//! that remembers its deliveries.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use stapled_ca::ocsp::{HashAlgorithm, OcspRequest, ResponseBuilder, ResponseStatus};
use stapled_ca::{Authority, Issued, KeyType, Profile};
use stapled_core::chain::CertChain;
use stapled_core::clock::Clock;
use stapled_core::clock::simulated::SimulatedClock;
use stapled_core::event::{Event, Observer};
use stapled_core::fetch::{Answer, FetchError, Method, OcspFetcher, Question};
use stapled_core::inventory::Inventory;
use stapled_core::refresh::RefreshPolicy;
use stapled_core::sink::lost::{Change, Found};
use stapled_core::sink::{Delivered, Lost, Requirements, SinkError, Site, StapleSink, Withdrawal, Withdrawn};
use stapled_core::source::{CertSource, Scan, Sighting, SourceError, Version};
use stapled_core::staple::Staple;
use stapled_core::stapler::{Handle, Stapler, StaplerBuilder};
use stapled_core::task::Subject;
use stapled_core::time::Timestamp;
use tokio::sync::{Notify, watch};

pub(crate) const START: Timestamp = Timestamp::from_unix(1_800_000_000);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// The policy without an effective maximum interval, for the rules that apply within it.
pub(crate) fn half_life() -> RefreshPolicy {
    let mut policy = RefreshPolicy::default();
    policy.maximum_interval = 1000 * DAY;
    policy
}

/// The CA's treatment of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Good,
    /// The CA answers good, after five seconds.
    Slow,
    Revoked,
    Unknown,
    Down,
    Hang,
    Unauthorized,
    Garbage,
    Foreign,
    Panic,
    OnlySha256,
    OnlyPost,
    /// The CA asks every client to wait for ten days.
    Closed,
    Two,
    /// The CA does not know SHA-1, and asks clients with SHA-256 to wait for ten minutes.
    Wait,
}

pub(crate) struct Ca {
    pub(crate) authority: Authority,
    stranger: Authority,
    clock: Arc<dyn Clock>,
    pub(crate) mood: Mutex<Mood>,
    pub(crate) moods: Mutex<HashMap<String, Mood>>,
    pub(crate) validity: Mutex<Duration>,
    /// The age of the CA's answers, from thisUpdate. They are signed anew all the same.
    pub(crate) age: Mutex<Duration>,
    pub(crate) max_age: Mutex<Option<Duration>>,
    pub(crate) asked: AtomicUsize,
    pub(crate) log: Mutex<Vec<(Timestamp, String, Method)>>,
    pub(crate) last: Mutex<Option<Bytes>>,
    pub(crate) issuers: Mutex<BTreeMap<String, Vec<u8>>>,
    /// The answer of a cache in front of the CA.
    pub(crate) replay: Mutex<Option<Bytes>>,
}

impl Ca {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        let authority = |name| Authority::root(name).key(KeyType::EcdsaP256).create().unwrap();
        Arc::new(Ca {
            authority: authority("Simulated CA"),
            stranger: authority("Simulated CA"),
            clock,
            mood: Mutex::new(Mood::Good),
            moods: Mutex::default(),
            validity: Mutex::new(4 * DAY),
            age: Mutex::default(),
            max_age: Mutex::default(),
            asked: AtomicUsize::new(0),
            log: Mutex::default(),
            last: Mutex::default(),
            issuers: Mutex::default(),
            replay: Mutex::default(),
        })
    }

    pub(crate) fn profile(name: &str) -> Profile {
        Profile::server(name)
            .key(KeyType::EcdsaP256)
            .valid_between(START.unix() - 86_400, START.unix() + 800 * 86_400)
            .ocsp_url("http://ocsp.test/")
    }

    pub(crate) fn issue(&self, profile: Profile) -> Issued {
        self.authority.issue(&profile).unwrap()
    }

    pub(crate) fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl OcspFetcher for Ca {
    async fn fetch(&self, question: &Question<'_>) -> Result<Answer, FetchError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let now = self.clock.now();
        self.log.lock().unwrap().push((now, question.url.to_owned(), question.method));
        let url = question.url.to_owned();
        let mood = self.moods.lock().unwrap().get(question.url).copied().unwrap_or(*self.mood.lock().unwrap());
        if let Some(body) = self.replay.lock().unwrap().clone() {
            return Ok(Answer::new(body));
        }
        let request = OcspRequest::from_der(question.request.as_der()).unwrap();
        let id = &request.cert_ids[0];
        let at = now.unix();
        if mood == Mood::Slow {
            simulated(Duration::from_secs(5)).await;
        }
        let validity = self.validity.lock().unwrap().as_secs() as i64;
        let from = at - self.age.lock().unwrap().as_secs() as i64;
        let times = |builder: ResponseBuilder| builder.produced_at(at).this_update(from).next_update(from + validity);
        let build = |builder: ResponseBuilder| times(builder).build().unwrap();
        let plain = || ResponseBuilder::new(&self.authority);
        let body = match mood {
            Mood::Good | Mood::Slow => build(plain().good(id)),
            Mood::Revoked => build(plain().revoked(id, at - 60, None)),
            Mood::Unknown => build(plain().unknown(id)),
            Mood::Foreign => build(ResponseBuilder::new(&self.stranger).good(id)),
            Mood::Unauthorized => ResponseBuilder::error(ResponseStatus::Unauthorized),
            Mood::Garbage => b"<html>sorry</html>".to_vec(),
            Mood::Down => return Err(FetchError::Connect { url, why: "refused".to_owned() }),
            Mood::Hang => {
                simulated(Duration::from_secs(15)).await;
                return Err(FetchError::TimedOut { url, after: Duration::from_secs(15) });
            }
            Mood::Panic => panic!("a fetcher with a bug"),
            Mood::Two => {
                let other = self.authority.cert_id(&5.into(), HashAlgorithm::Sha1);
                times(plain()).good(id).good(&other).build().unwrap()
            }
            Mood::OnlySha256 if id.hash() == Some(HashAlgorithm::Sha256) => build(plain().good(id)),
            Mood::OnlySha256 => ResponseBuilder::error(ResponseStatus::Unauthorized),
            Mood::Wait if id.hash() == Some(HashAlgorithm::Sha256) => {
                return Err(FetchError::Status { url, status: 503, retry_after: Some(10 * MINUTE) });
            }
            Mood::Wait => ResponseBuilder::error(ResponseStatus::Unauthorized),
            Mood::Closed => return Err(FetchError::Status { url, status: 503, retry_after: Some(10 * DAY) }),
            Mood::OnlyPost if question.method == Method::Post => build(plain().good(id)),
            Mood::OnlyPost => return Err(FetchError::Status { url, status: 405, retry_after: None }),
        };
        let body = Bytes::from(body);
        *self.last.lock().unwrap() = Some(body.clone());
        let max_age = *self.max_age.lock().unwrap();
        let mut answer = Answer::new(body);
        answer.max_age = max_age;
        Ok(answer)
    }

    async fn fetch_issuer(&self, url: &str, _: usize) -> Result<Bytes, FetchError> {
        let found = self.issuers.lock().unwrap().get(url).cloned();
        found.map(Bytes::from).ok_or(FetchError::Status { url: url.to_owned(), status: 404, retry_after: None })
    }
}

/// Certificates in a list, as a database has them.
#[derive(Default)]
pub(crate) struct List {
    rows: Mutex<BTreeMap<String, (Vec<u8>, u64)>>,
    changed: Notify,
    counter: AtomicUsize,
    pub(crate) panics: AtomicBool,
    /// Whether a scan does not end.
    pub(crate) hangs: watch::Sender<bool>,
    /// Whether the source gives no hints of changes.
    pub(crate) is_silent: AtomicBool,
}

impl List {
    pub(crate) fn put(&self, name: &str, pem: &str) {
        let version = self.counter.fetch_add(1, Ordering::SeqCst) as u64;
        self.rows.lock().unwrap().insert(name.to_owned(), (pem.as_bytes().to_vec(), version));
        self.changed.notify_one();
    }

    pub(crate) fn rename(&self, old: &str, new: &str) {
        let mut rows = self.rows.lock().unwrap();
        let row = rows.remove(old).unwrap();
        rows.insert(new.to_owned(), row);
        self.changed.notify_one();
    }

    pub(crate) fn remove(&self, name: &str) {
        self.rows.lock().unwrap().remove(name);
        self.changed.notify_one();
    }
}

/// A handle to an object that the stapler owns.
pub(crate) struct Shared<T>(pub(crate) Arc<T>);

#[async_trait]
impl CertSource for Shared<List> {
    async fn scan(&self) -> Result<Scan, SourceError> {
        assert!(!self.0.panics.load(Ordering::SeqCst), "a source with a bug");
        self.0.hangs.subscribe().wait_for(|hangs| !hangs).await.unwrap();
        let rows = self.0.rows.lock().unwrap();
        let sighting = |(name, (pem, version)): (&String, &(Vec<u8>, u64))| {
            Sighting::bytes(name.as_str(), pem.as_slice(), Version::new(version.to_be_bytes()))
        };
        Ok(Scan::of(rows.iter().map(sighting)))
    }

    async fn changed(&self) {
        self.0.changed.notified().await;
        if self.0.is_silent.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }
}

/// A response, its end, and the places for which it was delivered.
type Served = (Bytes, Timestamp, Vec<String>);

/// A server, with its served responses by name.
pub(crate) struct Server {
    clock: Arc<dyn Clock>,
    pub(crate) serves: Mutex<BTreeMap<String, Served>>,
    pub(crate) deliveries: AtomicUsize,
    pub(crate) withdrawals: Mutex<Vec<(String, Withdrawal)>>,
    pub(crate) broken: AtomicBool,
    pub(crate) hangs: AtomicBool,
    /// Whether the server executes commands without an answer.
    pub(crate) is_mute: AtomicBool,
    pub(crate) listening_panics: AtomicBool,
    pub(crate) slow: AtomicBool,
    pub(crate) refuses: AtomicBool,
    /// The certificates that were delivered, by name.
    subjects: Mutex<BTreeMap<String, Subject>>,
    restarted: Notify,
    losses: Mutex<Vec<Lost>>,
    pub(crate) keeps: Mutex<Option<Bytes>>,
    /// Whether what it keeps is in service.
    pub(crate) has: AtomicBool,
    pub(crate) looking_panics: AtomicBool,
    pub(crate) requirements: Requirements,
}

impl Server {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Server {
            clock,
            serves: Mutex::default(),
            deliveries: AtomicUsize::new(0),
            withdrawals: Mutex::default(),
            broken: AtomicBool::new(false),
            hangs: AtomicBool::new(false),
            is_mute: AtomicBool::new(false),
            listening_panics: AtomicBool::new(false),
            slow: AtomicBool::new(false),
            refuses: AtomicBool::new(false),
            subjects: Mutex::default(),
            restarted: Notify::new(),
            losses: Mutex::default(),
            keeps: Mutex::default(),
            has: AtomicBool::new(false),
            looking_panics: AtomicBool::new(false),
            requirements: Requirements::default(),
        }
    }

    pub(crate) fn response_of(&self, name: &str) -> Option<Bytes> {
        self.serves.lock().unwrap().get(name).map(|(response, ..)| response.clone())
    }

    /// Forgets everything, as after a restart.
    pub(crate) fn restart(&self) {
        self.serves.lock().unwrap().clear();
        self.tell(Lost::Everything);
    }

    /// Replaces or removes a staple, as another program does.
    pub(crate) fn change(&self, name: &str, found: Found) {
        self.serves.lock().unwrap().remove(name);
        self.tell(Lost::Changed(vec![Change::new(self.subject_of(name), found)]));
    }

    pub(crate) fn subject_of(&self, name: &str) -> Subject {
        self.subjects.lock().unwrap().get(name).expect("a delivery").clone()
    }

    pub(crate) fn tell(&self, lost: Lost) {
        self.losses.lock().unwrap().push(lost);
        self.restarted.notify_one();
    }
}

/// Work of a slow responder or server that takes this long: simulated time, for which the test does not wait.
async fn simulated(work: Duration) {
    tokio::time::sleep(work).await;
}

#[async_trait]
impl StapleSink for Shared<Server> {
    async fn deliver(&self, staple: &Staple, sites: &[Site]) -> Result<Delivered, SinkError> {
        self.0.deliveries.fetch_add(1, Ordering::SeqCst);
        if self.0.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if self.0.slow.load(Ordering::SeqCst) {
            simulated(Duration::from_secs(2)).await;
        }
        if self.0.refuses.load(Ordering::SeqCst) {
            return Err(SinkError::refused(stapled_core::reason::ReasonCode::new("refused"), "not this one"));
        }
        if self.0.broken.load(Ordering::SeqCst) {
            let code = stapled_core::reason::ReasonCode::new("connect_failed");
            return Err(SinkError::Unreachable { code, what: "the server is down".to_owned() });
        }
        // The main invariant: only a staple that is good now is delivered.
        assert!(staple.expires() > self.0.clock.now(), "delivered after its end");
        let name = staple.chain().end_entity().name().to_owned();
        self.0.subjects.lock().unwrap().insert(name.clone(), staple.chain().subject().clone());
        let names = sites.iter().map(|site| site.served_as.to_string()).collect();
        self.0.serves.lock().unwrap().insert(name, (staple.response().clone(), staple.expires(), names));
        if self.0.is_mute.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        Ok(Delivered::Confirmed)
    }

    fn requirements(&self) -> Requirements {
        self.0.requirements
    }

    async fn withdraw(&self, chain: &CertChain, _: &[Site], why: Withdrawal) -> Result<Withdrawn, SinkError> {
        if self.0.broken.load(Ordering::SeqCst) {
            let code = stapled_core::reason::ReasonCode::new("connect_failed");
            return Err(SinkError::Unreachable { code, what: "the server is down".to_owned() });
        }
        if self.0.slow.load(Ordering::SeqCst) {
            simulated(Duration::from_secs(2)).await;
        }
        let name = chain.end_entity().name().to_owned();
        self.0.serves.lock().unwrap().remove(&name);
        if self.0.is_mute.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.0.withdrawals.lock().unwrap().push((name, why));
        Ok(Withdrawn::Confirmed)
    }

    async fn recall(&self, _: &CertChain, _: &[Site]) -> Option<Bytes> {
        self.0.keeps.lock().unwrap().clone()
    }

    fn has_recalled(&self, staple: &Staple, sites: &[Site]) -> bool {
        assert!(!self.0.looking_panics.load(Ordering::SeqCst), "a sink with a bug");
        let has = self.0.has.load(Ordering::SeqCst) && self.0.keeps.lock().unwrap().as_ref() == Some(staple.response());
        if has {
            let names = sites.iter().map(|site| site.served_as.to_string()).collect();
            let name = staple.chain().end_entity().name().to_owned();
            self.0.serves.lock().unwrap().insert(name, (staple.response().clone(), staple.expires(), names));
        }
        has
    }

    async fn lost(&self) -> Lost {
        loop {
            if let Some(lost) = self.0.losses.lock().unwrap().pop() {
                return lost;
            }
            self.0.restarted.notified().await;
            assert!(!self.0.listening_panics.load(Ordering::SeqCst), "a sink with a bug");
        }
    }
}

#[derive(Default)]
pub(crate) struct Record(pub(crate) Mutex<Vec<Event>>);

impl Observer for Record {
    fn observe(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

impl Record {
    pub(crate) fn count(&self, name: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|event| event.kind.name() == name).count()
    }

    /// The reason codes of the events of this name.
    pub(crate) fn codes(&self, name: &str) -> Vec<String> {
        let events = self.0.lock().unwrap();
        let named = events.iter().filter(|event| event.kind.name() == name);
        named.filter_map(|event| event.kind.code()).map(|code| code.to_string()).collect()
    }
}

pub(crate) struct World {
    pub(crate) clock: Arc<SimulatedClock>,
    pub(crate) ca: Arc<Ca>,
    pub(crate) list: Arc<List>,
    pub(crate) server: Arc<Server>,
    pub(crate) record: Arc<Record>,
}

impl World {
    /// A world whose clock is never set. The stapler does not check for jumps, so that days pass sooner.
    pub(crate) fn new() -> Self {
        Self::with_clock(SimulatedClock::starting_at(START).sleeping_up_to(HOUR))
    }

    /// A world whose clock may be set.
    pub(crate) fn with_jumps() -> Self {
        Self::with_clock(SimulatedClock::starting_at(START))
    }

    pub(crate) fn with_clock(clock: SimulatedClock) -> Self {
        let clock = Arc::new(clock);
        World {
            ca: Ca::new(clock.clone()),
            list: Arc::default(),
            server: Arc::new(Server::new(clock.clone())),
            record: Arc::default(),
            clock,
        }
    }

    /// Adds a certificate with its issuer to the list.
    pub(crate) fn add(&self, name: &str) -> Issued {
        let issued = self.ca.issue(Ca::profile(name));
        self.list.put(name, &with_issuer(&issued, &self.ca));
        issued
    }

    pub(crate) fn builder(&self) -> StaplerBuilder {
        self.builder_without_server().sink(Shared(self.server.clone()))
    }

    pub(crate) fn builder_without_server(&self) -> StaplerBuilder {
        Stapler::builder()
            .source(Shared(self.list.clone()))
            .shared_fetcher(self.ca.clone())
            .shared_clock(self.clock.clone())
            .shared_observer(self.record.clone())
            .refresh_policy(half_life())
    }

    /// Starts the stapler, which stops with the test's runtime.
    pub(crate) fn start(&self) -> Arc<Inventory> {
        self.run(self.builder())
    }

    pub(crate) fn run(&self, builder: StaplerBuilder) -> Arc<Inventory> {
        self.run_with_handle(builder).inventory()
    }

    /// Starts the stapler, and returns its handle.
    pub(crate) fn run_with_handle(&self, builder: StaplerBuilder) -> Handle {
        let stapler = builder.build().unwrap();
        let handle = stapler.handle();
        tokio::spawn(stapler.run(std::future::pending()));
        handle
    }

    /// Lets this much simulated time pass.
    pub(crate) async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

pub(crate) fn with_issuer(issued: &Issued, ca: &Ca) -> String {
    format!("{}{}", issued.certificate_pem(), ca.authority.certificate_pem())
}
