//! Two workers behind one master, of which one misbehaves.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use stapled_core::sink::{Delivered, StapleSink};
use stapled_haproxy::{Address, HaproxySink, codes};

use crate::{Answer, Fake, HOUR, say, usual};
use stapled_tests::PATIENCE;

const WORKERS: &str = "#<PID> <type>\n10 master 0\n# workers\n11 worker 0 0d00h00m04s 3.0\n\
                       12 worker 0 0d00h00m04s 3.0\n\nmaster> ";

/// A master with the current workers 11 and 12, which answer each line so.
pub(crate) fn master(answer: impl Fn(&str, usize) -> Answer + Send + Sync + 'static) -> Fake {
    let chosen: Mutex<HashMap<usize, usize>> = Mutex::default();
    Fake::new(move |line, connection| {
        if let Some(worker) = line.strip_prefix("@!") {
            let worker = worker.parse().expect("a number");
            chosen.lock().expect("a lock").insert(connection, worker);
            return say(&format!("{worker}> "));
        }
        let worker = chosen.lock().expect("a lock").get(&connection).copied();
        match (worker, line) {
            (None, "prompt") => say("master> "),
            (None, "show proc") => say(WORKERS),
            (None, line) => panic!("unexpected: {line}"),
            // A worker's answers have its number before their prompt.
            (Some(worker), line) => match answer(line, worker) {
                Answer::Say(bytes) => {
                    let text = String::from_utf8(bytes).expect("text");
                    say(&text.replace("\n> ", &format!("\n{worker}> ")))
                }
                other => other,
            },
        }
    })
}

pub(crate) fn sink(fake: &Fake) -> HaproxySink {
    HaproxySink::builder(Address::master(&fake.socket))
        .reply_timeout(Duration::from_millis(400))
        .look_interval(Duration::from_millis(20))
        .build()
}

/// Whichever it is, and however it fails: the staple is in service when every current worker has it.
#[tokio::test]
async fn one_worker_that_fails_is_no_success() {
    for (failing, answer, code) in [
        (0, say(""), None),
        (11, say("Not now.\n\n> "), Some(codes::REJECTED)),
        (12, say("Not now.\n\n> "), Some(codes::REJECTED)),
        (11, Answer::Nothing, Some(codes::REPLY_TIMEOUT)),
        (12, Answer::Last(Vec::new()), Some(codes::CONNECTION_CLOSED)),
    ] {
        let answer = Arc::new(answer);
        let fake = master(move |line, worker| match line.starts_with("set ssl ocsp-response ") && worker == failing {
            true => answer.again(),
            false => usual(line, worker),
        });
        let cert = fake.world.cert_file("a.pem");
        let (sink, staple, site) = (sink(&fake), fake.world.staple(&cert, HOUR), [cert.site()]);
        let delivered = tokio::time::timeout(PATIENCE, sink.deliver(&staple, &site)).await.expect("an end");
        let expected = code.map_or(Ok(Delivered::Confirmed), Err);
        assert_eq!(delivered.map_err(|error| error.code()), expected, "{failing}");
        // Nor is a withdrawal one.
        let why = stapled_core::sink::Withdrawal::Expiring;
        let withdrawn = tokio::time::timeout(PATIENCE, sink.withdraw(&cert.chain(), &site, why)).await.expect("an end");
        assert_eq!(withdrawn.is_ok(), code.is_none(), "{failing}");
    }
}
