//! The queues of the stapler, and the tasks that the stages put on them.
//!
//! *parse* and *add* are work of the machine whose files and servers they concern; *renew* can be anybody's.

use std::collections::BTreeSet;

use crate::inventory::{Displaced, SinkNumber};
use crate::scheduler::{Scheduler, SchedulerError, Step};
use crate::task::{Queue, Subject, Task};

/// The parser's queue. Its subjects are locations.
pub(crate) fn parse() -> Queue {
    Queue::new("parse")
}

/// The queue of the issuers that are fetched from where certificates say. Its subjects are caIssuers URLs.
pub(crate) fn issuer() -> Queue {
    Queue::new("issuer")
}

/// The renewer's queue for one responder: its certificates wait for each other, and for nobody else's.
pub(crate) fn renew(responder: &str) -> Queue {
    Queue::new(format!("renew/{responder}"))
}

/// The adder's queue for one sink: so a sink that hangs holds up no other.
pub(crate) fn add(sink: SinkNumber) -> Queue {
    Queue::new(format!("add/{sink}"))
}

pub(crate) fn parse_task(location: &Subject, generation: u64) -> Task {
    Task::new(parse(), location.clone()).generation(generation)
}

/// One task for each sink.
pub(crate) fn add_tasks<'a>(
    subject: &'a Subject,
    generation: u64,
    sinks: &'a BTreeSet<SinkNumber>,
) -> impl Iterator<Item = Task> + 'a {
    sinks.iter().map(move |&sink| Task::new(add(sink), subject.clone()).generation(generation))
}

/// A certificate has lost a place: its sinks look at what that means for them. Its renewals find out by themselves when
/// it was the last place, so that one that comes back meanwhile loses nothing.
pub(crate) async fn displace(scheduler: &dyn Scheduler, displaced: &Displaced) -> Result<(), SchedulerError> {
    let mut step = Step::intake();
    step.puts.extend(add_tasks(&displaced.subject, displaced.generation, &displaced.sinks));
    scheduler.commit(step).await
}
