//! What must hold of whatever a server says. The fuzzer `haproxy_reply` looks for words of which it does not; the test
//! below replays its seeds. No part of the API: outside of tests it is there with `--cfg fuzzing` only.

// A promise that is broken is told by panicking.
#![allow(clippy::panic, clippy::indexing_slicing)]

use crate::fault;
use crate::framing::{self, End, Following};
use crate::names::Names;
use crate::process::Process;
use crate::reply::{self, CommitReply, ProbeReply, PushReply, SetReply, ShowReply};

/// The certificate that is talked about.
const NAME: &str = "a.pem";

/// Takes the bytes for what came over the socket: one reply after the other, each of which may answer any command.
pub fn reply(received: &[u8]) {
    if let Some(end) = framing::find_end(received, Following::Nothing) {
        assert_eq!(end.consumed, received.len(), "alone, a prompt is one only at the end");
        meanings(without_frame(received, end));
    }
    let mut rest = received;
    while let Some(end) = framing::find_end(rest, Following::Replies) {
        assert!(end.reply < end.consumed && end.consumed <= rest.len());
        meanings(without_frame(rest, end));
        rest = &rest[end.consumed..];
    }
    meanings(rest);
}

fn without_frame(received: &[u8], end: End) -> &[u8] {
    assert!(received[..end.consumed].ends_with(b"\n> "));
    &received[..end.reply]
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
    if reply::commit(said, NAME) == CommitReply::Done {
        assert!(said.starts_with("Committing a.pem") && said.ends_with("\nSuccess!"));
    }
    match reply::probe(said) {
        ProbeReply::None => assert_eq!(said, "No ongoing transaction!"),
        ProbeReply::Busy(name) => assert!(said.contains(&name)),
        ProbeReply::Denied => assert_eq!(said, "Permission denied"),
        ProbeReply::Other(other) => assert_eq!(other, said),
    }
    if let ShowReply::Loaded(loaded) = reply::show(said) {
        assert!(!loaded.serial.is_empty() && said.contains(&loaded.serial) && said.contains(&loaded.fingerprint));
    }
    let mut names = Names::default();
    for line in said.lines() {
        if let Some(name) = reply::listed_name(line) {
            names.add(name);
        }
        if let Some(cert_id) = reply::listed_cert_id(line) {
            assert!(line.starts_with("Certificate ID key : ") && cert_id.len() <= line.len() / 2);
        }
    }
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
