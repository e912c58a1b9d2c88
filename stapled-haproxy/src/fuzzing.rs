//! What must hold of whatever a server says. The fuzzer `haproxy_reply` looks for words of which it does not; the test
//! below replays its seeds. No part of the API: outside of tests it is there with `--cfg fuzzing` only.

// A promise that is broken is told by panicking.
#![allow(clippy::panic, clippy::indexing_slicing)]

use crate::cli::framing::{self, End, Ending, Following, Marks};
use crate::cli::master;
use crate::cli::process::Process;
use crate::cli::reply::{self, CommitReply, Environment, ProbeReply, PushReply, SetReply, ShowReply, Shown};
use crate::fault;
use crate::instance::names::Names;

/// The certificate that is talked about.
const NAME: &str = "a.pem";

/// Takes the bytes for what came over the socket: one reply after the other, each of which may answer any command.
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
        assert_eq!(end.consumed, received.len(), "alone, a prompt is one only at the end");
        without_frame(received, end);
    }
    let mut rest = received;
    while let Some(end) = marks.find_end(rest, 0, Following::Replies, ending) {
        let find = |received, searched| marks.find_end(received, searched, Following::Replies, ending);
        let searched = rest.len() / 2;
        if find(&rest[..searched], 0).is_none() {
            assert_eq!(find(rest, searched), Some(end), "what was searched before makes no difference");
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

/// A success is one word for word, and nothing else is.
fn meaning(said: &str) {
    assert_eq!(reply::push(said) == PushReply::Updated, said == "OCSP Response updated!");
    let set = reply::set(said, NAME);
    assert_eq!(set == SetReply::Created, said == "Transaction created for certificate a.pem!");
    assert_eq!(set == SetReply::Joined, said == "Transaction updated for certificate a.pem!");
    let is_locked = reply::is_locked(said);
    assert_eq!(set == SetReply::Locked, is_locked);
    match reply::commit(said, NAME) {
        CommitReply::Done => assert!(said.starts_with("Committing a.pem") && said.ends_with("\nSuccess!")),
        CommitReply::Over => assert!(said.contains("ongoing transaction") && !is_locked),
        CommitReply::Locked => assert!(is_locked),
        CommitReply::Denied | CommitReply::Failed => {}
    }
    match reply::probe(said) {
        ProbeReply::None => assert_eq!(said, "No ongoing transaction!"),
        ProbeReply::Busy(name) => assert!(said.contains(&name)),
        ProbeReply::Denied => assert_eq!(said, "Permission denied"),
        ProbeReply::Other(other) => assert_eq!(other, said),
    }
    if let ShowReply::Loaded(loaded) = reply::show(said) {
        assert!(!loaded.serial.is_empty() && said.contains(&loaded.serial) && said.contains(&loaded.fingerprint));
        assert!(!loaded.takes_responses() || said.contains("OCSP Response Key:"));
        assert!(loaded.is(&loaded.serial, &loaded.fingerprint));
    }
    if let Shown::Response(response) = reply::shown_response(said) {
        assert!(!response.is_empty() && response.len() < said.len());
    }
    if let Shown::Times { this_update, next_update, .. } = reply::shown_in_words(said) {
        assert!(this_update.ends_with('Z') && next_update.ends_with('Z'));
    }
    let mut environment = Environment::default();
    let mut names = Names::default();
    for line in said.lines() {
        environment.add(line);
        if let Some(name) = reply::listed_name(line) {
            names.add(name);
        }
    }
    let files = environment.configuration_files.iter().chain(&environment.sockets);
    assert!(files.chain(&environment.working_directory).all(|value| said.contains(value)));
    for worker in master::workers(said) {
        assert!(said.contains("worker") && (!worker.is_old || said.contains("# old workers")));
    }
    let _ = master::is_gone(said.as_bytes());
    // A relative one: whether two names are one file, the file system is asked.
    let candidates = names.candidates(NAME);
    assert!(candidates.len() <= 8);
    assert!(candidates.iter().all(|candidate| candidate.name.rsplit('/').next() == Some(NAME)));
    if let Some(process) = Process::read(said) {
        assert!(process.is_same(&process));
        assert_eq!(process.key(), (process.node.clone(), process.pid, process.started));
    }
    let quoted = fault::quoted(said);
    assert!(quoted.lines().count() <= 1 && quoted.chars().count() <= 700 && !quoted.chars().any(char::is_control));
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_seeds_keep_what_is_promised() {
        let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/seeds/haproxy_reply");
        let files: Vec<_> = std::fs::read_dir(seeds).expect("seeds").map(|file| file.expect("a seed").path()).collect();
        assert!(files.len() >= 10, "{} files", files.len());
        for file in files {
            println!("{}", file.display());
            super::reply(&std::fs::read(file).expect("a seed"));
        }
    }
}
