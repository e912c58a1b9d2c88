//! Tests that staple files survive a crash of the machine, by the system calls that write them: the contents of a file
//! are on the disk before the file gets its name, and the name is on the disk before the delivery is confirmed.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use stapled_core::io::file::FileSink;
use stapled_core::sink::{Delivered, Site, StapleSink};
use stapled_tests::{Example, skip};
use tempfile::TempDir;

/// The environment variable that names the directory for the traced process.
const TRACED: &str = "STAPLED_TEST_TRACED";
const CALLS: &str = "trace=open,openat,write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat";

/// The complete system calls of each process or thread, in the order in which they returned.
fn calls(trace: &str) -> HashMap<&str, Vec<String>> {
    let mut calls: HashMap<&str, Vec<String>> = HashMap::new();
    let mut begun: HashMap<&str, &str> = HashMap::new();
    for line in trace.lines() {
        let (process, call) = line.split_once(' ').unwrap();
        let call = call.trim_start();
        if let Some(start) = call.strip_suffix("<unfinished ...>") {
            begun.insert(process, start);
            continue;
        }
        let call = match call.strip_prefix("<... ").and_then(|rest| rest.split_once(" resumed>")) {
            Some((_, rest)) => format!("{}{rest}", begun.remove(process).unwrap()),
            None => call.to_owned(),
        };
        calls.entry(process).or_default().push(call);
    }
    calls
}

/// The effect of a call on the staple's file or its directory, in a word; `None` for a failed call.
fn meaning(call: &str, directory: &str) -> Option<&'static str> {
    if call.contains("= -1 ") || !call.contains(directory) {
        return None;
    }
    let is_temporary = call.contains(".ocsp.");
    match call.split('(').next()? {
        "open" | "openat" if call.contains("O_CREAT") => Some("create"),
        "write" | "pwrite64" if is_temporary => Some("write"),
        // Both calls sync the data; only one syncs the file's times.
        "fsync" | "fdatasync" if is_temporary => Some("sync file"),
        "fsync" if call.contains(&format!("<{directory}>")) => Some("sync directory"),
        "rename" | "renameat" | "renameat2" => Some("rename"),
        "unlink" | "unlinkat" => Some("unlink"),
        _ => None,
    }
}

async fn write_two(directory: &Path) {
    let example = Example::new(&[24, 48]);
    let site = Site::file(directory.join("site.pem"));
    let sink = FileSink::new();
    for staple in &example.staples {
        assert_eq!(sink.deliver(staple, std::slice::from_ref(&site)).await.unwrap(), Delivered::Confirmed);
    }
}

#[tokio::test]
async fn a_staple_is_on_the_disk_before_its_name_is_and_its_name_before_it_is_confirmed() {
    if let Some(directory) = std::env::var_os(TRACED) {
        return write_two(&PathBuf::from(directory)).await;
    }
    let works = Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).stdin(Stdio::null()).output();
    if !works.is_ok_and(|output| output.status.success()) {
        return skip("strace is missing, or may not trace processes here (ptrace)");
    }
    let (directory, trace) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let directory = fs::canonicalize(directory.path()).unwrap();
    fs::write(directory.join("site.pem"), "certificate").unwrap();
    let trace = trace.path().join("trace");
    let output = Command::new("strace")
        .args(["-f", "-y", "-qq", "-s", "256", "-e", CALLS, "-o"])
        .arg(&trace)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "a_staple_is_on_the_disk_before_its_name_is_and_its_name_before_it_is_confirmed"])
        .env(TRACED, &directory)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let trace = fs::read_to_string(trace).unwrap();
    let name = directory.to_str().unwrap();
    let mut done: Vec<&str> = Vec::new();
    // One thread writes each file from its beginning to its end.
    for calls in calls(&trace).values() {
        done.extend(calls.iter().filter_map(|call| meaning(call, name)));
    }
    // The number of writes does not matter.
    done.dedup_by(|next, before| next == before && *next == "write");
    let one = ["create", "write", "sync file", "rename", "sync directory"];
    assert_eq!(done, [one, one].concat(), "{trace}");
}
