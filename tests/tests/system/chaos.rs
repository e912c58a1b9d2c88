//! Reloads, restarts, and others who change certificates, one after the other, under load: within seconds of each event
//! every handshake has its staple, and the CA is asked once per certificate.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use stapled_ca::lab::Lab;
use stapled_tests::{
    Cert, Haproxy, PATIENCE, Stapled, World, handshake, wait_for, wait_until_within, with_each_haproxy,
};

const CERTIFICATES: usize = 25;
/// Within what every handshake has its staple again: much, on a machine that is busy with other tests. How long it took
/// at most is told.
const SECONDS: Duration = PATIENCE;

/// How long it goes on.
fn duration() -> Duration {
    let is_proof = stapled_tests::is_full_proof();
    Duration::from_secs(if is_proof { 240 } else { 20 })
}

#[test]
fn every_handshake_has_its_staple_soon_after_whatever_happens_behind_a_socket() {
    with_each_haproxy(|binary| chaos(binary, |world, haproxy| vec![world.certs().into(), haproxy.socket().into()]));
}

#[test]
fn every_handshake_has_its_staple_soon_after_whatever_happens_behind_a_master() {
    with_each_haproxy(|binary| chaos(binary, |_, haproxy| vec![haproxy.master_address().into()]));
}

/// What happens.
#[derive(Clone, Copy, Debug)]
enum Event {
    Reload,
    Restart,
    /// Somebody loads the same certificates once more.
    Again,
    /// Certificates are renewed: their files, then HAProxy is told.
    Renewal,
    /// Somebody begins a change, takes their time, and gives it up.
    Dawdling,
}

const EVENTS: [Event; 5] = [Event::Again, Event::Reload, Event::Renewal, Event::Restart, Event::Dawdling];

/// Numbers that are the same in each run.
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
    let lab = Lab::start([&world.ca]).unwrap();
    let mut certs: Vec<Cert> = (0..CERTIFICATES).map(|number| world.cert(&format!("c{number}"), &lab.url())).collect();
    let mut haproxy = Haproxy::of(binary, &world, "a").master_worker().start();
    let told = told(&world, &haproxy);
    // No files: whatever is stapled, stapled brought it.
    let stapled = match &told[..] {
        [paths, socket] => Stapled::of(&world).certs([paths]).sockets([socket]),
        sockets => Stapled::of(&world).sockets(sockets),
    };
    let stapled = stapled.args(["--no-staple-files"]).start();
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
            // Each once at least.
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
        // One that was replaced again at once was perhaps never seen.
        assert!(lab.requests_for(cert.issued.serial()) <= 1, "questions for one that {} had before", cert.host);
    }
    stapled.stop();
}

/// Returns the certificates that were replaced.
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
                // Stapled wants to bring the other one's staple meanwhile. This is what is tested, not a wait.
                std::thread::sleep(Duration::from_millis(500));
                let said = insist(haproxy, &format!("abort ssl cert {}", one.name()));
                assert!(said.contains("aborted"), "abort ssl cert: {said}");
            }
        }
    }
    replaced
}

/// As a hook does it that tries again when somebody else's change comes first.
fn load_until_served(haproxy: &Haproxy, cert: &Cert) {
    wait_until_within(SECONDS, "the certificate is loaded", || {
        let said = insist(haproxy, &format!("set ssl cert {} <<\n{}\n", cert.name(), pem(cert)));
        said.contains("Transaction created")
            && insist(haproxy, &format!("commit ssl cert {}", cert.name())).contains("Success!")
            && haproxy.handshake(cert).certificate == cert.issued.der()
    });
}

/// HAProxy does one thing about certificates at a time, and does nothing about others meanwhile.
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

/// Clients that never stop.
#[derive(Default)]
struct Load {
    is_over: AtomicBool,
    handshakes: AtomicUsize,
}

/// Ends the load when it goes out of scope, however it does.
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
            // During a restart nobody is there.
            if handshake(tls, host).is_ok() {
                self.handshakes.fetch_add(1, Ordering::Relaxed);
            }
            // Something is left of the machine for the others.
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}
