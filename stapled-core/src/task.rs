//! Tasks: what the scheduler holds and the stages take.

use std::fmt;
use std::time::Duration;

pub use crate::cause::Cause;
use crate::time::Timestamp;

pub use stapled_ocsp::subject::Subject;

/// The name of a queue. Queues come into being when something is put on them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Queue(
    /// A name like that of a subject: cheap to copy and to look up.
    Subject,
);

impl Queue {
    /// Takes the name.
    pub fn new(name: impl Into<Box<str>>) -> Self {
        Queue(Subject::new(name))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl From<&str> for Queue {
    fn from(name: &str) -> Self {
        Queue::new(name)
    }
}

/// When a task falls due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Now.
    Now,
    /// This long after it was put. Setting the clock back does not delay it.
    After(Duration),
    /// At this instant, or now if that is past.
    At(Timestamp),
}

/// One step of work for one subject, in one queue. Its key is (queue, subject); a task that is put again replaces the one
/// with the same key.
///
/// A task carries no payload: the facts about the subject are in one other place, with a generation. A task for an older
/// generation does nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Task {
    /// The queue it waits in.
    pub queue: Queue,
    /// Its subject.
    pub subject: Subject,
    /// When it is due.
    pub due: Due,
    /// The generation of the subject's facts that it was made for.
    pub generation: u64,
    /// How many attempts in a row failed before this one.
    pub attempt: u32,
    /// Why it is due.
    pub cause: Cause,
}

impl Task {
    /// A first try, due at once, of generation 0.
    pub fn new(queue: Queue, subject: Subject) -> Self {
        Task { queue, subject, due: Due::Now, generation: 0, attempt: 0, cause: Cause::Regular }
    }

    /// The same, with this due time.
    pub fn due(self, due: Due) -> Self {
        Task { due, ..self }
    }

    /// The same, for this generation of its subject.
    pub fn generation(self, generation: u64) -> Self {
        Task { generation, ..self }
    }

    /// The same, after this many failed attempts.
    pub fn attempt(self, attempt: u32) -> Self {
        Task { attempt, ..self }
    }

    /// The same, for this cause.
    pub fn cause(self, cause: Cause) -> Self {
        Task { cause, ..self }
    }

    /// The next attempt at the same task, with this due time and cause.
    pub fn again(&self, due: Due, cause: Cause) -> Self {
        Task {
            queue: self.queue.clone(),
            subject: self.subject.clone(),
            due,
            generation: self.generation,
            attempt: self.attempt.saturating_add(1),
            cause,
        }
    }
}
