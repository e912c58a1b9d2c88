//! Simulated responders: right, wrong, slow, silent. The ledger records every answer and its correctness, without the
//! library's judgement.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use stapled_ca::ocsp::{HashAlgorithm, OcspRequest, ResponseBuilder, ResponseStatus, Signer};
use stapled_core::fetch::{Answer, FetchError, Method, OcspFetcher, Question};
use stapled_core::time::Timestamp;

use crate::pool::{Pool, RESPONDERS, number_in};
use crate::world::{World, injected_panic};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
/// The time that a real fetcher allows for one exchange.
const EXCHANGE: Duration = Duration::from_secs(15);

/// A responder's treatment of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Good,
    // ---- no answer
    Refuse,
    Hang,
    /// One byte each second: the deadline ends the exchange.
    Drip,
    Reset,
    EndlessHeaders,
    RedirectInCircles,
    Status(u16, Option<u64>),
    Panic,
    // ---- answers that must not be accepted
    TryLater,
    Unauthorized,
    Unknown,
    Garbage,
    Expired,
    Early,
    WrongSerial,
    Foreign,
    Corrupt,
    Sibling,
    EndedDelegate,
    NoNextUpdate,
    // ---- answers that are odd but true
    /// The oldest answer that has not ended, as from a cache.
    Stale,
    /// An answer that is valid for seconds or minutes.
    Brief,
    /// An answer signed by a delegate whose own validity ends soon.
    EndingDelegate,
    /// Caches may keep the answer for this many seconds.
    MaxAge(u64),
    OnlyPost,
    OnlySha256,
    Two,
    Slow,
    // ---- a random one of these for each question
    Flapping,
}

pub(crate) const MOODS: &[Mood] = &[
    Mood::Refuse,
    Mood::Hang,
    Mood::Drip,
    Mood::Reset,
    Mood::EndlessHeaders,
    Mood::RedirectInCircles,
    Mood::Status(503, Some(600)),
    Mood::Status(429, Some(3000)),
    Mood::Status(503, Some(1_000_000_000_000)),
    Mood::Status(500, None),
    Mood::Status(404, None),
    Mood::Panic,
    Mood::TryLater,
    Mood::Unauthorized,
    Mood::Unknown,
    Mood::Garbage,
    Mood::Expired,
    Mood::Early,
    Mood::WrongSerial,
    Mood::Foreign,
    Mood::Corrupt,
    Mood::Sibling,
    Mood::EndedDelegate,
    Mood::NoNextUpdate,
    Mood::Stale,
    Mood::Stale,
    Mood::Brief,
    Mood::Brief,
    Mood::EndingDelegate,
    Mood::EndingDelegate,
    Mood::MaxAge(10),
    Mood::MaxAge(30 * 86_400),
    Mood::MaxAge(u64::MAX),
    Mood::OnlyPost,
    Mood::OnlySha256,
    Mood::Two,
    Mood::Slow,
    Mood::Flapping,
    Mood::Flapping,
];

impl Mood {
    /// Whether its answers are accepted, or may be, without being the answers of a good responder.
    pub(crate) fn is_odd(self) -> bool {
        use Mood::*;
        matches!(self, Stale | Brief | EndingDelegate | MaxAge(_) | OnlyPost | OnlySha256 | Two | Slow | Flapping)
    }
}

/// An answer that was made, and its correctness.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) certificate: usize,
    /// Whether the answer says good and is right in everything except, perhaps, its times.
    pub(crate) is_good: bool,
    pub(crate) is_by_sha1: bool,
    pub(crate) this_update: Timestamp,
    /// The instant from which it must not be served: nextUpdate, or the end of the delegate that signed it.
    pub(crate) ends: Timestamp,
}

/// The subject of a question: the certificate, and the hash of its CertID.
type Asked = (usize, Option<HashAlgorithm>);

pub(crate) struct Responder {
    pub(crate) mood: Mutex<Mood>,
    pub(crate) validity: Mutex<Duration>,
    signs_by_delegate: bool,
    has_validators: bool,
    max_age: bool,
    open: AtomicUsize,
    /// The newest answers, by certificate and hash, with their validators.
    newest: Mutex<HashMap<Asked, (Bytes, String)>>,
}

pub(crate) struct Responders {
    pub(crate) all: Vec<Responder>,
    /// The answers that were given, by their bytes.
    pub(crate) ledger: Mutex<HashMap<Bytes, Made>>,
    /// All true answers about a certificate, the oldest first.
    history: Mutex<HashMap<Asked, Vec<Bytes>>>,
    /// For each certificate that was ever revoked: whether it is revoked now, and when that last changed.
    pub(crate) revoked: Mutex<HashMap<usize, (bool, Timestamp)>>,
    /// Whether the caIssuers URL of an authority answers.
    pub(crate) issuer_moods: Mutex<[IssuerMood; 2]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IssuerMood {
    Good,
    Missing,
    Wrong,
    Garbage,
    Hang,
    Panic,
}

pub(crate) const ISSUER_MOODS: &[IssuerMood] =
    &[IssuerMood::Missing, IssuerMood::Wrong, IssuerMood::Garbage, IssuerMood::Hang, IssuerMood::Panic];

impl Responders {
    pub(crate) fn new(random: &crate::random::Random) -> Self {
        let validities = [12 * MINUTE, HOUR, 3 * HOUR, 6 * HOUR, 6 * HOUR, DAY, DAY, 4 * DAY, 4 * DAY];
        let responder = |_| Responder {
            mood: Mutex::new(Mood::Good),
            validity: Mutex::new(random.pick(&validities)),
            signs_by_delegate: random.once_in(2),
            has_validators: random.once_in(3),
            max_age: random.once_in(3),
            open: AtomicUsize::new(0),
            newest: Mutex::default(),
        };
        Responders {
            all: (0..RESPONDERS).map(responder).collect(),
            ledger: Mutex::default(),
            history: Mutex::default(),
            revoked: Mutex::default(),
            issuer_moods: Mutex::new([IssuerMood::Good; 2]),
        }
    }

    pub(crate) fn open(&self) -> usize {
        self.all.iter().map(|responder| responder.open.load(Ordering::SeqCst)).sum()
    }

    pub(crate) fn made(&self, response: &Bytes) -> Option<Made> {
        self.ledger.lock().unwrap().get(response).cloned()
    }

    pub(crate) fn is_revoked(&self, certificate: usize) -> bool {
        self.revoked.lock().unwrap().get(&certificate).is_some_and(|(revoked, _)| *revoked)
    }

    /// Records an answer from before the simulation began, or from a test.
    pub(crate) fn note(&self, response: &Bytes, made: Made) {
        self.ledger.lock().unwrap().insert(response.clone(), made);
    }
}

/// Counts a question as open until it is answered or dropped.
struct Open<'a>(&'a AtomicUsize);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(crate) struct Network(pub(crate) Arc<World>);

#[async_trait]
impl OcspFetcher for Network {
    async fn fetch(&self, question: &Question<'_>) -> Result<Answer, FetchError> {
        let world = &*self.0;
        let certificate = world.pool.by_der(question.chain.end_entity().as_der());
        let number = number_in(question.url);
        let responder = &world.responders.all[number];
        let open = responder.open.fetch_add(1, Ordering::SeqCst) + 1;
        let _open = Open(&responder.open);
        world.watch.asked(world, certificate, number, open);
        let answer = self.answer(question, certificate, number).await;
        world.watch.answered(world, certificate, number, &answer);
        answer
    }

    async fn fetch_issuer(&self, url: &str, _: usize) -> Result<Bytes, FetchError> {
        let world = &*self.0;
        let number = number_in(url);
        let signers = &world.pool.authorities[number];
        world.watch.asked_issuer(world, number);
        tokio::time::sleep(world.random.between(Duration::from_millis(1), Duration::from_millis(40))).await;
        let mood = world.responders.issuer_moods.lock().unwrap()[number];
        match mood {
            IssuerMood::Good => Ok(signers.authority.certificate().to_vec().into()),
            IssuerMood::Wrong => Ok(signers.stranger.certificate().to_vec().into()),
            IssuerMood::Garbage => Ok(Bytes::from_static(b"-----BEGIN CERTIFICATE-----\nnothing")),
            IssuerMood::Missing => Err(FetchError::Status { url: url.to_owned(), status: 404, retry_after: None }),
            IssuerMood::Hang => {
                tokio::time::sleep(EXCHANGE).await;
                Err(FetchError::TimedOut { url: url.to_owned(), after: EXCHANGE })
            }
            IssuerMood::Panic => injected_panic(world),
        }
    }
}

impl Network {
    async fn answer(&self, question: &Question<'_>, certificate: usize, number: usize) -> Result<Answer, FetchError> {
        let world = &*self.0;
        let responder = &world.responders.all[number];
        let url = question.url.to_owned();
        let mut mood = *responder.mood.lock().unwrap();
        if mood == Mood::Flapping {
            mood = if world.random.once_in(2) { Mood::Good } else { world.random.pick(MOODS) };
        }
        tokio::time::sleep(world.random.between(Duration::from_millis(1), Duration::from_millis(60))).await;
        let timed_out = |url: String| FetchError::TimedOut { url, after: EXCHANGE };
        match mood {
            Mood::Refuse => return Err(FetchError::Connect { url, why: "refused".to_owned() }),
            Mood::Hang | Mood::Drip => {
                tokio::time::sleep(EXCHANGE).await;
                return Err(timed_out(url));
            }
            Mood::Reset => {
                tokio::time::sleep(world.random.between(Duration::ZERO, Duration::from_secs(3))).await;
                return Err(FetchError::Broken { url, why: "reset".to_owned() });
            }
            Mood::EndlessHeaders => {
                tokio::time::sleep(Duration::from_secs(2)).await;
                return Err(FetchError::TooLarge { url, limit: 65_536 });
            }
            Mood::RedirectInCircles => return Err(FetchError::Redirect { url, why: "in circles".to_owned() }),
            Mood::Status(status, retry_after) => {
                return Err(FetchError::Status { url, status, retry_after: retry_after.map(Duration::from_secs) });
            }
            Mood::OnlyPost if question.method == Method::Get => {
                return Err(FetchError::Status { url, status: 405, retry_after: None });
            }
            Mood::Panic => injected_panic(world),
            Mood::Slow => tokio::time::sleep(world.random.seconds(1, 12)).await,
            _ => {}
        }
        Ok(self.body(question, certificate, responder, mood))
    }

    fn body(&self, question: &Question<'_>, certificate: usize, responder: &Responder, mood: Mood) -> Answer {
        let world = &*self.0;
        let bytes = |bytes: Vec<u8>| Answer::new(bytes);
        match mood {
            Mood::TryLater => return bytes(ResponseBuilder::error(ResponseStatus::TryLater)),
            Mood::Unauthorized => return bytes(ResponseBuilder::error(ResponseStatus::Unauthorized)),
            Mood::Garbage => return bytes(b"<html>sorry</html>".to_vec()),
            _ => {}
        }
        let request = OcspRequest::from_der(question.request.as_der()).unwrap();
        let [id] = request.cert_ids.as_slice() else { panic!("not one CertID") };
        if id.serial().as_bytes() != world.pool.certificates[certificate].serial {
            world.watch.violated(world, "the question is about another certificate".to_owned());
        }
        if mood == Mood::OnlySha256 && id.hash() != Some(HashAlgorithm::Sha256) {
            return bytes(ResponseBuilder::error(ResponseStatus::Unauthorized));
        }
        let key = (certificate, id.hash());
        let now = world.truth();
        if mood == Mood::Stale {
            let history = world.responders.history.lock().unwrap();
            let fits = |body: &&Bytes| world.responders.made(body).is_some_and(|made| made.ends > now);
            if let Some(body) = history.get(&key).and_then(|all| all.iter().find(fits)) {
                return Answer::new(body.clone());
            }
        }
        let (revoked, changed) =
            world.responders.revoked.lock().unwrap().get(&certificate).copied().unwrap_or((false, Timestamp::MIN));
        let validity = match mood {
            Mood::Brief => match world.random.once_in(2) {
                true => world.random.seconds(20, 400),
                false => Duration::from_secs(world.random.pick(&[1, 2, 120, 299, 310, 340, 360, 600])),
            },
            _ => *responder.validity.lock().unwrap(),
        };
        // With validators, an answer that is still good for long is not made anew.
        if mood == Mood::Good
            && responder.has_validators
            && let Some((body, etag)) = responder.newest.lock().unwrap().get(&key)
            && let Some(made) = world.responders.made(body)
            && made.ends.since(now) > validity / 2
            && made.this_update >= changed
        {
            let etag = Some(etag.clone());
            if question.etag.map(str::to_owned) == etag {
                let mut answer = Answer::not_modified();
                answer.etag = etag;
                return answer;
            }
            let mut answer = Answer::new(body.clone());
            answer.etag = etag;
            return answer;
        }
        let signers = &world.pool.authorities[world.pool.certificates[certificate].authority];
        // Made in advance, as responders do, but after the last change.
        let age = world.random.between(Duration::ZERO, validity / 10);
        let this_update = Timestamp::from_unix((now - age).max(changed).unix());
        let (this_update, next_update) = match mood {
            Mood::Expired => (now - 2 * validity, now - validity),
            Mood::Early => (now + HOUR, now + HOUR + validity),
            _ => (this_update, this_update + validity),
        };
        let own = || signers.authority.signer();
        let ending = |after: bool| {
            let fits = |(_, end): &&(Signer, Timestamp)| if after { *end > now } else { *end < now };
            let all = || signers.ending.iter();
            if after { all().find(fits) } else { all().rev().find(fits) }.cloned()
        };
        let (signer, signer_ends) = match mood {
            Mood::Foreign => (signers.stranger.signer(), None),
            Mood::Sibling => (signers.sibling.clone(), None),
            Mood::EndingDelegate => ending(true).map_or((own(), None), |(signer, end)| (signer, Some(end))),
            Mood::EndedDelegate => ending(false).map_or((own(), None), |(signer, end)| (signer, Some(end))),
            _ if responder.signs_by_delegate => (signers.delegate.clone(), None),
            _ => (own(), None),
        };
        let other = signers.authority.cert_id(&77.into(), HashAlgorithm::Sha1);
        let asked = if mood == Mood::WrongSerial { &other } else { id };
        let builder = ResponseBuilder::signed_by(signer);
        let builder = match mood {
            Mood::Unknown => builder.unknown(asked),
            _ if revoked => builder.revoked(asked, changed.unix(), None),
            _ => builder.good(asked),
        };
        let builder = builder.this_update(this_update.unix());
        let mut builder = match mood {
            Mood::NoNextUpdate => builder.no_next_update(),
            _ => builder.next_update(next_update.unix()),
        };
        if mood == Mood::Two {
            builder = builder.good(&other).this_update(this_update.unix()).next_update(next_update.unix());
        }
        if mood == Mood::Corrupt {
            builder = builder.corrupt_signature();
        }
        let body = Bytes::from(builder.build().unwrap());
        let is_right = !matches!(
            mood,
            Mood::Unknown | Mood::WrongSerial | Mood::Foreign | Mood::Corrupt | Mood::Sibling | Mood::NoNextUpdate
        );
        let ends = Timestamp::from_unix(next_update.unix());
        let made = Made {
            certificate,
            is_good: is_right && !revoked,
            is_by_sha1: id.hash() == Some(HashAlgorithm::Sha1),
            this_update: Timestamp::from_unix(this_update.unix()),
            ends: signer_ends.map_or(ends, |end| ends.min(end)),
        };
        let is_new_and_good = made.is_good && !matches!(mood, Mood::Expired | Mood::Early | Mood::EndedDelegate);
        let times = made.this_update..made.ends;
        world.responders.note(&body, made);
        if is_right && revoked {
            let now = world.machine_now();
            let in_time = !matches!(mood, Mood::Expired | Mood::Early | Mood::EndedDelegate) && times.contains(&now);
            world.watch.answered_revoked(world, certificate, this_update, in_time);
        }
        let mut answer = Answer::new(body.clone());
        if is_new_and_good {
            world.responders.history.lock().unwrap().entry(key).or_default().push(body.clone());
            if responder.has_validators && mood == Mood::Good {
                let etag = format!("\"{}\"", world.random.next());
                responder.newest.lock().unwrap().insert(key, (body, etag.clone()));
                answer.etag = Some(etag);
            }
        }
        answer.max_age = match mood {
            Mood::MaxAge(seconds) => Some(Duration::from_secs(seconds)),
            _ if responder.max_age => Some(next_update.since(now) / 2),
            _ => None,
        };
        answer
    }
}

impl Pool {
    /// Whether one of a certificate's responders is among these.
    pub(crate) fn is_asked_at(&self, certificate: usize, is_one: impl Fn(usize) -> bool) -> bool {
        self.certificates[certificate].responders.iter().any(|responder| is_one(*responder))
    }
}
