//! The records of subjects, and the number of resting subjects in each state.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::by_subject::BySubject;
use crate::scheduler::{Expect, Record, Recorded, SchedulerError};
use crate::task::Subject;

#[derive(Debug, Default)]
pub(super) struct Records {
    known: BySubject<Known>,
    /// The number of subjects without tasks, by state. Every change updates it, so that no scan is needed.
    resting: BTreeMap<String, u64>,
    /// The number of members of each group.
    groups: HashMap<String, usize>,
}

#[derive(Debug)]
struct Known {
    recorded: Recorded,
    tasks: usize,
    groups: BTreeSet<String>,
}

impl Records {
    pub(super) fn recorded(&self, subject: &Subject) -> Option<&Recorded> {
        self.known.get(subject).map(|known| &known.recorded)
    }

    pub(super) fn resting(&self) -> &BTreeMap<String, u64> {
        &self.resting
    }

    /// Checks the expectation of a record.
    pub(super) fn check(&self, record: &Record) -> Result<(), SchedulerError> {
        let found = self.recorded(&record.subject).map(|recorded| recorded.state.as_str());
        let met = match &record.expect {
            Expect::Anything => true,
            Expect::Nothing => found.is_none(),
            Expect::State(state) => found == Some(state),
        };
        if met {
            return Ok(());
        }
        Err(SchedulerError::Unexpected {
            subject: record.subject.clone(),
            expected: record.expect.clone(),
            found: found.map(str::to_owned),
        })
    }

    /// Whether the groups have room for the subjects that join them.
    pub(super) fn check_groups(&self, records: &[Record]) -> Result<(), SchedulerError> {
        let (mut growth, mut seen) = (HashMap::new(), HashSet::new());
        for record in records {
            let known = self.known.get(&record.subject);
            for (group, at_most) in record.joined() {
                if known.is_none_or(|known| !known.groups.contains(group)) && seen.insert((&record.subject, group)) {
                    let growth: &mut usize = growth.entry(group).or_default();
                    *growth += 1;
                    if self.groups.get(group).copied().unwrap_or(0) + *growth > at_most {
                        return Err(SchedulerError::GroupFull { group: group.to_owned(), at_most });
                    }
                }
            }
        }
        Ok(())
    }

    /// Applies a record. If the subject had no record, `tasks` returns the number of its tasks.
    pub(super) fn apply(&mut self, record: Record, tasks: impl FnOnce(&Subject) -> usize) {
        let (subject, settles) = (record.subject.clone(), record.settles);
        let joined: Vec<String> = record.joined().map(|(group, _)| group.to_owned()).collect();
        let before = self.known.remove(&subject);
        if let Some(before) = before.as_ref().filter(|before| before.tasks == 0) {
            leave(&mut self.resting, &before.recorded.state);
        }
        let (before, tasks, mut groups) = match before {
            Some(Known { recorded, tasks, groups }) => (Some(recorded), tasks, groups),
            None => (None, tasks(&subject), BTreeSet::new()),
        };
        if settles || record.state.is_none() {
            self.leave_groups(std::mem::take(&mut groups));
        }
        let Some(recorded) = Recorded::updated(before, record) else { return };
        for group in joined {
            if groups.insert(group.clone()) {
                *self.groups.entry(group).or_default() += 1;
            }
        }
        let known = Known { recorded, tasks, groups };
        if known.tasks == 0 {
            enter(&mut self.resting, &known.recorded.state);
        }
        self.known.insert(subject, known);
    }

    pub(super) fn forget(&mut self, subject: &Subject) {
        let Some(known) = self.known.remove(subject) else { return };
        if known.tasks == 0 {
            leave(&mut self.resting, &known.recorded.state);
        }
        self.leave_groups(known.groups);
    }

    fn leave_groups(&mut self, groups: BTreeSet<String>) {
        for group in groups {
            match self.groups.get_mut(&group) {
                Some(members) if *members > 1 => *members -= 1,
                _ => drop(self.groups.remove(&group)),
            }
        }
    }

    /// Counts one more task of a subject.
    pub(super) fn gained_task(&mut self, subject: &Subject) {
        let Some(known) = self.known.get_mut(subject) else { return };
        known.tasks += 1;
        if known.tasks == 1 {
            leave(&mut self.resting, &known.recorded.state);
        }
    }

    /// Counts one task less of a subject.
    pub(super) fn lost_task(&mut self, subject: &Subject) {
        let Some(known) = self.known.get_mut(subject) else { return };
        known.tasks = known.tasks.saturating_sub(1);
        if known.tasks == 0 {
            enter(&mut self.resting, &known.recorded.state);
        }
    }
}

fn enter(resting: &mut BTreeMap<String, u64>, state: &str) {
    match resting.get_mut(state) {
        Some(count) => *count += 1,
        None => drop(resting.insert(state.to_owned(), 1)),
    }
}

fn leave(resting: &mut BTreeMap<String, u64>, state: &str) {
    match resting.get_mut(state) {
        Some(count) if *count > 1 => *count -= 1,
        _ => drop(resting.remove(state)),
    }
}
