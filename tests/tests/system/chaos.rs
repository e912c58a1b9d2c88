//! Tests of reloads, restarts and certificate changes by other programs, one after the other, under load. Within
//! seconds of each event, every handshake has its staple, and the CA is asked once for each certificate.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use stapled_ca::lab::Lab;
use stapled_tests::{
    Cert, Haproxy, PATIENCE, Stapled, World, handshake, wait_for, wait_until_within, with_each_haproxy,
};

const CERTIFICATES: usize = 25;
/// The time within which every handshake has its staple again: long, for a machine that is busy with other tests. The
/// test prints the longest time that it took.
const SECONDS: Duration = PATIENCE;

/// The duration of the test.
fn duration() -> Duration {
    let is_proof = stapled_tests::is_full_proof();
    Duration::from_secs(if is_proof { 240 } else { 20 })
}

#[test]
fn every_handshake_has_its_staple_soon_after_any_event_behind_a_socket() {
    with_each_haproxy(|binary| chaos(binary, |world, haproxy| vec![world.certs().into(), haproxy.socket().into()]));
}

#[test]
fn every_handshake_has_its_staple_soon_after_any_event_behind_a_master() {
    with_each_haproxy(|binary| chaos(binary, |_, haproxy| vec![haproxy.master_address().into()]));
}

/// A kind of event.
#[derive(Clone, Copy, Debug)]
enum Event {
    Reload,
    Restart,
    /// Another program loads the same certificates again.
    Again,
    /// Certificates are renewed: first their files, then HAProxy.
    Renewal,
    /// Another program begins a change, waits, and aborts it.
    Dawdling,
}

const EVENTS: [Event; 5] = [Event::Again, Event::Reload, Event::Renewal, Event::Restart, Event::Dawdling];

/// Random numbers that are the same in each run.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: usize) -> usize {
        // Marsaglia's xorshift.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % sides
    }
}

fn chaos(binary: &str, told: impl Fn(&World, &Haproxy) -> Vec<std::ffi::OsString>) {
    let world = World::new();
    let lab = Lab::builder().authority(&world.ca).validity(Duration::from_secs(864_000)).start().unwrap();
    let mut certs: Vec<Cert> = (0..CERTIFICATES).map(|number| world.cert(&format!("c{number}"), &lab.url())).collect();
    let mut haproxy = Haproxy::of(binary, &world, "a").master_worker().start();
    let told = told(&world, &haproxy);
    // Without files, every staple comes from `stapled`.
    let stapled = match &told[..] {
        [paths, socket] => Stapled::of(&world).certs([paths]).sockets([socket]),
        sockets => Stapled::of(&world).sockets(sockets),
    };
    // No certificate is due for a second question within the test.
    let stapled = stapled.args(["--no-staple-files", "--maximum-interval", "8640000"]).start();
    let load = Load::default();
    let mut replaced = Vec::new();
    let hosts: Vec<String> = certs.iter().map(|cert| cert.host.clone()).collect();
    std::thread::scope(|scope| {
        let _end = load.ends();
        for _ in 0..2 {
            scope.spawn(|| load.run(&haproxy_tls(&world), &hosts));
        }
        all_are_stapled(&haproxy, &certs, "at the start");
        let begun = Instant::now();
        let mut dice = Dice(0x5eed);
        let mut events = 0;
        let mut longest = Duration::ZERO;
        while begun.elapsed() < duration() || events < EVENTS.len() {
            // Each event happens at least once.
            let event = EVENTS[if events < EVENTS.len() { events } else { dice.throw(EVENTS.len()) }];
            let before = haproxy.pid();
            replaced.extend(happens(event, &mut haproxy, &world, &lab, &mut certs, &mut dice));
            events += 1;
            let happened = Instant::now();
            all_are_stapled(&haproxy, &certs, &format!("{event:?}, event {events}"));
            longest = longest.max(happened.elapsed());
            if !matches!(event, Event::Reload | Event::Restart) {
                assert_eq!(haproxy.pid(), before, "HAProxy is another process after {event:?}, event {events}");
            }
        }
        let handshakes = load.handshakes.load(Ordering::Relaxed);
        println!(
            "{binary}: {events} events, all stapled within {longest:.1?} of each; {handshakes} handshakes as load"
        );
    });
    for cert in &certs {
        assert_eq!(lab.requests_for(cert.issued.serial()), 1, "questions for {}", cert.host);
    }
    for cert in &replaced {
        // A certificate that was replaced again at once may never have been seen.
        assert!(lab.requests_for(cert.issued.serial()) <= 1, "questions for one that {} had before", cert.host);
    }
    stapled.stop();
}

/// Executes an event. Returns the replaced certificates.
fn happens(
    event: Event,
    haproxy: &mut Haproxy,
    world: &World,
    lab: &Lab,
    certs: &mut [Cert],
    dice: &mut Dice,
) -> Vec<Cert> {
    let mut replaced = Vec::new();
    match event {
        Event::Reload => haproxy.reload(),
        Event::Restart => haproxy.restart(),
        Event::Again => {
            for _ in 0..=dice.throw(8) {
                load_until_served(haproxy, &certs[dice.throw(certs.len())]);
            }
        }
        Event::Renewal => {
            for _ in 0..=dice.throw(3) {
                let number = dice.throw(certs.len());
                let new = world.renewal_of(&certs[number], &lab.url());
                new.write();
                replaced.push(std::mem::replace(&mut certs[number], new));
                load_until_served(haproxy, &certs[number]);
            }
        }
        Event::Dawdling => {
            let (one, other) = (&certs[dice.throw(certs.len())], &certs[dice.throw(certs.len())]);
            load_until_served(haproxy, other);
            let pem = pem(one);
            let said = insist(haproxy, &format!("set ssl cert {} <<\n{pem}\n", one.name()));
            if said.contains("Transaction created") {
                // `stapled` tries to deliver the staple of another certificate meanwhile. The test is about this state;
                // the sleep is not a synchronisation.
                std::thread::sleep(Duration::from_millis(500));
                let said = insist(haproxy, &format!("abort ssl cert {}", one.name()));
                assert!(said.contains("aborted"), "abort ssl cert: {said}");
            }
        }
    }
    replaced
}

/// Loads a certificate as a hook does that tries again after a conflicting change.
fn load_until_served(haproxy: &Haproxy, cert: &Cert) {
    wait_until_within(SECONDS, "the certificate is loaded", || {
        let said = insist(haproxy, &format!("set ssl cert {} <<\n{}\n", cert.name(), pem(cert)));
        said.contains("Transaction created")
            && insist(haproxy, &format!("commit ssl cert {}", cert.name())).contains("Success!")
            && haproxy.handshake(cert).certificate == cert.issued.der()
    });
}

/// Repeats a command until HAProxy accepts it: HAProxy handles one certificate change at a time, and refuses others
/// meanwhile.
fn insist(haproxy: &Haproxy, command: &str) -> String {
    wait_for("HAProxy is not at something else", || {
        let said = haproxy.ask(command);
        (!said.contains("currently locked")).then_some(said)
    })
}

fn pem(cert: &Cert) -> String {
    cert.issued.bundle_pem().lines().filter(|line| !line.is_empty()).map(|line| format!("{line}\n")).collect()
}

fn all_are_stapled(haproxy: &Haproxy, certs: &[Cert], when: &str) {
    wait_until_within(SECONDS, &format!("all are stapled: {when}"), || {
        certs.iter().all(|cert| {
            let seen = haproxy.handshake(cert);
            assert!(seen.certificate == cert.issued.der(), "another certificate for {}: {when}", cert.host);
            seen.staple.is_some()
        })
    });
}

fn haproxy_tls(world: &World) -> PathBuf {
    world.path("haproxy-a.tls")
}

/// Clients that connect without a pause.
#[derive(Default)]
struct Load {
    is_over: AtomicBool,
    handshakes: AtomicUsize,
}

/// Ends the load when it goes out of scope.
struct End<'a>(&'a Load);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}

impl Load {
    fn ends(&self) -> End<'_> {
        End(self)
    }

    fn run(&self, tls: &Path, hosts: &[String]) {
        for host in hosts.iter().cycle() {
            if self.is_over.load(Ordering::Relaxed) {
                return;
            }
            // During a restart, no process listens.
            if handshake(tls, host).is_ok() {
                self.handshakes.fetch_add(1, Ordering::Relaxed);
            }
            // A pause leaves processor time for the other processes.
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}
