//! Tests of a long run: memory, file descriptors and threads stay constant.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use stapled_ca::lab::{Fault, Lab};
use stapled_tests::{Cert, Haproxy, Stapled, World, wait_until_within, with_each_haproxy};

/// HAProxy staples a response until 300 s before its end; renewals come at half of the rest.
const VALIDITY: Duration = Duration::from_secs(300 + 24);

/// The size of the test: two thousand certificates for 20 minutes under `make prove`.
struct Much {
    certificates: usize,
    warm_up: Duration,
    time: Duration,
    sample: Duration,
}

fn much() -> Much {
    let is_full = stapled_tests::is_full_proof();
    let seconds = |seconds| Duration::from_secs(seconds);
    match is_full {
        true => Much { certificates: 2000, warm_up: seconds(120), time: seconds(1200), sample: seconds(10) },
        false => Much { certificates: 100, warm_up: seconds(10), time: seconds(20), sample: seconds(1) },
    }
}

/// The resources of a process.
#[derive(Clone, Copy, Debug)]
struct Usage {
    kib: u64,
    files: u64,
    threads: u64,
}

impl Usage {
    fn of(pid: u32) -> Usage {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
            line.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a number")
        };
        let files = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("its files").count() as u64;
        Usage { kib: number("VmRSS:"), files, threads: number("Threads:") }
    }
}

/// The quantile of each sorted figure at this fraction: 0 is the smallest sample, 1 the largest.
fn at(usages: &[Usage], part: f64) -> Usage {
    let pick = |of: fn(&Usage) -> u64| {
        let mut sorted: Vec<u64> = usages.iter().map(of).collect();
        sorted.sort_unstable();
        sorted[((sorted.len() - 1) as f64 * part) as usize]
    };
    Usage { kib: pick(|usage| usage.kib), files: pick(|usage| usage.files), threads: pick(|usage| usage.threads) }
}

/// Makes one question in ten fail, each time in another way.
fn trouble(lab: &Lab, certs: &[Cert], is_over: &AtomicBool) {
    let faults = [
        Fault::TryLater,
        Fault::Reset,
        Fault::HttpStatus { code: 503, retry_after: None },
        Fault::Garbage,
        Fault::BadSignature,
        Fault::Truncated,
        Fault::Close,
        Fault::Unauthorized,
        Fault::WrongCertificate,
        Fault::Expired,
    ];
    for round in 0.. {
        lab.clear_all();
        for (number, cert) in certs.iter().enumerate().filter(|(number, _)| (number + round) % 10 == 0) {
            lab.fault(cert.issued.serial(), faults[(number / 10 + round) % faults.len()].clone());
        }
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(5) {
            if is_over.load(Ordering::SeqCst) {
                return lab.clear_all();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn memory_files_and_threads_stay_flat() {
    with_each_haproxy(|binary| {
        let much = much();
        let world = World::new();
        let lab = Lab::builder().authority(&world.ca).validity(VALIDITY).start().unwrap();
        let certs: Vec<Cert> =
            (0..much.certificates).map(|number| world.cert(&format!("c{number}"), &lab.url())).collect();
        let haproxy = Haproxy::of(binary, &world, "a").start();
        let stapled = Stapled::of(&world)
            .certs([world.certs()])
            .sockets([haproxy.socket()])
            .args(["--minimum-interval", "1", "--refresh-interval", "5"])
            .start_with_verbosity(1);
        let all_stapled = || certs.iter().all(|cert| haproxy.staple(cert).is_some());
        wait_until_within(Duration::from_secs(120), "all are stapled", all_stapled);
        let is_over = AtomicBool::new(false);
        let mut asked = 0;
        let mut usages: Vec<(Duration, Usage)> = Vec::new();
        std::thread::scope(|scope| {
            let trouble = scope.spawn(|| trouble(&lab, &certs, &is_over));
            let start = Instant::now();
            lab.forget_requests();
            while start.elapsed() < much.warm_up + much.time {
                std::thread::sleep(much.sample);
                // A status request, as from an operator or a monitor.
                let finished = Stapled::asked(&world).args(["status", "--json"]).run();
                assert!(matches!(finished.code, 0 | 1), "{:?} {}", finished.code, finished.err);
                usages.push((start.elapsed(), Usage::of(stapled.id())));
                // The responder's memory must not affect the measured figures.
                asked += lab.requests().len();
                lab.forget_requests();
            }
            is_over.store(true, Ordering::SeqCst);
            trouble.join().unwrap();
        });
        let steady: Vec<Usage> = usages.iter().filter(|(at, _)| *at >= much.warm_up).map(|(_, usage)| *usage).collect();
        let third = steady.len() / 3;
        let parts = [&steady[..third], &steady[third..2 * third], &steady[2 * third..]];
        eprintln!("{binary}: {} certificates for {:?}, {asked} questions", much.certificates, much.time);
        for (part, usages) in ["first", "middle", "last"].iter().zip(parts) {
            let [low, median, peak] = [0.0, 0.5, 1.0].map(|part| at(usages, part));
            eprintln!(
                "  {part} third, least / median / most: {} / {} / {} KiB resident, {} / {} / {} files, {} / {} / {} threads",
                low.kib,
                median.kib,
                peak.kib,
                low.files,
                median.files,
                peak.files,
                low.threads,
                median.threads,
                peak.threads
            );
        }
        let [first, _, last] = parts.map(|usages| at(usages, 0.5));
        assert!(last.kib <= first.kib + first.kib / 10 + 4096, "memory grows: {first:?} {last:?}");
        // Open files and threads vary with the load of the machine, and so do their medians. What leaks is still there in the
        // quietest moment. Tokio gives files to its threads in turn, and ends a thread after ten idle seconds: while files are
        // read all the time, as many stay as the largest burst needed.
        let (most, least) = (at(parts[0], 1.0), at(parts[2], 0.0));
        assert!(least.files <= most.files, "files pile up: {most:?} at most, then {least:?} at least");
        assert!(least.threads <= most.threads + 16, "threads pile up: {most:?} at most, then {least:?} at least");
        // The number of questions, deliveries and files that may be open at once, and a reserve.
        assert!(at(&steady, 1.0).files < 200, "{:?}", at(&steady, 1.0));
        // The reload repeats failed questions at once.
        stapled.signal("HUP");
        wait_until_within(Duration::from_secs(120), "all are stapled in the end", all_stapled);
        stapled.stop();
    });
}
