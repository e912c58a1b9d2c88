//! Tests of a wrong wall clock, for the daemon only. The clocks of the CA, HAProxy and the clients are right.

use std::path::{Path, PathBuf};

use stapled_ca::lab::Lab;
use stapled_tests::{Cert, Haproxy, LONG, Stapled, World, skip, wait_until, wait_until_within, with_each_haproxy};

const TEN_YEARS: i64 = 10 * 365 * 86_400;

/// The library that shows another time to a program; `tests/provide/provide.sh faketime` installs it.
fn library() -> Option<PathBuf> {
    let library = std::env::var_os("FAKETIME_LIB").map(PathBuf::from);
    if library.is_none() {
        skip("libfaketime (FAKETIME_LIB): see tests/provide/provide.sh");
    }
    library
}

/// Sets the error of the clock, in seconds.
fn set(file: &Path, by: i64) {
    // The replacement is atomic, because the library reads the file all the time.
    let new = file.with_extension("new");
    std::fs::write(&new, format!("{by:+}\n")).unwrap();
    std::fs::rename(new, file).unwrap();
}

#[test]
fn a_corrected_clock_restores_every_staple_and_withdraws_none() {
    let Some(library) = library() else { return };
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let certs: Vec<Cert> = (0..3).map(|number| world.cert(&format!("c{number}"), &lab.url())).collect();
        let haproxy = Haproxy::of(binary, &world, "a").start();
        let clock = world.path("clock");
        set(&clock, 0);
        let preload = format!("LD_PRELOAD={}", library.display());
        let file = format!("FAKETIME_TIMESTAMP_FILE={}", clock.display());
        let rest = ["FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1", "DONT_FAKE_MONOTONIC=1"];
        let stapled = Stapled::of(&world)
            .by(["env", &preload, &file].into_iter().chain(rest))
            .certs([world.certs()])
            .sockets([haproxy.socket()])
            .start();
        let first: Vec<Vec<u8>> = certs.iter().map(|cert| haproxy.wait_for_staple(cert)).collect();
        // The CA gives no answer now: the staple that was good counts as good again.
        drop(lab);

        set(&clock, TEN_YEARS);
        stapled.wait_for_line(&["event=clock_set"]);
        let files = || certs.iter().filter(|cert| cert.staple_file().is_some()).count();
        wait_until_within(LONG, "all are taken back: by this clock they are over", || files() == 0);
        let withdrawals = || stapled.lines(&["event=withdrawn"]).len();
        wait_until_within(LONG, "of each, it is told", || withdrawals() >= certs.len());

        set(&clock, 0);
        wait_until("it is noticed", || stapled.lines(&["event=clock_set"]).len() == 2);
        let withdrawn = stapled.lines(&["event=withdrawn"]).len();
        for (cert, first) in certs.iter().zip(&first) {
            wait_until("clients get it again", || haproxy.staple(cert).as_ref() == Some(first));
            wait_until("its file is back", || cert.staple_file().as_ref() == Some(first));
        }
        assert_eq!(stapled.lines(&["event=withdrawn"]).len(), withdrawn);
        stapled.stop();
    });
}
