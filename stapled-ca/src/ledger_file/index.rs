//! The index of a ledger file: all entries in memory, without the certificates themselves.

use std::collections::{BTreeMap, HashMap};

use super::line::Line;
use crate::ledger::{LastCrl, Record, StoreError};
use crate::serial::Serial;

/// The entries of a ledger file. No thread waits for the disk while it has the lock on this.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// The end of the last line that was read.
    pub(super) end: u64,
    /// The end of the last line that is known to be on disk.
    pub(super) settled: u64,
    pub(super) lines: usize,
    /// The checksum of the last line.
    pub(super) checksum: Vec<u8>,
    pub(super) held: BTreeMap<Serial, Held>,
    pub(super) sessions: HashMap<String, Serial>,
    /// The certificates that were entered, revoked or reinstated, in order.
    pub(super) changes: Vec<Serial>,
    pub(super) last_crl: LastCrl,
}

/// The entries about one certificate. The certificate itself stays in the file.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) record: Record,
    pub(super) session: Option<String>,
    pub(super) seen: Option<i64>,
    /// Where its line is, with its length.
    pub(super) place: (u64, usize),
}

impl Index {
    /// Adds lines from this place of the file on, with their lengths and checksums. Lines that another thread added are skipped.
    pub(super) fn apply(&mut self, mut start: u64, lines: Vec<(Line, usize, Vec<u8>)>) {
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
                Line::Crl { number, at } => {
                    self.last_crl = LastCrl { number, this_update: at, changes: self.changes.len() };
                }
            }
            self.end += length as u64;
            self.lines += 1;
            self.checksum = checksum;
        }
    }

    pub(super) fn check_new(&self, serial: &Serial) -> Result<(), StoreError> {
        if self.held.contains_key(serial) {
            return Err(StoreError::SerialTaken { serial: serial.clone() });
        }
        Ok(())
    }

    pub(super) fn is_unseen(&self, serial: &Serial) -> bool {
        self.held.get(serial).is_some_and(|held| held.seen.is_none())
    }
}
