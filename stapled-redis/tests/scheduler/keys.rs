//! The keys of the scheduler `test`, as any client of Redis reads them.

use std::collections::{BTreeMap, BTreeSet};

use stapled_tests::Redis;

/// The orders of a queue, each with the letter of its tasks.
pub(crate) const ORDERS: [(&str, char); 5] =
    [("queue", 'q'), ("waiting", 'w'), ("delayed", 'd'), ("parked", 'p'), ("leases", 'l')];

/// The contents of the keys.
#[derive(Debug)]
pub(crate) struct Keys {
    pub(crate) queues: BTreeSet<String>,
    /// By queue and subject.
    pub(crate) tasks: BTreeMap<String, BTreeMap<String, Packed>>,
    followers: BTreeMap<String, BTreeMap<String, Packed>>,
    /// By queue and letter: the subjects in each order.
    orders: BTreeMap<(String, char), Vec<String>>,
    /// The state of each subject on record.
    pub(crate) records: BTreeMap<String, String>,
    active: BTreeSet<String>,
    queues_of: BTreeMap<String, BTreeSet<String>>,
    pub(crate) resting: BTreeMap<String, u64>,
}

/// A task in its hash.
#[derive(Debug)]
pub(crate) struct Packed {
    pub(crate) place: char,
    fence: String,
    generation: String,
    attempt: String,
}

impl Packed {
    fn of(text: &str) -> Self {
        let words: Vec<&str> = text.split(' ').collect();
        let place = words[0].chars().next().unwrap();
        Packed { place, fence: words[3].into(), generation: words[4].into(), attempt: words[5].into() }
    }

    fn numbers(&self) -> String {
        format!("generation {}, attempt {}", self.generation, self.attempt)
    }
}

impl Keys {
    /// Reads the keys of these queues and subjects.
    pub(crate) fn read(server: &Redis, queues: &[&str], subjects: &[&str]) -> Self {
        let lines = |command: &[&str]| -> Vec<String> { server.ask(command).lines().map(str::to_owned).collect() };
        let pairs = |key: &str| {
            let lines = lines(&["HGETALL", key]);
            lines.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect::<Vec<_>>()
        };
        let packed = |kind: &str| {
            let of = |queue: &str| {
                let all = pairs(&format!("{{test}}:{kind}:{queue}"));
                all.into_iter().map(|(subject, task)| (subject, Packed::of(&task))).collect()
            };
            queues.iter().map(|queue| ((*queue).to_owned(), of(queue))).collect()
        };
        let order = |queue: &str, order: &str| match order {
            "queue" => lines(&["LRANGE", &format!("{{test}}:queue:{queue}"), "0", "-1"]),
            _ => lines(&["ZRANGE", &format!("{{test}}:{order}:{queue}"), "0", "-1"]),
        };
        let all_orders = queues.iter().flat_map(|queue| ORDERS.map(|(name, place)| (*queue, name, place)));
        let state = |subject: &str| server.ask(&["HGET", &format!("{{test}}:record:{subject}"), "state"]);
        let queues_of =
            |subject: &str| lines(&["SMEMBERS", &format!("{{test}}:queues_of:{subject}")]).into_iter().collect();
        Keys {
            queues: lines(&["SMEMBERS", "{test}:queues"]).into_iter().collect(),
            tasks: packed("tasks"),
            followers: packed("followers"),
            orders: all_orders.map(|(queue, name, place)| ((queue.to_owned(), place), order(queue, name))).collect(),
            records: subjects
                .iter()
                .map(|one| ((*one).to_owned(), state(one)))
                .filter(|(_, state)| !state.is_empty())
                .collect(),
            active: lines(&["SMEMBERS", "{test}:active"]).into_iter().collect(),
            queues_of: subjects.iter().map(|subject| ((*subject).to_owned(), queues_of(subject))).collect(),
            resting: pairs("{test}:resting")
                .into_iter()
                .map(|(state, count)| (state, count.parse().unwrap()))
                .collect(),
        }
    }

    /// Whether the keys agree with each other: each task is once in the order of its place and in no other, a task waits for
    /// the end of a lease only where there is one, and the indexes have what they should.
    pub(crate) fn is_sound(&self) -> Result<(), String> {
        for ((queue, place), names) in &self.orders {
            let mut expected = self.tasks[queue].iter().filter(|(_, task)| task.place == *place).map(|(name, _)| name);
            let found: BTreeSet<&String> = names.iter().collect();
            if found.len() != names.len() || !expected.by_ref().eq(found) {
                return Err(format!("order {place} of {queue} is not that of the tasks"));
            }
        }
        for (queue, followers) in &self.followers {
            if followers.keys().any(|subject| self.tasks[queue].get(subject).is_none_or(|task| task.place != 'l')) {
                return Err(format!("a follower in {queue} follows no lease"));
            }
        }
        for (subject, queues) in &self.queues_of {
            if !self.tasks.iter().filter(|(_, tasks)| tasks.contains_key(subject)).map(|(queue, _)| queue).eq(queues) {
                return Err(format!("queues_of {subject} has other queues"));
            }
        }
        if !self.active.iter().eq(self.records.keys()) {
            return Err("active has other subjects than the records".to_owned());
        }
        Ok(())
    }

    /// The place of a task: queued, leased, parked, resting or gone.
    pub(crate) fn place(&self, queue: &str, subject: &str) -> String {
        let Some(task) = self.tasks[queue].get(subject) else {
            let rests = self.records.contains_key(subject) && self.queues_of[subject].is_empty();
            return if rests { "resting" } else { "gone" }.to_owned();
        };
        let place = match (task.place, self.followers[queue].get(subject)) {
            ('p', _) => "parked".to_owned(),
            ('l', None) => format!("leased under {}", task.fence),
            ('l', Some(next)) => format!("leased under {}, before {}", task.fence, next.numbers()),
            _ => "queued".to_owned(),
        };
        format!("{place}: {}", task.numbers())
    }
}
