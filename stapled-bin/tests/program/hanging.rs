//! File systems that hang: reads of their files never end, and no signal ends them.

use std::fs;
use std::time::Duration;

use stapled_tests::{Hanging, HangingFile};

use crate::world::{PATIENCE, Running, World, until};

/// How long one read is waited for.
const READ: Duration = Duration::from_secs(30);

/// This many files whose reads hang, in `hung`, and one that can be read, which comes last.
fn mount(world: &World, count: usize) -> Option<Hanging> {
    let good = world.issue("x.pem", &world.profile("in-between.example"));
    let path = world.path("certs/x.pem");
    let contents = fs::read(&path).unwrap();
    fs::remove_file(path).unwrap();
    drop(good);
    fs::create_dir(world.path("hung")).unwrap();
    let file = |number: usize| HangingFile { name: format!("{number:04}.pem"), contents: None };
    let last = HangingFile { name: "last.pem".to_owned(), contents: Some(contents) };
    Hanging::mount(&world.path("hung"), (0..count).map(file).chain([last]).collect())
}

#[test]
fn six_hundred_reads_that_hang_hold_up_no_other_source() {
    let world = World::new();
    let Some(mounted) = mount(&world, 600) else { return };
    let running = Running::start(world.command(&["-p", "hung", "-p", "certs"]));
    // Dropped before the process, which the system ends when its reads have ended.
    let hanging = mounted;
    // As many reads hang as are done at once.
    assert!(until(PATIENCE, || hanging.count() >= 16), "{}", running.words());
    world.issue("good.pem", &world.profile("good.example"));
    let is_there = until(READ / 2, || world.staple("good.pem").exists());
    assert!(is_there, "{} reads hang: {}", hanging.count(), running.words());
    // Further files are tried.
    assert!(until(READ * 2, || hanging.count() > 16), "{}", hanging.count());
    running.signal("TERM");
    drop(hanging);
    assert_eq!(running.end(PATIENCE).code, 0);
}

#[test]
fn a_file_beside_files_that_hang_is_read_and_they_are_told() {
    let world = World::new();
    let Some(mounted) = mount(&world, 20) else { return };
    let running = Running::start(world.command(&["-p", "hung", "--no-recycle", "--verbosity", "4"]));
    let hanging = mounted;
    let words = || running.words();
    assert!(until(READ * 2, || words().contains("in-between.example")), "{} hang: {}", hanging.count(), words());
    let told = || words().contains("unreadable_file") && words().contains("does its file system hang?");
    assert!(until(READ * 2, told), "{}", words());
    running.signal("TERM");
    drop(hanging);
    assert_eq!(running.end(PATIENCE).code, 0);
}
