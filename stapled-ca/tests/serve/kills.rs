//! The server, single daemons and Redis, killed at random instants while clients get certificates.

use std::collections::BTreeSet;
use std::process::{Child, Stdio};
use std::time::Duration;

use rand::Rng as _;
use stapled_tests::{how_many, until};

use crate::world::{World, eventually, on_each_store};

const STATES: [&str; 4] = ["makechallenge", "testchallenge", "issue", "done"];

on_each_store! {
    every_session_ends_in_one_certificate_however_often_processes_are_killed
}

fn every_session_ends_in_one_certificate_however_often_processes_are_killed(mut world: World) {
    let (clients, at_once) = (u32::try_from(how_many(300, 12)).unwrap(), how_many(24, 6));
    let mut random = rand::rng();
    let (mut waiting, mut running, mut kills) = ((0..clients).rev().collect::<Vec<u32>>(), Vec::new(), 0);
    let mut sessions = BTreeSet::new();
    // On Redis, each daemon has a process of its own as well.
    let start = |world: &World| world.redis.iter().flat_map(|_| STATES.map(|state| world.work(state))).collect();
    let mut workers: Vec<Child> = start(&world);
    while !waiting.is_empty() || !running.is_empty() {
        while running.len() < at_once
            && let Some(number) = waiting.pop()
        {
            let mut client = world.client(&number.to_string());
            running.push((number, client.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()));
        }
        // The kill comes at a random instant, or when no client is left to disturb.
        let instant = Duration::from_millis(random.random_range(50..800));
        until(instant, || running.iter_mut().all(|(_, client)| client.try_wait().unwrap().is_some()));
        for (worker, state) in workers.iter_mut().zip(STATES) {
            // A daemon also ends by itself, when Redis is away as it starts.
            if random.random_bool(0.3) || worker.try_wait().unwrap().is_some() {
                end(worker);
                *worker = world.work(state);
            }
        }
        // While clients are left, one more is killed: the server, Redis, or both.
        match (&mut world.redis, random.random_range(0..3)) {
            (Some(redis), 0) => {
                redis.kill();
                redis.restart();
            }
            (Some(redis), 1) => {
                redis.kill();
                world.kill_server();
                world.redis.as_mut().unwrap().restart();
                world.serve();
            }
            _ => {
                world.kill_server();
                world.serve();
            }
        }
        kills += 1;
        let mut ended = Vec::new();
        for (number, mut client) in std::mem::take(&mut running) {
            let list = if client.try_wait().unwrap().is_some() { &mut ended } else { &mut running };
            list.push((number, client));
        }
        for (number, client) in ended {
            let output = client.wait_with_output().unwrap();
            let error = String::from_utf8_lossy(&output.stderr);
            let out = String::from_utf8_lossy(&output.stdout);
            match out.split_once(' ') {
                Some((session, _)) => {
                    assert!(output.status.success(), "{number}: {out}{error}");
                    assert!(sessions.insert(session.to_owned()), "{session}");
                }
                // The server was not there when the request was submitted: the client submits it again.
                None => waiting.push(number),
            }
        }
    }
    workers.iter_mut().for_each(end);
    let serials: BTreeSet<String> = (0..clients).map(|number| world.serial(&format!("{number}.crt"))).collect();
    assert_eq!(serials.len(), clients as usize);
    // A session whose name never reached its client, because the server was killed before it answered, waits for it in vain.
    eventually("no session of a client is active", || {
        let listed: serde_json::Value =
            serde_json::from_str(&world.operate(&["sessions", "list", "--json"]).out).unwrap();
        let active = listed["sessions"].as_array().unwrap();
        active.iter().all(|session| !sessions.contains(session["session"].as_str().unwrap()))
    });
    let listed = world.run(&["ledger", "list", "--dir", "ca", "--json"]);
    let entered: Vec<serde_json::Value> = listed.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_sessions: Vec<&str> = entered.iter().filter_map(|entry| entry["session"].as_str()).collect();
    let distinct: BTreeSet<&str> = of_sessions.iter().copied().collect();
    assert_eq!(of_sessions.len(), distinct.len(), "a session has two certificates");
    assert!(sessions.iter().all(|session| distinct.contains(session.as_str())));
    let all: BTreeSet<&str> = entered.iter().filter_map(|entry| entry["serial"].as_str()).collect();
    assert_eq!(all.len(), entered.len(), "a serial number was used twice");
    println!("{clients} sessions, {kills} kills");
}

/// `kill -9`
fn end(worker: &mut Child) {
    // It may have ended already.
    let _ = worker.kill();
    worker.wait().unwrap();
}
