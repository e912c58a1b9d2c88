//! The faults of a seed and their times, and the recovery at the end.

use std::time::Duration;

use stapled_core::sink::Lost;

use crate::pool::{AUTHORITIES, RESPONDERS};
use crate::random::Random;
use crate::responder::{self, IssuerMood};
use crate::server;
use crate::source::{self, Contents, Directory};
use crate::watch::RIGHTED;
use crate::world::World;

const HOUR: Duration = Duration::from_secs(3600);
const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// The certificates and servers without faults in this seed: the faults of others must not affect them.
pub(crate) struct Calm {
    responders: Vec<bool>,
    servers: Vec<bool>,
    directories: Vec<bool>,
    issuers: bool,
    clock: bool,
    revocations: bool,
}

impl Calm {
    pub(crate) fn new(plan: &Random) -> Self {
        let some = |count: usize| (0..count).map(|_| plan.once_in(3)).collect();
        Calm {
            responders: some(RESPONDERS),
            servers: some(3),
            directories: some(2),
            issuers: plan.once_in(2),
            clock: plan.once_in(2),
            revocations: plan.once_in(2),
        }
    }
}

/// Adds some files before the stapler starts.
pub(crate) fn begin(world: &World, plan: &Random) {
    let limit = plan.pick(&[2, 6, 16]);
    for directory in &world.directories {
        for number in 0..1 + plan.below(limit) {
            let certificate = plan.below(world.pool.certificates.len());
            put(world, directory, number, Contents::Certificate(certificate));
        }
    }
}

fn put(world: &World, directory: &Directory, number: usize, contents: Contents) {
    let name = directory.file_name(number);
    world.note(|| format!("{name} becomes {contents:?}"));
    directory.write(&name, contents, world.elapsed());
}

/// Makes one change.
pub(crate) async fn act(world: &World, plan: &Random, calm: &Calm) {
    match plan.below(20) {
        0..6 => {
            let number = plan.below(RESPONDERS);
            if !calm.responders[number] {
                let mood = if plan.once_in(3) { responder::Mood::Good } else { plan.pick(responder::MOODS) };
                set_responder(world, number, mood);
            }
        }
        6..10 => {
            let number = plan.below(3);
            if !calm.servers[number] {
                change_server(world, plan, number);
            }
        }
        10 => {
            let number = plan.below(2);
            if !calm.directories[number] {
                let mood = if plan.once_in(2) { source::Mood::Fine } else { plan.pick(source::MOODS) };
                set_directory(world, number, mood);
            }
        }
        11..15 => change_file(world, plan),
        15 if !calm.clock => jump(world, plan).await,
        16 if !calm.clock => {
            let asleep = plan.pick(&[60, 3600, 7200, 30_000, 400_000]);
            world.note(|| format!("asleep for {asleep} s"));
            world.sleep(Duration::from_secs(asleep));
        }
        17 if !calm.revocations => {
            let certificate = plan.below(world.pool.certificates.len());
            let revoked = !world.responders.is_revoked(certificate);
            world.note(|| format!("c{certificate} is revoked: {revoked}"));
            let changed = (revoked, stapled_core::time::Timestamp::from_unix(world.truth().unix()));
            world.responders.revoked.lock().unwrap().insert(certificate, changed);
        }
        18 if !calm.issuers => {
            let mood = if plan.once_in(2) { IssuerMood::Good } else { plan.pick(responder::ISSUER_MOODS) };
            set_issuer(world, plan.below(AUTHORITIES), mood);
        }
        _ => {}
    }
}

fn set_responder(world: &World, number: usize, mood: responder::Mood) {
    world.note(|| format!("r{number} is {mood:?}"));
    let before = std::mem::replace(&mut *world.responders.all[number].mood.lock().unwrap(), mood);
    if before.is_odd() {
        world.last_odd.lock().unwrap()[number] = Some(world.elapsed());
    }
    world.last_responder_fault.lock().unwrap()[number] = Some(world.elapsed());
}

fn set_issuer(world: &World, number: usize, mood: IssuerMood) {
    world.note(|| format!("ca{number} is {mood:?}"));
    world.responders.issuer_moods.lock().unwrap()[number] = mood;
    world.last_issuer_fault.lock().unwrap()[number] = Some(world.elapsed());
}

fn set_directory(world: &World, number: usize, mood: source::Mood) {
    world.note(|| format!("d{number} is {mood:?}"));
    *world.directories[number].mood.lock().unwrap() = mood;
    *world.directories[number].last_fault.lock().unwrap() = Some(world.elapsed());
}

fn set_server(world: &World, number: usize, mood: server::Mood) {
    world.note(|| format!("s{number} is {mood:?}"));
    *world.servers[number].mood.lock().unwrap() = mood;
    *world.servers[number].last_fault.lock().unwrap() = Some(world.elapsed());
}

fn change_server(world: &World, plan: &Random, number: usize) {
    let server = &world.servers[number];
    let now = world.elapsed();
    match plan.below(14) {
        0..4 => set_server(world, number, plan.pick(server::MOODS)),
        4..6 => set_server(world, number, server::Mood::Well),
        6 => {
            world.note(|| format!("s{number} loses everything"));
            server.lose_everything(now);
        }
        7 => {
            world.note(|| format!("s{number} loses some"));
            server.lose_some(now);
        }
        8 => {
            // A restart: the server is back at once, without any staples.
            set_server(world, number, server::Mood::Well);
            server.lose_everything(now);
        }
        9 => {
            set_server(world, number, server::Mood::Well);
            server.tell_lost(Lost::Retry);
        }
        10 => {
            let memory = plan.pick(server::MEMORIES);
            world.note(|| format!("s{number} remembers {memory:?}"));
            *server.memory.lock().unwrap() = memory;
            *server.last_fault.lock().unwrap() = Some(now);
        }
        11..13 => {
            set_server(world, number, server::Mood::Well);
            *server.loses_in_the_midst.lock().unwrap() = true;
        }
        _ => {
            let mut panics = server.losing_panics.lock().unwrap();
            *panics = !*panics;
            *server.last_fault.lock().unwrap() = Some(now);
        }
    }
}

fn change_file(world: &World, plan: &Random) {
    let directory = &world.directories[plan.below(2)];
    let number = plan.below(16);
    let name = directory.file_name(number);
    let any = || plan.below(world.pool.certificates.len());
    let there = match directory.contents(&name) {
        Some(Contents::Certificate(certificate)) => Some(certificate),
        _ => None,
    };
    match (plan.below(10), there) {
        (0..2, _) => put(world, directory, number, Contents::Certificate(any())),
        // The renewal of the certificate, or the certificate before it.
        (2..4, Some(certificate)) => put(world, directory, number, Contents::Certificate(certificate ^ 1)),
        (4, Some(certificate)) => put(world, directory, number, Contents::Half(certificate)),
        // The same contents with a new modification time.
        (5, Some(certificate)) => {
            world.note(|| format!("{name} is touched"));
            directory.write(&name, Contents::Certificate(certificate), world.elapsed());
        }
        // A copy in the other directory, or a move to another name.
        (6, Some(certificate)) => {
            let other = &world.directories[1 - directory.number];
            put(world, other, plan.below(16), Contents::Certificate(certificate));
        }
        (7, Some(certificate)) => {
            directory.remove(&name, world.elapsed());
            put(world, directory, plan.below(16), Contents::Certificate(certificate));
        }
        (8, Some(_)) => {
            world.note(|| format!("{name} is removed"));
            directory.remove(&name, world.elapsed());
        }
        (9, _) => {
            let contents = plan.pick(&[Contents::Garbage, Contents::Empty, Contents::OnlyCa(0), Contents::OnlyCa(1)]);
            put(world, directory, number, contents);
        }
        _ => {}
    }
}

async fn jump(world: &World, plan: &Random) {
    let spans = [Duration::from_secs(1), Duration::from_secs(59), HOUR, 5 * HOUR, 30 * HOUR, YEAR, 3 * YEAR, 10 * YEAR];
    let span = plan.pick(&spans);
    let to = match plan.below(4) {
        0 => world.truth(),
        1 => world.machine_now() - span,
        _ => world.machine_now() + span,
    };
    let in_service = world.watch.in_service(world);
    world.note(|| format!("the clock is set to {to}"));
    world.set_clock(to);
    // The clock is corrected, perhaps before all parts have noticed.
    let until = match plan.below(4) {
        0 | 1 => plan.seconds(1, 45),
        2 => plan.seconds(46, 900),
        _ => return,
    };
    tokio::time::sleep(until).await;
    world.note(|| "the clock is put right".to_owned());
    world.set_clock(world.truth());
    tokio::time::sleep(RIGHTED + Duration::from_secs(1)).await;
    world.watch.check_righted(world, &in_service);
}

/// Ends all faults. A permanent fault, such as a file without a certificate, stays.
pub(crate) fn heal(world: &World) {
    for number in 0..RESPONDERS {
        set_responder(world, number, responder::Mood::Good);
    }
    for number in 0..AUTHORITIES {
        set_issuer(world, number, IssuerMood::Good);
    }
    for number in 0..2 {
        set_directory(world, number, source::Mood::Fine);
    }
    for server in &world.servers {
        set_server(world, server.number, server::Mood::Well);
        *server.memory.lock().unwrap() = server::Memory::Nothing;
        *server.losing_panics.lock().unwrap() = false;
    }
    if !world.clock_is_right() {
        world.set_clock(world.truth());
    }
}
