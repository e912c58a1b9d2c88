//! The whole stapler in simulated time under random faults, with one seed for each run: see `docs/simulation.md`.
//!
//! `SIMULATION_SEED=7` runs one seed and prints the last events. `SIMULATION_SEEDS=1000` runs that number of seeds.
//! `STAPLED_PROVE=full` runs 10,000.

// A test that cannot go on says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

mod crowd;
mod plan;
mod pool;
mod random;
mod responder;
mod server;
mod source;
mod tasks;
mod watch;
mod world;

use std::fmt::Write;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use world::{Outcome, simulate};

/// The number of failed seeds after which the run ends.
const MOST_TOLD: usize = 5;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable}: not a number")))
}

fn seeds() -> u64 {
    let prove = std::env::var("STAPLED_PROVE");
    number("SIMULATION_SEEDS").unwrap_or(match prove.as_deref() {
        Ok("full") => 10_000,
        Ok(_) => 200,
        // In an unoptimised build, a seed takes ten times as long.
        Err(_) if cfg!(debug_assertions) => 50,
        Err(_) => 100,
    })
}

/// The report of a failed seed: the violation, the command to repeat it, and the events before it.
fn report(seed: u64, violation: &str) -> String {
    let mut report = format!("seed {seed}: {violation}\n");
    for line in simulate(seed, true).trace {
        writeln!(report, "    {line}").unwrap();
    }
    writeln!(
        report,
        "again: SIMULATION_SEED={seed} cargo test -p stapled-core --test simulation faults -- --nocapture"
    )
    .unwrap();
    report
}

#[test]
fn no_sequence_of_faults_breaks_what_must_hold() {
    let (first, count) = match number("SIMULATION_SEED") {
        Some(seed) => (seed, 1),
        None => (number("SIMULATION_FIRST").unwrap_or(0), seeds()),
    };
    let began = Instant::now();
    let next = AtomicU64::new(first);
    let failed: Mutex<Vec<(u64, String)>> = Mutex::default();
    let totals: Mutex<(usize, usize)> = Mutex::default();
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= first + count || failed.lock().unwrap().len() >= MOST_TOLD {
                        return;
                    }
                    let Outcome { violation, figures, .. } = simulate(seed, false);
                    let mut totals = totals.lock().unwrap();
                    totals.0 += figures.questions;
                    totals.1 += figures.deliveries;
                    if let Some(violation) = violation {
                        failed.lock().unwrap().push((seed, violation));
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner().unwrap();
    let (questions, deliveries) = totals.into_inner().unwrap();
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{count} seeds in {seconds:.1} s, {:.1} a second: {questions} questions, {deliveries} deliveries",
        count as f64 / seconds
    );
    failed.sort();
    if let Some((seed, violation)) = failed.first() {
        for (seed, violation) in &failed {
            println!("seed {seed}: {violation}");
        }
        panic!("the simulation found a fault in {} seeds\n{}", failed.len(), report(*seed, violation));
    }
}

#[test]
fn a_seed_is_the_same_run_every_time() {
    for seed in 0..2 {
        let (once, again) = (simulate(seed, false), simulate(seed, true));
        assert_eq!(once.figures, again.figures);
        println!("digest of seed {seed}: {:x}", once.figures.digest);
        assert!(once.figures.events > 50 && once.figures.questions > 10, "{:?}", once.figures);
    }
}

/// The result does not depend on the machine's time zone, though some zones change their clocks in that night. Each run
/// has its own process and its own keys.
#[test]
fn no_time_zone_makes_a_difference() {
    let digests = |zone: &str| -> Vec<String> {
        let test = ["--exact", "a_seed_is_the_same_run_every_time", "--nocapture"];
        let output = Command::new(std::env::current_exe().unwrap()).args(test).env("TZ", zone).output().unwrap();
        assert!(output.status.success(), "{zone}: {}", String::from_utf8_lossy(&output.stdout));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().filter(|line| line.contains("digest of seed")).map(str::to_owned).collect()
    };
    let here = digests("UTC0");
    assert_eq!(here.len(), 2);
    // The first zone is in POSIX form, for machines without a database of zones.
    for zone in ["EST5EDT,M3.2.0,M11.1.0", "Asia/Kathmandu"] {
        assert_eq!(digests(zone), here, "{zone}");
    }
}
