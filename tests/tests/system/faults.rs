//! Tests of faults of disks, directories and limits: the message is clear, the cost is bounded, and HAProxy still gets
//! its staples.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use stapled_ca::lab::{Fault, Lab};
use stapled_core::certificate::Certificate;
use stapled_core::chain::CertChain;
use stapled_core::clock::{Clock, SystemClock};
use stapled_core::ocsp::OcspResponse;
use stapled_core::staple::Judge;
use stapled_tests::{
    Cert, Haproxy, LONG, PATIENCE, Private, Stapled, World, free_port, skip, wait_for, wait_for_within, wait_until,
    wait_until_within, with_each_haproxy,
};

/// The validity of a response that is of use for 30 s: HAProxy staples it until 300 s before its end.
const USABLE: Duration = Duration::from_secs(300 + 30);

/// Checks that every file that ends in `.ocsp` is a complete response, and that no other file is left. A temporary file
/// exists only for a moment.
fn assert_whole(directory: &Path) {
    let is_left = |name: &String| !name.ends_with(".pem") && !name.ends_with(".ocsp");
    wait_until_within(LONG, "nothing is left behind", || !World::listing(directory).iter().any(is_left));
    for name in World::listing(directory).into_iter().filter(|name| name.ends_with(".ocsp")) {
        let bytes = std::fs::read(directory.join(&name)).unwrap();
        assert!(matches!(OcspResponse::from_der(&bytes), Ok(OcspResponse::Basic(_))), "{name} is not whole");
    }
}

fn short_lab(world: &World) -> Lab {
    Lab::builder().authority(&world.ca).validity(USABLE).start().unwrap()
}

/// Waits until a staple other than `held` is served. It came from memory, since no file can be written.
fn wait_for_another(haproxy: &Haproxy, cert: &Cert, held: &[u8]) -> Vec<u8> {
    wait_for_within(LONG, &format!("another staple for {}", cert.host), || {
        let staple = haproxy.staple(cert).expect("a gap without a staple");
        (staple != held).then_some(staple)
    })
}

#[test]
fn a_full_disk_costs_files_only() {
    let Some(private) = Private::find() else { return };
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = short_lab(&world);
        let certs: Vec<Cert> = (0..4).map(|number| world.cert(&format!("c{number}"), &lab.url())).collect();
        let haproxy = Haproxy::of(binary, &world, "a").start();
        let stapled = Stapled::of(&world).certs([world.certs()]).sockets([haproxy.socket()]);
        let stapled = private.small(stapled.args(["--minimum-interval", "1"]), &world.certs(), 256).start();
        let held: Vec<Vec<u8>> = certs.iter().map(|cert| haproxy.wait_for_staple(cert)).collect();
        let inside = private.inside(&stapled, &world.certs());
        wait_until("files are written", || {
            World::listing(&inside).iter().filter(|n| n.ends_with(".ocsp")).count() == 4
        });

        // The file system is filled to the last byte.
        let filler = inside.join("filler.pem");
        let full = std::fs::write(&filler, vec![0; 1024 * 1024]).unwrap_err();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
        let line = stapled.wait_for_line_within(LONG, &["event=delivery_failed", "code=disk_full", "sink=files"]);
        assert!(line.contains("tried again at") && line.contains("the staple that it has is good until"), "{line}");
        for (cert, held) in certs.iter().zip(&held) {
            wait_for_another(&haproxy, cert, held);
        }
        // The earlier files are still complete, and no partial file remains.
        std::fs::remove_file(&filler).unwrap();
        assert_whole(&inside);
        wait_until_within(LONG, "files follow when there is room", || {
            certs.iter().all(|cert| {
                let file = inside.join(cert.staple_path().file_name().unwrap());
                let served = haproxy.staple(cert);
                served.is_some() && served == std::fs::read(file).ok()
            })
        });
        assert_whole(&inside);
        stapled.stop();
    });
}

#[test]
fn a_read_only_directory_costs_files_only() {
    let Some(private) = Private::find() else { return };
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = short_lab(&world);
        let cert = world.cert("a", &lab.url());
        let haproxy = Haproxy::of(binary, &world, "a").start();
        let stapled = Stapled::of(&world).certs([world.certs()]).sockets([haproxy.socket()]);
        let stapled = private.small(stapled.args(["--minimum-interval", "1"]), &world.certs(), 1024).start();
        let inside = private.inside(&stapled, &cert.staple_path());
        let held = haproxy.wait_for_staple(&cert);
        wait_until("its file is written", || inside.exists());
        private.remount(&stapled, &world.certs(), "ro");
        let kept = std::fs::read(&inside).unwrap();
        let line = stapled.wait_for_line_within(LONG, &["event=delivery_failed", "code=read_only", "sink=files"]);
        assert!(line.contains("tried again at"), "{line}");
        wait_for_another(&haproxy, &cert, &held);
        assert_eq!(std::fs::read(&inside).unwrap(), kept);
        private.remount(&stapled, &world.certs(), "rw");
        wait_until_within(LONG, "its file follows", || std::fs::read(&inside).is_ok_and(|bytes| bytes != kept));
        assert_whole(&private.inside(&stapled, &world.certs()));
        stapled.stop();
    });
}

#[test]
fn a_removed_directory_keeps_its_staples_in_service() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = short_lab(&world);
        let cert = world.cert("a", &lab.url());
        let haproxy = Haproxy::of(binary, &world, "a").start();
        let stapled = Stapled::of(&world)
            .certs([world.certs()])
            .sockets([haproxy.socket()])
            .args(["--minimum-interval", "1", "--refresh-interval", "1"])
            .start();
        let held = haproxy.wait_for_staple(&cert);
        // The daemon may write a staple there meanwhile.
        wait_for("the directory's end", || std::fs::remove_dir_all(world.certs()).ok());
        let line = stapled.wait_for_line(&["event=source_problem", "code=path_missing"]);
        assert!(line.contains(world.certs().to_str().unwrap()), "{line}");
        let held = wait_for_another(&haproxy, &cert, &held);
        stapled.wait_for_line_within(LONG, &["event=delivery_failed", "code=directory_missing", "sink=files"]);
        assert!(!world.certs().exists(), "it was made again");
        // The file is back: the recovery needs no further action.
        cert.write();
        wait_until_within(LONG, "its file is written", || cert.staple_file().is_some());
        wait_for_another(&haproxy, &cert, &held);
        assert_whole(&world.certs());
        stapled.stop();
    });
}

/// The processor time of a process so far, in seconds.
fn processor_time(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    // utime and stime, in clock ticks of a hundredth of a second.
    fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap() / 100.0).sum()
}

fn open_files(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

fn limit_files(pid: u32, limit: usize) {
    let status = Command::new("prlimit").args(["--pid", &pid.to_string(), &format!("--nofile={limit}:")]).status();
    assert!(status.expect("prlimit").success());
}

#[test]
fn missing_file_descriptors_are_reported_and_lose_no_staple() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = short_lab(&world);
        let certs: Vec<Cert> = (0..20).map(|number| world.cert(&format!("c{number}"), &lab.url())).collect();
        let haproxy = Haproxy::of(binary, &world, "a").start();
        let mut stapled = Stapled::of(&world)
            .certs([world.certs()])
            .sockets([haproxy.socket()])
            .args(["--minimum-interval", "1", "--refresh-interval", "1"])
            .start();
        let held: Vec<Vec<u8>> = certs.iter().map(|cert| haproxy.wait_for_staple(cert)).collect();
        wait_until("each staple is in its file", || certs.iter().all(|cert| cert.staple_file().is_some()));
        // The limit is below the present number of files: no more can be opened.
        limit_files(stapled.id(), 8);
        let line = stapled.wait_for_line_within(LONG, &["event=delivery_failed", "code=too_many_open_files"]);
        assert!(line.contains("raise the limit") && line.contains("tried again at"), "{line}");
        assert!(open_files(stapled.id()) >= 8, "the limit was not felt");
        // Renewal and delivery continue over the open connections.
        assert!(certs.iter().zip(&held).all(|(cert, _)| haproxy.staple(cert).is_some()));
        let (start, before, log) = (Instant::now(), processor_time(stapled.id()), stapled.log().len());
        wait_until("five seconds have passed", || start.elapsed() >= Duration::from_secs(5));
        let spent = processor_time(stapled.id()) - before;
        assert!(spent < 1.0, "it spent {spent} s of 5 on trying");
        assert!(stapled.log().len() - log < 200_000, "it floods its log");
        assert!(stapled.is_running());
        limit_files(stapled.id(), 1000);
        let expected: Vec<Vec<u8>> = certs.iter().map(|cert| cert.staple_file().unwrap()).collect();
        wait_until_within(LONG * 2, "everything is renewed again", || {
            certs.iter().zip(&expected).all(|(cert, before)| {
                let staple = haproxy.staple(cert);
                staple.is_some() && staple.as_ref() != Some(before) && staple == cert.staple_file()
            })
        });
        stapled.stop();
    });
}

#[test]
fn an_unreadable_file_is_named_and_delays_no_other() {
    let world = World::new();
    let lab = Lab::start([&world.ca]).unwrap();
    let (secret, open) = (world.cert("secret", &lab.url()), world.cert("open", &lab.url()));
    let set = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    set(&secret.path, 0o000);
    let mut stapled = Stapled::of(&world).certs([world.certs()]).args(["--refresh-interval", "1"]);
    // Root may read everything, so the test runs as another user.
    if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
        for directory in [world.path(""), world.certs()] {
            std::os::unix::fs::chown(&directory, Some(65534), Some(65534)).unwrap();
        }
        std::os::unix::fs::chown(&open.path, Some(65534), Some(65534)).unwrap();
        stapled = stapled.by(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]);
    }
    let stapled = stapled.start();
    let line = stapled.wait_for_line(&["event=place_problem", "code=unreadable_file", secret.name()]);
    assert!(line.contains("Permission denied") && line.contains("looked at again at"), "{line}");
    open.wait_for_file();
    assert_eq!(secret.staple_file(), None);
    // The permission is corrected: the change is noticed without a signal.
    set(&secret.path, 0o644);
    wait_until_within(LONG, "it is stapled when it can be read", || secret.staple_file().is_some());
    stapled.stop();
}

#[test]
fn without_file_watching_a_scan_finds_changes() {
    // A namespace of the user's own, in which file watching is forbidden.
    let script = "echo 0 >/proc/sys/user/max_inotify_instances && exec \"$@\"";
    let words = ["unshare", "--user", "--map-root-user", "sh", "-c", script, "sh"];
    if !Command::new(words[0]).args(&words[1..]).arg("true").status().is_ok_and(|status| status.success()) {
        return skip("this system lets nobody limit its own watches (unshare --user)");
    }
    let world = World::new();
    let lab = Lab::start([&world.ca]).unwrap();
    let first = world.cert("first", &lab.url());
    let stapled = Stapled::of(&world).certs([world.certs()]).args(["--refresh-interval", "1"]).by(words).start();
    first.wait_for_file();
    stapled.wait_for_line(&["event=source_problem", "code=watch_unavailable"]);
    world.cert("second", &lab.url()).wait_for_file();
    stapled.stop();
}

/// Random numbers that are the same for the same seed.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let seed = std::env::var("STAPLED_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| u64::from(now.subsec_nanos())) | 1;
        eprintln!("STAPLED_SEED={seed}");
        Dice(seed)
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// Whether a client would accept the response: verified against its certificate, and good now.
fn is_good(world: &World, cert: &Cert, staple: &[u8]) -> bool {
    let certificate = |der: &[u8]| Arc::new(Certificate::from_der(der).unwrap());
    let chain = CertChain::new(certificate(cert.issued.der()), certificate(world.ca.certificate())).unwrap();
    let response = Bytes::copy_from_slice(staple);
    let judgement = Judge::new(&Arc::new(chain)).at(SystemClock.now()).judge(response.clone());
    judgement.is_ok_and(|judgement| judgement.staple().is_some())
}

fn chaos(binary: &str, private: Private) {
    let is_full = stapled_tests::is_full_proof();
    let time = Duration::from_secs(if is_full { 300 } else { 20 });
    let world = World::new();
    private.mount(&world.certs(), 512);
    let address: SocketAddr = (Ipv4Addr::LOCALHOST, free_port()).into();
    let responder = || {
        // Earlier connections may hold the port for a moment.
        wait_for_within(PATIENCE, "the responder listens", || {
            Lab::builder().authority(&world.ca).validity(USABLE + Duration::from_secs(24)).listen(address).start().ok()
        })
    };
    let url = format!("http://{address}/");
    let certs: Vec<Cert> = (0..30).map(|number| world.cert(&format!("c{number}"), &url)).collect();
    let stapled = |haproxy: &Haproxy| {
        let stapled = Stapled::of(&world).certs([world.certs()]).sockets([haproxy.socket()]);
        stapled.args(["--minimum-interval", "1", "--refresh-interval", "1"]).start()
    };
    let mut haproxy = Haproxy::of(binary, &world, "a").start();
    let mut lab = Some(responder());
    let mut running = Some(stapled(&haproxy));
    certs.iter().for_each(|cert| drop(haproxy.wait_for_staple(cert)));

    let filler = world.certs().join(".filler");
    let mut dice = Dice::new();
    let mut done: BTreeMap<&str, u32> = BTreeMap::new();
    let start = Instant::now();
    while start.elapsed() < time {
        let what = match dice.roll(8) {
            0 | 1 => {
                running.take().into_iter().for_each(Stapled::kill);
                "stapled was killed"
            }
            2 => {
                haproxy.restart();
                "HAProxy was restarted"
            }
            3 => {
                lab = None;
                "the responder was killed"
            }
            4 => {
                // The file grows until the file system is full.
                let _ = std::fs::write(&filler, vec![0; 1024 * 1024]);
                "the disk was filled"
            }
            5 => {
                private.remount_here(&world.certs(), "ro");
                "the disk was made read-only"
            }
            6 => {
                if let Some(lab) = &lab {
                    let faults = [Fault::TryLater, Fault::Reset, Fault::Garbage, Fault::BadSignature, Fault::Hang];
                    lab.fault_all(faults[dice.roll(5) as usize].clone());
                }
                "the responder failed"
            }
            _ => {
                // A signal before the process handles signals would end the process.
                let ready = running.iter().filter(|running| !running.lines(&["event=started"]).is_empty());
                ready.for_each(|running| running.signal("HUP"));
                "the configuration was read again"
            }
        };
        *done.entry(what).or_default() += 1;
        std::thread::sleep(Duration::from_millis(50 + dice.roll(700)));
        // Every other turn corrects some of the faults.
        if dice.roll(2) == 0 {
            private.remount_here(&world.certs(), "rw");
            let _ = std::fs::remove_file(&filler);
            lab.get_or_insert_with(responder).clear_all();
        }
        if running.is_none() && dice.roll(3) > 0 {
            running = Some(stapled(&haproxy));
        }
        if let Some(running) = &mut running {
            assert!(running.is_running(), "it ended by itself, after: {what}");
        }
    }
    eprintln!("{binary}: {done:?}");

    private.remount_here(&world.certs(), "rw");
    let _ = std::fs::remove_file(&filler);
    lab.get_or_insert_with(responder).clear_all();
    let running = running.unwrap_or_else(|| stapled(&haproxy));
    running.wait_for_line(&["event=started"]);
    running.signal("HUP");
    wait_until_within(LONG * 2, "every handshake has a good staple, and every file is whole", || {
        certs.iter().all(|cert| haproxy.staple(cert).is_some_and(|staple| is_good(&world, cert, &staple)))
            && certs.iter().all(|cert| cert.staple_file().is_some_and(|staple| is_good(&world, cert, &staple)))
    });
    let listing = World::listing(&world.certs());
    let unfinished = listing.iter().filter(|name| name.starts_with('.')).count();
    let kills = done.get("stapled was killed").copied().unwrap_or_default() as usize;
    // A kill may leave a partial file, which is removed later.
    assert!(unfinished <= kills * 16, "{unfinished} unfinished files of {kills} kills");
    running.stop();
}

#[test]
fn chaos_at_random_ends_with_every_handshake_stapled() {
    let Some(private) = Private::find() else { return };
    if private.is_inside("faults::chaos_at_random_ends_with_every_handshake_stapled") {
        with_each_haproxy(|binary| chaos(binary, private));
    }
}
