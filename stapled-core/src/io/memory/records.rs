//! The records of subjects, and the number of resting subjects in each state.

use std::collections::{BTreeMap, HashMap};

use crate::scheduler::{Expect, Record, Recorded, SchedulerError};
use crate::task::Subject;

#[derive(Debug, Default)]
pub(super) struct Records {
    known: HashMap<Subject, Known>,
    /// The number of subjects without tasks, by state. Every change updates it, so that no scan is needed.
    resting: BTreeMap<String, u64>,
}

#[derive(Debug)]
struct Known {
    recorded: Recorded,
    tasks: usize,
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

    /// Applies a record. If the subject had no record, `tasks` returns the number of its tasks.
    pub(super) fn apply(&mut self, record: Record, tasks: impl FnOnce(&Subject) -> usize) {
        let subject = record.subject.clone();
        let before = self.known.remove(&subject);
        if let Some(before) = before.as_ref().filter(|before| before.tasks == 0) {
            leave(&mut self.resting, &before.recorded.state);
        }
        let (before, tasks) = match before {
            Some(Known { recorded, tasks }) => (Some(recorded), tasks),
            None => (None, tasks(&subject)),
        };
        let Some(recorded) = Recorded::updated(before, record) else { return };
        let known = Known { recorded, tasks };
        if known.tasks == 0 {
            enter(&mut self.resting, &known.recorded.state);
        }
        self.known.insert(subject, known);
    }

    pub(super) fn forget(&mut self, subject: &Subject) {
        if let Some(known) = self.known.remove(subject)
            && known.tasks == 0
        {
            leave(&mut self.resting, &known.recorded.state);
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
