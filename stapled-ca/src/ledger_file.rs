//! The ledger of issued certificates in one append-only file.
//!
//! Each entry is one line: the version of the format, a checksum, and JSON.
//!
//! ```text
//! 1 9f86d081884c7d659a2feaa0c55ad015 {"issued":{"serial":"5E…","session":"3f…","certificate":"MIIB…",…}}
//! 1 60303ae22b998861bce3b28f33eec1be {"status":{"serial":"5E…","status":"revoked","at":1790000000,"reason":"superseded"}}
//! ```
//!
//! The checksum of a line covers the checksum of the line before, so that a changed, removed or inserted line is noticed.
//! An entry counts once its line is on disk (`fdatasync`). A process that ends in the middle of a write leaves a line
//! without an end; nobody was told of such an entry, and the next writer removes it. Any other damage is an error: the
//! ledger never forgets a certificate or a revocation silently. No entry is ever removed, so a serial number is never used
//! again.
//!
//! Several processes may use one file. Each change takes a lock on the file, reads what the others added, and appends.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::hash::HashAlgorithm;
use crate::hex;
use crate::ledger::{Ledger, Record, Status, StoreError};
use crate::serial::Serial;
use crate::store;

/// The version of the format, and the space after it.
const VERSION: &str = "1 ";
/// The number of octets of a checksum.
const CHECKSUM: usize = 16;

/// The ledger of issued certificates in one append-only file.
#[derive(Debug)]
pub struct LedgerFile {
    path: PathBuf,
    inner: Mutex<Inner>,
}

/// Whether a certificate is new in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entered {
    /// It was entered now.
    Now,
    /// Its session has a certificate in the ledger already, with this serial number. Nothing was entered.
    Before(Serial),
}

/// A certificate in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LedgerEntry {
    /// Serial number, names, validity and status.
    pub record: Record,
    /// The session that it was issued for.
    pub session: Option<String>,
    /// The certificate, DER, if it was entered with its record.
    pub certificate: Option<Vec<u8>>,
    /// When its status was first asked for, in Unix seconds: a sign that a server has it.
    pub seen: Option<i64>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Issued {
        #[serde(flatten)]
        record: Record,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session: Option<String>,
        /// DER in base64.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        certificate: Option<String>,
    },
    Status {
        serial: Serial,
        #[serde(flatten)]
        status: Status,
    },
    Seen {
        serial: Serial,
        at: i64,
    },
}

#[derive(Debug)]
struct Inner {
    file: File,
    /// The end of the last line that was read.
    end: u64,
    lines: usize,
    /// The checksum of the last line.
    checksum: Vec<u8>,
    held: BTreeMap<Serial, Held>,
    sessions: HashMap<String, Serial>,
    /// Whether a write failed: what is on disk is unknown until the file is opened again.
    is_broken: bool,
}

/// What is in memory of a certificate. The certificate itself stays in the file.
#[derive(Debug)]
struct Held {
    record: Record,
    session: Option<String>,
    seen: Option<i64>,
    /// Where its line is, with its length.
    place: (u64, usize),
}

impl LedgerFile {
    /// Opens the ledger, and creates the file if necessary. An unfinished entry at its end is removed.
    ///
    /// # Errors
    /// When the file cannot be read or written, or is damaged.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        let failed = |source| StoreError::Write { path: path.clone(), source };
        let is_new = !path.exists();
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create(true).mode(store::READABLE).open(&path).map_err(failed)?;
        if is_new {
            store::sync_directory(&path).map_err(failed)?;
        }
        let (checksum, held, sessions) = (Vec::new(), BTreeMap::new(), HashMap::new());
        let inner = Inner { file, end: 0, lines: 0, checksum, held, sessions, is_broken: false };
        let ledger = LedgerFile { path, inner: Mutex::new(inner) };
        ledger.locked(FlockOperation::LockExclusive, |inner, path| inner.catch_up(path, Tail::Cut))?;
        Ok(ledger)
    }

    /// Enters a certificate, DER, that was issued for a session. A session has one certificate: if it has one already, nothing
    /// is entered.
    ///
    /// # Errors
    /// When the serial number is taken, or the file cannot be written.
    pub fn enter(&self, record: Record, session: &str, certificate: &[u8]) -> Result<Entered, StoreError> {
        self.change(|inner| {
            if let Some(serial) = inner.sessions.get(session) {
                return Ok((None, Entered::Before(serial.clone())));
            }
            inner.check_new(&record.serial)?;
            let certificate = Some(STANDARD.encode(certificate));
            Ok((Some(Line::Issued { record, session: Some(session.to_owned()), certificate }), Entered::Now))
        })
    }

    /// Records that the status of a certificate was asked for. Only the first time counts; an unknown certificate is ignored.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn seen(&self, serial: &Serial, at: i64) -> Result<(), StoreError> {
        let is_new = |inner: &Inner| inner.held.get(serial).is_some_and(|held| held.seen.is_none());
        // Most questions are not the first ones, and take no lock.
        if !is_new(&*self.current()?) {
            return Ok(());
        }
        self.change(|inner| Ok((is_new(inner).then(|| Line::Seen { serial: serial.clone(), at }), ())))
    }

    /// The certificate of a session.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn of_session(&self, session: &str) -> Result<Option<LedgerEntry>, StoreError> {
        let inner = self.current()?;
        inner.sessions.get(session).map(|serial| self.read(&inner, serial)).transpose().map(Option::flatten)
    }

    /// The certificate with this serial number.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn entry(&self, serial: &Serial) -> Result<Option<LedgerEntry>, StoreError> {
        let inner = self.current()?;
        self.read(&inner, serial)
    }

    fn read(&self, inner: &Inner, serial: &Serial) -> Result<Option<LedgerEntry>, StoreError> {
        let Some(held) = inner.held.get(serial) else { return Ok(None) };
        let mut bytes = vec![0; held.place.1];
        let failed = |source| StoreError::Read { path: self.path.clone(), source };
        inner.file.read_exact_at(&mut bytes, held.place.0).map_err(failed)?;
        let certificate = match json_of(&bytes).and_then(|json| serde_json::from_slice(json).ok()) {
            Some(Line::Issued { certificate, .. }) => certificate.and_then(|text| STANDARD.decode(text).ok()),
            _ => return Err(StoreError::Read { path: self.path.clone(), source: io::ErrorKind::InvalidData.into() }),
        };
        let (record, session) = (held.record.clone(), held.session.clone());
        Ok(Some(LedgerEntry { record, session, certificate, seen: held.seen }))
    }

    /// The index with what other processes added.
    fn current(&self) -> Result<MutexGuard<'_, Inner>, StoreError> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let length =
            inner.file.metadata().map_err(|source| StoreError::Read { path: self.path.clone(), source })?.len();
        if length == inner.end {
            return Ok(inner);
        }
        drop(inner);
        self.locked(FlockOperation::LockShared, |inner, path| inner.catch_up(path, Tail::Leave))?;
        Ok(self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Appends the line that `act` returns, and waits until it is on disk.
    fn change<T>(&self, act: impl FnOnce(&Inner) -> Result<(Option<Line>, T), StoreError>) -> Result<T, StoreError> {
        self.locked(FlockOperation::LockExclusive, |inner, path| {
            inner.catch_up(path, Tail::Cut)?;
            let (line, result) = act(inner)?;
            if let Some(line) = line {
                inner.append(path, line)?;
            }
            Ok(result)
        })
    }

    /// Runs `act` with a lock on the file.
    fn locked<T>(
        &self,
        lock: FlockOperation,
        act: impl FnOnce(&mut Inner, &Path) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |error: rustix::io::Errno| StoreError::Write { path: self.path.clone(), source: error.into() };
        flock(&inner.file, lock).map_err(failed)?;
        let result = act(&mut inner, &self.path);
        flock(&inner.file, FlockOperation::Unlock).map_err(failed)?;
        result
    }
}

/// What becomes of a line without an end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tail {
    /// It is removed: no process writes now, so the writer has ended.
    Cut,
    Leave,
}

impl Inner {
    /// Reads the lines that this process has not read yet.
    fn catch_up(&mut self, path: &Path, tail: Tail) -> Result<(), StoreError> {
        let failed = |source| StoreError::Read { path: path.to_owned(), source };
        let length = self.file.metadata().map_err(failed)?.len();
        if length < self.end {
            return Err(self.damaged(path));
        }
        let mut bytes = vec![0; usize::try_from(length - self.end).unwrap_or(usize::MAX)];
        self.file.read_exact_at(&mut bytes, self.end).map_err(failed)?;
        for line in bytes.split_inclusive(|octet| *octet == b'\n') {
            // After a loss of power, octets that were not written are zero.
            if line.last() != Some(&b'\n') || line.contains(&0) {
                break;
            }
            let (entry, checksum) = decode(line, &self.checksum).ok_or_else(|| self.damaged(path))?;
            self.apply(entry, line.len(), checksum);
        }
        if self.end < length && tail == Tail::Cut {
            let cut = self.file.set_len(self.end).and_then(|()| self.file.sync_data());
            cut.map_err(|source| StoreError::Write { path: path.to_owned(), source })?;
        }
        Ok(())
    }

    fn append(&mut self, path: &Path, line: Line) -> Result<(), StoreError> {
        if self.is_broken {
            let source = io::Error::other("an earlier write failed; start the program again");
            return Err(StoreError::Write { path: path.to_owned(), source });
        }
        let (bytes, checksum) =
            encode(&line, &self.checksum).map_err(|source| StoreError::Broken { path: path.to_owned(), source })?;
        let written = io::Write::write_all(&mut &self.file, &bytes).and_then(|()| self.file.sync_data());
        if let Err(source) = written {
            self.is_broken = true;
            return Err(StoreError::Write { path: path.to_owned(), source });
        }
        self.apply(line, bytes.len(), checksum);
        Ok(())
    }

    fn apply(&mut self, line: Line, length: usize, checksum: Vec<u8>) {
        match line {
            Line::Issued { record, session, .. } => {
                if let Some(session) = &session {
                    self.sessions.insert(session.clone(), record.serial.clone());
                }
                let place = (self.end, length);
                self.held.insert(record.serial.clone(), Held { record, session, seen: None, place });
            }
            Line::Status { serial, status } => {
                if let Some(held) = self.held.get_mut(&serial) {
                    held.record.status = status;
                }
            }
            Line::Seen { serial, at } => {
                if let Some(held) = self.held.get_mut(&serial) {
                    held.seen = Some(at);
                }
            }
        }
        self.end += length as u64;
        self.lines += 1;
        self.checksum = checksum;
    }

    fn check_new(&self, serial: &Serial) -> Result<(), StoreError> {
        if self.held.contains_key(serial) {
            return Err(StoreError::SerialTaken { serial: serial.clone() });
        }
        Ok(())
    }

    fn damaged(&self, path: &Path) -> StoreError {
        StoreError::Damaged { path: path.to_owned(), line: self.lines + 1 }
    }
}

/// A line with its end, and its checksum.
fn encode(line: &Line, previous: &[u8]) -> Result<(Vec<u8>, Vec<u8>), serde_json::Error> {
    let json = serde_json::to_vec(line)?;
    let checksum = checksum(previous, &json);
    let mut bytes = format!("{VERSION}{} ", hex::lower(&checksum)).into_bytes();
    bytes.extend(json);
    bytes.push(b'\n');
    Ok((bytes, checksum))
}

/// The entry of a line and its checksum; `None` for a damaged one.
fn decode(line: &[u8], previous: &[u8]) -> Option<(Line, Vec<u8>)> {
    let json = json_of(line)?;
    let checksum = checksum(previous, json);
    let named = format!("{VERSION}{} ", hex::lower(&checksum));
    if !line.starts_with(named.as_bytes()) {
        return None;
    }
    Some((serde_json::from_slice(json).ok()?, checksum))
}

/// The part of a line after version and checksum.
fn json_of(line: &[u8]) -> Option<&[u8]> {
    line.get(VERSION.len() + 2 * CHECKSUM + 1..)?.strip_suffix(b"\n")
}

fn checksum(previous: &[u8], json: &[u8]) -> Vec<u8> {
    let mut digest = HashAlgorithm::Sha256.digest(&[previous, json].concat());
    digest.truncate(CHECKSUM);
    digest
}

impl Ledger for LedgerFile {
    fn add(&self, record: Record) -> Result<(), StoreError> {
        self.change(|inner| {
            inner.check_new(&record.serial)?;
            Ok((Some(Line::Issued { record, session: None, certificate: None }), ()))
        })
    }

    fn set_status(&self, serial: &Serial, status: Status) -> Result<Record, StoreError> {
        self.change(|inner| {
            let held = inner.held.get(serial).ok_or_else(|| StoreError::NeverIssued { serial: serial.clone() })?;
            let record = Record { status, ..held.record.clone() };
            Ok((Some(Line::Status { serial: serial.clone(), status }), record))
        })
    }

    fn status(&self, serial: &Serial) -> Result<Option<Status>, StoreError> {
        Ok(self.current()?.held.get(serial).map(|held| held.record.status))
    }

    fn records(&self) -> Result<Vec<Record>, StoreError> {
        Ok(self.current()?.held.values().map(|held| held.record.clone()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Kind, Reason};

    fn record(number: u64) -> Record {
        let (not_before, not_after, names) = (0, 100, vec![format!("{number}.example")]);
        let (kind, subject) = (Kind::EndEntity, String::new());
        Record {
            serial: number.into(),
            kind,
            subject,
            names,
            not_before,
            not_after,
            issued_at: 0,
            status: Status::Good,
        }
    }

    fn revoked() -> Status {
        Status::Revoked { at: 7, reason: Some(Reason::Superseded) }
    }

    /// Each change of a ledger, in order.
    fn steps() -> [fn(&LedgerFile); 5] {
        [
            |ledger| assert_eq!(ledger.enter(record(1), "a", b"one").unwrap(), Entered::Now),
            |ledger| ledger.add(record(2)).unwrap(),
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
        assert!(matches!(ledger.add(record(1)), Err(StoreError::SerialTaken { .. })));
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
                    ledger.add(record(77)).unwrap();
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
        assert!(matches!(one.add(record(1)), Err(StoreError::SerialTaken { .. })));
    }
}
