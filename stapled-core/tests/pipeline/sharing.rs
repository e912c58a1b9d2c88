//! Tests of staplers that share the answers of their CA.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use stapled_core::event::Severity;
use stapled_core::fetch::{Answer, FetchError, OcspFetcher, Question};
use stapled_core::inventory::standing::Standing;
use stapled_core::reason::ReasonCode;
use stapled_core::refresh::RefreshPolicy;
use stapled_core::report::{Report, Reporter, Reporters};
use stapled_core::stapler::{Handle, Selection, Stapler};
use stapled_core::task::Subject;
use stapled_core::time::Timestamp;
use tokio::task::JoinHandle;

use crate::world::{DAY, HOUR, MINUTE, Mood, Server, Shared, World};

const SECOND: Duration = Duration::from_secs(1);

/// Answers of the CA, with the time of the question, kept for all staplers.
struct Store {
    world: Arc<World>,
    kept: Mutex<HashMap<Subject, (Bytes, Timestamp)>>,
    /// The limits of the age that questions had, and whether the store had an answer.
    asked: Mutex<Vec<(Option<Duration>, bool)>>,
    reporters: Reporters,
}

#[async_trait]
impl OcspFetcher for Store {
    async fn fetch(&self, question: &Question<'_>) -> Result<Answer, FetchError> {
        let now = self.world.now();
        let subject = question.chain.subject();
        let kept = self.kept.lock().unwrap().get(subject).cloned();
        let kept = kept.map(|(body, asked_at)| (body, now.since(asked_at)));
        let young = kept.filter(|(_, age)| question.max_age.is_none_or(|max_age| *age < max_age));
        self.asked.lock().unwrap().push((question.max_age, young.is_some()));
        if let Some((body, age)) = young {
            return Ok(Answer::new(body).age(age));
        }
        let answer = self.world.ca.fetch(question).await?;
        let kept = (answer.body.clone().unwrap(), now);
        self.kept.lock().unwrap().insert(subject.clone(), kept);
        Ok(answer)
    }

    fn report_to(&self, reporter: Reporter) {
        self.reporters.add(reporter);
    }
}

/// A stapler with a server of its own, that asks through the store.
struct Member {
    server: Arc<Server>,
    handle: Handle,
    running: JoinHandle<()>,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// Several staplers with one store, which have the same certificates.
struct Fleet {
    world: Arc<World>,
    store: Arc<Store>,
    members: Vec<Member>,
}

impl Fleet {
    async fn start(members: usize, certificates: usize) -> Self {
        let world = Arc::new(World::new());
        *world.ca.validity.lock().unwrap() = 30 * DAY;
        for number in 0..certificates {
            world.add(&format!("{number}.test"));
        }
        let (kept, asked, reporters) = (Mutex::default(), Mutex::default(), Reporters::new());
        let store = Arc::new(Store { world: Arc::clone(&world), kept, asked, reporters });
        let mut fleet = Fleet { world, store, members: Vec::new() };
        for _ in 0..members {
            fleet.join().await;
        }
        fleet
    }

    async fn join(&mut self) {
        let world = &self.world;
        let server = Arc::new(Server::new(world.clock.clone()));
        let stapler = Stapler::builder()
            .source(Shared(world.list.clone()))
            .sink(Shared(server.clone()))
            .fetcher(Arc::clone(&self.store))
            .shared_clock(world.clock.clone())
            .shared_observer(world.record.clone())
            .refresh_policy(RefreshPolicy::default())
            .build()
            .unwrap();
        let handle = stapler.handle();
        let running = tokio::spawn(stapler.run(std::future::pending()));
        self.members.push(Member { server, handle, running });
        self.world.pass(20 * SECOND).await;
    }

    fn serves_everywhere(&self, name: &str) -> bool {
        self.members.iter().all(|member| member.server.response_of(name).is_some())
    }
}

#[tokio::test(start_paused = true)]
async fn staplers_that_share_answers_ask_about_a_certificate_once_in_an_interval() {
    let fleet = Fleet::start(10, 40).await;
    fleet.world.pass(HOUR).await;
    // The first answers, their renewals at any time within the interval, and some that come early.
    assert!((80..=110).contains(&fleet.world.ca.asked()), "{}", fleet.world.ca.asked());
    let before = fleet.world.ca.asked();
    fleet.world.pass(DAY).await;
    let asked = fleet.world.ca.asked() - before;
    // Each certificate 24 times, or up to a twentieth more often.
    assert!((40 * 23..=40 * 26).contains(&asked), "{asked}");
    assert!(fleet.serves_everywhere("0.test"));
}

#[tokio::test(start_paused = true)]
async fn the_age_of_a_shared_answer_delays_no_revocation() {
    let fleet = Fleet::start(5, 1).await;
    fleet.world.pass(3 * HOUR + 20 * MINUTE).await;
    fleet.world.ca.set(Mood::Revoked);
    // As from a stapler alone: within the maximum interval.
    fleet.world.pass(HOUR + 2 * SECOND).await;
    for member in &fleet.members {
        assert!(member.server.response_of("0.test").is_none());
        assert!(matches!(member.handle.inventory().certificates()[0].standing, Standing::Revoked { .. }));
    }
    let asked = fleet.world.ca.asked();
    fleet.world.pass(10 * HOUR).await;
    assert!(fleet.world.ca.asked() - asked <= 12, "shared as well: {}", fleet.world.ca.asked() - asked);
}

#[tokio::test(start_paused = true)]
async fn a_stapler_that_joins_late_uses_the_answer_and_asks_in_time() {
    let mut fleet = Fleet::start(1, 1).await;
    fleet.world.pass(2 * HOUR).await;
    fleet.members.clear();
    let (last, ..) = fleet.world.ca.log.lock().unwrap().last().unwrap().clone();
    let asked = fleet.world.ca.asked();
    let rest = HOUR - fleet.world.now().since(last);
    fleet.join().await;
    assert_eq!(fleet.world.ca.asked(), asked, "the answer was kept");
    let next = fleet.members[0].handle.inventory().certificates()[0].next.unwrap();
    assert!(next <= last + HOUR + MINUTE, "{}", next.since(last).as_secs());
    fleet.world.pass(rest + MINUTE).await;
    assert!(fleet.world.ca.asked() > asked);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_on_request_asks_the_ca_itself() {
    let fleet = Fleet::start(2, 1).await;
    let asked = fleet.world.ca.asked();
    fleet.members[1].handle.renew(&Selection::All).await.unwrap();
    fleet.world.pass(SECOND).await;
    assert_eq!(fleet.world.ca.asked(), asked + 1);
    let (max_age, was_kept) = *fleet.store.asked.lock().unwrap().last().unwrap();
    assert_eq!((max_age, was_kept), (Some(Duration::ZERO), false));
}

#[tokio::test(start_paused = true)]
async fn what_a_fetcher_reports_reaches_the_observers() {
    let fleet = Fleet::start(1, 1).await;
    let report = Report::new(ReasonCode::new("store_failed"), Severity::Warning, "the store of answers is away");
    fleet.store.reporters.tell(report);
    assert_eq!(fleet.world.record.codes("store_failed"), ["store_failed"]);
}
