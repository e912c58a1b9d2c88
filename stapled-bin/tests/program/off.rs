//! `--off`: certificates that are shown and get no staple.

use std::fs;

use crate::world::{PATIENCE, Running, World, until};

#[test]
fn a_certificate_that_is_turned_off_is_shown_and_gets_no_staple() {
    let world = World::new();
    world.issue("a.pem", &world.profile("a.example").must_staple(true));
    let b = world.issue("b.pem", &world.profile("b.example"));
    world.issue("c.pem", &world.profile("c.example"));
    let serial = b.serial().to_string().to_lowercase();
    let colons: Vec<&str> = (0..serial.len() / 2).map(|pair| &serial[2 * pair..2 * pair + 2]).collect();
    let colons = colons.join(":");
    let off = ["--off", "A.example", "--off", &colons];
    let ended = world.one_off(&[&["--json"], &off[..]].concat());
    let (rows, totals) = ended.json();
    let mut states: Vec<&str> = rows.iter().map(|row| row["state"].as_str().unwrap()).collect();
    states.sort_unstable();
    assert_eq!((ended.code, states), (0, vec!["good", "off", "off"]), "{ended:?}");
    assert_eq!((&totals["off"], &totals["outages"]), (&2.into(), &0.into()));
    let staples = || ["a.pem", "b.pem", "c.pem"].map(|file| world.staple(file).exists());
    assert_eq!(staples(), [false, false, true]);
    let ended = world.run(&[&["check", "-p", "certs"], &off[..]].concat());
    assert_eq!((ended.code, ended.out.matches("off: its stapling is turned off").count()), (0, 2), "{ended:?}");
    let ended = world.one_off(&["--off", " "]);
    assert!(ended.code == 2 && ended.err.contains("--off"), "{ended:?}");
}

#[test]
fn a_reload_turns_a_certificate_off_and_on_again() {
    let world = World::new();
    world.issue("a.pem", &world.profile("a.example"));
    let file = world.path("stapled.conf");
    let configure = |more: &str| {
        let certs = world.path("certs");
        fs::write(&file, format!("cert-paths = [\"{}\"]\n{more}", certs.display())).unwrap();
    };
    configure("off = [\"a.example\"]\n");
    let running = Running::start(world.command(&["--config", file.to_str().unwrap()]));
    let state = || world.run(&["status"]).out;
    assert!(until(PATIENCE, || state().contains("off")), "{}: {}", state(), running.words());
    assert!(state().contains("a.example") && !world.staple("a.pem").exists(), "{}", state());
    configure("");
    running.signal("HUP");
    assert!(until(PATIENCE, || world.staple("a.pem").exists()), "{}", running.words());
    configure("off = [\"a.example\"]\n");
    running.signal("HUP");
    assert!(until(PATIENCE, || state().contains("off")), "{}: {}", state(), running.words());
    running.signal("TERM");
    assert_eq!(running.end(PATIENCE).code, 0);
}
