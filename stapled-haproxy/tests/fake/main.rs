//! The sink against servers that behave as HAProxy never should.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod dropped;
mod file_names;
#[path = "../support/mod.rs"]
mod support;
mod transactions;
mod workers;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use stapled_core::clock::simulated::SimulatedClock;
use stapled_core::reason::ReasonCode;
use stapled_core::sink::{Delivered, Lost, StapleSink, Withdrawal};
use stapled_core::time::Timestamp;
use stapled_haproxy::{Address, HaproxySink, codes};
use stapled_tests::{PATIENCE, World};
use support::lost;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

const HOUR: i64 = 3600;
const UPDATED: &str = "OCSP Response updated!\n\n> ";
/// A response that is too large to be shown.
const SHOWN: &str = "\n> ";

/// The server's reaction to a command.
enum Answer {
    Say(Vec<u8>),
    /// And closes.
    Last(Vec<u8>),
    /// For ever.
    Endless(Vec<u8>),
    /// The second part when the first has long been read.
    Late(&'static str, &'static str),
    Nothing,
}

impl Answer {
    /// The same once more.
    fn again(&self) -> Answer {
        match self {
            Answer::Say(bytes) => Answer::Say(bytes.clone()),
            Answer::Last(bytes) => Answer::Last(bytes.clone()),
            Answer::Endless(bytes) => Answer::Endless(bytes.clone()),
            Answer::Late(first, second) => Answer::Late(first, second),
            Answer::Nothing => Answer::Nothing,
        }
    }
}

fn say(text: &str) -> Answer {
    Answer::Say(text.as_bytes().to_vec())
}

/// HAProxy's replies to the first commands of every connection.
fn usual(line: &str, pid: usize) -> Answer {
    match line {
        "prompt" => say("\n> "),
        "show info" => say(&format!("Name: HAProxy\nVersion: 3.0.1\nPid: {pid}\nUptime_sec: 5\nnode: fake{pid}\n\n> ")),
        line if line.starts_with("set timeout cli ") => say("\n> "),
        line if line.starts_with("set ssl ocsp-response ") => say(UPDATED),
        // It shows neither responses nor certificates.
        line if line.starts_with("show ssl ocsp-response ") => say(SHOWN),
        "show ssl cert" => say("Permission denied\n\n> "),
        line => panic!("unexpected: {line}"),
    }
}

struct Fake {
    world: World,
    socket: PathBuf,
    connections: Arc<AtomicUsize>,
    late: Arc<AtomicBool>,
    server: JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Fake {
    /// A server that answers each line, given with the number of its connection, from 1.
    fn new(answer: impl Fn(&str, usize) -> Answer + Send + Sync + 'static) -> Self {
        let world = support::world();
        let listener = UnixListener::bind(world.path("fake.sock")).expect("a socket");
        Self::serving(world, listener, answer)
    }

    /// The same behind this socket.
    fn on(listener: UnixListener, answer: impl Fn(&str, usize) -> Answer + Send + Sync + 'static) -> Self {
        Self::serving(support::world(), listener, answer)
    }

    fn serving(
        world: World,
        listener: UnixListener,
        answer: impl Fn(&str, usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let socket = world.path("fake.sock");
        let connections = Arc::new(AtomicUsize::new(0));
        let (answer, count) = (Arc::new(answer), Arc::clone(&connections));
        let late = Arc::new(AtomicBool::new(false));
        let is_late = Arc::clone(&late);
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = count.fetch_add(1, Ordering::SeqCst) + 1;
                let answer = Arc::clone(&answer);
                let late = Arc::clone(&is_late);
                tokio::spawn(async move { serve(stream, late, |line| answer(line, number)).await });
            }
        });
        Fake { world, socket, connections, late, server }
    }

    fn sink(&self) -> HaproxySink {
        HaproxySink::builder(Address::unix(&self.socket))
            .reply_timeout(Duration::from_millis(400))
            .look_interval(Duration::from_millis(20))
            .build()
    }

    async fn deliver(&self) -> Result<Delivered, ReasonCode> {
        let cert = self.world.cert_file("a.pem");
        let staple = self.world.staple(&cert, HOUR);
        let sink = self.sink();
        let site = [cert.site()];
        let delivery = tokio::time::timeout(PATIENCE, sink.deliver(&staple, &site));
        delivery.await.expect("an end").map_err(|error| error.code())
    }
}

async fn serve(stream: UnixStream, late: Arc<AtomicBool>, answer: impl Fn(&str) -> Answer) {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let written = match answer(&line) {
            Answer::Say(bytes) => writer.write_all(&bytes).await,
            Answer::Last(bytes) => {
                let _ = writer.write_all(&bytes).await;
                return;
            }
            Answer::Endless(bytes) => {
                while writer.write_all(&bytes).await.is_ok() {}
                return;
            }
            Answer::Late(first, second) => {
                writer.write_all(first.as_bytes()).await.expect("a write");
                tokio::time::sleep(Duration::from_millis(50)).await;
                writer.write_all(second.as_bytes()).await.expect("a write");
                late.store(true, Ordering::SeqCst);
                Ok(())
            }
            Answer::Nothing => Ok(()),
        };
        if written.is_err() {
            return;
        }
    }
}

/// A server that behaves until a response comes.
fn on_push(answer: impl Fn() -> Answer + Send + Sync + 'static) -> Fake {
    Fake::new(move |line, _| if line.starts_with("set ssl ocsp-response ") { answer() } else { usual(line, 1) })
}

#[tokio::test]
async fn the_fake_can_behave() {
    assert_eq!(on_push(|| say(UPDATED)).deliver().await, Ok(Delivered::Confirmed));
}

#[tokio::test]
async fn a_server_that_is_not_haproxy_is_recognized_at_once() {
    for (greeting, code) in [
        (say("HTTP/1.1 400 Bad Request\r\n\r\n> "), codes::GARBLED_REPLY),
        (say("\nmaster> "), codes::MASTER_SOCKET),
        (say("Unknown command: 'prompt'\n\n> "), codes::GARBLED_REPLY),
        (say("\n12:34:56> "), codes::GARBLED_REPLY),
        (Answer::Nothing, codes::REPLY_TIMEOUT),
        (Answer::Last(Vec::new()), codes::CONNECTION_CLOSED),
        (Answer::Last(b"\n>".to_vec()), codes::CONNECTION_CLOSED),
        (Answer::Endless(vec![b'x'; 4096]), codes::GARBLED_REPLY),
        (Answer::Endless(b"\n> \n> ".to_vec()), codes::GARBLED_REPLY),
    ] {
        let greeting = Arc::new(greeting);
        let fake = Fake::new(move |_, _| greeting.again());
        assert_eq!(fake.deliver().await, Err(code));
    }
}

#[tokio::test]
async fn hangs_and_halves_are_no_success() {
    for (answer, code) in [
        ("", codes::REPLY_TIMEOUT),
        ("OCSP Response updated!", codes::REPLY_TIMEOUT),
        ("OCSP Response updated!\n", codes::REPLY_TIMEOUT),
        ("OCSP Response updated!\n\n>", codes::REPLY_TIMEOUT),
        ("OCSP Response updated!\n\n> and more\n", codes::NOT_CONFIRMED),
        ("OCSP Response updated!\n\n> OCSP Response updated!\n\n> ", codes::NOT_CONFIRMED),
        ("OCSP Response updated!\n> \n\n> ", codes::REJECTED),
        ("no > OCSP Response updated!\n\n> ", codes::REJECTED),
        ("Not now.\n\n> OCSP Response updated!\n\n> ", codes::REJECTED),
        ("\n> ", codes::REJECTED),
        ("\u{0}\u{1b}[31m\n\n> ", codes::REJECTED),
        ("Permission denied\n\n> ", codes::PERMISSION_DENIED),
    ] {
        let fake = on_push(move || say(answer));
        assert_eq!(fake.deliver().await, Err(code), "{answer:?}");
    }
    let fake = on_push(|| Answer::Endless(b"> OCSP Response updated!\n> ".repeat(200)));
    assert_eq!(fake.deliver().await, Err(codes::REPLY_TOO_LARGE));
    let fake = on_push(|| Answer::Last(b"OCSP Response upda".to_vec()));
    assert_eq!(fake.deliver().await, Err(codes::CONNECTION_CLOSED));
}

#[tokio::test]
async fn a_response_that_is_not_shown_as_text_is_not_confirmed() {
    for (shown, expected) in [
        ("Certificate ID does not match any certificate.\n\n> ", Err(codes::NOT_CONFIRMED)),
        (
            "OCSP Response Data:\n    Cert Status: good\n    This Update: Nov 24 13:14:56 2020 GMT\n    \
             Next Update: Dec  7 03:14:56 2020 GMT\n\n> ",
            Err(codes::NOT_CONFIRMED),
        ),
        ("OCSP Response Data:\n\n> ", Ok(Delivered::Confirmed)),
    ] {
        let fake = Fake::new(move |line, _| match line {
            "show info" => say("Name: HAProxy\nVersion: 2.6.12\nPid: 1\nUptime_sec: 5\nnode: fake\n\n> "),
            line if line.starts_with("show ssl ocsp-response ") => say(shown),
            _ => usual(line, 1),
        });
        assert_eq!(fake.deliver().await, expected, "{shown}");
    }
}

#[tokio::test]
async fn a_kept_connection_that_ends_is_replaced_without_a_failure() {
    let shows = AtomicUsize::new(0);
    let fake = Fake::new(move |line, _| match line {
        // Every other time it closes after the last reply.
        line if line.starts_with("show ssl ocsp-response ") => match shows.fetch_add(1, Ordering::SeqCst) % 2 {
            0 => Answer::Last(SHOWN.as_bytes().to_vec()),
            _ => say(SHOWN),
        },
        _ => usual(line, 1),
    });
    for _ in 0..3 {
        assert_eq!(fake.deliver().await, Ok(Delivered::Confirmed));
    }
    assert!(fake.connections.load(Ordering::SeqCst) >= 2);
}

#[tokio::test]
async fn a_late_reply_is_not_taken_for_the_next_one() {
    let shows = AtomicUsize::new(0);
    let fake = Fake::new(move |line, connection| match (line, connection) {
        // The second time.
        (line, 1) if line.starts_with("show ssl ocsp-response ") && shows.fetch_add(1, Ordering::SeqCst) > 0 => {
            Answer::Late(SHOWN, UPDATED)
        }
        (line, 1) if line.starts_with("set ssl") => say(UPDATED),
        (line, _) if line.starts_with("set ssl") => say("Not now.\n\n> "),
        (line, _) => usual(line, 1),
    });
    for _ in 0..2 {
        assert_eq!(fake.deliver().await, Ok(Delivered::Confirmed));
    }
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !fake.late.load(Ordering::SeqCst) {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(1)).await; // lets the runtime see the received bytes
    assert_eq!(fake.deliver().await, Err(codes::REJECTED));
}

#[tokio::test]
async fn one_response_that_is_answered_with_silence_does_not_take_the_others_along() {
    let world = support::world();
    let certs: Vec<_> = (0..20).map(|number| world.cert_file(&format!("{number}.pem"))).collect();
    let staples: Vec<_> = certs.iter().map(|cert| world.staple(cert, HOUR)).collect();
    let poison = {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.encode(staples[7].response())
    };
    let fake = Fake::new(move |line, _| if line.contains(&poison) { Answer::Last(Vec::new()) } else { usual(line, 1) });
    let sink = Arc::new(fake.sink());
    let deliveries = staples.iter().zip(&certs).map(|(staple, cert)| {
        let (sink, staple, site) = (Arc::clone(&sink), staple.clone(), [cert.site()]);
        tokio::spawn(async move { sink.deliver(&staple, &site).await.map_err(|error| error.code()) })
    });
    for (number, delivery) in deliveries.collect::<Vec<_>>().into_iter().enumerate() {
        let expected = if number == 7 { Err(codes::CONNECTION_CLOSED) } else { Ok(Delivered::Confirmed) };
        assert_eq!(delivery.await.expect("an end"), expected, "{number}");
    }
}

#[tokio::test]
async fn a_dropped_delivery_leaves_the_connection_in_order() {
    let fake = Fake::new(|line, _| usual(line, 1));
    let cert = fake.world.cert_file("a.pem");
    let sink = fake.sink();
    for _ in 0..20 {
        let staple = fake.world.staple(&cert, HOUR);
        let site = [cert.site()];
        // Polled once: the response is on its way when its owner leaves.
        let _ = tokio::time::timeout(Duration::ZERO, sink.deliver(&staple, &site)).await;
        assert_eq!(sink.deliver(&staple, &site).await.expect("a delivery"), Delivered::Confirmed);
    }
    assert_eq!(fake.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn another_process_behind_the_socket_is_a_loss() {
    let pid = Arc::new(AtomicUsize::new(1));
    let current = Arc::clone(&pid);
    let fake = Fake::new(move |line, _| usual(line, current.load(Ordering::SeqCst)));
    let sink = fake.sink();
    assert_eq!(fake.deliver().await, Ok(Delivered::Confirmed));
    assert!(tokio::time::timeout(Duration::from_millis(200), sink.lost()).await.is_err(), "nothing was lost yet");
    pid.store(2, Ordering::SeqCst);
    assert_eq!(lost(&sink).await, Lost::Everything);
    assert!(tokio::time::timeout(Duration::from_millis(200), sink.lost()).await.is_err(), "said once");
}

#[tokio::test]
async fn two_sinks_of_one_socket_share_a_connection() {
    let fake = Fake::new(|line, _| usual(line, 1));
    let cert = fake.world.cert_file("a.pem");
    std::os::unix::fs::symlink(fake.world.path(""), fake.world.path("link")).expect("a link");
    let other = HaproxySink::new(fake.world.path("link/fake.sock"));
    let sink = fake.sink();
    for sink in [&sink, &other, &sink] {
        let staple = fake.world.staple(&cert, HOUR);
        assert_eq!(sink.deliver(&staple, &[cert.site()]).await.expect("a delivery"), Delivered::Confirmed);
    }
    assert_eq!(fake.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_token_that_haproxy_calls_too_short_has_withdrawn_the_staple() {
    let fake = on_push(|| say("OCSP single response: no longer valid. Must be valid during at least 300s.\n\n> "));
    let cert = fake.world.cert_file("a.pem");
    assert!(fake.sink().withdraw(&cert.chain(), &[], Withdrawal::Expiring).await.is_ok());
    let fake = on_push(|| say("OCSP single response: no longer valid.\n\n> "));
    assert!(fake.sink().withdraw(&cert.chain(), &[], Withdrawal::Expiring).await.is_err());
}

/// A withdrawal token is valid for a minute after it was made: if the clock is set back, HAProxy would
/// send it to clients.
#[tokio::test]
async fn a_withdrawal_is_not_sent_when_the_clock_was_set_back_since_it_was_made() {
    let right = Timestamp::from_unix(1_800_000_000);
    let clock = Arc::new(SimulatedClock::starting_at(right + Duration::from_secs(10 * 365 * 86_400)));
    let pushes = Arc::new(AtomicUsize::new(0));
    let (put_right, pushed) = (Arc::clone(&clock), Arc::clone(&pushes));
    let fake = Fake::new(move |line, pid| {
        // While the withdrawal waits for its connection.
        if line == "show info" {
            put_right.set(right);
        }
        pushed.fetch_add(usize::from(line.starts_with("set ssl ocsp-response ")), Ordering::SeqCst);
        usual(line, pid)
    });
    let cert = fake.world.cert_file("a.pem");
    let sink = HaproxySink::builder(Address::unix(&fake.socket)).shared_clock(clock).build();
    let error = sink.withdraw(&cert.chain(), &[], Withdrawal::Expiring).await.unwrap_err();
    assert_eq!((error.code(), pushes.load(Ordering::SeqCst)), (codes::CLOCK_SET_BACK, 0));
    assert!(sink.withdraw(&cert.chain(), &[], Withdrawal::Revoked).await.is_ok());
    assert_eq!(pushes.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_transaction_that_a_broken_connection_left_open_is_aborted() {
    let aborted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&aborted);
    let world = support::world();
    let cert = world.cert_file("a.pem");
    let name = cert.name().to_owned();
    let serial = cert.chain().end_entity().serial_hex();
    let shown = format!("Serial: {serial}\nSHA1 FingerPrint: {}\n\n> ", fingerprint(cert.issued.der()));
    let fake = Fake::new(move |line, _| match line {
        line if line.starts_with("set ssl ocsp-response ") => {
            say("OCSP single response: Certificate ID does not match any certificate or issuer.\n\n> ")
        }
        "show ssl cert" => say(&format!("# filename\n{name}\n\n> ")),
        line if line.starts_with("show ssl cert ") => say(&shown),
        "abort ssl cert /" => say("No ongoing transaction!\n\n> "),
        line if line.starts_with("set ssl cert ") => Answer::Last(b"+ Trans".to_vec()),
        line if line == format!("abort ssl cert {name}") => {
            count.fetch_add(1, Ordering::SeqCst);
            say("Transaction aborted!\n\n> ")
        }
        line => usual(line, 1),
    });
    let sink = fake.sink();
    let (staple, site) = (world.staple(&cert, HOUR), [cert.site()]);
    let delivery = tokio::time::timeout(PATIENCE, sink.deliver(&staple, &site)).await.expect("an end");
    assert_eq!(delivery.expect_err("a failure").code(), codes::CONNECTION_CLOSED);
    assert!(aborted.load(Ordering::SeqCst) >= 1);
}

fn fingerprint(der: &[u8]) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, der);
    hash.as_ref().iter().map(|byte| format!("{byte:02X}")).collect()
}

#[tokio::test]
async fn abstract_names_are_padded_or_exact() {
    use std::os::linux::net::SocketAddrExt;
    let name = format!("stapled-abstract-{}", std::process::id());
    let mut padded = name.clone().into_bytes();
    padded.resize(107, 0);
    for (kind, bytes) in [("abns", padded.as_slice()), ("abnsz", name.as_bytes())] {
        let address = std::os::unix::net::SocketAddr::from_abstract_name(bytes).expect("an abstract name");
        let listener = std::os::unix::net::UnixListener::bind_addr(&address).expect("a socket");
        listener.set_nonblocking(true).expect("a mode");
        let fake = Fake::on(UnixListener::from_std(listener).expect("a socket"), |line, _| usual(line, 1));
        let cert = fake.world.cert_file("a.pem");
        let address: Address = format!("{kind}@{name}").parse().expect("an address");
        let sink = HaproxySink::builder(address).build();
        let delivered = sink.deliver(&fake.world.staple(&cert, HOUR), &[cert.site()]).await;
        assert_eq!(delivered.expect("a delivery"), Delivered::Confirmed);
    }
}

/// A server that takes responses and says this to questions about certificates.
fn on_certificates(
    list: impl Fn() -> Answer + Send + Sync + 'static,
    show: impl Fn() -> Answer + Send + Sync + 'static,
) -> Fake {
    Fake::new(move |line, _| match line {
        "show ssl cert" => list(),
        line if line.starts_with("show ssl cert ") => show(),
        "abort ssl cert /" => say("No ongoing transaction!\n\n> "),
        line => usual(line, 1),
    })
}

#[tokio::test]
async fn malformed_replies_about_certificates_are_refused() {
    const LIST: &str = "# filename\na.pem\n\n> ";
    let nothing = || say("Can't display the certificate: Not found or the certificate is a bundle!\n\n> ");
    // Where just nothing can be read, HAProxy's word has to do.
    assert_eq!(on_certificates(|| say(LIST), || say("odd\n\n> ")).deliver().await, Ok(Delivered::Confirmed));
    for (answer, code) in [
        (Answer::Nothing, codes::REPLY_TIMEOUT),
        (Answer::Last(Vec::new()), codes::CONNECTION_CLOSED),
        (Answer::Last(b"# filename\na.pem\n".to_vec()), codes::CONNECTION_CLOSED),
        (say("# filename\na.pem\n\n"), codes::REPLY_TIMEOUT),
        (say("12:00:01> \n\n> "), codes::GARBLED_REPLY),
        (Answer::Endless(vec![b'x'; 4096]), codes::REPLY_TOO_LARGE),
        (Answer::Endless(vec![b'\n'; 4096]), codes::REPLY_TOO_LARGE),
    ] {
        let what = format!("list, {code}");
        let answer = Arc::new(answer);
        let fake = on_certificates(move || answer.again(), nothing);
        assert_eq!(fake.deliver().await, Err(code), "{what}");
    }
    for (answer, code) in [
        (Answer::Nothing, codes::REPLY_TIMEOUT),
        (Answer::Last(b"Filename: a.pem\nSerial".to_vec()), codes::CONNECTION_CLOSED),
        (Answer::Endless(b"Serial: 1\n".repeat(400)), codes::REPLY_TOO_LARGE),
    ] {
        let answer = Arc::new(answer);
        let fake = on_certificates(|| say(LIST), move || answer.again());
        assert_eq!(fake.deliver().await, Err(code), "{code}");
    }
}

#[tokio::test]
async fn a_master_that_misbehaves_costs_a_retry() {
    const WORKERS: &str = "#<PID> <type>\n10 master 0\n# workers\n11 worker 0 0d00h00m04s 3.0\n\nmaster> ";
    let deliver = |answer: Box<dyn Fn(&str) -> Answer + Send + Sync>| async move {
        let fake = Fake::new(move |line, _| answer(line));
        let cert = fake.world.cert_file("a.pem");
        let master = Address::master(&fake.socket);
        let sink = HaproxySink::builder(master).reply_timeout(Duration::from_millis(200)).build();
        let staple = fake.world.staple(&cert, HOUR);
        let delivered = tokio::time::timeout(PATIENCE, sink.deliver(&staple, &[cert.site()])).await.expect("an end");
        delivered.map_err(|error| error.code())
    };
    // A worker's answers have its number before their prompt.
    let worker = |line: &str| match usual(line, 11) {
        Answer::Say(bytes) => {
            Answer::Say(String::from_utf8(bytes).expect("text").replace("\n> ", "\n11> ").into_bytes())
        }
        other => other,
    };
    let behaves = move |line: &str| match line {
        "prompt" => say("master> "),
        "show proc" => say(WORKERS),
        "@!11" => say("11> "),
        line => worker(line),
    };
    assert_eq!(deliver(Box::new(behaves)).await, Ok(Delivered::Confirmed));
    for (command, answer, code) in [
        ("prompt", say("\n> "), codes::MASTER_SOCKET),
        ("prompt", say("\nworker> "), codes::GARBLED_REPLY),
        ("show proc", Answer::Nothing, codes::REPLY_TIMEOUT),
        ("show proc", Answer::Last(b"#<PID>".to_vec()), codes::CONNECTION_CLOSED),
        ("show proc", say("nobody\n\nmaster> "), codes::WORKER_GONE),
        ("show proc", Answer::Endless(b"12 worker 0\n".repeat(400)), codes::REPLY_TOO_LARGE),
        ("@!11", say("Can't find the target PID matching the prefix '@!11'\nmaster> "), codes::WORKER_GONE),
        ("@!11", say("master> "), codes::MASTER_SOCKET),
        ("show info", say("Can't connect to the target CLI!\n"), codes::WORKER_GONE),
        ("show info", say("Pid: 11\n\n> "), codes::REPLY_TIMEOUT),
    ] {
        let what = format!("{command}: {code}");
        let misbehaves = move |line: &str| if line == command { answer.again() } else { behaves(line) };
        assert_eq!(deliver(Box::new(misbehaves)).await, Err(code), "{what}");
    }
}

#[tokio::test]
async fn malformed_replies_to_a_source_are_refused() {
    use stapled_core::source::CertSource;
    use stapled_haproxy::HaproxySource;
    for (answer, code) in [
        (say("Permission denied\n\n> "), Some(codes::PERMISSION_DENIED)),
        (say("no list\n\n> "), Some(codes::GARBLED_REPLY)),
        (Answer::Last(Vec::new()), Some(codes::CONNECTION_CLOSED)),
        (say("# filename\n/nowhere/a.pem\n@store/b\n\n> "), None),
    ] {
        let answer = Arc::new(answer);
        let fake = Fake::new(move |line, _| match line {
            "show ssl cert" => answer.again(),
            line if line.starts_with("show ssl cert ") => say("Status: Used\nSerial: 01\nSHA1 FingerPrint: AA\n\n> "),
            "show env" => say("HAPROXY_CFGFILES=a.cfg\n\n> "),
            line => usual(line, 1),
        });
        let scan = HaproxySource::new(&Address::unix(&fake.socket)).scan().await;
        match code {
            Some(code) => assert_eq!(scan.expect_err("a failure").code, code),
            None => {
                let problems = scan.expect("a scan").problems;
                let codes: Vec<ReasonCode> = problems.iter().map(|problem| problem.error.code).collect();
                assert_eq!(codes, [codes::UNREADABLE_CERTIFICATE; 2]);
            }
        }
    }
}
