//! Properties of the parsers that hold for any bytes of a server. The fuzzer `haproxy_reply` looks for counterexamples; the
//! test below replays its seeds. It is no part of the API: outside of tests it is compiled with `--cfg fuzzing` only.

// A violated property panics.
#![allow(clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;

use crate::cli::framing::{self, End, Ending, Following, Marks};
use crate::cli::identity::Identity;
use crate::cli::process::Process;
use crate::cli::quoted::quoted;
use crate::cli::reply::certificate::{ListReply, ShowReply, list, listed_name, show};
use crate::cli::reply::environment::Environment;
use crate::cli::reply::refusal::is_locked;
use crate::cli::reply::response::{PushReply, ShownResponse, push, shown_bytes, shown_text};
use crate::cli::reply::transaction::{CommitReply, ProbeReply, SetReply, commit, probe, set};
use crate::cli::reply::workers;
use crate::instance::names::Names;

/// The certificate that the commands name.
const NAME: &str = "a.pem";

/// Reads the bytes as replies, one after the other, each of which may answer any command.
pub fn reply(received: &[u8]) {
    for prompt in ["> ", "42> "] {
        for ending in [Ending::EmptyLine, Ending::Line] {
            framed(received, &Marks::of(prompt), ending);
        }
    }
    meanings(received);
}

fn framed(received: &[u8], marks: &Marks, ending: Ending) {
    let without_frame = |received: &[u8], end: End| {
        assert!(end.reply < end.consumed && end.consumed <= received.len());
        assert!(received[..end.consumed].ends_with(&[b"\n", marks.prompt()].concat()));
        meanings(&received[..end.reply]);
    };
    if let Some(end) = marks.find_end(received, 0, Following::Nothing, ending) {
        assert_eq!(end.consumed, received.len(), "without further commands, a prompt counts only at the end");
        without_frame(received, end);
    }
    let mut rest = received;
    while let Some(end) = marks.find_end(rest, 0, Following::Replies, ending) {
        let find = |received, searched| marks.find_end(received, searched, Following::Replies, ending);
        let searched = rest.len() / 2;
        if find(&rest[..searched], 0).is_none() {
            assert_eq!(find(rest, searched), Some(end), "the searched bytes make no difference");
        }
        without_frame(rest, end);
        rest = &rest[end.consumed..];
    }
}

fn meanings(reply: &[u8]) {
    for lines in [0, 1, 3] {
        let bare = framing::without_echo(reply, lines);
        assert!(reply.ends_with(bare) && reply.len() - bare.len() <= 2 * lines);
        meaning(String::from_utf8_lossy(bare).trim_end_matches('\n'));
    }
}

/// A success matches word for word, and no other reply does.
fn meaning(said: &str) {
    assert_eq!(push(said) == PushReply::Updated, said == "OCSP Response updated!");
    let reply = set(said, NAME);
    assert_eq!(reply == SetReply::Created, said == "Transaction created for certificate a.pem!");
    assert_eq!(reply == SetReply::Joined, said == "Transaction updated for certificate a.pem!");
    let is_locked = is_locked(said);
    assert_eq!(reply == SetReply::Locked, is_locked);
    match commit(said, NAME) {
        CommitReply::Done => assert!(said.starts_with("Committing a.pem") && said.ends_with("\nSuccess!")),
        CommitReply::Over(_) => assert!(said.contains("ongoing transaction") && !is_locked),
        CommitReply::Locked => assert!(is_locked),
        CommitReply::Denied | CommitReply::Failed(_) => {}
    }
    match probe(said) {
        ProbeReply::None => assert_eq!(said, "No ongoing transaction!"),
        ProbeReply::Busy(name) => assert!(said.contains(&name)),
        ProbeReply::Locked => assert!(is_locked),
        ProbeReply::Denied => assert_eq!(said, "Permission denied"),
        ProbeReply::Other(other) => assert_eq!(other, said),
    }
    certificates(said);
    responses(said);
    let mut environment = Environment::default();
    said.lines().for_each(|line| environment.add(line));
    let files = environment.configuration_files.iter().chain(&environment.sockets);
    assert!(files.chain(&environment.working_directory).all(|value| said.contains(value)));
    for worker in workers::workers(said) {
        assert!(said.contains("worker") && (!worker.is_old || said.contains("# old workers")));
    }
    let _ = workers::is_gone(said.as_bytes());
    if let Some(process) = Process::read(said) {
        assert!(process.is_same(&process));
        assert_eq!(process.key(), (process.node.clone(), process.pid, process.started));
    }
    let quoted = quoted(said);
    assert!(quoted.lines().count() <= 1 && quoted.chars().count() <= 700 && !quoted.chars().any(char::is_control));
}

fn certificates(said: &str) {
    if let ShowReply::Loaded(loaded) = show(said) {
        assert!(!loaded.serial.is_empty() && said.contains(&loaded.serial) && said.contains(&loaded.fingerprint));
        assert!(!loaded.takes_responses() || said.contains("OCSP Response Key:"));
        assert!(loaded.is(&Identity { serial: loaded.serial.clone(), fingerprint: loaded.fingerprint.clone() }));
    }
    let lines: Vec<String> = said.lines().map(str::to_owned).collect();
    if let ListReply::Names { names, in_transaction } = list(&lines) {
        assert!(names.iter().chain(&in_transaction).all(|name| said.contains(name.as_str())));
    }
    let names: Vec<Arc<str>> = said.lines().filter_map(listed_name).map(Arc::from).collect();
    // A relative path: the file system is asked whether two names are one file.
    let candidates = Names::of(&names).same_file_name(NAME).candidates(NAME);
    assert!(candidates.len() <= 8);
    assert!(candidates.iter().all(|candidate| candidate.name.rsplit('/').next() == Some(NAME)));
}

fn responses(said: &str) {
    if let ShownResponse::Bytes(response) = shown_bytes(said) {
        assert!(!response.is_empty() && response.len() < said.len());
    }
    if let ShownResponse::Times { this_update, next_update, .. } = shown_text(said) {
        assert!(said.contains("This Update: ") && said.contains("Next Update: "), "{this_update} {next_update}");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_properties_hold_for_the_seeds() {
        let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/seeds/haproxy_reply");
        let files: Vec<_> = std::fs::read_dir(seeds).expect("seeds").map(|file| file.expect("a seed").path()).collect();
        assert!(files.len() >= 10, "{} files", files.len());
        for file in files {
            println!("{}", file.display());
            super::reply(&std::fs::read(file).expect("a seed"));
        }
    }
}
