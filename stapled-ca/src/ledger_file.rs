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
//! Several processes may use one file. Each change takes a lock on the file, reads what the others added, and appends. A
//! question about a status waits for no lock: it looks whether the file has grown, and reads the whole lines that were added, also
//! while a process writes. So no question waits for a disk, or for a process that stands still with the lock. Lines that were read
//! without a lock may not be on disk yet; everything except a status waits until they are.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::hash::HashAlgorithm;
use crate::hex;
use crate::ledger::{Changes, LastCrl, Ledger, Record, Status, StoreError};
use crate::serial::Serial;
use crate::store;

/// The version of the format, and the space after it.
const VERSION: &str = "1 ";
/// The number of octets of a checksum.
const CHECKSUM: usize = 16;
/// The number of octets that are read at once. A longer line takes several reads.
const BLOCK: usize = if cfg!(test) { 64 } else { 1 << 20 };

/// The ledger of issued certificates in one append-only file.
#[derive(Debug)]
pub struct LedgerFile {
    path: PathBuf,
    file: File,
    /// Held by the one thread of this process that may have the lock on the file.
    writer: Mutex<Writer>,
    index: RwLock<Index>,
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
    /// The number of a certificate revocation list and its thisUpdate.
    Crl {
        number: u64,
        at: i64,
    },
}

#[derive(Debug, Default)]
struct Writer {
    /// Whether a write failed: what is on disk is unknown until the file is opened again.
    is_broken: bool,
}

/// What is in memory of the file. Only the holder of [`Writer`] changes it, and never while it waits for the disk.
#[derive(Debug, Default)]
struct Index {
    /// The end of the last line that was read.
    end: u64,
    /// The end of the last line that was read with a lock on the file, or written.
    settled: u64,
    lines: usize,
    /// The checksum of the last line.
    checksum: Vec<u8>,
    held: BTreeMap<Serial, Held>,
    sessions: HashMap<String, Serial>,
    /// The certificates that were entered, revoked or reinstated, in order.
    changes: Vec<Serial>,
    last_crl: LastCrl,
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
        let ledger = LedgerFile { path, file, writer: Mutex::default(), index: RwLock::default() };
        ledger.locked(FlockOperation::LockExclusive, |_| ledger.catch_up(Tail::Cut))?;
        Ok(ledger)
    }

    /// Enters a certificate, DER, that was issued for a session. A session has one certificate: if it has one already, nothing
    /// is entered.
    ///
    /// # Errors
    /// When the serial number is taken, or the file cannot be written.
    pub fn enter(&self, record: Record, session: &str, certificate: &[u8]) -> Result<Entered, StoreError> {
        self.change(|index| {
            if let Some(serial) = index.sessions.get(session) {
                return Ok((Vec::new(), Entered::Before(serial.clone())));
            }
            index.check_new(&record.serial)?;
            let certificate = Some(STANDARD.encode(certificate));
            Ok((vec![Line::Issued { record, session: Some(session.to_owned()), certificate }], Entered::Now))
        })
    }

    /// Enters these records without certificates, in one write. A record that is entered already only sets its status.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn take_over(&self, records: Vec<Record>) -> Result<(), StoreError> {
        self.change(|index| {
            let line = |record: Record| match index.held.get(&record.serial) {
                None => Some(Line::Issued { record, session: None, certificate: None }),
                Some(held) if held.record.status == record.status => None,
                Some(_) => Some(Line::Status { serial: record.serial, status: record.status }),
            };
            Ok((records.into_iter().filter_map(line).collect(), ()))
        })
    }

    /// Records that the status of a certificate was asked for. Only the first time counts; an unknown certificate is ignored.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn seen(&self, serial: &Serial, at: i64) -> Result<(), StoreError> {
        self.seen_all(&[(serial.clone(), at)])
    }

    /// Like [`LedgerFile::seen`] for several certificates with their times, in one write.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn seen_all(&self, questions: &[(Serial, i64)]) -> Result<(), StoreError> {
        // Most questions are not the first ones, and take no lock.
        if !questions.iter().any(|(serial, _)| self.is_unseen(serial)) {
            return Ok(());
        }
        self.change(|index| {
            let new = questions.iter().filter(|(serial, _)| index.is_unseen(serial));
            Ok((new.map(|(serial, at)| Line::Seen { serial: serial.clone(), at: *at }).collect(), ()))
        })
    }

    /// Whether the certificate is in the ledger and its status was never asked for, as far as this process has read.
    pub(crate) fn is_unseen(&self, serial: &Serial) -> bool {
        self.index().is_unseen(serial)
    }

    /// The certificate of a session.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn of_session(&self, session: &str) -> Result<Option<LedgerEntry>, StoreError> {
        let index = self.current()?;
        index.sessions.get(session).map(|serial| self.read(&index, serial)).transpose().map(Option::flatten)
    }

    /// The certificate with this serial number.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn entry(&self, serial: &Serial) -> Result<Option<LedgerEntry>, StoreError> {
        let index = self.current()?;
        self.read(&index, serial)
    }

    fn read(&self, index: &Index, serial: &Serial) -> Result<Option<LedgerEntry>, StoreError> {
        let Some(held) = index.held.get(serial) else { return Ok(None) };
        let mut bytes = vec![0; held.place.1];
        self.file.read_exact_at(&mut bytes, held.place.0).map_err(|source| self.unreadable(source))?;
        let certificate = match json_of(&bytes).and_then(|json| serde_json::from_slice(json).ok()) {
            Some(Line::Issued { certificate, .. }) => certificate.and_then(|text| STANDARD.decode(text).ok()),
            _ => return Err(self.unreadable(io::ErrorKind::InvalidData.into())),
        };
        let (record, session) = (held.record.clone(), held.session.clone());
        Ok(Some(LedgerEntry { record, session, certificate, seen: held.seen }))
    }

    /// The index with all that other processes added.
    fn current(&self) -> Result<RwLockReadGuard<'_, Index>, StoreError> {
        let is_unsettled = {
            let index = self.index();
            index.settled < index.end
        };
        if is_unsettled || self.has_grown()? {
            self.locked(FlockOperation::LockShared, |_| self.catch_up(Tail::Leave))?;
        }
        Ok(self.index())
    }

    /// The index with what other processes added, and perhaps what they are adding now.
    fn recent(&self) -> Result<RwLockReadGuard<'_, Index>, StoreError> {
        if self.has_grown()? {
            let writer = match self.writer.try_lock() {
                Ok(writer) => Some(writer),
                Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => None,
            };
            let lock = writer.map(|writer| (flock(&self.file, FlockOperation::NonBlockingLockShared), writer));
            match lock {
                Some((Ok(()), writer)) => self.unlocked(writer, |_| self.catch_up(Tail::Leave))?,
                // What cannot be read now, because it is being written, is read the next time.
                Some((Err(Errno::WOULDBLOCK), _)) | None => drop(self.read_on()),
                Some((Err(error), _)) => return Err(self.unreadable(error.into())),
            }
        }
        Ok(self.index())
    }

    /// Whether the file has more than this process has read.
    fn has_grown(&self) -> Result<bool, StoreError> {
        let length = self.file.metadata().map_err(|source| self.unreadable(source))?.len();
        Ok(length != self.index().end)
    }

    fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends the lines that `act` returns, and waits until they are on disk.
    fn change<T>(&self, act: impl FnOnce(&Index) -> Result<(Vec<Line>, T), StoreError>) -> Result<T, StoreError> {
        self.locked(FlockOperation::LockExclusive, |writer| {
            self.catch_up(Tail::Cut)?;
            let (lines, result) = act(&self.index())?;
            if !lines.is_empty() {
                self.append(writer, lines)?;
            }
            Ok(result)
        })
    }

    /// Runs `act` with a lock on the file.
    fn locked<T>(
        &self,
        lock: FlockOperation,
        act: impl FnOnce(&mut Writer) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        flock(&self.file, lock).map_err(|error| self.unwritable(error.into()))?;
        self.unlocked(writer, act)
    }

    /// Runs `act` and gives the lock on the file back.
    fn unlocked<T>(
        &self,
        mut writer: MutexGuard<'_, Writer>,
        act: impl FnOnce(&mut Writer) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let result = act(&mut writer);
        flock(&self.file, FlockOperation::Unlock).map_err(|error| self.unwritable(error.into()))?;
        result
    }

    /// Reads the lines that this process has not read yet. The caller has a lock on the file.
    fn catch_up(&self, tail: Tail) -> Result<(), StoreError> {
        let (end, length) = self.read_on()?;
        if end < length && tail == Tail::Cut {
            self.file.set_len(end).and_then(|()| self.file.sync_data()).map_err(|source| self.unwritable(source))?;
        }
        self.index_mut().settled = end;
        Ok(())
    }

    /// Reads whole lines. The result is the end of the last one, and the length of the file. Without a lock, an error may only mean
    /// that the file is being written.
    fn read_on(&self) -> Result<(u64, u64), StoreError> {
        let length = self.file.metadata().map_err(|source| self.unreadable(source))?.len();
        let (mut end, mut checksum) = {
            let index = self.index();
            (index.end, index.checksum.clone())
        };
        if length < end {
            return Err(self.damaged());
        }
        let mut block = BLOCK;
        while end < length {
            let most = usize::try_from(length - end).unwrap_or(usize::MAX).min(block);
            let mut bytes = vec![0; most];
            self.file.read_exact_at(&mut bytes, end).map_err(|source| self.unreadable(source))?;
            let (start, mut read) = (end, Vec::new());
            let mut intact = true;
            for line in bytes.split_inclusive(|octet| *octet == b'\n') {
                // After a loss of power, octets that were not written are zero.
                if line.last() != Some(&b'\n') || line.contains(&0) {
                    break;
                }
                let Some((entry, next)) = decode(line, &checksum) else {
                    intact = false;
                    break;
                };
                checksum.clone_from(&next);
                end += line.len() as u64;
                read.push((entry, line.len(), next));
            }
            let is_stuck = read.is_empty();
            self.index_mut().apply(start, read);
            if !intact {
                return Err(self.damaged());
            }
            match is_stuck {
                // The rest of the file is no line.
                true if end + most as u64 == length => break,
                true => block = block.saturating_mul(2),
                false => block = BLOCK,
            }
        }
        Ok((end, length))
    }

    fn append(&self, writer: &mut Writer, lines: Vec<Line>) -> Result<(), StoreError> {
        if writer.is_broken {
            return Err(self.unwritable(io::Error::other("an earlier write failed; start the program again")));
        }
        let (start, mut checksum) = {
            let index = self.index();
            (index.end, index.checksum.clone())
        };
        let (mut bytes, mut written) = (Vec::new(), Vec::with_capacity(lines.len()));
        for line in lines {
            let (encoded, next) =
                encode(&line, &checksum).map_err(|source| StoreError::Broken { path: self.path.clone(), source })?;
            checksum.clone_from(&next);
            bytes.extend_from_slice(&encoded);
            written.push((line, encoded.len(), next));
        }
        let outcome = io::Write::write_all(&mut &self.file, &bytes).and_then(|()| self.file.sync_data());
        if let Err(source) = outcome {
            writer.is_broken = true;
            return Err(self.unwritable(source));
        }
        let mut index = self.index_mut();
        index.apply(start, written);
        index.settled = index.end;
        Ok(())
    }

    fn damaged(&self) -> StoreError {
        StoreError::Damaged { path: self.path.clone(), line: self.index().lines + 1 }
    }

    fn unreadable(&self, source: io::Error) -> StoreError {
        StoreError::Read { path: self.path.clone(), source }
    }

    fn unwritable(&self, source: io::Error) -> StoreError {
        StoreError::Write { path: self.path.clone(), source }
    }
}

/// What becomes of a line without an end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tail {
    /// It is removed: no process writes now, so the writer has ended.
    Cut,
    Leave,
}

impl Index {
    /// Adds lines from this place of the file on, with their lengths and checksums. Lines that another thread added are skipped.
    fn apply(&mut self, mut start: u64, lines: Vec<(Line, usize, Vec<u8>)>) {
        for (line, length, checksum) in lines {
            let place = start;
            start += length as u64;
            if place < self.end {
                continue;
            }
            match line {
                Line::Issued { record, session, .. } => {
                    if let Some(session) = &session {
                        self.sessions.insert(session.clone(), record.serial.clone());
                    }
                    let place = (self.end, length);
                    self.changes.push(record.serial.clone());
                    self.held.insert(record.serial.clone(), Held { record, session, seen: None, place });
                }
                Line::Status { serial, status } => {
                    if let Some(held) = self.held.get_mut(&serial) {
                        held.record.status = status;
                        self.changes.push(serial);
                    }
                }
                Line::Seen { serial, at } => {
                    if let Some(held) = self.held.get_mut(&serial) {
                        held.seen = Some(at);
                    }
                }
                Line::Crl { number, at } => self.last_crl = LastCrl { number, this_update: at },
            }
            self.end += length as u64;
            self.lines += 1;
            self.checksum = checksum;
        }
    }

    fn check_new(&self, serial: &Serial) -> Result<(), StoreError> {
        if self.held.contains_key(serial) {
            return Err(StoreError::SerialTaken { serial: serial.clone() });
        }
        Ok(())
    }

    fn is_unseen(&self, serial: &Serial) -> bool {
        self.held.get(serial).is_some_and(|held| held.seen.is_none())
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
    fn add(&self, record: Record, certificate: &[u8]) -> Result<(), StoreError> {
        let certificate = Some(STANDARD.encode(certificate));
        self.change(|index| {
            index.check_new(&record.serial)?;
            Ok((vec![Line::Issued { record, session: None, certificate }], ()))
        })
    }

    fn set_status(&self, serial: &Serial, status: Status) -> Result<Record, StoreError> {
        self.change(|index| {
            let held = index.held.get(serial).ok_or_else(|| StoreError::NeverIssued { serial: serial.clone() })?;
            let record = Record { status, ..held.record.clone() };
            Ok((vec![Line::Status { serial: serial.clone(), status }], record))
        })
    }

    fn status(&self, serial: &Serial) -> Result<Option<Status>, StoreError> {
        Ok(self.recent()?.held.get(serial).map(|held| held.record.status))
    }

    fn records(&self) -> Result<Vec<Record>, StoreError> {
        Ok(self.current()?.held.values().map(|held| held.record.clone()).collect())
    }

    fn changes(&self, position: usize, most: usize) -> Result<Changes, StoreError> {
        let index = self.current()?;
        Ok(Changes::of(&index.changes, position, most, |serial| index.held.get(serial).map(|held| held.record.clone())))
    }

    fn number_crl(&self, this_update: i64) -> Result<(u64, Vec<Record>), StoreError> {
        self.change(|index| {
            let number = index.last_crl.number + 1;
            let revoked = index.last_crl.entries_of_next(index.held.values().map(|held| &held.record));
            Ok((vec![Line::Crl { number, at: this_update }], (number, revoked)))
        })
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
}
