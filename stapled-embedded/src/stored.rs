//! Tasks, rules and records in their stored form: JSON.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use stapled_core::scheduler::{QueueRules, Recorded};

/// A task without its key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Held {
    pub(crate) place: Place,
    /// In milliseconds, by the clock of the place.
    pub(crate) due: i64,
    /// Orders tasks that are due at the same time by their puts; for a leased task, its fence.
    pub(crate) number: u64,
    pub(crate) generation: u64,
    pub(crate) attempt: u32,
    pub(crate) cause: String,
}

/// Where a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Place {
    /// It is due at an instant, by the wall clock.
    Dated,
    /// It is due after a delay, by the steady clock.
    Steady,
    Parked,
    Leased,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct StoredRules {
    pub(crate) capacity: Option<usize>,
    pub(crate) park_after: Option<u32>,
}

impl From<QueueRules> for StoredRules {
    fn from(rules: QueueRules) -> Self {
        StoredRules { capacity: rules.capacity, park_after: rules.park_after }
    }
}

/// A record with its place among the subjects.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StoredRecord {
    /// Orders subjects by their first records.
    pub(crate) number: u64,
    pub(crate) is_settled: bool,
    pub(crate) state: String,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) groups: BTreeSet<String>,
    fields: BTreeMap<String, Bytes>,
    lists: BTreeMap<String, Vec<Bytes>>,
    parts: BTreeMap<String, BTreeMap<String, Bytes>>,
}

/// The part of a record that says whether it is settled. The rest is skipped.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct StoredEnd {
    pub(crate) is_settled: bool,
}

/// Octets, in base64.
#[derive(Clone, Debug)]
struct Bytes(Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Bytes).map_err(serde::de::Error::custom)
    }
}

impl StoredRecord {
    pub(crate) fn new(number: u64, is_settled: bool, groups: BTreeSet<String>, recorded: Recorded) -> Self {
        let fields = |fields: BTreeMap<String, Vec<u8>>| -> BTreeMap<String, Bytes> {
            fields.into_iter().map(|(name, value)| (name, Bytes(value))).collect()
        };
        let list = |values: Vec<Vec<u8>>| values.into_iter().map(Bytes).collect();
        StoredRecord {
            number,
            is_settled,
            state: recorded.state,
            groups,
            fields: fields(recorded.fields),
            lists: recorded.lists.into_iter().map(|(name, values)| (name, list(values))).collect(),
            parts: recorded.parts.into_iter().map(|(name, part)| (name, fields(part))).collect(),
        }
    }

    pub(crate) fn into_recorded(self) -> Recorded {
        let fields = |fields: BTreeMap<String, Bytes>| -> BTreeMap<String, Vec<u8>> {
            fields.into_iter().map(|(name, value)| (name, value.0)).collect()
        };
        let list = |values: Vec<Bytes>| values.into_iter().map(|value| value.0).collect();
        let mut recorded = Recorded::new(self.state, fields(self.fields));
        recorded.lists = self.lists.into_iter().map(|(name, values)| (name, list(values))).collect();
        recorded.parts = self.parts.into_iter().map(|(name, part)| (name, fields(part))).collect();
        recorded
    }
}
