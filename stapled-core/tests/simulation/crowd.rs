//! Simulations of many certificates, in which only time brings faults: a thousand certificates over a year, and the
//! spread of their renewals.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use stapled_ca::ocsp::{OcspRequest, ResponseBuilder};
use stapled_ca::{Authority, Key, KeyType, Profile};
use stapled_core::chain::CertChain;
use stapled_core::clock::Clock;
use stapled_core::clock::simulated::SimulatedClock;
use stapled_core::fetch::{Answer, FetchError, OcspFetcher, Question};
use stapled_core::refresh::RefreshPolicy;
use stapled_core::sink::{Delivered, SinkError, Site, StapleSink};
use stapled_core::source::{CertSource, Scan, Sighting, SourceError, Version};
use stapled_core::staple::Staple;
use stapled_core::stapler::{Stapler, StaplerBuilder};
use stapled_core::time::Timestamp;

use crate::pool::START;
use crate::random::Random;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

struct Crowd {
    authority: Authority,
    files: Vec<(String, String)>,
    validity: Duration,
    clock: Arc<SimulatedClock>,
    /// The number of questions in each minute since the start.
    asked: Mutex<BTreeMap<u64, usize>>,
    /// The staple of each certificate, and its end.
    serves: Mutex<HashMap<String, (Bytes, Timestamp)>>,
    /// The responses that were served before the stapler started.
    keeps: Mutex<HashMap<String, Bytes>>,
    began: tokio::time::Instant,
}

#[derive(Clone)]
struct Shared(Arc<Crowd>);

impl Crowd {
    /// A crowd of this many certificates. The URL of each is made from its number.
    fn of(count: usize, validity: Duration, clock: SimulatedClock, url: impl Fn(usize) -> String) -> Shared {
        let authority = Authority::root("Crowded CA").key(KeyType::EcdsaP256).create().unwrap();
        let key = Arc::new(Key::generate(KeyType::EcdsaP256).unwrap());
        let file = |number: usize| {
            let profile = Profile::server(&format!("{number}.test"))
                .existing_key(key.clone())
                .valid_between(START.unix() - 86_400, START.unix() + 800 * 86_400)
                .ocsp_url(url(number));
            let issued = authority.issue(&profile).unwrap();
            (number.to_string(), format!("{}{}", issued.certificate_pem(), authority.certificate_pem()))
        };
        Shared(Arc::new(Crowd {
            files: (0..count).map(file).collect(),
            authority,
            validity,
            clock: Arc::new(clock),
            asked: Mutex::default(),
            serves: Mutex::default(),
            keeps: Mutex::default(),
            began: tokio::time::Instant::now(),
        }))
    }
}

impl Shared {
    fn builder(&self) -> StaplerBuilder {
        let crowd = &self.0;
        Stapler::builder()
            .source(self.clone())
            .sink(self.clone())
            .fetcher(self.clone())
            .shared_clock(crowd.clock.clone())
            .chance(Random::new(1, 1))
            .refresh_policy(half_life())
    }

    fn start(&self, builder: StaplerBuilder) {
        tokio::spawn(builder.build().unwrap().run(std::future::pending()));
    }

    /// The number of certificates with a fresh staple.
    fn fresh(&self) -> usize {
        let now = self.0.clock.now();
        self.0.serves.lock().unwrap().values().filter(|(_, expires)| *expires > now).count()
    }

    fn questions(&self) -> usize {
        self.0.asked.lock().unwrap().values().sum()
    }

    /// The most questions in any minute since then.
    fn busiest_minute_since(&self, since: Duration) -> usize {
        self.0.asked.lock().unwrap().range(since.as_secs() / 60..).map(|(_, count)| *count).max().unwrap_or(0)
    }
}

#[async_trait]
impl CertSource for Shared {
    async fn scan(&self) -> Result<Scan, SourceError> {
        let sighting =
            |(name, pem): &(String, String)| Sighting::bytes(name.as_str(), pem.as_bytes(), Version::new(*b"always"));
        Ok(Scan::of(self.0.files.iter().map(sighting)))
    }
}

#[async_trait]
impl OcspFetcher for Shared {
    async fn fetch(&self, question: &Question<'_>) -> Result<Answer, FetchError> {
        *self.0.asked.lock().unwrap().entry(self.0.began.elapsed().as_secs() / 60).or_default() += 1;
        let url = question.url.to_owned();
        if url.contains("dead") {
            tokio::time::sleep(15 * SECOND).await;
            return Err(FetchError::TimedOut { url, after: 15 * SECOND });
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        let request = OcspRequest::from_der(question.request.as_der()).unwrap();
        let now = self.0.clock.now();
        let response = ResponseBuilder::new(&self.0.authority)
            .good(&request.cert_ids[0])
            .this_update(now.unix())
            .next_update((now + self.0.validity).unix());
        Ok(Answer::new(response.build().unwrap()))
    }
}

#[async_trait]
impl StapleSink for Shared {
    async fn deliver(&self, staple: &Staple, _: &[Site]) -> Result<Delivered, SinkError> {
        let name = staple.chain().end_entity().name().to_owned();
        self.0.serves.lock().unwrap().insert(name, (staple.response().clone(), staple.expires()));
        Ok(Delivered::Confirmed)
    }

    async fn recall(&self, chain: &CertChain, _: &[Site]) -> Option<Bytes> {
        self.0.keeps.lock().unwrap().get(chain.end_entity().name()).cloned()
    }
}

/// The policy without an effective maximum interval, for the rules that apply within it.
fn half_life() -> RefreshPolicy {
    let mut policy = RefreshPolicy::default();
    policy.maximum_interval = 1000 * DAY;
    policy
}

fn one_responder(_: usize) -> String {
    "http://ocsp.test/".to_owned()
}

/// The number of certificates. Unoptimised builds check signatures slowly, so they use fewer.
fn count(full: usize, optimised: usize, unoptimised: usize) -> usize {
    match std::env::var("STAPLED_PROVE") {
        _ if cfg!(debug_assertions) => unoptimised,
        Ok(much) if much == "full" => full,
        _ => optimised,
    }
}

#[tokio::test(start_paused = true)]
async fn a_year_of_a_thousand_certificates_passes_in_seconds_without_a_gap() {
    let count = count(1000, 1000, 50);
    let clock = SimulatedClock::starting_at(START).sleeping_up_to(6 * HOUR);
    let crowd = Crowd::of(count, 7 * DAY, clock, |number| format!("http://ocsp{}.test/", number % 10));
    let began = Instant::now();
    crowd.start(crowd.builder().rescan_interval(DAY));
    tokio::time::sleep(5 * MINUTE).await;
    for _ in 0..365 * 4 {
        assert_eq!(crowd.fresh(), count);
        tokio::time::sleep(6 * HOUR).await;
    }
    println!("a year of {count} certificates: {:.1} s, {} questions", began.elapsed().as_secs_f64(), crowd.questions());
    // A renewal at half of a week's validity, up to a twentieth earlier.
    let each = crowd.questions() / count;
    assert!((104..=112).contains(&each), "each was asked for {each} times");
}

#[tokio::test(start_paused = true)]
async fn what_was_fetched_together_is_not_renewed_together() {
    let count = count(100_000, 5000, 300);
    let clock = SimulatedClock::starting_at(START).sleeping_up_to(HOUR);
    let crowd = Crowd::of(count, 4 * DAY, clock, one_responder);
    crowd.start(crowd.builder().rescan_interval(DAY));
    tokio::time::sleep(DAY).await;
    assert_eq!((crowd.questions(), crowd.fresh()), (count, count), "without a staple nobody waits");
    tokio::time::sleep(DAY + HOUR).await;
    assert_eq!((crowd.questions(), crowd.fresh()), (2 * count, count));
    // The certificates were fetched within minutes. Their renewals are spread over a twentieth of two days.
    let most = crowd.busiest_minute_since(DAY);
    assert!(most * 144 <= 2 * count + 20 * 144, "{most} of {count} in one minute");
}

#[tokio::test(start_paused = true)]
async fn at_an_hour_a_crowd_is_a_steady_stream_of_questions_after_a_restart_too() {
    let count = count(100_000, 5000, 300);
    let clock = SimulatedClock::starting_at(START).sleeping_up_to(HOUR);
    let crowd = Crowd::of(count, 4 * DAY, clock, one_responder);
    let builder = || crowd.builder().refresh_policy(RefreshPolicy::default()).rescan_interval(DAY);
    // A minute's share of an hour, a quarter more where the first of one round meet the last of the round before, and the random
    // deviation.
    let share = count / 60 * 5 / 4;
    let most = share + 5 * (share as f64).sqrt() as usize;
    let first = builder().build().unwrap();
    first.run(tokio::time::sleep(2 * HOUR + 30 * MINUTE)).await;
    let asked = crowd.questions();
    // The first question, then one at any time within the hour, then one every hour or up to a twentieth earlier: 3.55
    // questions.
    assert!((count * 33 / 10..count * 38 / 10).contains(&asked), "{asked} of {count}");
    let begun = Duration::from_secs(60 + count as u64 / 300);
    assert!(crowd.busiest_minute_since(begun) <= most, "{} of {count}", crowd.busiest_minute_since(begun));
    *crowd.0.keeps.lock().unwrap() =
        crowd.0.serves.lock().unwrap().drain().map(|(name, (response, _))| (name, response)).collect();
    // Every staple is in service at once, without any question at the start.
    crowd.start(builder());
    tokio::time::sleep(MINUTE).await;
    assert_eq!(crowd.fresh(), count);
    tokio::time::sleep(3 * HOUR).await;
    let again = crowd.0.began.elapsed() - 3 * HOUR - MINUTE;
    assert!(crowd.busiest_minute_since(again) <= most * 2, "{} of {count}", crowd.busiest_minute_since(again));
    let questions = crowd.questions() - asked;
    assert!((count * 28 / 10..count * 42 / 10).contains(&questions), "{questions} of {count}");
}

#[tokio::test(start_paused = true)]
async fn what_falls_due_while_the_machine_sleeps_is_spread_and_in_time() {
    let count = count(100_000, 5000, 300);
    let crowd = Crowd::of(count, 4 * DAY, SimulatedClock::starting_at(START), one_responder);
    crowd.start(crowd.builder().rescan_interval(DAY));
    tokio::time::sleep(HOUR).await;
    assert_eq!((crowd.questions(), crowd.fresh()), (count, count));
    crowd.0.clock.set(crowd.0.clock.now() + 3 * DAY);
    tokio::time::sleep(HOUR + MINUTE).await;
    assert_eq!((crowd.questions(), crowd.fresh()), (2 * count, count), "all, within the hour");
    let most = crowd.busiest_minute_since(HOUR);
    assert!(most * 60 <= 2 * count + 20 * 60, "{most} of {count} in one minute");
    // With ended staples, there is nothing to wait for.
    crowd.0.clock.set(crowd.0.clock.now() + 30 * DAY);
    tokio::time::sleep(Duration::from_secs(30 + count as u64 / 300)).await;
    assert_eq!((crowd.questions(), crowd.fresh()), (3 * count, count));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_crowd_of_dead_responders() {
    // Of forty responders, all but two are down, and each has a queue of certificates.
    let url = |number: usize| match number % 40 {
        0 | 1 => format!("http://alive{}.test/", number % 40),
        dead => format!("http://dead{dead}.test/"),
    };
    let crowd = Crowd::of(800, 20 * MINUTE, SimulatedClock::starting_at(START), url);
    crowd.start(crowd.builder());
    tokio::time::sleep(45 * SECOND).await;
    assert_eq!(crowd.fresh(), 40);
    for _ in 0..300 {
        tokio::time::sleep(MINUTE).await;
        assert_eq!(crowd.fresh(), 40);
    }
}
