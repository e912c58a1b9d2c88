//! Tests of the questions to responders: the method, the URL, the validator, and the pauses.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use stapled_ca::ocsp::{OcspRequest, ResponseBuilder, ResponseStatus};
use stapled_ca::{Authority, KeyType, Profile};
use stapled_core::fetch::{Answer, FetchError, Method, OcspFetcher, Question};
use stapled_core::overrides::ResponderOverrides;

use crate::world::{Ca, HOUR, MINUTE, Mood, START, World, with_issuer};

const SECOND: Duration = Duration::from_secs(1);

/// A question as the fetcher received it.
#[derive(Clone, Debug, PartialEq)]
struct Asked {
    after: Duration,
    url: String,
    method: Method,
    etag: Option<String>,
}

type Fault = Box<dyn Fn(&Question<'_>, &Ca) -> Option<Result<Answer, FetchError>> + Send + Sync>;

type Always = Box<dyn Fn(&Question<'_>, &Ca) -> Result<Answer, FetchError> + Send + Sync>;

/// A server in front of the CA, such as a cache, which may answer in its place.
struct Between {
    ca: Arc<Ca>,
    began: tokio::time::Instant,
    asked: Mutex<Vec<Asked>>,
    fault: Mutex<Fault>,
}

impl Between {
    fn new(
        world: &World,
        fault: impl Fn(&Question<'_>, &Ca) -> Option<Result<Answer, FetchError>> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Between {
            ca: world.ca.clone(),
            began: tokio::time::Instant::now(),
            asked: Mutex::default(),
            fault: Mutex::new(Box::new(fault)),
        })
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    fn methods(&self) -> Vec<Method> {
        self.asked().into_iter().map(|asked| asked.method).collect()
    }

    fn etags(&self) -> Vec<Option<String>> {
        self.asked().into_iter().map(|asked| asked.etag).collect()
    }
}

#[async_trait]
impl OcspFetcher for Between {
    async fn fetch(&self, question: &Question<'_>) -> Result<Answer, FetchError> {
        self.asked.lock().unwrap().push(Asked {
            after: self.began.elapsed(),
            url: question.url.to_owned(),
            method: question.method,
            etag: question.etag.map(str::to_owned),
        });
        let answer = (*self.fault.lock().unwrap())(question, &self.ca);
        match answer {
            Some(Err(error @ FetchError::TimedOut { after, .. })) => {
                tokio::time::sleep(after).await;
                Err(error)
            }
            Some(answer) => answer,
            None => self.ca.fetch(question).await,
        }
    }
}

fn body(body: impl Into<Bytes>) -> Result<Answer, FetchError> {
    Ok(Answer::new(body))
}

fn status(status: u16, wait: Option<Duration>) -> Result<Answer, FetchError> {
    Err(FetchError::Status { url: "http://ocsp.test/".to_owned(), status, retry_after: wait })
}

/// A response about the certificate of the question, changed by `adapt`.
fn response(question: &Question<'_>, of: &Authority, adapt: impl FnOnce(ResponseBuilder) -> ResponseBuilder) -> Bytes {
    let request = OcspRequest::from_der(question.request.as_der()).unwrap();
    let builder = ResponseBuilder::new(of).good(&request.cert_ids[0]);
    adapt(builder).build().unwrap().into()
}

/// The wrong answers that a cache, a proxy or a broken server may give to a GET.
fn faults() -> Vec<(&'static str, Fault)> {
    let stranger = Authority::root("Simulated CA").key(KeyType::EcdsaP256).create().unwrap();
    let at = || START.unix();
    let url = || "http://ocsp.test/".to_owned();
    let of_get = |answer: Always| -> Fault {
        Box::new(move |question, ca| (question.method == Method::Get).then(|| answer(question, ca)))
    };
    let error = |status: ResponseStatus| of_get(Box::new(move |_, _| body(ResponseBuilder::error(status))));
    let http = |number: u16| of_get(Box::new(move |_, _| status(number, None)));
    vec![
        ("hangs", of_get(Box::new(move |_, _| Err(FetchError::TimedOut { url: url(), after: 15 * SECOND })))),
        ("resets", of_get(Box::new(move |_, _| Err(FetchError::Broken { url: url(), why: "reset".to_owned() })))),
        ("too large", of_get(Box::new(move |_, _| Err(FetchError::TooLarge { url: url(), limit: 65_536 })))),
        ("redirects", of_get(Box::new(move |_, _| Err(FetchError::Redirect { url: url(), why: "circle".to_owned() })))),
        ("204", http(204)),
        ("404", http(404)),
        ("502", http(502)),
        ("503", of_get(Box::new(|_, _| status(503, Some(10 * MINUTE))))),
        ("304", of_get(Box::new(|_, _| Ok(Answer::default())))),
        ("an empty answer", of_get(Box::new(|_, _| body(Bytes::new())))),
        ("a page", of_get(Box::new(|_, _| body("<html>Sorry</html>")))),
        ("tryLater", error(ResponseStatus::TryLater)),
        ("internalError", error(ResponseStatus::InternalError)),
        ("a cached unauthorized", error(ResponseStatus::Unauthorized)),
        (
            "unknown",
            of_get(Box::new(move |question, ca| {
                let request = OcspRequest::from_der(question.request.as_der()).unwrap();
                let builder = ResponseBuilder::new(&ca.authority).unknown(&request.cert_ids[0]);
                body(builder.this_update(at()).next_update(at() + 86_400).build().unwrap())
            })),
        ),
        (
            "foreign",
            of_get(Box::new(move |question, _| {
                body(response(question, &stranger, |builder| builder.this_update(at()).next_update(at() + 86_400)))
            })),
        ),
        (
            "stale",
            of_get(Box::new(move |question, ca| {
                body(response(question, &ca.authority, |builder| {
                    builder.this_update(at() - 9000).next_update(at() - 60)
                }))
            })),
        ),
        (
            "badly signed",
            of_get(Box::new(move |question, ca| {
                let times = |builder: ResponseBuilder| builder.this_update(at()).next_update(at() + 86_400);
                body(response(question, &ca.authority, |builder| times(builder).corrupt_signature()))
            })),
        ),
    ]
}

#[tokio::test(start_paused = true)]
async fn post_is_the_second_try_whatever_a_get_brought() {
    for (name, fault) in faults() {
        let world = World::new();
        let between = Between::new(&world, fault);
        world.add("a.test");
        world.run(world.builder().shared_fetcher(between.clone()));
        world.pass(20 * SECOND).await;
        assert!(world.server.response_of("a.test").is_some(), "{name}: {:?}", world.record.codes("renewal_failed"));
        assert_eq!(between.methods(), [Method::Get, Method::Post], "{name}");
        assert_eq!(world.record.count("attempt_failed"), 1, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_post_follows_where_nobody_was_reached_or_fewer_questions_are_asked_for() {
    let refused = || FetchError::Connect { url: "http://ocsp.test/".to_owned(), why: "refused".to_owned() };
    let connecting = || FetchError::ConnectTimedOut { url: "http://ocsp.test/".to_owned(), after: 5 * SECOND };
    let faults: [(&str, Fault); 3] = [
        ("refused", Box::new(move |_, _| Some(Err(refused())))),
        ("no connection", Box::new(move |_, _| Some(Err(connecting())))),
        ("429", Box::new(|_, _| Some(status(429, None)))),
    ];
    for (name, fault) in faults {
        let world = World::new();
        let between = Between::new(&world, fault);
        world.add("a.test");
        world.run(world.builder().shared_fetcher(between.clone()));
        world.pass(10 * SECOND).await;
        assert_eq!(between.methods(), [Method::Get], "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn revoked_is_an_answer() {
    let world = World::new();
    let between = Between::new(&world, |_, _| None);
    world.ca.set(Mood::Revoked);
    world.add("a.test");
    world.run(world.builder().shared_fetcher(between.clone()));
    world.pass(MINUTE).await;
    assert_eq!(between.methods(), [Method::Get]);
}

#[tokio::test(start_paused = true)]
async fn a_crowd_at_a_responder_whose_gets_hang_gets_its_staples_by_post() {
    let world = World::new();
    let hangs = |question: &Question<'_>, _: &Ca| {
        let timed_out = || FetchError::TimedOut { url: question.url.to_owned(), after: 15 * SECOND };
        (question.method == Method::Get).then(|| Err(timed_out()))
    };
    let between = Between::new(&world, hangs);
    for number in 0..60 {
        world.add(&format!("{number}.test"));
    }
    *world.ca.validity.lock().unwrap() = 12 * HOUR;
    world.run(world.builder().shared_fetcher(between.clone()));
    world.pass(MINUTE).await;
    assert_eq!(world.server.serves.lock().unwrap().len(), 60);
    let gets = || between.methods().into_iter().filter(|method| *method == Method::Get).count();
    let first = gets();
    assert!(first <= 32, "{first} questions by GET");
    world.pass(20 * HOUR).await;
    assert_eq!(gets(), first, "POST is remembered");
    world.pass(10 * HOUR).await;
    assert!((first + 1..first + 5).contains(&gets()), "and GET tried again some time: {}", gets());
    assert_eq!(world.server.serves.lock().unwrap().len(), 60);
}

#[tokio::test(start_paused = true)]
async fn what_a_cache_has_of_one_certificate_is_no_habit_of_the_responder() {
    let world = World::new();
    let stale = |question: &Question<'_>, _: &Ca| {
        (question.method == Method::Get).then(|| body(ResponseBuilder::error(ResponseStatus::Unauthorized)))
    };
    let between = Between::new(&world, stale);
    *world.ca.validity.lock().unwrap() = 12 * HOUR;
    world.add("a.test");
    world.run(world.builder().shared_fetcher(between.clone()));
    world.pass(7 * HOUR).await;
    let both = [Method::Get, Method::Post];
    let asked = between.methods();
    assert!(asked.len() >= 4 && asked.chunks(2).all(|pair| pair == both), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn an_etag_is_sent_with_the_question_whose_answer_is_held_and_with_no_other() {
    let world = World::new();
    *world.ca.validity.lock().unwrap() = 8 * HOUR;
    let tagged = AtomicUsize::new(0);
    let kept: Mutex<Option<Bytes>> = Mutex::default();
    // The first answer is held. The second answer, from the same URL, ends sooner and is not held.
    let between = Between::new(&world, move |question, ca| {
        let number = tagged.fetch_add(1, Ordering::SeqCst);
        let made = |hours: i64, before: i64| {
            response(question, &ca.authority, |builder| {
                builder.this_update(START.unix() - before).next_update(START.unix() + hours * 3600)
            })
        };
        let (response, etag) = match number {
            0 => (made(8, 0), "\"one\""),
            1 if question.etag == Some("\"one\"") => return Some(Ok(Answer::default())),
            2 => (made(7, 3600), "\"two\""),
            _ => return None,
        };
        *kept.lock().unwrap() = Some(response.clone());
        Some(Ok(Answer::new(response).etag(etag)))
    });
    world.add("a.test");
    world.run(world.builder().shared_fetcher(between.clone()));
    world.pass(7 * HOUR + 30 * MINUTE).await;
    let etags = between.etags();
    let one = Some("\"one\"".to_owned());
    assert!(etags.len() >= 4, "{etags:?}");
    assert_eq!(etags[..3], [None, one.clone(), one], "{etags:?}");
    // The first answer is still held, and the last answer belongs to another question.
    assert_eq!(etags[3], None, "{etags:?}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_a_body_is_believed_only_where_its_validator_was_sent() {
    for (name, etag) in [("not asked for", None), ("another's", Some("\"two\""))] {
        let world = World::new();
        *world.ca.validity.lock().unwrap() = 8 * HOUR;
        let number = AtomicUsize::new(0);
        let between = Between::new(&world, move |question, ca| match number.fetch_add(1, Ordering::SeqCst) {
            0 => {
                let body = response(question, &ca.authority, |builder| {
                    builder.this_update(START.unix()).next_update(START.unix() + 8 * 3600)
                });
                let sent = etag.map(|_| "\"one\"".to_owned());
                let mut answer = Answer::new(body);
                answer.etag = sent;
                Some(Ok(answer))
            }
            _ if question.method == Method::Get => {
                let mut answer = Answer::not_modified();
                answer.etag = etag.map(str::to_owned);
                Some(Ok(answer))
            }
            _ => None,
        });
        world.add("a.test");
        world.run(world.builder().shared_fetcher(between.clone()));
        world.pass(5 * HOUR).await;
        assert_eq!(between.methods()[..3], [Method::Get, Method::Get, Method::Post], "{name}");
        assert_eq!(world.record.codes("attempt_failed")[0], "http_status", "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_longest_wait_that_was_asked_for_counts() {
    let wait = |seconds: u64| Some(Duration::from_secs(seconds));
    let cases: [(&str, Fault); 4] = [
        (
            "of two URLs the first",
            Box::new(move |question, _| {
                Some(status(503, if question.url.contains("second") { wait(60) } else { wait(1200) }))
            }),
        ),
        (
            "of two URLs the second",
            Box::new(move |question, _| {
                Some(status(503, if question.url.contains("second") { wait(1200) } else { wait(60) }))
            }),
        ),
        (
            "of GET and POST",
            Box::new(move |question, _| {
                Some(status(503, if question.method == Method::Get { wait(1200) } else { wait(60) }))
            }),
        ),
        (
            "with an answer, of two hashes",
            Box::new(move |question, _| {
                let request = OcspRequest::from_der(question.request.as_der()).unwrap();
                let is_sha1 = request.cert_ids[0].hash() == Some(stapled_ca::ocsp::HashAlgorithm::Sha1);
                let body = Bytes::from(ResponseBuilder::error(ResponseStatus::Unauthorized));
                let retry_after = if is_sha1 { wait(1200) } else { None };
                let mut answer = Answer::new(body);
                answer.retry_after = retry_after;
                Some(Ok(answer))
            }),
        ),
    ];
    for (name, fault) in cases {
        let world = World::new();
        let profile = Ca::profile("a.test").ocsp_url("http://second.test/");
        world.list.put("a.test", &with_issuer(&world.ca.issue(profile), &world.ca));
        let between = Between::new(&world, fault);
        world.run(world.builder().shared_fetcher(between.clone()));
        world.pass(1190 * SECOND).await;
        let first = between.asked().len();
        let late = between.asked().into_iter().filter(|asked| asked.after > 10 * SECOND).count();
        assert_eq!(late, 0, "{name}");
        world.pass(HOUR).await;
        assert!(between.asked().len() > first, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn responders_are_asked_instead_of_others() {
    let world = World::new();
    let put = |name: &str, profile: Profile| {
        let profile = profile.valid_between(START.unix() - 60, START.unix() + 90 * 86_400);
        world.list.put(name, &with_issuer(&world.ca.issue(profile), &world.ca));
    };
    put("moved", Ca::profile("moved.test").ocsp_url("http://ocsp.test"));
    put("without", Profile::server("without.test").must_staple(true));
    put("other", Profile::server("other.test").ocsp_url("http://other.test/"));
    let between = Between::new(&world, |_, _| None);
    let overrides = ResponderOverrides::new().replace("http://ocsp.test/", "http://mirror.test/ca").unwrap();
    let overrides = overrides.without_url("http://default.test/").unwrap();
    world.run(world.builder().shared_fetcher(between.clone()).responder_overrides(overrides));
    world.pass(MINUTE).await;
    let mut urls: Vec<String> = between.asked().into_iter().map(|asked| asked.url).collect();
    urls.sort();
    assert_eq!(urls, ["http://default.test/", "http://mirror.test/ca", "http://other.test/"]);
    assert_eq!(world.server.serves.lock().unwrap().len(), 3);
    assert_eq!(world.record.count("must_staple_without_url"), 0);
}

#[tokio::test(start_paused = true)]
async fn urls_are_trimmed_and_their_passwords_told_to_nobody() {
    let world = World::new();
    let put = |name: &str, url: &str| {
        let profile = Profile::server(name).valid_between(START.unix() - 60, START.unix() + 90 * 86_400).ocsp_url(url);
        world
            .list
            .put(name, &with_issuer(&world.ca.issue(profile.ca_issuers_url("http://u:secret@ca.test/")), &world.ca));
    };
    put("spaced.test", " \thttp://ocsp.test/\n");
    put("userinfo.test", "http://user:secret@ocsp.test/");
    let lonely = Ca::profile("lonely.test").ocsp_url("http://user:secret@ocsp.test/");
    let elsewhere = Authority::root("Elsewhere").key(KeyType::EcdsaP256).create().unwrap();
    let lonely = elsewhere.issue(&lonely.ca_issuers_url("http://u:secret@ca.test/")).unwrap();
    world.list.put("lonely.test", &lonely.certificate_pem());
    // The simulated CA would answer at any URL. The server in front of it reports its errors with the requested URL.
    let between = Between::new(&world, |question, _| {
        let why = "a user name or password in it".to_owned();
        question.url.contains('@').then(|| Err(FetchError::UnsupportedUrl { url: question.url.to_owned(), why }))
    });
    let inventory = world.run(world.builder().shared_fetcher(between.clone()));
    world.pass(MINUTE).await;
    assert!(world.server.response_of("spaced.test").is_some());
    assert!(between.asked().iter().any(|asked| asked.url == "http://ocsp.test/"));
    assert!(world.record.codes("renewal_failed").iter().any(|code| code == "unsupported_url"));
    assert!(world.record.count("issuer_fetch_failed") > 0);
    let told = format!("{:?} {:?}", world.record.0.lock().unwrap(), inventory.certificates());
    assert!(told.contains("***@ocsp.test"), "{told}");
    assert!(!told.contains("secret"), "{told}");
}
