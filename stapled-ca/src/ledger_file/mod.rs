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
//! An entry counts once its line is on disk (`fdatasync`). After a kill or a loss of power in the middle of a write, the last
//! line may have no end, or zeros in place of octets that were not written. No caller was told that such an entry counts, and
//! the next writer removes it. Any other damage is an error, also a line with zeros that a whole line follows: the ledger never
//! forgets a certificate or a revocation silently. No entry is ever removed, so a serial number is never used again.
//!
//! Several processes may use one file. Each change takes a lock on the file, reads what the others added, and appends. A
//! question about a status waits for no lock: it looks whether the file has grown, and reads the whole lines that were added, also
//! while a process writes. So no question waits for a disk, or for a process that stands still with the lock. Lines that were read
//! without a lock may not be on disk yet; everything except a status waits until they are.

mod index;
mod line;
#[cfg(test)]
mod tests;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use self::index::{Held, Index};
use self::line::{Line, decode, encode, has_later_line, json_of};
use crate::ledger::{Changes, Ledger, Record, Status, StoreError};
use crate::serial::Serial;
use crate::store;

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

#[derive(Debug, Default)]
struct Writer {
    /// Whether the system failed to bring the file to the disk: what is on the disk is unknown until the file is opened again.
    sync_failed: bool,
}

impl LedgerFile {
    /// Opens the ledger, and creates the file if necessary. An unfinished entry at its end is removed.
    ///
    /// # Errors
    /// When the file cannot be read or written, or is damaged.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        let failed = |source| StoreError::Write { path: path.clone(), source };
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create(true).mode(store::READABLE).open(&path).map_err(failed)?;
        // The process that created the file may have ended before its name was on disk.
        store::sync_directory(&path).map_err(failed)?;
        let ledger = LedgerFile { path, file, writer: Mutex::default(), index: RwLock::default() };
        ledger.locked(FlockOperation::LockExclusive, |writer| ledger.catch_up(writer, Tail::Cut))?;
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

    /// Enters these records without certificates, in one write. Of a record that is entered already, only a revocation counts.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn take_over(&self, records: Vec<Record>) -> Result<(), StoreError> {
        self.change(|index| {
            let line = |record: Record| match index.held.get(&record.serial) {
                None => Some(Line::Issued { record, session: None, certificate: None }),
                Some(held) if record.status == Status::Good || held.record.status == record.status => None,
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
        let serial = self.current()?.sessions.get(session).cloned();
        serial.map_or(Ok(None), |serial| self.entry(&serial))
    }

    /// The certificate with this serial number.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn entry(&self, serial: &Serial) -> Result<Option<LedgerEntry>, StoreError> {
        let held = self.current()?.held.get(serial).cloned();
        held.map(|held| self.read(held)).transpose()
    }

    /// Reads a certificate from the file. The caller has no lock, so no other call waits for the disk.
    fn read(&self, held: Held) -> Result<LedgerEntry, StoreError> {
        let Held { record, session, seen, place: (start, length) } = held;
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, start).map_err(|source| self.unreadable(source))?;
        let certificate = match json_of(&bytes).and_then(|json| serde_json::from_slice(json).ok()) {
            Some(Line::Issued { certificate, .. }) => certificate.and_then(|text| STANDARD.decode(text).ok()),
            _ => return Err(self.unreadable(io::ErrorKind::InvalidData.into())),
        };
        Ok(LedgerEntry { record, session, certificate, seen })
    }

    /// The index with all that other processes added.
    fn current(&self) -> Result<RwLockReadGuard<'_, Index>, StoreError> {
        let is_unsettled = {
            let index = self.index();
            index.settled < index.end
        };
        if is_unsettled || self.has_grown()? {
            self.locked(FlockOperation::LockShared, |writer| self.catch_up(writer, Tail::Leave))?;
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
                // Without a wait for the disk.
                Some((Ok(()), writer)) => drop(self.unlocked(writer, |_| self.read_on())?),
                // Another process may be writing this line. The next call reads it.
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
            self.check(writer)?;
            self.catch_up(writer, Tail::Cut)?;
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

    /// Reads the lines that this process has not read yet, and waits until they are on disk. The caller has a lock on the file.
    fn catch_up(&self, writer: &mut Writer, tail: Tail) -> Result<(), StoreError> {
        let (end, length) = self.read_on()?;
        let is_cut = end < length && tail == Tail::Cut;
        if is_cut {
            self.file.set_len(end).map_err(|source| self.unwritable(source))?;
        }
        let settled = self.index().settled;
        // The process that wrote these lines may have ended before they were on disk.
        if is_cut || settled < end {
            self.sync(writer)?;
            self.index_mut().settled = end;
        }
        Ok(())
    }

    /// Waits until the file is on disk. The system reports a failure once: the next call may succeed, though lines are lost. So all
    /// calls fail after a failure.
    fn sync(&self, writer: &mut Writer) -> Result<(), StoreError> {
        if writer.sync_failed {
            return Err(
                self.unwritable(io::Error::other("an earlier write to the disk failed; start the program again"))
            );
        }
        self.file.sync_data().map_err(|source| {
            writer.sync_failed = true;
            self.unwritable(source)
        })
    }

    /// Fails if an earlier sync failed.
    fn check(&self, writer: &Writer) -> Result<(), StoreError> {
        if writer.sync_failed {
            let source = io::Error::other("the system could not bring it to the disk earlier; start the program again");
            return Err(self.unwritable(source));
        }
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
                // The rest of the file begins with no line.
                true if end + most as u64 == length => {
                    if has_later_line(&bytes) {
                        return Err(self.damaged());
                    }
                    break;
                }
                true => block = block.saturating_mul(2),
                false => block = BLOCK,
            }
        }
        Ok((end, length))
    }

    fn append(&self, writer: &mut Writer, lines: Vec<Line>) -> Result<(), StoreError> {
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
        if let Err(source) = io::Write::write_all(&mut &self.file, &bytes) {
            // The disk may be full. Without the line that was not finished, the ledger is as good as before. If it cannot be cut
            // now, the next change tries again.
            drop(self.catch_up(writer, Tail::Cut));
            return Err(self.unwritable(source));
        }
        self.sync(writer)?;
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

/// How a line without an end is treated.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tail {
    /// It is removed: no process writes now, so the writer has ended.
    Cut,
    Leave,
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
            let number = index.last_crl.next_number(this_update);
            let records = index.held.values().map(|held| &held.record);
            let revoked = index.last_crl.entries_of_next(this_update, &index.changes, records);
            Ok((vec![Line::Crl { number, at: this_update }], (number, revoked)))
        })
    }
}
