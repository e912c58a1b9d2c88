//! Submissions that are repeated, and what operators and clients are told about sessions.

use futures_util::future::join_all;
use http_body_util::BodyExt as _;
use hyper::Method;
use stapled_ca::session::{
    End, Ended, Hook, Intake, Limits, Operators, Policy, SessionError, SessionId, Sessions, State, SubmitKey, TooMany,
};
use stapled_core::scheduler::{Record, Step};
use stapled_core::task::{Queue, Task};

use crate::world::{DAY, HOUR, MINUTE, World, csr, on_each_store};

on_each_store! {
    a_repeated_submission_leads_to_its_session
    a_repeated_submission_leads_to_its_certificate
    a_key_is_for_one_request
    a_client_at_its_limit_runs_no_hook
    a_client_that_is_ready_for_nothing_learns_why
    a_damaged_session_is_shown_and_removed
    all_parked_sessions_are_retried
}

fn key() -> SubmitKey {
    SubmitKey::random().unwrap()
}

async fn a_repeated_submission_leads_to_its_session(world: World) {
    let (request, key) = (csr(&["a.example"]), key());
    let submits = (0..20).map(|_| world.sessions.submit_with_key(&request, "192.0.2.1", &key));
    let ids: Vec<SessionId> = join_all(submits).await.into_iter().map(Result::unwrap).collect();
    assert!(ids.iter().all(|id| *id == ids[0]));
    assert_eq!(world.sessions.active().await.unwrap(), ids[..1]);
    assert_eq!(world.length("makechallenge").await, 1);
    // PEM or DER is the same request, and a dead session stays the one of its key.
    let pem = world.session(&ids[0]).await.csr;
    world.sessions.end(&ids[0], End::Killed, "").await.unwrap();
    assert_eq!(world.sessions.submit_with_key(pem.as_bytes(), "192.0.2.2", &key).await.unwrap(), ids[0]);
    assert_eq!(world.state(&ids[0]).await, State::Dead(End::Killed));
    let other = world.sessions.submit_with_key(&request, "192.0.2.1", &SubmitKey::random().unwrap()).await.unwrap();
    assert_ne!(other, ids[0]);
    // At its limit, a client still learns its session.
    let mut limits = Limits::default();
    limits.per_client = 1;
    let strict = Sessions::new(world.store.clone(), world.ledger.clone(), limits, Policy::default());
    assert!(matches!(strict.submit(&request, "192.0.2.1").await, Err(SessionError::TooMany(_))));
    assert_eq!(strict.submit_with_key(&request, "192.0.2.1", &key).await.unwrap(), ids[0]);
}

async fn a_repeated_submission_leads_to_its_certificate(world: World) {
    let (request, key) = (csr(&["a.example"]), key());
    let id = world.sessions.submit_with_key(&request, "", &key).await.unwrap();
    world.settle().await;
    world.sessions.ready(&id, None).await.unwrap();
    world.settle().await;
    let certificate = world.fetch(&id).await.unwrap();
    world.advance(DAY + HOUR);
    world.settle().await;
    assert_eq!(world.sessions.session(&id).await.unwrap(), None);
    assert_eq!(world.sessions.submit_with_key(&request, "", &key).await.unwrap(), id);
    assert_eq!(world.fetch(&id).await, Some(certificate));
    assert_eq!(world.sessions.session(&id).await.unwrap(), None, "no second session of this name");
    let refused = world.sessions.submit_with_key(&csr(&["a.example"]), "", &key).await;
    assert!(matches!(refused, Err(SessionError::KeyUsed)), "{refused:?}");
}

async fn a_key_is_for_one_request(world: World) {
    let key = key();
    let id = world.sessions.submit_with_key(&csr(&["a.example"]), "", &key).await.unwrap();
    for request in [csr(&["a.example"]), csr(&["b.example"])] {
        let refused = world.sessions.submit_with_key(&request, "", &key).await;
        assert!(matches!(refused, Err(SessionError::KeyUsed)), "{refused:?}");
    }
    assert_eq!(world.sessions.active().await.unwrap(), [id]);
}

async fn a_client_at_its_limit_runs_no_hook(world: World) {
    let file = world.directory.path().join("runs");
    let mut hook = Hook::new("/bin/sh");
    hook.arguments = vec!["-c".to_owned(), format!("cat > /dev/null; echo run >> {}", file.display())];
    let mut policy = Policy::default();
    policy.hook = Some(hook);
    let mut limits = Limits::default();
    (limits.per_client, limits.active) = (2, 3);
    let sessions = Sessions::new(world.store.clone(), world.ledger.clone(), limits, policy);
    let runs = || std::fs::read_to_string(&file).unwrap_or_default().lines().count();
    let request = csr(&["a.example"]);
    let submits = join_all((0..20).map(|_| sessions.submit(&request, "192.0.2.1"))).await;
    assert_eq!((submits.iter().filter(|result| result.is_ok()).count(), runs()), (2, 2));
    // A request that cannot be read is not read either.
    for bytes in [&request[..], b"no request"] {
        let refused = sessions.submit(bytes, "192.0.2.1").await;
        assert!(matches!(refused, Err(SessionError::TooMany(TooMany::OfClient { .. }))), "{refused:?}");
    }
    sessions.submit(&request, "192.0.2.2").await.unwrap();
    let refused = sessions.submit(&request, "192.0.2.3").await;
    assert!(matches!(refused, Err(SessionError::TooMany(TooMany::Active { limit: 3 }))), "{refused:?}");
    assert_eq!(runs(), 3);
}

/// The status and the JSON of an answer.
async fn answer<B>(response: hyper::Response<B>) -> (u16, serde_json::Value)
where
    B: hyper::body::Body<Data = bytes::Bytes, Error = std::convert::Infallible>,
{
    let status = response.status().as_u16();
    let Ok(body) = response.into_body().collect().await;
    (status, serde_json::from_slice(&body.to_bytes()).unwrap())
}

async fn a_client_that_is_ready_for_nothing_learns_why(world: World) {
    let id = world.submit(&["a.example", "b.example"]).await;
    let intake = Intake::new(world.sessions.clone(), String::new());
    let ready = async |body: &str| {
        let path = format!("/session/{id}/ready");
        let (status, answer) =
            answer(intake.call([127, 0, 0, 1].into(), &Method::POST, &path, body.as_bytes()).await).await;
        (status, answer["error"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(ready("").await, (409, "wrong_state".to_owned()));
    world.settle().await;
    for body in [r#"{"challenges":[5]}"#, r#"{"challenges":[1,0]}"#] {
        assert_eq!(ready(body).await, (400, "no_such_challenge".to_owned()), "{body}");
    }
    assert_eq!(ready(r#"{"challenges":[]}"#).await, (409, "nothing_to_test".to_owned()));
    assert_eq!(world.length("testchallenge").await, 0);
    assert_eq!(ready(r#"{"challenges":[1]}"#).await, (202, String::new()));
    world.settle().await;
    assert_eq!(ready(r#"{"challenges":[1]}"#).await, (409, "nothing_to_test".to_owned()));
    world.advance(HOUR + MINUTE);
    world.settle().await;
    assert_eq!(ready("").await, (409, "expired".to_owned()));
    let text = world.sessions.ready(&id, None).await.unwrap_err().to_string();
    assert_eq!(text, format!("session {id} has expired: too long in state testchallenge; submit the request again"));
}

async fn a_damaged_session_is_shown_and_removed(world: World) {
    let id = world.submit(&["a.example"]).await;
    let damage = Record::new(id.as_str().into(), "makechallenge").field("attempts", "many");
    world.store.commit(Step::intake().record(damage)).await.unwrap();
    let operators = Operators::new(world.sessions.clone());
    let path = format!("/sessions/{id}");
    let (status, shown) = answer(operators.call(&Method::GET, &path, b"").await).await;
    assert_eq!((status, shown["error"].as_str()), (500, Some("damaged_session")));
    let message = "the session is damaged: attempts is not a number in its range; an operator can remove it with \
                   `stapled-ca sessions kill`";
    assert_eq!(shown["message"], message);
    let (status, killed) = answer(operators.call(&Method::POST, &format!("{path}/kill"), b"").await).await;
    assert_eq!((status, killed["state"].as_str()), (200, Some("removed")));
    assert_eq!(world.sessions.session(&id).await.unwrap(), None);
    for queue in ["makechallenge", "expire"] {
        assert_eq!(world.length(queue).await, 0, "{queue}");
    }
    assert_eq!(world.sessions.active().await.unwrap(), []);
    let killed = world.submit(&["b.example"]).await;
    assert_eq!(world.sessions.end(&killed, End::Killed, "").await.unwrap(), Ended::Dead);
}

async fn all_parked_sessions_are_retried(world: World) {
    let mut ids = Vec::new();
    for name in ["a.example", "b.example", "c.example"] {
        ids.push(world.submit(&[name]).await);
    }
    // Two are parked, on two queues; one waits for another attempt.
    let tasks = [("makechallenge", 10), ("issue", 10), ("makechallenge", 1)];
    for (id, (queue, attempt)) in ids.iter().zip(tasks) {
        let task = Task::new(Queue::from(queue), id.as_str().into()).attempt(attempt);
        let task = task.due(stapled_core::task::Due::After(HOUR));
        world.store.commit(Step::intake().put(task)).await.unwrap();
    }
    let parked = async || {
        let census = world.store.census().await.unwrap();
        census.queues.values().map(|queue| queue.parked).sum::<u64>()
    };
    assert_eq!(parked().await, 2);
    assert_eq!(world.sessions.retry_all().await.unwrap(), 2);
    assert_eq!(parked().await, 0);
    let census = world.store.census().await.unwrap();
    let queue = census.queues[&Queue::from("makechallenge")];
    // The second session has its first task, too.
    assert_eq!((queue.due, queue.waiting), (2, 1), "a task that was not parked keeps its pause");
    assert_eq!(world.sessions.retry_all().await.unwrap(), 0);
}

#[tokio::test]
async fn the_status_counts_in_redis() {
    let world = World::on_redis().await;
    for _ in 0..3 {
        world.submit(&["a.example"]).await;
    }
    world.redis().ask(&["CONFIG", "RESETSTAT"]);
    assert_eq!(world.sessions.status().await.unwrap().active, 3);
    let commands = world.redis().ask(&["INFO", "commandstats"]);
    assert!(commands.contains("cmdstat_llen:"), "{commands}");
    assert!(!commands.contains("cmdstat_lrange:"), "{commands}");
}
