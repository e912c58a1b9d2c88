//! Ledgers: records of the issued certificates and their status.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::serial::Serial;

/// The status of an issued certificate (RFC 6960, 2.2). A certificate without a record has the status `unknown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "status")]
pub enum Status {
    /// Issued and not revoked. An expired certificate is good, too.
    Good,
    /// Revoked.
    Revoked {
        /// When it was revoked, in Unix seconds.
        at: i64,
        /// Why it was revoked, if a reason was given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Reason>,
    },
}

/// CRLReason (RFC 5280, 5.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// unspecified (0)
    Unspecified,
    /// keyCompromise (1)
    KeyCompromise,
    /// cACompromise (2)
    CaCompromise,
    /// affiliationChanged (3)
    AffiliationChanged,
    /// superseded (4)
    Superseded,
    /// cessationOfOperation (5)
    CessationOfOperation,
    /// certificateHold (6)
    CertificateHold,
    /// privilegeWithdrawn (9)
    PrivilegeWithdrawn,
}

/// The kind of an issued certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A certificate of a server or a client.
    EndEntity,
    /// A certificate of an intermediate authority.
    Authority,
    /// A certificate of a delegated OCSP responder.
    Responder,
}

/// The record of one issued certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The serial number.
    pub serial: Serial,
    /// The kind of certificate.
    pub kind: Kind,
    /// The subject, such as `CN=example.org`, for display.
    pub subject: String,
    /// The subjectAltNames.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// The first second of its validity, Unix.
    pub not_before: i64,
    /// The last second of its validity, Unix.
    pub not_after: i64,
    /// When it was issued, in Unix seconds.
    pub issued_at: i64,
    /// Good or revoked.
    #[serde(flatten)]
    pub status: Status,
}

/// The records of an authority. All threads share them, and other processes too if the ledger is outside of the
/// process.
///
/// ```
/// use stapled_ca::store::StoreError;
/// use stapled_ca::{Changes, Ledger, Record, Serial, Status};
///
/// /// Another ledger, which prints what changes.
/// #[derive(Debug)]
/// struct Printed<L>(L);
///
/// impl<L: Ledger> Ledger for Printed<L> {
///     fn add(&self, record: Record, certificate: &[u8]) -> Result<(), StoreError> {
///         println!("issued {}", record.serial);
///         self.0.add(record, certificate)
///     }
///
///     fn set_status(&self, serial: &Serial, status: Status) -> Result<Record, StoreError> {
///         println!("{serial}: {status:?}");
///         self.0.set_status(serial, status)
///     }
///
///     fn status(&self, serial: &Serial) -> Result<Option<Status>, StoreError> {
///         self.0.status(serial)
///     }
///
///     fn records(&self) -> Result<Vec<Record>, StoreError> {
///         self.0.records()
///     }
///
///     fn changes(&self, position: usize, most: usize) -> Result<Changes, StoreError> {
///         self.0.changes(position, most)
///     }
///
///     fn number_crl(&self, this_update: i64) -> Result<(u64, Vec<Record>), StoreError> {
///         self.0.number_crl(this_update)
///     }
/// }
/// ```
pub trait Ledger: Send + Sync + fmt::Debug {
    /// Adds the record of a certificate (DER). A ledger may keep the certificate, too.
    ///
    /// # Errors
    /// When the serial number is taken, or the ledger cannot be written.
    fn add(&self, record: Record, certificate: &[u8]) -> Result<(), StoreError>;

    /// Changes the status of a certificate, and returns the changed record.
    ///
    /// # Errors
    /// When the certificate was never issued, or the ledger cannot be written.
    fn set_status(&self, serial: &Serial, status: Status) -> Result<Record, StoreError>;

    /// The present status of a certificate; `None` when it was never issued. Every OCSP request calls this, so it
    /// must be fast.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    fn status(&self, serial: &Serial) -> Result<Option<Status>, StoreError>;

    /// All records, sorted by serial number.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    fn records(&self) -> Result<Vec<Record>, StoreError>;

    /// At most `most` records of certificates that were added, revoked or reinstated after a position of the ledger, with their
    /// present status. The first position is 0. A certificate that changed twice may occur twice.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    fn changes(&self, position: usize, most: usize) -> Result<Changes, StoreError>;

    /// Gives a number to the next certificate revocation list, and returns it with the records of the certificates that the list has
    /// to name. The number is higher than all before, also after a restart and in other processes, and not lower than thisUpdate in
    /// Unix seconds. The records have all changes that a list with a lower number has. A revoked certificate is named until one list
    /// with a thisUpdate after its end has named it (RFC 5280, 3.3).
    ///
    /// # Errors
    /// When the ledger cannot be written.
    fn number_crl(&self, this_update: i64) -> Result<(u64, Vec<Record>), StoreError>;
}

/// Records that changed after a position of a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// The records, in the order of their changes.
    pub records: Vec<Record>,
    /// The position after them.
    pub position: usize,
}

impl Changes {
    /// The changes in a list of all that changed.
    pub(crate) fn of(all: &[Serial], position: usize, most: usize, record: impl Fn(&Serial) -> Option<Record>) -> Self {
        let position = position.min(all.len());
        let end = position.saturating_add(most).min(all.len());
        let records = all.get(position..end).unwrap_or_default().iter().filter_map(record).collect();
        Changes { records, position: end }
    }
}

/// The certificate revocation list that was numbered last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LastCrl {
    pub(crate) number: u64,
    pub(crate) this_update: i64,
    /// How many changes the ledger had before.
    pub(crate) changes: usize,
}

impl LastCrl {
    /// The number of the next list: higher than all before, and not lower than its thisUpdate in Unix seconds. So numbers do not
    /// fall when the ledger is restored from a backup. It has at most eight octets; RFC 5280, 5.2.3, allows twenty.
    pub(crate) fn next_number(self, this_update: i64) -> u64 {
        self.number.saturating_add(1).max(this_update.max(0).unsigned_abs())
    }

    /// The records that the next list has to name, from all changes and records of the ledger.
    pub(crate) fn entries_of_next<'a>(
        self,
        this_update: i64,
        changes: &[Serial],
        records: impl Iterator<Item = &'a Record>,
    ) -> Vec<Record> {
        let changed: HashSet<&Serial> = changes.iter().skip(self.changes).collect();
        // If the clock was ahead, the last list came before the end of certificates that it took for expired.
        let named_until = self.this_update.min(this_update);
        let is_named = |record: &&Record| match record.status {
            Status::Good => false,
            // The last list named a certificate that had expired then, unless it was revoked later.
            Status::Revoked { .. } => record.not_after >= named_until || changed.contains(&record.serial),
        };
        records.filter(is_named).cloned().collect()
    }
}

/// A ledger in memory.
#[derive(Debug, Default)]
pub struct MemoryLedger {
    contents: Mutex<Contents>,
}

#[derive(Debug, Default)]
struct Contents {
    records: BTreeMap<Serial, Record>,
    /// The certificates that were added, revoked or reinstated, in order.
    changes: Vec<Serial>,
    last_crl: LastCrl,
}

impl MemoryLedger {
    fn with<T>(&self, act: impl FnOnce(&mut Contents) -> T) -> T {
        // No code under this lock can panic halfway through a change, so poisoned contents are consistent.
        act(&mut self.contents.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Ledger for MemoryLedger {
    fn add(&self, record: Record, _certificate: &[u8]) -> Result<(), StoreError> {
        self.with(|contents| {
            if contents.records.contains_key(&record.serial) {
                return Err(StoreError::SerialTaken { serial: record.serial });
            }
            contents.changes.push(record.serial.clone());
            contents.records.insert(record.serial.clone(), record);
            Ok(())
        })
    }

    fn set_status(&self, serial: &Serial, status: Status) -> Result<Record, StoreError> {
        self.with(|contents| {
            let record = contents.records.get_mut(serial);
            let record = record.ok_or_else(|| StoreError::NeverIssued { serial: serial.clone() })?;
            record.status = status;
            contents.changes.push(serial.clone());
            Ok(record.clone())
        })
    }

    fn status(&self, serial: &Serial) -> Result<Option<Status>, StoreError> {
        Ok(self.with(|contents| contents.records.get(serial).map(|record| record.status)))
    }

    fn records(&self) -> Result<Vec<Record>, StoreError> {
        Ok(self.with(|contents| contents.records.values().cloned().collect()))
    }

    fn changes(&self, position: usize, most: usize) -> Result<Changes, StoreError> {
        Ok(self.with(|Contents { records, changes, .. }| {
            Changes::of(changes, position, most, |serial| records.get(serial).cloned())
        }))
    }

    fn number_crl(&self, this_update: i64) -> Result<(u64, Vec<Record>), StoreError> {
        Ok(self.with(|contents| {
            let (last, changes) = (contents.last_crl, contents.changes.len());
            let revoked = last.entries_of_next(this_update, &contents.changes, contents.records.values());
            let number = last.next_number(this_update);
            contents.last_crl = LastCrl { number, this_update, changes };
            (number, revoked)
        }))
    }
}

impl Reason {
    /// The number in CRLReason.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::KeyCompromise => 1,
            Self::CaCompromise => 2,
            Self::AffiliationChanged => 3,
            Self::Superseded => 4,
            Self::CessationOfOperation => 5,
            Self::CertificateHold => 6,
            Self::PrivilegeWithdrawn => 9,
        }
    }

    /// All reasons with their names in RFC 5280.
    pub const ALL: [(&'static str, Self); 8] = [
        ("unspecified", Self::Unspecified),
        ("keyCompromise", Self::KeyCompromise),
        ("cACompromise", Self::CaCompromise),
        ("affiliationChanged", Self::AffiliationChanged),
        ("superseded", Self::Superseded),
        ("cessationOfOperation", Self::CessationOfOperation),
        ("certificateHold", Self::CertificateHold),
        ("privilegeWithdrawn", Self::PrivilegeWithdrawn),
    ];
}

impl FromStr for Reason {
    type Err = UnknownReason;

    /// Reads a name of RFC 5280 in any case, with or without dashes and underscores.
    fn from_str(name: &str) -> Result<Self, UnknownReason> {
        let plain = |text: &str| text.to_ascii_lowercase().replace(['-', '_'], "");
        Self::ALL
            .iter()
            .find(|(known, _)| plain(known) == plain(name))
            .map(|(_, reason)| *reason)
            .ok_or_else(|| UnknownReason { name: name.to_owned() })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL.iter().find(|(_, reason)| reason == self).map_or("unspecified", |(name, _)| name))
    }
}

/// A name that is not a CRLReason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not a reason; choose one of {}", Reason::ALL.map(|(name, _)| name).join(", "))]
pub struct UnknownReason {
    /// The name.
    pub name: String,
}

impl Serialize for Serial {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Serial {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Why a ledger or a file of an authority fails.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// A file is not a record.
    #[error("cannot read {} as a record: {source}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: serde_json::Error,
    },
    /// A line of a ledger file is not what was written.
    #[error("{} is damaged in line {line}; restore it from a copy, for it must not forget a certificate", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The number of the line, from 1.
        line: usize,
    },
    /// A file exists that must be new.
    #[error("{} exists already: an authority has this directory; choose another one", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The serial number was used before.
    #[error("a certificate with serial number {serial} was issued before; choose another number")]
    SerialTaken {
        /// The serial number.
        serial: Serial,
    },
    /// This authority did not issue the certificate.
    #[error("no certificate with serial number {serial} was issued here; `stapled-ca ledger list` shows all that were")]
    NeverIssued {
        /// The serial number.
        serial: Serial,
    },
}
