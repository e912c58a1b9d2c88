//! Very many certificates and very many sockets: against a server that behaves as HAProxy does and keeps count, and ten
//! thousand against the real one. Each staple is a first one: no server starts with any.

// A test fails by panicking, and a proof tells its figures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

mod support;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use stapled_core::ocsp::{CertIdHash, OcspResponse};
use stapled_core::sink::{Delivered, Lost, StapleSink};
use stapled_core::source::CertSource;
use stapled_core::staple::Staple;
use stapled_core::task::Subject;
use stapled_haproxy::{Address, HaproxySink, HaproxySource, codes};
use stapled_tests::{Cert, Haproxy, PATIENCE, binaries, cpu_time, how_many, now};
use support::lost;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

const HOUR: i64 = 3600;

/// A server that has certificates and takes responses for them.
struct Model {
    socket: PathBuf,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    known: Mutex<Known>,
    pushes: AtomicUsize,
    commits: AtomicUsize,
    /// Commands that are under way on different connections at once.
    writing: AtomicUsize,
    overlaps: AtomicUsize,
    pid: AtomicUsize,
    /// How many bytes of commands came.
    bytes: AtomicUsize,
}

#[derive(Default)]
struct Known {
    /// In the order in which they are listed.
    names: Vec<String>,
    certificates: HashMap<String, Certificate>,
    /// Names by CertID in hexadecimal.
    ids: HashMap<String, String>,
    /// By CertID in hexadecimal.
    responses: HashMap<String, Vec<u8>>,
    /// The certificate that is being changed, and its response to come.
    transaction: Option<(String, Option<String>)>,
}

/// One certificate.
struct Certificate {
    /// The text about it before its CertID.
    text: String,
    id: String,
    takes_responses: bool,
}

impl State {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("a lock")
    }

    fn answer(&self, line: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        let mut known = self.known();
        match words[..] {
            ["prompt"] => "\n> ".to_owned(),
            ["show", "info"] => {
                let pid = self.pid.load(Ordering::SeqCst);
                format!("Name: HAProxy\nVersion: 3.0.1\nPid: {pid}\nUptime_sec: 5\nnode: {pid}\n\n> ")
            }
            ["set", "timeout", "cli", _] => "\n> ".to_owned(),
            ["show", "ssl", "cert"] => format!("# filename\n{}\n\n> ", known.names.join("\n")),
            ["show", "ssl", "cert", name] => match known.certificates.get(name) {
                Some(Certificate { text, id, takes_responses }) => {
                    format!("{text}OCSP Response Key: {}\n\n> ", if *takes_responses { id } else { "" })
                }
                None => "Can't display the certificate: Not found or the certificate is a bundle!\n\n> ".to_owned(),
            },
            ["show", "ssl", "ocsp-response", "base64", id] => match known.responses.get(id) {
                Some(response) => format!("{}\n> ", STANDARD.encode(response)),
                None => "Certificate ID or path does not match any certificate.\n\n> ".to_owned(),
            },
            ["set", "ssl", "ocsp-response", encoded] => {
                self.pushes.fetch_add(1, Ordering::SeqCst);
                let response = STANDARD.decode(encoded).expect("base64");
                let id = id_of(&response);
                if !known.ids.get(&id).is_some_and(|name| known.certificates[name].takes_responses) {
                    return "OCSP single response: Certificate ID does not match any certificate or issuer.\n\n> "
                        .into();
                }
                known.responses.insert(id, response);
                "OCSP Response updated!\n\n> ".to_owned()
            }
            ["abort", "ssl", "cert", "/"] => "No ongoing transaction!\n\n> ".to_owned(),
            ["set", "ssl", "cert", file, "<<"] => {
                let name = file.strip_suffix(".ocsp").expect("a response");
                assert!(known.certificates.contains_key(name) && known.transaction.is_none(), "{line}");
                known.transaction = Some((name.to_owned(), None));
                "+ ".to_owned()
            }
            ["commit", "ssl", "cert", name] => {
                self.commits.fetch_add(1, Ordering::SeqCst);
                let Some((changed, Some(encoded))) = known.transaction.take() else { panic!("no transaction: {line}") };
                assert_eq!(changed, name);
                let response = STANDARD.decode(encoded).expect("base64");
                let certificate = known.certificates.get_mut(name).expect("a certificate");
                certificate.takes_responses = true;
                assert_eq!(id_of(&response), certificate.id);
                known.responses.insert(id_of(&response), response);
                format!("Committing {name}.\nSuccess!\n\n> ")
            }
            [payload] => match &mut known.transaction {
                Some((name, response)) if payload.is_empty() && response.is_some() => {
                    format!("Transaction created for certificate {name}!\n\n> ")
                }
                Some((_, response)) if response.is_none() => {
                    *response = Some(payload.to_owned());
                    "+ ".to_owned()
                }
                _ => panic!("unexpected: {line}"),
            },
            _ => panic!("unexpected: {line}"),
        }
    }

    async fn serve(&self, stream: UnixStream) {
        let (reader, mut writer) = stream.into_split();
        let mut lines = BufReader::new(reader).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            self.bytes.fetch_add(line.len() + 1, Ordering::SeqCst);
            let is_change = line.starts_with("set ssl");
            if is_change && self.writing.fetch_add(1, Ordering::SeqCst) > 0 {
                self.overlaps.fetch_add(1, Ordering::SeqCst);
            }
            let answer = self.answer(&line);
            if is_change {
                tokio::task::yield_now().await;
                self.writing.fetch_sub(1, Ordering::SeqCst);
            }
            if writer.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

impl Model {
    /// A server with these certificates, none of which has a staple.
    fn start(socket: &Path, certs: &[Cert]) -> Self {
        let listener = UnixListener::bind(socket).expect("a socket");
        let state = Arc::new(State::default());
        state.pid.store(1, Ordering::SeqCst);
        {
            let mut known = state.known();
            for cert in certs {
                known.names.push(cert.name().to_owned());
                let certificate = Certificate { text: shown(cert), id: key(cert), takes_responses: false };
                known.ids.insert(certificate.id.clone(), cert.name().to_owned());
                known.certificates.insert(cert.name().to_owned(), certificate);
            }
        }
        let serving = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&serving);
                tokio::spawn(async move { state.serve(stream).await });
            }
        });
        Model { socket: socket.to_owned(), state }
    }

    fn sink(&self) -> HaproxySink {
        HaproxySink::builder(Address::unix(&self.socket)).compare_interval(Duration::from_secs(2)).build()
    }

    fn pushes(&self) -> usize {
        self.state.pushes.load(Ordering::SeqCst)
    }

    fn commits(&self) -> usize {
        self.state.commits.load(Ordering::SeqCst)
    }

    /// Another process: all that it was given is gone.
    fn restart(&self) {
        let mut known = self.state.known();
        known.responses.clear();
        known.certificates.values_mut().for_each(|certificate| certificate.takes_responses = false);
        self.state.pid.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether it has just these staples.
    fn has_all(&self, certs: &[Cert], staples: &[Staple]) -> bool {
        let known = self.state.known();
        certs.iter().zip(staples).all(|(cert, staple)| {
            let id = key(cert);
            known.certificates[cert.name()].takes_responses
                && known.responses.get(&id).is_some_and(|response| response == staple.response())
        })
    }
}

fn shown(cert: &Cert) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, cert.issued.der());
    let fingerprint = hexadecimal(hash.as_ref()).to_uppercase();
    let serial = cert.chain().end_entity().serial_hex();
    format!(
        "Filename: {}\nStatus: Used\nSerial: {serial}\nSHA1 FingerPrint: {fingerprint}\nChain Subject: /CN=x\n",
        cert.name()
    )
}

fn key(cert: &Cert) -> String {
    hexadecimal(&cert.chain().cert_id(CertIdHash::Sha1).to_der())
}

/// The certificate of a response.
fn id_of(response: &[u8]) -> String {
    let Ok(OcspResponse::Basic(basic)) = OcspResponse::from_der(response) else { panic!("no response") };
    hexadecimal(&basic.responses[0].cert_id.to_der())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn deliver_all(sink: &Arc<HaproxySink>, certs: &Arc<Vec<Cert>>, staples: &Arc<Vec<Staple>>) {
    let workers = sink.requirements().concurrency;
    let mut deliveries = JoinSet::new();
    for worker in 0..workers {
        let (sink, certs, staples) = (Arc::clone(sink), Arc::clone(certs), Arc::clone(staples));
        deliveries.spawn(async move {
            for number in (worker..certs.len()).step_by(workers) {
                let delivered = sink.deliver(&staples[number], &[certs[number].site()]).await;
                assert_eq!(delivered.expect("a delivery"), Delivered::Confirmed);
            }
        });
    }
    deliveries.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_certificates_on_one_socket() {
    let count = how_many(100_000, 4_000);
    let world = support::world();
    let certs = Arc::new(world.many_unwritten("certs", count));
    let staples = Arc::new(certs.iter().map(|cert| world.staple(cert, 4 * HOUR)).collect::<Vec<_>>());
    let model = Model::start(&world.path("model.sock"), &certs);
    let sink = Arc::new(model.sink());

    let begun = Instant::now();
    deliver_all(&sink, &certs, &staples).await;
    println!("{count} first staples delivered in {:.1} s", begun.elapsed().as_secs_f64());
    assert!(model.has_all(&certs, &staples));
    assert_eq!(model.commits(), count, "not each was introduced just once");
    let pushes = model.pushes();
    assert_eq!(model.state.overlaps.load(Ordering::SeqCst), 0, "two pushes at once");

    // Nothing changed: nothing is pushed, nothing is called lost, however often it is compared.
    let before = model.state.bytes.load(Ordering::SeqCst);
    let quiet = tokio::time::timeout(Duration::from_secs(5), sink.lost()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    assert_eq!((model.pushes(), model.commits()), (pushes, count));
    let bytes = model.state.bytes.load(Ordering::SeqCst) - before;
    println!("nothing changed for 5 s, every staple compared twice: {} bytes sent per certificate", bytes / count);

    // One certificate loses its place for responses, another its response: just these two are lost.
    let (first, second) = (&certs[count / 3], &certs[count / 2]);
    model.state.known().certificates.get_mut(first.name()).expect("a certificate").takes_responses = false;
    let older = world.response(second, now() - 5000, HOUR);
    model.state.known().responses.insert(key(second), older);
    let begun = Instant::now();
    let mut missing = vec![first.chain().subject().clone(), second.chain().subject().clone()];
    while !missing.is_empty() {
        let lost: Vec<Subject> = match tokio::time::timeout(9 * PATIENCE, sink.lost()).await.expect("word of a loss") {
            Lost::Certificates(lost) => lost,
            Lost::Changed(changes) => changes.into_iter().map(|change| change.subject).collect(),
            other => panic!("{other:?}"),
        };
        assert!(lost.iter().all(|subject| missing.contains(subject)), "{lost:?}");
        missing.retain(|missing| !lost.contains(missing));
    }
    println!("two changes among {count} noticed in {:.1} s", begun.elapsed().as_secs_f64());

    // Delivered again, just these two are restored.
    deliver_all(&sink, &certs, &staples).await;
    assert!(model.has_all(&certs, &staples));
    assert_eq!(model.commits(), count + 1);

    // Its next staples: pushes alone.
    let next = Arc::new(certs.iter().map(|cert| world.staple(cert, 5 * HOUR)).collect::<Vec<_>>());
    let begun = Instant::now();
    deliver_all(&sink, &certs, &next).await;
    println!("{count} next staples delivered in {:.1} s", begun.elapsed().as_secs_f64());
    assert!(model.has_all(&certs, &next));
    assert_eq!(model.commits(), count + 1);

    // Another process: everything is lost at once, and restored.
    model.restart();
    let begun = Instant::now();
    assert_eq!(lost(&sink).await, Lost::Everything);
    println!("a restart noticed in {:.1} s", begun.elapsed().as_secs_f64());
    deliver_all(&sink, &certs, &next).await;
    println!("{count} certificates restored in {:.1} s", begun.elapsed().as_secs_f64());
    assert!(model.has_all(&certs, &next));
    assert_eq!(model.state.overlaps.load(Ordering::SeqCst), 0, "two pushes at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_sockets() {
    const SOCKETS: usize = 1_000;
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("a higher limit");
    let world = support::world();
    let certs = Arc::new(world.many_unwritten("certs", 2));
    let staples: Arc<Vec<Staple>> = Arc::new(certs.iter().map(|cert| world.staple(cert, HOUR)).collect());
    let models: Vec<Model> =
        (0..SOCKETS).map(|number| Model::start(&world.path(&format!("{number}.sock")), &certs)).collect();
    // Some take connections and never answer.
    let deaf: Vec<UnixListener> = (0..20)
        .map(|number| UnixListener::bind(world.path(&format!("deaf{number}.sock"))).expect("a socket"))
        .collect();
    let sinks: Vec<Arc<HaproxySink>> = models.iter().map(|model| Arc::new(model.sink())).collect();
    let mut hanging = JoinSet::new();
    for number in 0..deaf.len() {
        let sink = HaproxySink::new(world.path(&format!("deaf{number}.sock")));
        let (staple, site) = (staples[0].clone(), certs[0].site());
        hanging.spawn(async move { sink.deliver(&staple, &[site]).await.map_err(|error| error.code()) });
    }
    let begun = Instant::now();
    let mut deliveries = JoinSet::new();
    for sink in &sinks {
        let (sink, certs, staples) = (Arc::clone(sink), Arc::clone(&certs), Arc::clone(&staples));
        deliveries.spawn(async move { deliver_all(&sink, &certs, &staples).await });
    }
    deliveries.join_all().await;
    println!("two staples to each of {SOCKETS} sockets in {:.1} s", begun.elapsed().as_secs_f64());
    assert!(models.iter().all(|model| model.commits() == 2 && model.has_all(&certs, &staples)));
    for hung in hanging.join_all().await {
        assert_eq!(hung, Err(codes::REPLY_TIMEOUT));
    }

    // All are watched at once; a loss of one sink is not a loss of the others.
    let watched = sinks.iter().enumerate().map(|(number, sink)| {
        let sink = Arc::clone(sink);
        async move { (number, sink.lost().await) }
    });
    let mut watching: JoinSet<(usize, Lost)> = watched.collect();
    let before = cpu_time(std::process::id().into());
    let quiet = tokio::time::timeout(Duration::from_secs(5), watching.join_next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    let busy = cpu_time(std::process::id().into()) - before;
    println!("{SOCKETS} sockets watched for 5 s, both sides: {:.0} % of a core", busy.as_secs_f64() * 20.0);
    models[500].state.pid.store(2, Ordering::SeqCst);
    let word = tokio::time::timeout(PATIENCE, watching.join_next()).await.expect("word").expect("a task");
    assert_eq!(word.expect("an end"), (500, Lost::Everything));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_certificates_in_the_real_haproxy() {
    let count = how_many(10_000, 500);
    for binary in binaries() {
        let world = support::world();
        let certs = Arc::new(world.many_certs("certs", count));
        let master = world.path("master.sock");
        let arguments = ["-W", "-S", master.to_str().expect("text")];
        let haproxy =
            support::start_with(&world, &binary, &format!("crt {}", world.path("certs").display()), "", &arguments);
        let sink = Arc::new(HaproxySink::builder(Address::unix(haproxy.socket())).build());
        let staples = Arc::new(certs.iter().map(|cert| world.staple(cert, 4 * HOUR)).collect::<Vec<_>>());
        // No staple anywhere: each is a first one.
        let begun = Instant::now();
        deliver_all(&sink, &certs, &staples).await;
        println!("{binary}: {count} first staples in {:.1} s", begun.elapsed().as_secs_f64());
        all_are_stapled(&haproxy, &certs, &staples);

        // The process as a source gives all of them.
        let source = HaproxySource::new(&Address::unix(haproxy.socket()));
        let scan = source.scan().await.expect("a scan");
        assert_eq!((scan.sightings.len(), scan.problems.len()), (count, 0));
        let snapshot = source.snapshot().await.expect("a snapshot");
        assert_eq!(snapshot.certificates.len(), count);
        assert!(snapshot.certificates.iter().all(|one| one.is_in_file && one.takes_responses && one.is_used));
        assert_eq!(snapshot.configuration_files, [world.path("haproxy.cfg")]);
        assert!(snapshot.sockets.iter().any(|socket| socket.contains("admin.sock")), "{:?}", snapshot.sockets);

        let quiet = tokio::time::timeout(Duration::from_secs(3), sink.lost()).await;
        assert!(quiet.is_err(), "{binary}: {quiet:?}");
        let begun = Instant::now();
        haproxy.load(&certs[count / 2], false);
        assert_eq!(lost(&sink).await, Lost::Certificates(vec![certs[count / 2].chain().subject().clone()]));
        println!("{binary}: one replaced among {count} noticed in {:.1} s", begun.elapsed().as_secs_f64());
        deliver_all(&sink, &certs, &staples).await;
        all_are_stapled(&haproxy, &certs, &staples);

        // The next process has none of them.
        let begun = Instant::now();
        haproxy.reload_within(3 * PATIENCE);
        println!("{binary}: reloaded in {:.1} s", begun.elapsed().as_secs_f64());
        assert_eq!(haproxy.staple(&certs[0]), None);
        let begun = Instant::now();
        assert_eq!(lost(&sink).await, Lost::Everything);
        println!("{binary}: the reload noticed after {:.1} s", begun.elapsed().as_secs_f64());
        deliver_all(&sink, &certs, &staples).await;
        println!("{binary}: {count} restored after {:.1} s", begun.elapsed().as_secs_f64());
        all_are_stapled(&haproxy, &certs, &staples);
    }
}

/// The staples that clients get, for at most two hundred certificates.
fn all_are_stapled(haproxy: &Haproxy, certs: &[Cert], staples: &[Staple]) {
    for (cert, staple) in certs.iter().zip(staples).step_by(certs.len().div_ceil(200)) {
        assert_eq!(haproxy.staple(cert).as_deref(), Some(staple.response().as_ref()), "{}", cert.name());
    }
}
