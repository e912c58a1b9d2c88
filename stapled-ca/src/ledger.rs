//! What was issued, and what became of it.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::serial::Serial;

/// The status of a certificate, as RFC 6960, 2.2 means it. A certificate that
/// is in no ledger has status `unknown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "status")]
pub enum Status {
    /// Issued and not revoked, expired or not.
    Good,
    /// Revoked.
    Revoked {
        /// When, in Unix seconds.
        at: i64,
        /// Why, if it was said.
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

/// What kind of certificate a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A server's or client's.
    EndEntity,
    /// An intermediate authority's.
    Authority,
    /// A delegated OCSP responder's.
    Responder,
}

/// One certificate in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its serial number.
    pub serial: Serial,
    /// What kind of certificate.
    pub kind: Kind,
    /// Its subject, for people.
    pub subject: String,
    /// Its subjectAltNames.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// First second of its validity, Unix.
    pub not_before: i64,
    /// Last second of its validity, Unix.
    pub not_after: i64,
    /// When it was issued, Unix seconds.
    pub issued_at: i64,
    /// Good or revoked.
    #[serde(flatten)]
    pub status: Status,
}

/// Where an authority writes down what it issued. Seen by all threads, and, if
/// it lies outside the process, by other processes.
pub trait Ledger: Send + Sync + fmt::Debug {
    /// Adds a certificate.
    ///
    /// # Errors
    /// When the serial number is taken or nothing can be written.
    fn add(&self, record: Record) -> Result<(), StoreError>;

    /// Changes a certificate's status; the record afterwards.
    ///
    /// # Errors
    /// When it was never issued or nothing can be written.
    fn set_status(&self, serial: &Serial, status: Status) -> Result<Record, StoreError>;

    /// The status as it is now; `None` if never issued. Asked for every OCSP
    /// request, so it must be fast.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    fn status(&self, serial: &Serial) -> Result<Option<Status>, StoreError>;

    /// All certificates, by serial number.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    fn records(&self) -> Result<Vec<Record>, StoreError>;
}

/// A ledger that is gone with its process.
#[derive(Debug, Default)]
pub struct MemoryLedger {
    records: Mutex<BTreeMap<Serial, Record>>,
}

impl MemoryLedger {
    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<Serial, Record>) -> T) -> T {
        // No code that can panic runs under this lock, so a poisoned one is whole.
        act(&mut self.records.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Ledger for MemoryLedger {
    fn add(&self, record: Record) -> Result<(), StoreError> {
        self.with(|records| {
            if records.contains_key(&record.serial) {
                return Err(StoreError::SerialTaken { serial: record.serial });
            }
            records.insert(record.serial.clone(), record);
            Ok(())
        })
    }

    fn set_status(&self, serial: &Serial, status: Status) -> Result<Record, StoreError> {
        self.with(|records| {
            let record = records.get_mut(serial).ok_or_else(|| StoreError::NeverIssued { serial: serial.clone() })?;
            record.status = status;
            Ok(record.clone())
        })
    }

    fn status(&self, serial: &Serial) -> Result<Option<Status>, StoreError> {
        Ok(self.with(|records| records.get(serial).map(|record| record.status)))
    }

    fn records(&self) -> Result<Vec<Record>, StoreError> {
        Ok(self.with(|records| records.values().cloned().collect()))
    }
}

impl Reason {
    /// Its number in CRLReason.
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

    /// All of them with the names that [`FromStr`] reads.
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

    /// Reads the RFC's names, in any mixture of cases and with or without dashes.
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

/// A name that is no CRLReason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not a reason; there are: {}", Reason::ALL.map(|(name, _)| name).join(", "))]
pub struct UnknownReason {
    /// What was given.
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

/// Why something could not be kept or found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A record that is not one.
    #[error("{} is not a record of this program: {source}", path.display())]
    Broken {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A new thing where there is already one.
    #[error("{} exists already; choose another directory or remove it first", path.display())]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// A serial number may be used once.
    #[error("a certificate with serial number {serial} was already issued")]
    SerialTaken {
        /// The number.
        serial: Serial,
    },
    /// This authority did not issue it.
    #[error("no certificate with serial number {serial} was issued here; `list` shows what was")]
    NeverIssued {
        /// The number.
        serial: Serial,
    },
}
