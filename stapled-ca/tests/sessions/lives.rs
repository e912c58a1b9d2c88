//! The lives of sessions, from the intake to the ledger or to their death.

use std::sync::Arc;

use stapled_ca::session::{
    Daemon, End, Issue, Limits, Network, Policy, Refusal, RequestError, SessionError, Sessions, State, TooMany,
};
use stapled_ca::{LedgerFile, pem};
use stapled_core::scheduler::Which;
use stapled_redis::Recovery;

use crate::world::{DAY, HOUR, MINUTE, QUEUES, World, assert_queues_are_empty, csr, on_each_store, serial};

on_each_store! {
    a_session_becomes_one_certificate
    a_session_waits_for_its_client_and_recovery_keeps_that
    a_client_that_is_ready_during_a_test_is_tested_again
    attempts_are_counted_and_limited
    a_session_expires_in_every_state
    a_dead_session_leaves_every_queue
    issuing_twice_makes_one_certificate
    a_client_without_its_certificate_gets_it_whenever_it_asks
    thanks_lose_nothing
    after_lost_writes_the_ledger_decides
    the_policy_holds_at_the_intake_and_before_issuing
    malformed_requests_make_no_session
    too_many_sessions_are_refused
}

async fn a_session_becomes_one_certificate(world: World) {
    let id = world.submit(&["a.example", "192.0.2.7"]).await;
    assert_eq!(world.state(&id).await, State::MakeChallenge);
    world.settle().await;
    let session = world.session(&id).await;
    assert_eq!((session.state, session.challenges.len()), (State::TestChallenge, 4));
    assert_eq!(session.names, ["a.example", "192.0.2.7"]);
    assert_eq!(world.fetch(&id).await, None);

    world.sessions.ready(&id, None).await.unwrap();
    world.settle().await;
    let session = world.session(&id).await;
    assert_eq!(session.state, State::Done);
    assert!(session.entered_at.is_some());
    assert_eq!(world.sessions.active().await.unwrap(), []);
    assert_queues_are_empty(&world).await;

    let certificate = world.fetch(&id).await.unwrap();
    assert_eq!(Some(serial(&certificate)), session.serial);
    let entry = world.ledger.of_session(id.as_str()).unwrap().unwrap();
    assert_eq!((entry.record.names, entry.record.serial), (session.names, serial(&certificate)));
    let der = pem::certificates(certificate.as_bytes()).remove(0);
    let (_, parsed) = x509_parser::parse_x509_certificate(&der).unwrap();
    let names = parsed.subject_alternative_name().unwrap().unwrap();
    assert_eq!(names.value.general_names.len(), 2);
    let (_, issuer) = x509_parser::parse_x509_certificate(world.authority.certificate()).unwrap();
    parsed.verify_signature(Some(issuer.public_key())).unwrap();
}

async fn a_session_waits_for_its_client_and_recovery_keeps_that(world: World) {
    let id = world.submit(&["a.example"]).await;
    world.settle().await;
    assert_queues_are_empty(&world).await;
    assert!(world.host.tests.lock().unwrap().is_empty());
    assert_eq!(world.store.recover(Recovery::Run).await.unwrap(), []);
    // A test that nobody asked for does nothing.
    let test = stapled_core::task::Task::new("testchallenge".into(), id.as_str().into());
    world.store.commit(stapled_core::scheduler::Step::intake().put(test)).await.unwrap();
    world.settle().await;
    assert_eq!((world.state(&id).await, world.host.tests.lock().unwrap().len()), (State::TestChallenge, 0));

    // One that was asked for comes back after its task was lost.
    world.sessions.ready(&id, None).await.unwrap();
    world.store.cancel(Which::Task(&"testchallenge".into(), &id.as_str().into())).await.unwrap();
    world.store.cancel(Which::Task(&"expire".into(), &id.as_str().into())).await.unwrap();
    let recovered = world.store.recover(Recovery::Run).await.unwrap();
    assert_eq!(recovered, [("testchallenge".into(), id.as_str().into())]);
    assert_eq!(world.store.recover(Recovery::Run).await.unwrap(), []);
    world.settle().await;
    assert_eq!(world.state(&id).await, State::Done);
}

async fn a_client_that_is_ready_during_a_test_is_tested_again(world: World) {
    world.host.set(false);
    let id = world.submit(&["a.example"]).await;
    world.settle().await;
    world.sessions.ready(&id, None).await.unwrap();
    let lease = world.store.take(&["testchallenge".into()], 1, HOUR).await.unwrap().remove(0);
    let daemon = &world.daemons()[1];
    let read = world.session(&id).await;
    let work = daemon.work(&read).await.unwrap().unwrap();
    // Between the test and its commit, the client says that it is ready.
    world.host.set(true);
    world.sessions.ready(&id, None).await.unwrap();
    world.store.commit(stapled_core::scheduler::Step::finish(&lease).record(work.record)).await.unwrap();
    world.settle().await;
    assert_eq!(world.state(&id).await, State::Done);
}

async fn attempts_are_counted_and_limited(world: World) {
    world.host.set(false);
    let id = world.submit(&["a.example", "b.example"]).await;
    world.settle().await;
    for attempt in 1..=3 {
        world.sessions.ready(&id, None).await.unwrap();
        world.settle().await;
        assert_eq!(world.session(&id).await.attempts, attempt);
        assert_eq!(world.host.tests.lock().unwrap()["a.example"], 2 * attempt, "each once for each word of the client");
    }
    let session = world.session(&id).await;
    assert_eq!(session.state, State::Dead(End::Failed));
    let reason = "a.example: the host does not pass; b.example: the host does not pass";
    assert_eq!(session.reason.as_deref(), Some(reason));
    assert!(session.challenges.iter().all(|challenge| challenge.has_failed));
    assert!(matches!(world.sessions.ready(&id, None).await, Err(SessionError::State { .. })));
    assert_queues_are_empty(&world).await;
    assert_eq!(world.sessions.active().await.unwrap(), []);
    world.advance(DAY);
    world.settle().await;
    assert_eq!(world.sessions.session(&id).await.unwrap(), None);
}

async fn a_session_expires_in_every_state(world: World) {
    let ids =
        [world.submit(&["a.example"]).await, world.submit(&["b.example"]).await, world.submit(&["c.example"]).await];
    let daemons = world.daemons();
    let expire = &daemons[4..];
    for id in &ids[1..] {
        world.store.cancel(Which::Task(&"makechallenge".into(), &ids[0].as_str().into())).await.unwrap();
        let lease = world.store.take(&["makechallenge".into()], 1, HOUR).await.unwrap().remove(0);
        stapled_ca::session::work_on(&*daemons[0], &world.sessions, &lease, &|_, _| {}).await.unwrap();
        assert_eq!(world.state(id).await, State::TestChallenge);
    }
    world.sessions.ready(&ids[2], None).await.unwrap();
    world.advance(HOUR + MINUTE);
    crate::world::settle(&world.sessions, &*world.store, expire).await.unwrap();
    for id in &ids {
        let session = world.session(id).await;
        assert_eq!(session.state, State::Dead(End::Expired));
        assert!(session.reason.unwrap().starts_with("too long in state "));
    }
    assert_queues_are_empty(&world).await;
    assert_eq!(world.sessions.active().await.unwrap(), []);
}

async fn a_dead_session_leaves_every_queue(world: World) {
    let (killed, failed) = (world.submit(&["a.example"]).await, world.submit(&["b.example"]).await);
    let lease = world.store.take(&["makechallenge".into()], 1, HOUR).await.unwrap().remove(0);
    world.sessions.end(&killed, End::Killed, "by an operator").await.unwrap();
    world.sessions.end(&failed, End::Failed, "refused").await.unwrap();
    assert_queues_are_empty(&world).await;
    // The daemon that holds a lease is too late.
    let late = stapled_ca::session::work_on(&*world.daemons()[0], &world.sessions, &lease, &|_, _| {}).await;
    assert!(late.is_err(), "{late:?}");
    for (id, end) in [(&killed, End::Killed), (&failed, End::Failed)] {
        assert_eq!(world.state(id).await, State::Dead(end));
        assert!(matches!(world.sessions.end(id, End::Killed, "").await, Err(SessionError::State { .. })));
    }
    assert_eq!(world.store.recover(Recovery::Run).await.unwrap(), []);
    let done = world.done(&["c.example"]).await;
    assert!(matches!(world.sessions.end(&done, End::Killed, "").await, Err(SessionError::State { .. })));
}

async fn issuing_twice_makes_one_certificate(world: World) {
    let id = world.submit(&["a.example"]).await;
    world.settle().await;
    world.sessions.ready(&id, None).await.unwrap();
    let daemons = world.daemons();
    let (first, rest) = (&daemons[1..2], &daemons[3..]);
    crate::world::settle(&world.sessions, &*world.store, first).await.unwrap();
    let session = world.session(&id).await;
    assert_eq!(session.state, State::Issue);
    let issue = Issue::new(world.sessions.clone(), world.authority.clone(), Default::default());
    let mut signed = Vec::new();
    for _ in 0..3 {
        let work = issue.work(&session).await.unwrap().unwrap();
        signed.push(pem::certificates(&work.record.fields["cert"]).remove(0));
    }
    let contents = |der: &[u8]| {
        let (_, parsed) = x509_parser::parse_x509_certificate(der).unwrap();
        parsed.tbs_certificate.as_ref().to_vec()
    };
    assert!(signed.iter().all(|one| contents(one) == contents(&signed[0])), "the same certificate each time");
    crate::world::settle(&world.sessions, &*world.store, &daemons[2..3]).await.unwrap();
    crate::world::settle(&world.sessions, &*world.store, rest).await.unwrap();
    let fetched = pem::certificates(world.fetch(&id).await.unwrap().as_bytes()).remove(0);
    assert_eq!(contents(&fetched), contents(&signed[0]));
}

async fn a_client_without_its_certificate_gets_it_whenever_it_asks(world: World) {
    let id = world.done(&["a.example"]).await;
    let certificate = world.fetch(&id).await.unwrap();
    // The client was killed before it fetched, or before it said thanks. Its session is forgotten meanwhile.
    world.advance(DAY + HOUR);
    world.settle().await;
    assert_eq!(world.sessions.session(&id).await.unwrap(), None);
    assert_eq!(world.fetch(&id).await.as_ref(), Some(&certificate));
    // So it is after a restart of the authority.
    let ledger = Arc::new(LedgerFile::open(world.directory.path().join("ledger")).unwrap());
    let again = Sessions::new(world.store.clone(), ledger, Limits::default(), Policy::default());
    assert_eq!(again.fetch(&id).await.unwrap(), stapled_ca::session::Fetched::Certificate(certificate));
}

async fn thanks_lose_nothing(world: World) {
    let id = world.submit(&["a.example"]).await;
    // Too early, they change nothing.
    world.sessions.thanks(&id).await.unwrap();
    world.settle().await;
    world.sessions.ready(&id, None).await.unwrap();
    world.sessions.thanks(&id).await.unwrap();
    world.settle().await;
    let certificate = world.fetch(&id).await.unwrap();
    for _ in 0..2 {
        world.sessions.thanks(&id).await.unwrap();
        assert_eq!(world.sessions.session(&id).await.unwrap(), None);
        assert_eq!(world.length("expire").await, 0);
        assert_eq!(world.fetch(&id).await.as_ref(), Some(&certificate));
    }
    // A question about the status is a sign of life, and deletes nothing either.
    world.ledger.seen(&serial(&certificate), 7).unwrap();
    let entry = world.ledger.of_session(id.as_str()).unwrap().unwrap();
    assert_eq!(entry.seen, Some(7));
    assert_eq!(world.fetch(&id).await, Some(certificate));
}

async fn after_lost_writes_the_ledger_decides(world: World) {
    let id = world.done(&["a.example"]).await;
    let certificate = world.fetch(&id).await.unwrap();
    // The store lost its last writes: the session is in testchallenge again, and gets another serial number.
    let lost = stapled_core::scheduler::Record::new(id.as_str().into(), "testchallenge").field("entered", "");
    let ready = std::collections::BTreeMap::from([
        ("asked".to_owned(), b"9".to_vec()),
        ("satisfied".to_owned(), b"False".to_vec()),
    ]);
    let lost = lost.field("serial", "").field("cert", "").part("1", ready);
    let test = stapled_core::task::Task::new("testchallenge".into(), id.as_str().into());
    world.store.commit(stapled_core::scheduler::Step::intake().record(lost).put(test)).await.unwrap();
    world.settle().await;
    let session = world.session(&id).await;
    assert_eq!((session.state, session.serial), (State::Done, Some(serial(&certificate))));
    assert_eq!(session.certificate.as_ref(), Some(&certificate));
    assert_eq!(world.fetch(&id).await, Some(certificate));
    assert_eq!(stapled_ca::Ledger::records(&*world.ledger).unwrap().len(), 1);
}

async fn the_policy_holds_at_the_intake_and_before_issuing(world: World) {
    let mut policy = Policy::default();
    policy.suffixes = vec!["example".parse().unwrap()];
    policy.networks = vec!["10.0.0.0/8".parse::<Network>().unwrap()];
    let with = |policy: Policy| Sessions::new(world.store.clone(), world.ledger.clone(), Limits::default(), policy);
    let strict = with(policy.clone());
    for name in ["a.test", "192.0.2.1"] {
        let refused = strict.submit(&csr(&["a.example", name]), "").await;
        assert!(matches!(refused, Err(SessionError::Refused(Refusal::Name { name: found })) if found == name));
    }
    let id = strict.submit(&csr(&["a.example", "10.1.2.3"]), "").await.unwrap();
    world.settle().await;
    strict.ready(&id, None).await.unwrap();
    // A name is blocked before the certificate is signed.
    policy.blocked = vec!["a.example".parse().unwrap()];
    let daemons = crate::world::daemons(&with(policy), &world.authority, &world.host);
    crate::world::settle(&world.sessions, &*world.store, &daemons).await.unwrap();
    let session = world.session(&id).await;
    assert_eq!((session.state, session.certificate), (State::Dead(End::Failed), None));
    assert_eq!(session.reason.as_deref(), Some("a.example is not certified here"));
}

async fn malformed_requests_make_no_session(world: World) {
    let limit = Limits::default().csr;
    let whole = csr(&["a.example"]);
    for (bytes, expected) in [
        (vec![0x30; limit + 1], RequestError::TooLong { length: limit + 1, limit }),
        (Vec::new(), RequestError::Malformed),
        (whole[..whole.len() - 1].to_vec(), RequestError::Malformed),
        (csr(&["*.example"]), RequestError::Name { name: "*.example".to_owned() }),
    ] {
        let refused = world.sessions.submit(&bytes, "").await;
        assert!(matches!(&refused, Err(SessionError::Request(error)) if *error == expected), "{refused:?}");
    }
    for queue in QUEUES {
        assert_eq!(world.length(queue).await, 0);
    }
}

async fn too_many_sessions_are_refused(world: World) {
    let mut limits = Limits::default();
    limits.waiting = 3;
    let sessions = Sessions::new(world.store.clone(), world.ledger.clone(), limits, Policy::default());
    sessions.configure().await.unwrap();
    for _ in 0..3 {
        sessions.submit(&csr(&["a.example"]), "").await.unwrap();
    }
    let refused = sessions.submit(&csr(&["a.example"]), "").await;
    assert!(matches!(refused, Err(SessionError::TooMany(TooMany::Waiting { limit: 3 }))), "{refused:?}");
    assert_eq!(sessions.active().await.unwrap().len(), 3, "a refused session leaves nothing");
}
