//! First staples, in every way in which a transaction can go wrong: HAProxy before 3.0 is sent all of it at once, later
//! ones step by step.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use stapled_core::reason::ReasonCode;
use stapled_core::sink::{Delivered, StapleSink};
use stapled_haproxy::codes;
use tokio::task::JoinSet;

use crate::support;
use crate::{Answer, Fake, HOUR, UPDATED, fingerprint, say, usual};
use stapled_tests::{Cert, PATIENCE, World};

const CREATED: &str = "Transaction created for certificate NAME!\n\n> ";
const JOINED: &str = "Transaction updated for certificate NAME!\n\n> ";
const OTHERS: &str = "Transaction updated for certificate /other.pem!\n\n> ";
const REFUSED: &str =
    "The ongoing transaction is about '/other.pem' but you are trying to set 'NAME'\nCan't update NAME.ocsp!\n\n> ";
const LOCKED: &str = "Can't update the certificate!\nOperations on certificates are currently locked!\n\n> ";
const NOT_THERE: &str =
    "Can't replace a certificate which is not referenced by the configuration!\nCan't update NAME.ocsp!\n\n> ";
const DENIED: &str = "Permission denied\n\n> ";
const DONE: &str = "Committing NAME.\nSuccess!\n\n> ";
const NONE: &str = "No ongoing transaction! !\nCan't commit NAME!\n\n> ";
const ANOTHER: &str = "The ongoing transaction is about '/other.pem' but you are trying to set 'NAME'\n\
                       Can't commit NAME!\n\n> ";
const UNFIT: &str = "inconsistencies between private key and certificate loaded 'NAME'.\nCan't commit NAME!\n\n> ";
const IDLE: &str = "No ongoing transaction!\n\n> ";
const NO_MATCH: &str = "OCSP single response: Certificate ID does not match any certificate or issuer.\n\n> ";

/// HAProxy's replies to a transaction's commands.
#[derive(Clone, Copy)]
struct Script {
    version: &'static str,
    /// To the first part of each transaction; the last one again and again.
    set: &'static [&'static str],
    commit: &'static [&'static str],
    /// Whether another certificate is there after a commit.
    is_mixed_up: bool,
    /// Whether the connection ends with the reply to the commit.
    is_last: bool,
}

const OLD: Script =
    Script { version: "2.6.12-1", set: &[CREATED], commit: &[DONE], is_mixed_up: false, is_last: false };
const NEW: Script = Script { version: "3.0.1", ..OLD };

/// The commands that a scripted HAProxy has received.
#[derive(Default)]
struct Seen {
    set: VecDeque<&'static str>,
    commit: VecDeque<&'static str>,
    /// The part that waits for its payload, and the number of parts since the last commit.
    part: Option<String>,
    parts: usize,
    /// The replies that are held back until the commit.
    held: String,
    is_done: bool,
    sets: usize,
    commits: usize,
    aborts: usize,
}

struct Play {
    world: World,
    cert: Cert,
    fake: Fake,
    seen: Arc<Mutex<Seen>>,
}

fn next(queue: &mut VecDeque<&'static str>) -> &'static str {
    match queue.len() {
        0 => "",
        1 => queue[0],
        _ => queue.pop_front().unwrap(),
    }
}

fn play(script: Script) -> Play {
    let world = support::world();
    let cert = world.cert_file("a.pem");
    let seen = Arc::new(Mutex::new(Seen {
        set: script.set.iter().copied().collect(),
        commit: script.commit.iter().copied().collect(),
        ..Seen::default()
    }));
    let (name, shared) = (cert.name().to_owned(), Arc::clone(&seen));
    let serial = cert.chain().end_entity().serial_hex();
    let hash = fingerprint(cert.issued.der());
    let key: String = cert
        .chain()
        .cert_id(stapled_core::ocsp::CertIdHash::Sha1)
        .to_der()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let is_at_once = script.version < "3";
    let fake = Fake::new(move |line, _| {
        let mut seen = shared.lock().unwrap();
        let named = |text: &str| text.replace("NAME", &name);
        // Payload: its last line is the empty one.
        if let Some(part) = seen.part.take() {
            if !line.is_empty() {
                seen.part = Some(part);
                return say("+ ");
            }
            seen.sets += 1;
            seen.parts += 1;
            let said = if seen.parts == 1 { next(&mut seen.set) } else { JOINED };
            if !said.starts_with("Transaction ") {
                seen.parts = 0;
            }
            if is_at_once {
                // A client that waits for this reply before it commits waits forever.
                seen.held += &named(said);
                return Answer::Nothing;
            }
            return say(&named(said));
        }
        match line {
            "show info" => {
                say(&format!("Name: HAProxy\nVersion: {}\nPid: 1\nUptime_sec: 5\nnode: fake\n\n> ", script.version))
            }
            "show ssl cert" => say(&format!("# filename\n{name}\n\n> ")),
            line if line.starts_with("show ssl cert ") => {
                let (serial, hash) = match seen.is_done && script.is_mixed_up {
                    true => ("77", "00"),
                    false => (serial.as_str(), hash.as_str()),
                };
                let key = if seen.is_done { key.as_str() } else { "" };
                say(&format!(
                    "Filename: {name}\nStatus: Used\nSerial: {serial}\nSHA1 FingerPrint: {hash}\nChain Subject: /CN=x\n\
                     OCSP Response Key: {key}\n\n> "
                ))
            }
            line if line.starts_with("set ssl ocsp-response ") => {
                say(if seen.is_done && !script.is_mixed_up { UPDATED } else { NO_MATCH })
            }
            "abort ssl cert /" => say(IDLE),
            line if line == named("abort ssl cert NAME") => {
                seen.aborts += 1;
                say(&named("Transaction aborted for certificate 'NAME'!\n\n> "))
            }
            line if line.starts_with("set ssl cert ") => {
                seen.part = Some(line.to_owned());
                say("+ ")
            }
            line if line == named("commit ssl cert NAME") => {
                seen.commits += 1;
                seen.parts = 0;
                let said = next(&mut seen.commit);
                seen.is_done |= said == DONE;
                let said = std::mem::take(&mut seen.held) + &named(said);
                match script.is_last {
                    true => Answer::Last(said.into_bytes()),
                    false => say(&said),
                }
            }
            line => usual(line, 1),
        }
    });
    Play { world, cert, fake, seen }
}

impl Play {
    async fn deliver(&self) -> Result<Delivered, ReasonCode> {
        let (staple, site) = (self.world.staple(&self.cert, HOUR), [self.cert.site()]);
        let sink = self.fake.sink();
        let delivery = tokio::time::timeout(PATIENCE, sink.deliver(&staple, &site));
        delivery.await.expect("an end").map_err(|error| error.code())
    }

    fn aborts(&self) -> usize {
        self.seen.lock().unwrap().aborts
    }
}

#[tokio::test]
async fn before_3_0_everything_is_sent_at_once() {
    let play = play(OLD);
    assert_eq!(play.deliver().await, Ok(Delivered::Confirmed));
    let seen = play.seen.lock().unwrap();
    assert_eq!((seen.sets, seen.commits, seen.aborts), (1, 1, 0));
}

#[tokio::test]
async fn from_3_0_on_a_foreign_transaction_is_not_committed() {
    let play = play(NEW);
    assert_eq!(play.deliver().await, Ok(Delivered::Confirmed));
    for (set, code) in [
        (&[REFUSED] as &[_], codes::FOREIGN_TRANSACTION),
        (&[JOINED], codes::FOREIGN_TRANSACTION),
        (&[NOT_THERE], codes::NOT_LOADED),
        (&[DENIED], codes::PERMISSION_DENIED),
        (&["What?\n\n> "], codes::COMMIT_FAILED),
    ] {
        let play = self::play(Script { set, ..NEW });
        assert_eq!(play.deliver().await, Err(code), "{set:?}");
        let seen = play.seen.lock().unwrap();
        assert!(seen.sets >= 1 && seen.commits == 0 && seen.aborts == 0, "{set:?}");
    }
    // HAProxy gets to it at the third time.
    let play = self::play(Script { set: &[LOCKED, LOCKED, CREATED], ..NEW });
    assert_eq!(play.deliver().await, Ok(Delivered::Confirmed));
}

#[tokio::test]
async fn a_refusal_of_commands_sent_at_once_is_an_error_and_no_foreign_transaction_is_aborted() {
    let mut plays = JoinSet::new();
    for (set, commit, code, has_aborted) in [
        // Into another certificate's transaction.
        (OTHERS, ANOTHER, codes::FOREIGN_TRANSACTION, false),
        (REFUSED, ANOTHER, codes::FOREIGN_TRANSACTION, false),
        // Into a foreign transaction for this certificate, which was over before the commit.
        (JOINED, NONE, codes::FOREIGN_TRANSACTION, false),
        // Into a foreign transaction that cannot be committed: it is not aborted.
        (JOINED, UNFIT, codes::FOREIGN_TRANSACTION, false),
        (DENIED, DENIED, codes::PERMISSION_DENIED, false),
        (NOT_THERE, NONE, codes::NOT_LOADED, false),
        ("What?\n\n> ", NONE, codes::COMMIT_FAILED, false),
        // Our transaction, which another client has ended.
        (CREATED, NONE, codes::COMMIT_FAILED, false),
        (CREATED, ANOTHER, codes::COMMIT_FAILED, false),
        // Ours, and left over.
        (CREATED, UNFIT, codes::COMMIT_FAILED, true),
        (CREATED, DENIED, codes::PERMISSION_DENIED, true),
        (CREATED, "Success!\n\n> ", codes::COMMIT_FAILED, true),
        (CREATED, "\n> ", codes::COMMIT_FAILED, true),
        // Always locked by another client's command.
        (LOCKED, LOCKED, codes::FOREIGN_TRANSACTION, false),
        (LOCKED, NONE, codes::FOREIGN_TRANSACTION, false),
        (CREATED, LOCKED, codes::FOREIGN_TRANSACTION, true),
    ] {
        let (sets, commits) = (Vec::leak(vec![set]), Vec::leak(vec![commit]));
        plays.spawn(async move {
            let play = play(Script { set: sets, commit: commits, ..OLD });
            assert_eq!(play.deliver().await, Err(code), "{set:?}, {commit:?}");
            assert_eq!(play.aborts() > 0, has_aborted, "{set:?}, {commit:?}");
        });
    }
    plays.join_all().await;
}

#[tokio::test]
async fn a_locked_change_is_sent_again() {
    for (set, commit, aborts) in [
        (&[LOCKED, CREATED] as &'static [_], &[LOCKED, DONE] as &'static [_], 0),
        (&[LOCKED, CREATED], &[NONE, DONE], 0),
        (&[LOCKED, LOCKED, CREATED], &[NONE, LOCKED, DONE], 0),
        // Our transaction must not stay open: another client may add a part to it.
        (&[CREATED], &[LOCKED, DONE], 1),
        (&[CREATED], &[LOCKED, LOCKED, DONE], 2),
        // A foreign transaction for this certificate was committed with it.
        (&[JOINED], &[DONE], 0),
    ] {
        let play = play(Script { set, commit, ..OLD });
        assert_eq!(play.deliver().await, Ok(Delivered::Confirmed), "{set:?}, {commit:?}");
        assert_eq!(play.aborts(), aborts, "{set:?}, {commit:?}");
    }
}

#[tokio::test]
async fn another_certificate_under_the_name_is_an_error() {
    for (script, code) in [(OLD, codes::CERTIFICATE_MIXED_UP), (NEW, codes::CERTIFICATE_DIFFERS)] {
        let play = play(Script { is_mixed_up: true, ..script });
        assert_eq!(play.deliver().await, Err(code));
        let seen = play.seen.lock().unwrap();
        assert_eq!((seen.commits, seen.aborts), (1, 0), "what is there is left as it is");
    }
    // The same with a foreign transaction.
    let play = play(Script { is_mixed_up: true, set: &[JOINED], ..OLD });
    assert_eq!(play.deliver().await, Err(codes::CERTIFICATE_MIXED_UP));
}

#[tokio::test]
async fn a_partial_reply_is_an_error_and_an_open_transaction_is_aborted() {
    let mut plays = JoinSet::new();
    for (set, commit, is_last, code) in [
        ("", "", false, codes::REPLY_TIMEOUT),
        (CREATED, "", false, codes::REPLY_TIMEOUT),
        (CREATED, "Committing NAME", false, codes::REPLY_TIMEOUT),
        (CREATED, "Committing NAME.\nSuccess!\n\n>", false, codes::REPLY_TIMEOUT),
        (CREATED, "Committing NAME.\n", true, codes::CONNECTION_CLOSED),
        ("Transaction crea", "", true, codes::CONNECTION_CLOSED),
        ("", "", true, codes::CONNECTION_CLOSED),
    ] {
        let (sets, commits) = (Vec::leak(vec![set]), Vec::leak(vec![commit]));
        plays.spawn(async move {
            let play = play(Script { set: sets, commit: commits, is_last, ..OLD });
            assert_eq!(play.deliver().await, Err(code), "{set:?}, {commit:?}");
            assert!(play.aborts() >= 1, "{set:?}, {commit:?}");
        });
    }
    plays.join_all().await;
}
