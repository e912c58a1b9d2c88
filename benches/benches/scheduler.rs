//! Measures the scheduler in memory: the time of an insert, a renewal (a task is taken, finished, and put again for later, in one step),
//! a cancellation and a take, each in processor time, and the memory of each task. Each number of tasks has a process of its own.
//!
//! The last line fits the growth of each cost from the smallest to the largest number: 0.00 is none.
//!
//!     cargo bench -p stapled-benches --bench scheduler -- [TASKS…]

// A bench that cannot go on says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use stapled_benches::arguments;
use stapled_benches::usage::{process_cpu, resident};
use stapled_core::clock::{Clock, SystemClock};
use stapled_core::io::memory::MemoryScheduler;
use stapled_core::scheduler::{Scheduler, Step, Which};
use stapled_core::task::{Due, Queue, Subject, Task};

const LEASE: Duration = Duration::from_secs(300);
/// How many tasks a lane takes at once.
const AT_ONCE: usize = 32;
/// How many tasks are cancelled, of all.
const CANCELLED: usize = 10;
const FIGURES: [&str; 5] = ["insert µs", "renewal µs", "cancel µs", "take µs", "bytes each"];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [word, count] = &arguments[..]
        && word == "measure"
    {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let figures = runtime.block_on(measure(count.parse().unwrap()));
        return figures.iter().for_each(|figure| println!("{figure}"));
    }
    let (mut counts, is_test) = arguments::numbers();
    if counts.is_empty() {
        counts = if is_test { vec![1_000, 10_000] } else { vec![1_000, 10_000, 100_000, 1_000_000] };
    }
    print!("{:>10}", "tasks");
    FIGURES.iter().for_each(|figure| print!(" {figure:>11}"));
    println!();
    let measured: Vec<[f64; 5]> = counts.iter().map(|count| figures_of(*count)).collect();
    for (count, figures) in counts.iter().zip(&measured) {
        print!("{count:>10}");
        figures.iter().for_each(|figure| print!(" {figure:>11.2}"));
        println!();
    }
    let (few, many) = (counts[0] as f64, counts[counts.len() - 1] as f64);
    print!("{:>10}", "growth");
    for (least, most) in measured[0].iter().zip(&measured[measured.len() - 1]) {
        let growth = (most / least).ln() / (many / few).ln();
        print!(" {:>11}", if growth.is_finite() { format!("{growth:.2}") } else { "-".to_owned() });
    }
    println!();
}

/// The figures of a process of its own, so that no memory of another one counts.
fn figures_of(count: usize) -> [f64; 5] {
    let output = Command::new(std::env::current_exe().unwrap()).args(["measure", &count.to_string()]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let figures: Vec<f64> = text.lines().map(|line| line.parse().unwrap()).collect();
    figures.try_into().unwrap()
}

async fn measure(count: usize) -> [f64; 5] {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let scheduler = MemoryScheduler::new(Arc::clone(&clock));
    let queue = Queue::new("renew/ocsp.bench.test:80");
    // The names belong to the certificates: the scheduler shares them.
    let subjects: Vec<Subject> = (0..count).map(|number| Subject::new(format!("{number:064x}"))).collect();
    let later = |number: usize| {
        // In no order, as renewals are.
        let seconds = 3_600 + (number.wrapping_mul(2_654_435_761) % 3_600) as u64;
        Due::At(clock.now() + Duration::from_secs(seconds))
    };

    let memory = resident();
    let insert = each(count, async {
        for (number, subject) in subjects.iter().enumerate() {
            let task = Task::new(queue.clone(), subject.clone()).due(later(number));
            scheduler.commit(Step::intake().put(task)).await.unwrap();
        }
    })
    .await;
    let memory = resident().saturating_sub(memory) as f64 / count as f64;

    // All become due, and each is put again for later.
    scheduler.hasten(Which::Queue(&queue)).await.unwrap();
    let renewal = each(count, async {
        let mut done = 0;
        while done < count {
            for lease in scheduler.take(std::slice::from_ref(&queue), AT_ONCE, LEASE).await.unwrap() {
                let again = Task::new(queue.clone(), lease.task().subject.clone()).due(later(done));
                scheduler.commit(Step::finish(&lease).put(again)).await.unwrap();
                done += 1;
            }
        }
    })
    .await;

    let cancelled: Vec<&Subject> = subjects.iter().step_by(count / (count / CANCELLED)).collect();
    let cancel = each(cancelled.len(), async {
        for subject in &cancelled {
            assert_eq!(scheduler.cancel(Which::Task(&queue, subject)).await.unwrap(), 1);
        }
    })
    .await;

    scheduler.hasten(Which::Queue(&queue)).await.unwrap();
    let left = count - cancelled.len();
    let take = each(left, async {
        let mut taken = 0;
        while taken < left {
            for lease in scheduler.take(std::slice::from_ref(&queue), AT_ONCE, LEASE).await.unwrap() {
                scheduler.commit(Step::finish(&lease)).await.unwrap();
                taken += 1;
            }
        }
    })
    .await;
    [insert, renewal, cancel, take, memory]
}

/// The processor time of one of these operations, in µs.
async fn each(count: usize, work: impl Future<Output = ()>) -> f64 {
    let before = process_cpu();
    work.await;
    (process_cpu() - before).as_secs_f64() * 1e6 / count as f64
}
