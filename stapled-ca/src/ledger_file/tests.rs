use super::*;
use crate::ledger::{Kind, Reason};

fn record(number: u64) -> Record {
    let (not_before, not_after, names) = (0, 100, vec![format!("{number}.example")]);
    let (kind, subject) = (Kind::EndEntity, String::new());
    Record { serial: number.into(), kind, subject, names, not_before, not_after, issued_at: 0, status: Status::Good }
}

fn revoked() -> Status {
    Status::Revoked { at: 7, reason: Some(Reason::Superseded) }
}

/// Each change of a ledger, in order.
fn steps() -> [fn(&LedgerFile); 5] {
    [
        |ledger| assert_eq!(ledger.enter(record(1), "a", b"one").unwrap(), Entered::Now),
        |ledger| ledger.add(record(2), b"two").unwrap(),
        |ledger| drop(ledger.set_status(&1.into(), revoked()).unwrap()),
        |ledger| ledger.seen(&1.into(), 8).unwrap(),
        |ledger| assert_eq!(ledger.enter(record(3), "b", &[0, 255]).unwrap(), Entered::Now),
    ]
}

/// All that a ledger knows.
fn known(ledger: &LedgerFile) -> Vec<LedgerEntry> {
    let records = ledger.records().unwrap();
    records.iter().map(|record| ledger.entry(&record.serial).unwrap().unwrap()).collect()
}

#[test]
fn entries_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger");
    let ledger = LedgerFile::open(&path).unwrap();
    steps().iter().for_each(|step| step(&ledger));
    assert_eq!(ledger.enter(record(9), "a", b"two").unwrap(), Entered::Before(1.into()));
    assert!(matches!(ledger.enter(record(2), "c", b""), Err(StoreError::SerialTaken { .. })));
    assert!(matches!(ledger.add(record(1), b""), Err(StoreError::SerialTaken { .. })));
    assert!(matches!(ledger.set_status(&9.into(), Status::Good), Err(StoreError::NeverIssued { .. })));
    ledger.seen(&1.into(), 9).unwrap();
    ledger.seen(&9.into(), 9).unwrap();
    let one = ledger.of_session("a").unwrap().unwrap();
    assert_eq!((one.certificate.as_deref(), one.seen, one.record.status), (Some(&b"one"[..]), Some(8), revoked()));
    assert_eq!(ledger.of_session("c").unwrap(), None);
    assert_eq!(known(&LedgerFile::open(&path).unwrap()), known(&ledger));
}

#[test]
fn a_file_that_ends_at_any_octet_has_every_finished_entry() {
    let directory = tempfile::tempdir().unwrap();
    let (whole, part) = (directory.path().join("whole"), directory.path().join("part"));
    let ledger = LedgerFile::open(&whole).unwrap();
    let mut after: Vec<(usize, Vec<LedgerEntry>)> = vec![(0, Vec::new())];
    for step in steps() {
        step(&ledger);
        after.push((std::fs::read(&whole).unwrap().len(), known(&ledger)));
    }
    let bytes = std::fs::read(&whole).unwrap();
    for end in 0..=bytes.len() {
        let (finished, expected) = after.iter().rev().find(|(length, _)| *length <= end).unwrap();
        // After a loss of power, the rest of the file may be zeros.
        for filling in [0, 5] {
            std::fs::write(&part, [&bytes[..end], &vec![0; filling]].concat()).unwrap();
            let ledger = LedgerFile::open(&part).unwrap();
            assert_eq!(known(&ledger), *expected, "cut at {end}");
            assert_eq!(std::fs::metadata(&part).unwrap().len(), *finished as u64);
            // Writing to disk takes long, so not at every octet.
            if end % 50 == 0 {
                ledger.add(record(77), b"").unwrap();
                assert_eq!(LedgerFile::open(&part).unwrap().records().unwrap().len(), expected.len() + 1);
            }
        }
    }
}

#[test]
fn a_changed_or_missing_line_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger");
    let ledger = LedgerFile::open(&path).unwrap();
    steps().iter().for_each(|step| step(&ledger));
    let bytes = std::fs::read(&path).unwrap();
    let all = known(&ledger);
    let damaged = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        match LedgerFile::open(&path) {
            Err(StoreError::Damaged { .. }) => true,
            Err(error) => panic!("{error}"),
            Ok(ledger) => known(&ledger) != all,
        }
    };
    for place in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[place] ^= 1;
        assert!(damaged(&changed), "octet {place}");
    }
    let lines: Vec<&[u8]> = bytes.split_inclusive(|octet| *octet == b'\n').collect();
    for without in 0..lines.len() - 1 {
        let rest: Vec<&[u8]> =
            lines.iter().enumerate().filter(|(line, _)| *line != without).map(|(_, line)| *line).collect();
        std::fs::write(&path, rest.concat()).unwrap();
        assert!(matches!(LedgerFile::open(&path), Err(StoreError::Damaged { line, .. }) if line == without + 1));
    }
}

#[test]
fn two_processes_share_one_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger");
    let (one, other) = (LedgerFile::open(&path).unwrap(), LedgerFile::open(&path).unwrap());
    one.enter(record(1), "a", b"one").unwrap();
    assert_eq!(other.enter(record(2), "a", b"two").unwrap(), Entered::Before(1.into()));
    other.set_status(&1.into(), revoked()).unwrap();
    assert_eq!(one.status(&1.into()).unwrap(), Some(revoked()));
    assert!(matches!(one.add(record(1), b""), Err(StoreError::SerialTaken { .. })));
}

#[test]
fn a_status_is_read_while_a_process_stands_still_with_the_lock() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger");
    let (one, other) = (LedgerFile::open(&path).unwrap(), LedgerFile::open(&path).unwrap());
    other.add(record(1), b"one").unwrap();
    let stuck = File::open(&path).unwrap();
    flock(&stuck, FlockOperation::LockExclusive).unwrap();
    assert_eq!(one.status(&1.into()).unwrap(), Some(Status::Good));
    assert!(one.index().settled < one.index().end, "the line may not be on disk");
    // Half a line, as while it is written.
    let line = std::fs::read(&path).unwrap();
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    io::Write::write_all(&mut file, &line[..20]).unwrap();
    assert_eq!(one.status(&1.into()).unwrap(), Some(Status::Good));
    drop(stuck);
    assert!(one.entry(&1.into()).unwrap().is_some());
    assert_eq!(one.index().settled, one.index().end);
    other.set_status(&1.into(), revoked()).unwrap();
    assert_eq!(one.status(&1.into()).unwrap(), Some(revoked()));
}

#[test]
fn threads_that_read_and_write_at_once_lose_no_line_and_read_none_twice() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger");
    let (one, other) = (LedgerFile::open(&path).unwrap(), LedgerFile::open(&path).unwrap());
    std::thread::scope(|scope| {
        for (ledger, first) in [(&one, 1), (&other, 1001)] {
            scope.spawn(move || (first..first + 40).for_each(|number| ledger.add(record(number), b"").unwrap()));
            scope.spawn(move || (0..2000).for_each(|number| assert!(ledger.status(&number.into()).is_ok())));
        }
    });
    for ledger in [&one, &other, &LedgerFile::open(&path).unwrap()] {
        assert_eq!(ledger.records().unwrap().len(), 80);
        assert_eq!(ledger.changes(0, 1000).unwrap().position, 80);
    }
}

#[test]
fn changes_are_read_in_parts_from_any_position() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = LedgerFile::open(directory.path().join("ledger")).unwrap();
    steps().iter().for_each(|step| step(&ledger));
    let numbers = |changes: Changes| {
        let serials: Vec<Serial> = changes.records.into_iter().map(|record| record.serial).collect();
        (serials, changes.position)
    };
    assert_eq!(numbers(ledger.changes(0, 3).unwrap()), (vec![1.into(), 2.into(), 1.into()], 3));
    assert_eq!(numbers(ledger.changes(3, 9).unwrap()), (vec![3.into()], 4));
    assert_eq!(numbers(ledger.changes(4, 9).unwrap()), (vec![], 4));
    assert_eq!(ledger.changes(2, 1).unwrap().records[0].status, revoked());
}

#[test]
fn zeros_in_a_middle_line_are_damage_and_no_later_entry_is_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger");
    let ledger = LedgerFile::open(&path).unwrap();
    steps().iter().for_each(|step| step(&ledger));
    let bytes = std::fs::read(&path).unwrap();
    let lines: Vec<&[u8]> = bytes.split_inclusive(|octet| *octet == b'\n').collect();
    for (number, line) in lines.iter().enumerate() {
        let before: usize = lines[..number].iter().map(|line| line.len()).sum();
        // One octet, the end of the line, and the whole line.
        for zeros in
            [before + 50..before + 51, before + line.len() - 1..before + line.len(), before..before + line.len()]
        {
            let mut changed = bytes.clone();
            changed[zeros].fill(0);
            std::fs::write(&path, &changed).unwrap();
            let opened = LedgerFile::open(&path);
            if number + 1 == lines.len() {
                // The last line: its write was not finished.
                assert_eq!(opened.unwrap().changes(0, 9).unwrap().position, 3);
                assert_eq!(std::fs::metadata(&path).unwrap().len(), before as u64);
            } else {
                assert!(matches!(opened, Err(StoreError::Damaged { line, .. }) if line == number + 1), "line {number}");
                assert_eq!(std::fs::read(&path).unwrap(), changed, "nothing is deleted");
            }
        }
    }
}

#[test]
fn zeros_that_appear_while_the_ledger_is_open_are_damage_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger");
    let (one, other) = (LedgerFile::open(&path).unwrap(), LedgerFile::open(&path).unwrap());
    one.add(record(1), b"one").unwrap();
    one.add(record(2), b"two").unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[60] = 0;
    std::fs::write(&path, &bytes).unwrap();
    assert!(matches!(other.status(&2.into()), Err(StoreError::Damaged { line: 1, .. })));
    assert!(matches!(other.add(record(3), b""), Err(StoreError::Damaged { line: 1, .. })));
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}
