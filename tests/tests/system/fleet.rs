//! Tests of several `stapled` that have the same certificates and share the answers of the responder through Redis.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use stapled_ca::Serial;
use stapled_ca::lab::Lab;
use stapled_tests::{Cert, PATIENCE, Redis, Stapled, World, wait_until_within};

/// How large the fleet is, and how long its interval.
struct Size {
    processes: usize,
    certificates: usize,
    interval: Duration,
}

impl Size {
    fn of_this_run() -> Self {
        match std::env::var("STAPLED_PROVE").as_deref() {
            Ok("full") => Size { processes: 10, certificates: 1000, interval: Duration::from_secs(60) },
            _ => Size { processes: 4, certificates: 40, interval: Duration::from_secs(8) },
        }
    }
}

struct Fleet {
    size: Size,
    world: World,
    lab: Lab,
    redis: Redis,
    certs: Vec<Cert>,
    processes: Vec<Stapled>,
    began: u64,
}

impl Fleet {
    fn start() -> Self {
        let (size, world, redis) = (Size::of_this_run(), World::new(), Redis::start());
        let lab = Lab::start([&world.ca]).unwrap();
        let certs: Vec<Cert> = (0..size.certificates)
            .map(|number| world.issue(&world.path(&format!("{number}.pem")), |profile| profile.ocsp_url(lab.url())))
            .collect();
        let mut fleet = Fleet { size, world, lab, redis, certs, processes: Vec::new(), began: now_ms() };
        for number in 0..fleet.size.processes {
            for cert in &fleet.certs {
                let folder = fleet.folder(number);
                std::fs::create_dir_all(&folder).unwrap();
                cert.issued.write_bundle(&folder.join(cert.path.file_name().unwrap())).unwrap();
            }
            let process = fleet.process(number);
            fleet.processes.push(process);
        }
        fleet.wait("every process has every staple", 10 * PATIENCE, Fleet::has_every_staple);
        fleet
    }

    fn folder(&self, process: usize) -> PathBuf {
        self.world.path(&format!("certs-of-{process}"))
    }

    fn process(&self, number: usize) -> Stapled {
        let interval = self.size.interval.as_secs().to_string();
        let command = Stapled::of(&self.world).certs([self.folder(number)]);
        let command = command.args(["--maximum-interval", &interval, "--minimum-interval", "1"]);
        command.args(["--shared-cache", &self.redis.address()]).start_with_verbosity(3)
    }

    fn wait(&self, what: &str, patience: Duration, mut is_so: impl FnMut(&Self) -> bool) {
        wait_until_within(patience, what, || is_so(self));
    }

    fn has_every_staple(&self) -> bool {
        (0..self.size.processes).all(|process| {
            let files = World::listing(&self.folder(process));
            files.iter().filter(|name| name.ends_with(".ocsp")).count() == self.certs.len()
        })
    }

    /// The times of the questions about each certificate, in milliseconds.
    fn questions(&self) -> BTreeMap<Serial, Vec<u64>> {
        let mut questions = BTreeMap::<Serial, Vec<u64>>::new();
        for request in self.lab.requests() {
            questions.entry(request.serial.unwrap()).or_default().push(request.at_ms);
        }
        questions.values_mut().for_each(|times| times.sort_unstable());
        questions
    }

    /// Checks that each certificate got at most this many questions between these times that were not due. Its first renewal
    /// is due at any time.
    fn check_early(&self, from: u64, to: u64, most: usize) {
        let least = self.size.interval.as_millis() as u64 * 8 / 10;
        let is_early = |pair: &&[u64]| (from..to).contains(&pair[1]) && pair[1] - pair[0] < least;
        for (serial, times) in self.questions() {
            let early = times.windows(2).skip(1).filter(is_early).count();
            let told = || self.processes.iter().map(|process| process.lines(&["event=shared_cache_failed"]));
            assert!(early <= most, "{serial}: {times:?}; {:?}", told().collect::<Vec<_>>());
        }
    }

    /// Waits until every certificate was asked about this often after a time.
    fn wait_for_questions(&self, since: u64, times: usize) {
        let patience = self.size.interval * (2 + times as u32) + 4 * PATIENCE;
        self.wait(&format!("every certificate is asked about {times} times"), patience, |fleet| {
            let questions = fleet.questions();
            let asked = |times: &Vec<u64>| times.iter().filter(|at| **at >= since).count();
            questions.len() == fleet.certs.len() && questions.values().all(|of_one| asked(of_one) >= times)
        });
    }

    /// Checks that nothing was late, and that no process lost a staple.
    fn check(&self) {
        let most = self.size.interval.as_millis() as u64 + PATIENCE.as_millis() as u64;
        for (serial, times) in self.questions() {
            let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
            assert!(longest <= most, "{serial}: {longest} ms");
        }
        assert!(self.has_every_staple());
        for process in &self.processes {
            assert_eq!(process.lines(&["event=withdrawn"]), [""; 0]);
            assert_eq!(process.lines(&["event=renewal_failed"]), [""; 0]);
        }
    }
}

fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_millis() as u64
}

#[test]
fn a_fleet_asks_about_each_certificate_once_in_an_interval() {
    let fleet = Fleet::start();
    fleet.wait_for_questions(fleet.began, 5);
    fleet.check_early(fleet.began, now_ms(), 0);
    fleet.check();
    let asked = fleet.lab.requests().len();
    println!(
        "{} processes with {} certificates: {asked} questions in {:?}",
        fleet.size.processes,
        fleet.certs.len(),
        { Duration::from_millis(now_ms() - fleet.began) }
    );
}

#[test]
fn a_fleet_survives_the_death_of_processes_and_of_redis() {
    let mut fleet = Fleet::start();
    fleet.wait_for_questions(fleet.began, 3);
    let before = now_ms();
    let killed = fleet.size.processes / 2;
    for number in 0..killed {
        // At any time: while it asks, waits or rests.
        let after = fleet.lab.requests().len();
        fleet.wait("another question", PATIENCE + fleet.size.interval, |fleet| fleet.lab.requests().len() > after);
        fleet.processes.remove(number).kill();
        let process = fleet.process(number);
        fleet.processes.insert(number, process);
    }
    fleet.wait_for_questions(now_ms(), 1);
    fleet.check_early(before, now_ms(), killed);

    let outage = (now_ms(), Instant::now());
    fleet.redis.kill();
    // Each process asks itself.
    fleet.wait_for_questions(outage.0, fleet.size.processes);
    println!("without Redis for {:?}", outage.1.elapsed());
    for process in &fleet.processes {
        process.wait_for_line(&["event=shared_cache_failed"]);
    }
    fleet.redis.restart();
    for process in &fleet.processes {
        process.wait_for_line_within(PATIENCE + 2 * fleet.size.interval, &["event=shared_cache_works"]);
    }
    // An interval later, all go by the same answers again.
    fleet.wait_for_questions(now_ms(), 2);
    let again = now_ms();
    fleet.wait_for_questions(again, 2);
    fleet.check_early(again, now_ms(), 0);
    fleet.check();
}
