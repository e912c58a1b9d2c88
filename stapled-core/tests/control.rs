//! Tests of the control socket: what a client is told of a running stapler, and what it may not ask.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use async_trait::async_trait;
use stapled_ca::ocsp::{OcspRequest, ResponseBuilder};
use stapled_ca::{Authority, Profile};
use stapled_core::Stapler;
use stapled_core::control::Control;
use stapled_core::control::client::{Client, ClientError};
use stapled_core::control::protocol::{Last, Line, Notice, Question};
use stapled_core::fetch::{Answer, FetchError, OcspFetcher, Question as Asked};
use stapled_core::io::memory_sink::MemorySink;
use stapled_core::io::memory_source::MemorySource;
use stapled_core::io::own_socket::OwnSocket;
use stapled_core::overview::{Row, Verdict};
use stapled_core::source::Sighting;
use stapled_core::stapler::Selection;
use stapled_core::stapler::handle::Outcome;
use tempfile::TempDir;

/// A CA that says good.
struct Ca(Authority);

#[async_trait]
impl OcspFetcher for Ca {
    async fn fetch(&self, question: &Asked<'_>) -> Result<Answer, FetchError> {
        let request = OcspRequest::from_der(question.request.as_der()).unwrap();
        Ok(Answer::new(ResponseBuilder::new(&self.0).good(&request.cert_ids[0]).build().unwrap()))
    }
}

/// A stapler with certificates of these names.
fn stapler(ca: &Arc<Ca>, names: &[&str]) -> Stapler {
    let source = MemorySource::new();
    for name in names {
        let issued = ca.0.issue(&Profile::server(name).ocsp_url("http://ocsp.test/")).unwrap();
        source.put(Sighting::chain(*name, [issued.der(), ca.0.certificate()]));
    }
    Stapler::builder().source(source).sink(MemorySink::new()).shared_fetcher(ca.clone()).build().unwrap()
}

/// A control socket that is answered.
struct World {
    ca: Arc<Ca>,
    path: PathBuf,
    _directory: TempDir,
}

impl World {
    fn new() -> (Self, OwnSocket) {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("control.sock");
        let socket = OwnSocket::make(&path).unwrap();
        let ca = Arc::new(Ca(Authority::root("CA").create().unwrap()));
        (World { ca, path, _directory: directory }, socket)
    }

    /// The lines of an answer, and the last one.
    async fn ask(&self, question: Question) -> Result<(Vec<Line>, Last), ClientError> {
        let client = Client::new(&self.path);
        let asking = tokio::task::spawn_blocking(move || {
            let mut lines = Vec::new();
            let last = client.ask(&question, &mut |_, line| {
                lines.push(line.clone());
                Ok(())
            })?;
            Ok((lines, last))
        });
        asking.await.unwrap()
    }

    async fn status(&self, of: &[&str]) -> (Vec<Row>, Last) {
        let (client, of) = (Client::new(&self.path), of.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        tokio::task::spawn_blocking(move || client.status(&of)).await.unwrap().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_sees_the_stapler_that_runs_now() {
    let (world, socket) = World::new();
    let first = stapler(&world.ca, &["a.test", "b.test"]);
    let control = Control::new("1.2.3", first.handle());
    tokio::spawn(control.clone().serve(socket));
    let (_, last) = world.status(&[]).await;
    assert!(last.scanning && last.verdict == Verdict::Failed, "nothing is known yet: {last:?}");

    let handle = first.handle();
    let running = tokio::spawn(first.run(std::future::pending()));
    handle.ready().await.unwrap();
    let (rows, last) = world.status(&[]).await;
    assert_eq!((rows.len(), last.totals.good, last.verdict, last.scanning), (2, 2, Verdict::Fine, false));
    assert_eq!((last.daemon.version.as_str(), last.daemon.pid), ("1.2.3", std::process::id()));
    let (rows, _) = world.status(&["b.*"]).await;
    assert_eq!(rows[0].certificate.as_deref(), Some("b.test"));
    assert_eq!(rows.len(), 1);
    let (_, last) = world.status(&["nothing"]).await;
    assert_eq!((last.totals.total, last.verdict), (0, Verdict::Fine), "no failure: nothing else was asked for");

    running.abort();
    let next = stapler(&world.ca, &[]);
    let handle = next.handle();
    control.replace(next.handle());
    tokio::spawn(next.run(std::future::pending()));
    handle.ready().await.unwrap();
    let (rows, last) = world.status(&[]).await;
    assert!(rows.is_empty() && last.verdict == Verdict::Failed, "a stapler without certificates: {last:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn renewals_are_asked_for_and_waited_for() {
    let (world, socket) = World::new();
    let stapler = stapler(&world.ca, &["a.test", "b.test"]);
    let handle = stapler.handle();
    tokio::spawn(Control::new("1", stapler.handle()).serve(socket));
    tokio::spawn(stapler.run(std::future::pending()));
    handle.ready().await.unwrap();
    let renew = |wait| Question::Renew { which: Selection::Certificates(vec!["a.test".to_owned()]), wait };
    let (lines, last) = world.ask(renew(Some(30))).await.unwrap();
    let rows: Vec<&Row> =
        lines.iter().filter_map(|line| if let Line::Row(row) = line { Some(&**row) } else { None }).collect();
    assert_eq!((rows.len(), last.totals.total, last.verdict), (1, 1, Verdict::Fine), "{lines:?}");
    let done = [Outcome::NewStaple, Outcome::SameStaple].map(|outcome| serde_json::to_value(outcome).unwrap());
    assert!(done.contains(&serde_json::to_value(rows[0]).unwrap()["outcome"]), "{rows:?}");
    let (lines, _) = world.ask(renew(None)).await.unwrap();
    assert!(matches!(&lines[0], Line::Row(row) if row.certificate.as_deref() == Some("a.test")), "{lines:?}");
    let (lines, _) = world.ask(Question::Responders {}).await.unwrap();
    assert!(matches!(&lines[0], Line::Responder(row) if row.responder.starts_with("ocsp.test")), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_has_a_level_only_if_the_program_says_so() {
    let (world, socket) = World::new();
    let stapler = stapler(&world.ca, &[]);
    let silent = Control::new("1", stapler.handle());
    let serving = tokio::spawn(silent.serve(socket));
    let question = |level| Question::LogLevel { level };
    assert!(matches!(world.ask(question(None)).await, Err(ClientError::Refused { .. })));
    serving.abort();
    let _ = serving.await;

    let present = Arc::new(AtomicU8::new(3));
    let level = move |new: Option<u8>| {
        new.into_iter().for_each(|new| present.store(new, Ordering::SeqCst));
        present.load(Ordering::SeqCst)
    };
    let socket = OwnSocket::make(&world.path).unwrap();
    tokio::spawn(Control::new("1", stapler.handle()).log_level(level).serve(socket));
    for (given, expected) in [(None, 3), (Some(1), 1), (None, 1)] {
        let (lines, _) = world.ask(question(given)).await.unwrap();
        assert!(matches!(lines[0], Line::Notice(Notice::LogLevel(level)) if level == expected), "{lines:?}");
    }
    assert!(matches!(world.ask(question(Some(5))).await, Err(ClientError::Refused { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_learns_why_there_is_no_answer() {
    let (world, socket) = World::new();
    let stapler = stapler(&world.ca, &[]);
    let serving = tokio::spawn(Control::new("1", stapler.handle()).serve(socket));
    let many = Question::Status { of: vec!["x".repeat(1000); 300] };
    assert!(matches!(world.ask(many).await, Err(ClientError::Refused { .. })), "a question without limit");
    serving.abort();
    let _ = serving.await;
    let all = || Question::Status { of: Vec::new() };
    assert!(matches!(world.ask(all()).await, Err(ClientError::Connect { .. })));
    // A server that ends within its answer.
    let listener = std::os::unix::net::UnixListener::bind(&world.path).unwrap();
    let breaking = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
    });
    assert!(matches!(world.ask(all()).await, Err(ClientError::Broken { .. })));
    breaking.join().unwrap();
}
