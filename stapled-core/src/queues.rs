//! The queues of the stapler, and the tasks that the stages put on them.
//!
//! The queues *parse* and *add* belong to the machine with the files and servers concerned. Any machine can take from
//! *renew*.

use std::sync::LazyLock;

use crate::inventory::{Displaced, SinkNumber, SinkSet, SourceNumber, source_of};
use crate::scheduler::{Scheduler, SchedulerError, Step};
use crate::task::{Queue, Subject, Task};

/// How many tasks one step puts at most.
const CHUNK: usize = 1000;

/// Queues of the first sources or sinks. Each certificate's task has one of them, so they are made once.
type First = LazyLock<[Queue; 16]>;

fn first(queues: &'static First, number: usize, name: impl Fn(usize) -> String) -> Queue {
    queues.get(number).cloned().unwrap_or_else(|| Queue::new(name(number)))
}

/// The queue of the parser for one source. Its subjects are locations. A source whose files hang delays no other.
pub(crate) fn parse(source: SourceNumber) -> Queue {
    static FIRST: First = LazyLock::new(|| std::array::from_fn(|source| Queue::new(name(source))));
    fn name(source: SourceNumber) -> String {
        format!("parse/{source}")
    }
    first(&FIRST, source, name)
}

/// The queue of issuers to fetch. Its subjects are caIssuers URLs.
pub(crate) fn issuer() -> Queue {
    Queue::new("issuer")
}

/// The queue of the renewer for one responder. A slow responder delays only its own certificates.
pub(crate) fn renew(responder: &str) -> Queue {
    Queue::new(format!("renew/{responder}"))
}

/// The responder of a queue of the renewer.
pub(crate) fn responder_of(queue: &Queue) -> &str {
    queue.as_str().strip_prefix("renew/").unwrap_or_default()
}

/// The queue of the adder for one sink. A sink that hangs delays no other.
pub(crate) fn add(sink: SinkNumber) -> Queue {
    static FIRST: First = LazyLock::new(|| std::array::from_fn(|sink| Queue::new(name(sink))));
    fn name(sink: SinkNumber) -> String {
        format!("add/{sink}")
    }
    first(&FIRST, sink, name)
}

pub(crate) fn parse_task(location: &Subject, generation: u64) -> Task {
    Task::new(parse(source_of(location)), location.clone()).generation(generation)
}

/// The task *add* for one sink.
pub(crate) fn add_task(sink: SinkNumber, subject: &Subject, generation: u64) -> Task {
    Task::new(add(sink), subject.clone()).generation(generation)
}

/// One task *add* for each sink.
pub(crate) fn add_tasks<'a>(
    subject: &'a Subject,
    generation: u64,
    sinks: &'a SinkSet,
) -> impl Iterator<Item = Task> + 'a {
    sinks.iter().map(move |sink| add_task(sink, subject, generation))
}

/// Puts any number of tasks, in steps of limited size.
pub(crate) async fn put_all(scheduler: &dyn Scheduler, tasks: &[Task]) -> Result<(), SchedulerError> {
    for chunk in tasks.chunks(CHUNK) {
        scheduler.commit(Step { puts: chunk.to_vec(), ..Step::intake() }).await?;
    }
    Ok(())
}

/// Puts *add* for the sinks of a certificate that has lost a place. The next renewal checks whether it was the last
/// place, so a certificate that returns before that loses nothing.
pub(crate) async fn displace(scheduler: &dyn Scheduler, displaced: &Displaced) -> Result<(), SchedulerError> {
    let mut step = Step::intake();
    step.puts.extend(add_tasks(&displaced.subject, displaced.generation, &displaced.sinks));
    scheduler.commit(step).await
}
