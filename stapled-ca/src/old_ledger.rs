//! Takes over the records of an earlier version, which kept each certificate in a file `issued/SERIAL.json`.
//!
//! All records are entered into the ledger, and then the directory `issued` is renamed to `issued.old`. After a crash in between,
//! the next opening enters the missing records, and the revocations that the earlier version made after the crash. A certificate
//! that is revoked in the ledger stays revoked, whatever its record says.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::ledger::{Record, Status, StoreError};
use crate::ledger_file::LedgerFile;
use crate::store;

/// The name of the directory of records.
const ISSUED: &str = "issued";

/// Opens the ledger of an authority's directory, and enters the records of an earlier version.
///
/// # Errors
/// When the ledger cannot be opened or written, or a record cannot be read.
pub(crate) fn open(directory: &Path) -> Result<LedgerFile, StoreError> {
    let issued = directory.join(ISSUED);
    if !issued.is_dir() {
        return LedgerFile::open(directory.join(store::LEDGER));
    }
    // Processes that open the directory at the same time wait for each other. The lock ends with the file.
    let unreadable = |source| StoreError::Read { path: directory.to_owned(), source };
    let lock = File::open(directory).map_err(unreadable)?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|error| unreadable(error.into()))?;
    let ledger = LedgerFile::open(directory.join(store::LEDGER))?;
    if issued.is_dir() {
        ledger.take_over(records(&issued)?)?;
        let unwritable = |source| StoreError::Write { path: issued.clone(), source };
        fs::rename(&issued, unused(directory)).map_err(unwritable)?;
        store::sync_directory(&issued).map_err(unwritable)?;
    }
    Ok(ledger)
}

/// All records of a directory, sorted by serial number. If several files are about one certificate, a revocation counts.
fn records(directory: &Path) -> Result<Vec<Record>, StoreError> {
    let unreadable = |source: io::Error| StoreError::Read { path: directory.to_owned(), source };
    let mut records: Vec<Record> = Vec::new();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let record = serde_json::from_slice(&store::read(&path)?);
            records.push(record.map_err(|source| StoreError::Broken { path, source })?);
        }
    }
    records.sort_by(|a, b| a.serial.cmp(&b.serial));
    records.dedup_by(|next, kept| {
        let is_same = next.serial == kept.serial;
        if is_same && kept.status == Status::Good {
            kept.status = next.status;
        }
        is_same
    });
    Ok(records)
}

/// A name for the directory that was taken over.
fn unused(directory: &Path) -> PathBuf {
    let first = directory.join("issued.old");
    if !first.exists() {
        return first;
    }
    let further = (2u32..).map(|number| directory.join(format!("issued.old.{number}")));
    further.into_iter().find(|path| !path.exists()).unwrap_or(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Kind, Ledger as _, Reason};

    fn record(number: u64, status: Status) -> Record {
        Record {
            serial: number.into(),
            kind: Kind::EndEntity,
            subject: format!("CN={number}.example"),
            names: vec![format!("{number}.example")],
            not_before: 0,
            not_after: 100,
            issued_at: 1,
            status,
        }
    }

    const REVOKED: Status = Status::Revoked { at: 7, reason: Some(Reason::Superseded) };

    /// Writes a record as the earlier version did.
    fn write(directory: &Path, record: &Record) {
        let issued = directory.join(ISSUED);
        fs::create_dir_all(&issued).unwrap();
        let json = serde_json::to_vec_pretty(record).unwrap();
        fs::write(issued.join(format!("{}.json", record.serial)), json).unwrap();
    }

    #[test]
    fn all_records_are_taken_over_and_the_directory_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let all = [record(1, Status::Good), record(2, REVOKED)];
        all.iter().for_each(|record| write(directory.path(), record));
        for _ in 0..2 {
            assert_eq!(open(directory.path()).unwrap().records().unwrap(), all);
            assert!(!directory.path().join(ISSUED).exists());
            assert!(directory.path().join("issued.old/01.json").exists());
        }
    }

    #[test]
    fn after_a_crash_in_between_what_is_missing_is_entered() {
        let directory = tempfile::tempdir().unwrap();
        let all = [record(1, REVOKED), record(2, REVOKED), record(3, Status::Good)];
        // The ledger has a part, and one certificate was revoked by the earlier version after the crash.
        let part = LedgerFile::open(directory.path().join(store::LEDGER)).unwrap();
        part.take_over(vec![record(1, REVOKED), record(2, Status::Good)]).unwrap();
        all.iter().for_each(|record| write(directory.path(), record));
        assert_eq!(open(directory.path()).unwrap().records().unwrap(), all);
    }

    #[test]
    fn a_revocation_is_never_undone() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = LedgerFile::open(directory.path().join(store::LEDGER)).unwrap();
        ledger.take_over(vec![record(1, Status::Good), record(2, Status::Good)]).unwrap();
        ledger.set_status(&1.into(), REVOKED).unwrap();
        [record(1, Status::Good), record(2, REVOKED)].iter().for_each(|record| write(directory.path(), record));
        // A second file about the same certificate.
        let copy = serde_json::to_vec(&record(2, Status::Good)).unwrap();
        ["0.json", "9.json"]
            .iter()
            .for_each(|name| fs::write(directory.path().join(ISSUED).join(name), &copy).unwrap());
        let expected = [record(1, REVOKED), record(2, REVOKED)];
        assert_eq!(open(directory.path()).unwrap().records().unwrap(), expected);
    }

    #[test]
    fn a_second_directory_is_kept_beside_the_first_one() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), &record(1, Status::Good));
        open(directory.path()).unwrap();
        write(directory.path(), &record(2, REVOKED));
        assert_eq!(open(directory.path()).unwrap().records().unwrap().len(), 2);
        assert!(directory.path().join("issued.old.2/02.json").exists());
    }

    #[test]
    fn processes_that_open_at_once_enter_each_record_once() {
        let directory = tempfile::tempdir().unwrap();
        (1..50).for_each(|number| write(directory.path(), &record(number, Status::Good)));
        std::thread::scope(|scope| {
            let opened: Vec<_> = (0..4).map(|_| scope.spawn(|| open(directory.path()).unwrap())).collect();
            for ledger in opened {
                assert_eq!(ledger.join().unwrap().records().unwrap().len(), 49);
            }
        });
    }

    #[test]
    fn a_broken_record_stops_the_take_over() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), &record(1, Status::Good));
        fs::write(directory.path().join("issued/02.json"), "{").unwrap();
        assert!(matches!(open(directory.path()), Err(StoreError::Broken { .. })));
        assert!(directory.path().join(ISSUED).exists());
    }
}
