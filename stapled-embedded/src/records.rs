//! The records of subjects.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use redb::ReadableTable;
use stapled_core::scheduler::{Expect, Record, Recorded, SchedulerError};

use crate::error::EmbeddedError;
use crate::stored::{StoredEnd, StoredRecord};
use crate::tables::{Tables, decode, encode};

impl Tables<'_> {
    pub(crate) fn stored_record(&self, subject: &str) -> Result<Option<StoredRecord>, EmbeddedError> {
        let stored = self.records.get(subject).map_err(EmbeddedError::of)?;
        stored.map(|bytes| decode(bytes.value())).transpose()
    }

    /// Checks the expectation of a record.
    pub(crate) fn check(&self, record: &Record) -> Result<(), SchedulerError> {
        let found = self.stored_record(record.subject.as_str())?.map(|stored| stored.state);
        let is_met = match &record.expect {
            Expect::Anything => true,
            Expect::Nothing => found.is_none(),
            Expect::State(state) => found.as_ref() == Some(state),
        };
        if is_met {
            return Ok(());
        }
        Err(SchedulerError::Unexpected { subject: record.subject.clone(), expected: record.expect.clone(), found })
    }

    /// Applies a record.
    pub(crate) fn apply(&mut self, record: Record) -> Result<(), EmbeddedError> {
        let (subject, settles) = (record.subject.clone(), record.settles);
        if settles {
            for queue in self.queues_of(subject.as_str())? {
                self.cancel(&queue, subject.as_str())?;
            }
        }
        let before = self.stored_record(subject.as_str())?;
        let (number, is_settled, mut groups) = match &before {
            Some(stored) => (stored.number, stored.is_settled || settles, stored.groups.clone()),
            None => (self.number()?, settles, BTreeSet::new()),
        };
        if settles {
            self.leave(&std::mem::take(&mut groups))?;
        }
        for (group, _) in record.joined() {
            if groups.insert(group.to_owned()) {
                let members = self.members(group)?.saturating_add(1);
                self.groups.insert(group, members).map_err(EmbeddedError::of)?;
            }
        }
        match Recorded::updated(before.map(StoredRecord::into_recorded), record) {
            Some(recorded) => {
                let stored = encode(&StoredRecord::new(number, is_settled, groups, recorded))?;
                self.records.insert(subject.as_str(), stored.as_slice()).map_err(EmbeddedError::of)?;
            }
            None => self.forget(subject.as_str())?,
        }
        Ok(())
    }

    pub(crate) fn forget(&mut self, subject: &str) -> Result<(), EmbeddedError> {
        if let Some(stored) = self.stored_record(subject)? {
            self.leave(&stored.groups)?;
        }
        self.records.remove(subject).map_err(EmbeddedError::of)?;
        Ok(())
    }

    /// Whether the groups have room for the subjects that join them.
    pub(crate) fn check_groups(&self, records: &[Record]) -> Result<(), SchedulerError> {
        let (mut growth, mut seen) = (HashMap::new(), HashSet::new());
        for record in records.iter().filter(|record| record.joined().next().is_some()) {
            let stored = self.stored_record(record.subject.as_str())?;
            for (group, at_most) in record.joined() {
                let is_member = stored.as_ref().is_some_and(|stored| stored.groups.contains(group));
                if is_member || !seen.insert((&record.subject, group)) {
                    continue;
                }
                let growth: &mut u64 = growth.entry(group).or_default();
                *growth += 1;
                if self.members(group)?.saturating_add(*growth) > at_most as u64 {
                    return Err(SchedulerError::GroupFull { group: group.to_owned(), at_most });
                }
            }
        }
        Ok(())
    }

    /// How many members a group has.
    pub(crate) fn members(&self, group: &str) -> Result<u64, EmbeddedError> {
        Ok(self.groups.get(group).map_err(EmbeddedError::of)?.map_or(0, |members| members.value()))
    }

    fn leave(&mut self, groups: &BTreeSet<String>) -> Result<(), EmbeddedError> {
        for group in groups {
            match self.members(group)? {
                0 | 1 => drop(self.groups.remove(group.as_str()).map_err(EmbeddedError::of)?),
                members => drop(self.groups.insert(group.as_str(), members - 1).map_err(EmbeddedError::of)?),
            }
        }
        Ok(())
    }

    /// All records.
    pub(crate) fn all_records(&self) -> Result<Vec<(String, StoredRecord)>, EmbeddedError> {
        let mut all = Vec::new();
        for entry in self.records.iter().map_err(EmbeddedError::of)? {
            let (subject, stored) = entry.map_err(EmbeddedError::of)?;
            all.push((subject.value().to_owned(), decode(stored.value())?));
        }
        Ok(all)
    }

    /// How many subjects on record are not settled.
    pub(crate) fn count_active(&self) -> Result<usize, EmbeddedError> {
        let mut count = 0;
        for entry in self.records.iter().map_err(EmbeddedError::of)? {
            let (_, stored) = entry.map_err(EmbeddedError::of)?;
            count += usize::from(!decode::<StoredEnd>(stored.value())?.is_settled);
        }
        Ok(count)
    }

    /// How many subjects on record have no task, by state.
    pub(crate) fn resting(&self) -> Result<BTreeMap<String, u64>, EmbeddedError> {
        let mut resting = BTreeMap::new();
        for (subject, stored) in self.all_records()? {
            if self.queues_of(&subject)?.is_empty() {
                *resting.entry(stored.state).or_default() += 1;
            }
        }
        Ok(resting)
    }
}
