//! Tests of the ledger against the file system: a full disk, and what is on the disk when a call returns.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use stapled_ca::store::StoreError;
use stapled_ca::{Kind, Ledger as _, LedgerFile, Reason, Record, Serial, Status};
use stapled_tests::{Private, skip, wait_until};

fn record(number: u64) -> Record {
    Record {
        serial: number.into(),
        kind: Kind::EndEntity,
        subject: String::new(),
        names: Vec::new(),
        not_before: 0,
        not_after: 100,
        issued_at: 0,
        status: Status::Good,
    }
}

/// The environment variable that names the directory for the traced process.
const TRACED: &str = "STAPLED_TEST_TRACED";

/// Runs a test of this program again under strace with these options, in the directory. The result is the trace; `None` if this
/// system lets no process be traced.
fn traced(test: &str, directory: &Path, options: &[&str]) -> Option<String> {
    let works = Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).output();
    if !works.is_ok_and(|output| output.status.success()) {
        skip("strace is missing, or may not trace processes here (ptrace)");
        return None;
    }
    let trace = tempfile::NamedTempFile::new().unwrap();
    let output = Command::new("strace")
        .args(["-f", "-y", "-qq", "-o"])
        .arg(trace.path())
        .args(options)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .env(TRACED, directory)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    Some(std::fs::read_to_string(trace.path()).unwrap())
}

fn serials(ledger: &LedgerFile) -> Vec<Serial> {
    ledger.records().unwrap().into_iter().map(|record| record.serial).collect()
}

#[test]
fn a_full_disk_refuses_entries_only_as_long_as_it_is_full() {
    let Some(private) = Private::find() else { return };
    if !private.is_inside("a_full_disk_refuses_entries_only_as_long_as_it_is_full") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    private.mount(directory.path(), 64);
    let (path, filler) = (directory.path().join("ledger"), directory.path().join("filler"));
    std::fs::write(&filler, vec![1; 40 << 10]).unwrap();
    let ledger = LedgerFile::open(&path).unwrap();
    let reader = LedgerFile::open(&path).unwrap();
    ledger.add(record(1), b"one").unwrap();
    let length = || std::fs::metadata(&path).unwrap().len();
    let before = length();
    for _ in 0..2 {
        let failure = ledger.add(record(2), &[2; 30 << 10]);
        assert!(
            matches!(&failure, Err(StoreError::Write { source, .. }) if source.kind() == ErrorKind::StorageFull),
            "{failure:?}"
        );
        assert_eq!(length(), before, "a part of a line stays");
        assert_eq!((ledger.status(&2.into()).unwrap(), reader.status(&2.into()).unwrap()), (None, None));
    }
    ledger.set_status(&1.into(), Status::Revoked { at: 7, reason: Some(Reason::KeyCompromise) }).unwrap();
    std::fs::remove_file(&filler).unwrap();
    ledger.add(record(2), &[2; 30 << 10]).unwrap();
    for ledger in [&ledger, &reader, &LedgerFile::open(&path).unwrap()] {
        assert_eq!(serials(ledger), [1.into(), 2.into()]);
        assert!(matches!(ledger.status(&1.into()).unwrap(), Some(Status::Revoked { .. })));
    }
}

/// Appends an entry that another ledger has next, as a process does that ends before it waits for the disk.
fn append_without_sync(path: &Path, entry: u64) {
    let other = tempfile::tempdir().unwrap();
    let copy = other.path().join("ledger");
    std::fs::copy(path, &copy).unwrap();
    let before = std::fs::metadata(path).unwrap().len() as usize;
    LedgerFile::open(&copy).unwrap().add(record(entry), b"").unwrap();
    let line = &std::fs::read(&copy).unwrap()[before..];
    std::fs::File::options().append(true).open(path).unwrap().write_all(line).unwrap();
}

#[test]
fn entries_of_other_processes_are_synced_before_they_count() {
    const TEST: &str = "entries_of_other_processes_are_synced_before_they_count";
    let mark = |name: &str| drop(std::fs::File::open(format!("/nowhere/{name}")));
    if let Some(directory) = std::env::var_os(TRACED) {
        let path = PathBuf::from(directory).join("ledger");
        append_without_sync(&path, 2);
        mark("opening");
        let ledger = LedgerFile::open(&path).unwrap();
        mark("opened");
        append_without_sync(&path, 3);
        mark("asking");
        assert_eq!(ledger.status(&3.into()).unwrap(), Some(Status::Good));
        mark("asked");
        assert_eq!(serials(&ledger), [1.into(), 2.into(), 3.into()]);
        mark("read");
        assert_eq!(serials(&ledger), [1.into(), 2.into(), 3.into()]);
        return mark("read again");
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger");
    LedgerFile::open(&path).unwrap().add(record(1), b"").unwrap();
    let options = ["-e", "trace=openat,fsync,fdatasync"];
    let Some(trace) = traced(TEST, directory.path(), &options) else { return };
    let between = |from: &str, to: &str| {
        let (_, rest) = trace.split_once(&format!("/nowhere/{from}\"")).unwrap();
        rest.split_once(&format!("/nowhere/{to}\"")).unwrap().0.to_owned()
    };
    let synced = |calls: &str, path: &Path| calls.contains(&format!("<{}>)", path.display()));
    assert!(synced(&between("opening", "opened"), &path), "an open ledger is on the disk: {trace}");
    assert!(synced(&between("opening", "opened"), directory.path()), "with its name: {trace}");
    assert!(!synced(&between("asking", "asked"), &path), "a status waits for no disk: {trace}");
    assert!(synced(&between("asked", "read"), &path), "{trace}");
    assert!(!synced(&between("read", "read again"), &path), "once is enough: {trace}");
}

#[test]
fn a_slow_read_of_one_certificate_delays_nothing_else() {
    const TEST: &str = "a_slow_read_of_one_certificate_delays_nothing_else";
    let Some(directory) = std::env::var_os(TRACED) else {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger");
        let options =
            ["-P", path.to_str().unwrap(), "-e", "inject=pread64:delay_enter=3s:when=1", "-e", "trace=pread64"];
        let Some(trace) = traced(TEST, directory.path(), &options) else { return };
        return assert!(trace.contains("DELAYED"), "{trace}");
    };
    let ledger = LedgerFile::open(PathBuf::from(directory).join("ledger")).unwrap();
    ledger.add(record(1), b"one").unwrap();
    ledger.add(record(2), b"two").unwrap();
    let (started, ended) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            started.store(true, Ordering::SeqCst);
            assert_eq!(ledger.entry(&1.into()).unwrap().unwrap().certificate.as_deref(), Some(&b"one"[..]));
            ended.store(true, Ordering::SeqCst);
        });
        wait_until("the read begins", || started.load(Ordering::SeqCst));
        // The first of these changes may come before the read.
        for number in 3..8 {
            ledger.add(record(number), b"").unwrap();
            assert_eq!(ledger.status(&number.into()).unwrap(), Some(Status::Good));
        }
        assert!(!ended.load(Ordering::SeqCst), "the changes waited for the read");
    });
}

#[test]
fn after_a_failed_sync_nothing_counts_until_the_ledger_is_opened_again() {
    const TEST: &str = "after_a_failed_sync_nothing_counts_until_the_ledger_is_opened_again";
    if let Some(directory) = std::env::var_os(TRACED) {
        let path = PathBuf::from(directory).join("ledger");
        let ledger = LedgerFile::open(&path).unwrap();
        ledger.add(record(1), b"").unwrap();
        // The second one. The system reports a failed sync once: the next one would succeed.
        assert!(matches!(ledger.add(record(2), b""), Err(StoreError::Write { .. })));
        assert!(matches!(ledger.add(record(3), b""), Err(StoreError::Write { .. })));
        assert!(matches!(ledger.records(), Err(StoreError::Write { .. })), "it may not be on the disk");
        assert_eq!(ledger.status(&1.into()).unwrap(), Some(Status::Good));
        assert_eq!(serials(&LedgerFile::open(&path).unwrap()), [1.into(), 2.into()]);
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    traced(TEST, directory.path(), &["-e", "inject=fdatasync:error=EIO:when=2", "-e", "trace=fdatasync"]);
}
