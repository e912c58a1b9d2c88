//! The tables of the database, and one transaction on them.
//!
//! | table | key | value |
//! |---|---|---|
//! | `meta` | name | `format`; `wall` and `ahead`, the clock in milliseconds; `number`, the last one given |
//! | `queues` | queue | its rules |
//! | `tasks` | queue, subject | the task |
//! | `followers` | queue, subject | the task that waits for the end of the lease of its key |
//! | `order` | queue, clock (0 wall, 1 steady), due time, number | the subject of a task that is neither leased nor parked |
//! | `queues_of` | subject, queue | nothing: the queues that have a task of the subject |
//! | `records` | subject | the record |
//! | `groups` | group | the number of its members |

use redb::{ReadableTable, Table, TableDefinition, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::EmbeddedError;

const GROUPS: TableDefinition<'static, &str, u64> = TableDefinition::new("groups");
const META: TableDefinition<'static, &str, i64> = TableDefinition::new("meta");
pub(crate) const RECORDS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("records");
const QUEUES: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("queues");
const TASKS: TableDefinition<'static, (&str, &str), &[u8]> = TableDefinition::new("tasks");
const FOLLOWERS: TableDefinition<'static, (&str, &str), &[u8]> = TableDefinition::new("followers");
const ORDER: TableDefinition<'static, (&str, u8, i64, u64), &str> = TableDefinition::new("order");
const QUEUES_OF: TableDefinition<'static, (&str, &str), ()> = TableDefinition::new("queues_of");

/// The present, in milliseconds: by the wall clock, and by a steady clock that advances with it but never goes back.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moment {
    pub(crate) wall: i64,
    pub(crate) ahead: i64,
}

impl Moment {
    pub(crate) fn steady(self) -> i64 {
        self.wall.saturating_add(self.ahead)
    }

    /// An instant of the steady clock, by the wall clock.
    pub(crate) fn to_wall(self, steady: i64) -> i64 {
        steady.saturating_sub(self.ahead)
    }

    /// A later moment, at which the wall clock shows `wall`.
    pub(crate) fn go_on(&mut self, wall: i64) -> Moment {
        self.ahead = self.ahead.saturating_add(self.wall.saturating_sub(wall).max(0));
        self.wall = wall;
        *self
    }
}

/// All tables in one transaction, at one moment.
pub(crate) struct Tables<'t> {
    pub(crate) now: Moment,
    pub(crate) meta: Table<'t, &'static str, i64>,
    pub(crate) queues: Table<'t, &'static str, &'static [u8]>,
    pub(crate) tasks: Table<'t, (&'static str, &'static str), &'static [u8]>,
    pub(crate) followers: Table<'t, (&'static str, &'static str), &'static [u8]>,
    pub(crate) order: Table<'t, (&'static str, u8, i64, u64), &'static str>,
    pub(crate) queues_of: Table<'t, (&'static str, &'static str), ()>,
    pub(crate) records: Table<'t, &'static str, &'static [u8]>,
    pub(crate) groups: Table<'t, &'static str, u64>,
}

impl<'t> Tables<'t> {
    pub(crate) fn open(transaction: &'t WriteTransaction, now: Moment) -> Result<Self, EmbeddedError> {
        Ok(Tables {
            now,
            meta: transaction.open_table(META).map_err(EmbeddedError::of)?,
            queues: transaction.open_table(QUEUES).map_err(EmbeddedError::of)?,
            tasks: transaction.open_table(TASKS).map_err(EmbeddedError::of)?,
            followers: transaction.open_table(FOLLOWERS).map_err(EmbeddedError::of)?,
            order: transaction.open_table(ORDER).map_err(EmbeddedError::of)?,
            queues_of: transaction.open_table(QUEUES_OF).map_err(EmbeddedError::of)?,
            records: transaction.open_table(RECORDS).map_err(EmbeddedError::of)?,
            groups: transaction.open_table(GROUPS).map_err(EmbeddedError::of)?,
        })
    }

    /// A number that was not given before.
    pub(crate) fn number(&mut self) -> Result<u64, EmbeddedError> {
        let last = self.meta.get("number").map_err(EmbeddedError::of)?.map_or(0, |number| number.value());
        let number = last.saturating_add(1);
        self.meta.insert("number", number).map_err(EmbeddedError::of)?;
        Ok(number.unsigned_abs())
    }

    /// Keeps the clock, so that it is never behind after a start.
    pub(crate) fn keep_clock(&mut self) -> Result<(), EmbeddedError> {
        self.meta.insert("wall", self.now.wall).map_err(EmbeddedError::of)?;
        self.meta.insert("ahead", self.now.ahead).map_err(EmbeddedError::of)?;
        Ok(())
    }
}

/// The value in its stored form.
pub(crate) fn encode(value: &impl Serialize) -> Result<Vec<u8>, EmbeddedError> {
    Ok(serde_json::to_vec(value)?)
}

/// The value of its stored form.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, EmbeddedError> {
    Ok(serde_json::from_slice(bytes)?)
}
