//! Tests of the source of certificates in files, on a real file system.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing, clippy::print_stdout, clippy::print_stderr)]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stapled_core::io::directory::DirectorySource;
use stapled_core::source::{CertSource, Scan, Sighting, Version};
use tempfile::TempDir;

fn touch(path: impl AsRef<Path>, contents: &str) {
    fs::create_dir_all(path.as_ref().parent().unwrap()).unwrap();
    fs::write(path, contents).unwrap();
}

async fn scan(source: &DirectorySource) -> Scan {
    source.scan().await.unwrap()
}

/// Runs a test of this program again, in a process whose current directory is this one. Returns whether the calling process is
/// that process.
fn is_inside(directory: &Path, test: &str) -> bool {
    const INSIDE: &str = "STAPLED_TEST_INSIDE";
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(INSIDE, "yes").current_dir(directory);
    assert!(command.status().unwrap().success(), "{test} failed inside");
    false
}

/// The paths of the scanned files, relative to `root`.
fn names(scan: &Scan, root: &TempDir) -> Vec<String> {
    let prefix = format!("{}/", root.path().display());
    scan.sightings.iter().map(|sighting| sighting.name.trim_start_matches(&prefix).to_owned()).collect()
}

fn problems(scan: &Scan) -> Vec<(&'static str, bool)> {
    scan.problems.iter().map(|problem| (problem.error.code.as_str(), problem.hides_below)).collect()
}

fn version(scan: &Scan, name: &str) -> Version {
    let sighting = scan.sightings.iter().find(|sighting| sighting.name.ends_with(name));
    sighting.unwrap_or_else(|| panic!("{name} is not in {scan:?}")).version.clone()
}

async fn changes(source: &DirectorySource) {
    tokio::time::timeout(Duration::from_secs(10), source.changed()).await.expect("a hint");
}

async fn stays_quiet(source: &DirectorySource) {
    let hint = tokio::time::timeout(Duration::from_millis(400), source.changed()).await;
    assert!(hint.is_err(), "a hint for nothing");
}

/// A watched source, after the scan that sets the watches and after all hints that follow from it.
async fn watched(source: DirectorySource) -> DirectorySource {
    changes(&source).await;
    scan(&source).await;
    while tokio::time::timeout(Duration::from_millis(300), source.changed()).await.is_ok() {
        scan(&source).await;
    }
    source
}

#[tokio::test]
async fn files_count_by_their_extension() {
    let root = TempDir::new().unwrap();
    for name in ["a.pem", "b.CRT", "c.cer", "d.pem.issuer", "d.pem.ocsp", "e.key", "f.sctl", "g.txt", ".h.pem", "pem"] {
        touch(root.path().join(name), "");
    }
    touch(root.path().join("sub/i.pem"), "");
    touch(root.path().join("sub/.hidden/j.pem"), "");

    let flat = scan(&DirectorySource::new(root.path())).await;
    assert_eq!(names(&flat, &root), ["a.pem", "b.CRT", "c.cer"]);
    assert!(flat.problems.is_empty(), "{:?}", flat.problems);

    let deep = scan(&DirectorySource::new(root.path()).recursive(true)).await;
    assert_eq!(names(&deep, &root), ["a.pem", "b.CRT", "c.cer", "sub/i.pem"]);

    let chosen = DirectorySource::new(root.path()).extensions([".TXT", "ocsp", "key", "issuer", "sctl"]);
    assert_eq!(names(&scan(&chosen).await, &root), ["g.txt"]);

    let ignoring = DirectorySource::new(root.path()).recursive(true).ignore(["sub", "[ab].*"]).unwrap();
    assert_eq!(names(&scan(&ignoring).await, &root), ["c.cer"]);
}

#[tokio::test]
async fn a_file_named_itself_counts_whatever_its_name() {
    let root = TempDir::new().unwrap();
    let path = root.path().join(".certificate");
    touch(&path, "");
    assert_eq!(names(&scan(&DirectorySource::new(&path)).await, &root), [".certificate"]);
}

#[tokio::test]
async fn the_version_follows_file_and_issuer() {
    let root = TempDir::new().unwrap();
    let path = root.path().join("a.crt");
    touch(&path, "one");
    let source = DirectorySource::new(root.path());
    let mut versions = vec![version(&scan(&source).await, "a.crt")];
    assert_eq!(version(&scan(&source).await, "a.crt"), versions[0], "nothing changed");

    touch(&path, "two");
    versions.push(version(&scan(&source).await, "a.crt"));
    fs::write(root.path().join("new"), "two").unwrap();
    fs::rename(root.path().join("new"), &path).unwrap();
    versions.push(version(&scan(&source).await, "a.crt"));
    touch(root.path().join("a.crt.issuer"), "x");
    versions.push(version(&scan(&source).await, "a.crt"));
    touch(root.path().join("a.issuer"), "x");
    versions.push(version(&scan(&source).await, "a.crt"));
    fs::remove_file(root.path().join("a.issuer")).unwrap();
    let before = versions[3].clone();
    assert_eq!(version(&scan(&source).await, "a.crt"), before);

    for (i, a) in versions.iter().enumerate() {
        assert!(versions.iter().skip(i + 1).all(|b| a != b), "version {i} came twice");
    }

    fs::remove_file(&path).unwrap();
    assert!(scan(&source).await.sightings.is_empty());
}

#[tokio::test]
async fn what_cannot_be_looked_at_hides_nothing_else() {
    let root = TempDir::new().unwrap();
    touch(root.path().join("good.pem"), "");
    let _socket = UnixListener::bind(root.path().join("socket.pem")).unwrap();
    let fifo = root.path().join("fifo.pem");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    symlink("nowhere.pem", root.path().join("dangling.pem")).unwrap();
    symlink("nowhere", root.path().join("dangling.txt")).unwrap();
    symlink("self.pem", root.path().join("self.pem")).unwrap();
    fs::create_dir(root.path().join("sub")).unwrap();
    symlink("..", root.path().join("sub/up")).unwrap();

    let scan = scan(&DirectorySource::new(root.path()).recursive(true)).await;
    assert_eq!(names(&scan, &root), ["good.pem"]);
    let mut codes = problems(&scan);
    codes.sort_unstable();
    let expected = ["dangling_link", "not_a_file", "not_a_file", "symlink_loop", "symlink_loop"];
    assert_eq!(codes, expected.map(|code| (code, false)), "{:?}", scan.problems);
    let loops = scan.problems.iter().filter(|problem| problem.place.ends_with("sub/up")).count();
    assert_eq!(loops, 1, "the loop is reported once");
}

#[tokio::test]
async fn a_root_that_is_missing_or_no_directory_is_a_problem() {
    let root = TempDir::new().unwrap();
    let missing = root.path().join("missing");
    let found = scan(&DirectorySource::new(&missing)).await;
    assert_eq!(problems(&found), [("path_missing", true)]);
    assert_eq!(found.problems[0].place, missing.to_string_lossy());

    touch(root.path().join("file"), "");
    let below = scan(&DirectorySource::new(root.path().join("file/certs"))).await;
    assert_eq!(problems(&below), [("path_missing", true)]);

    let device = scan(&DirectorySource::new("/dev/null")).await;
    assert_eq!(problems(&device), [("not_a_file", true)]);
}

#[tokio::test]
async fn a_walk_has_bounds() {
    let root = TempDir::new().unwrap();
    for number in 0..20 {
        touch(root.path().join(format!("{number}.pem")), "");
    }
    touch(root.path().join("a/b/c/d.pem"), "");
    let few = scan(&DirectorySource::new(root.path()).max_entries(10)).await;
    assert!(few.sightings.len() <= 10);
    assert_eq!(problems(&few), [("too_many_files", true)]);

    let shallow = scan(&DirectorySource::new(root.path()).recursive(true).max_depth(2)).await;
    assert_eq!(shallow.sightings.len(), 20);
    assert_eq!(problems(&shallow), [("too_deep", true)]);
    assert!(shallow.problems[0].place.ends_with("a/b/c"));
}

/// A stapler begins with the first certificates while the walk goes on.
#[tokio::test]
async fn what_is_found_is_told_while_the_walk_goes_on() {
    let root = TempDir::new().unwrap();
    for number in 0..500 {
        touch(root.path().join(format!("{number}.pem")), "");
    }
    let source = DirectorySource::new(root.path());
    let told: Arc<Mutex<Vec<Vec<Sighting>>>> = Arc::default();
    let listener = Arc::clone(&told);
    let result = source.scan_and_tell(Arc::new(move |found| listener.lock().unwrap().push(found))).await.unwrap();
    let told = told.lock().unwrap().clone();
    assert_eq!(told.iter().map(Vec::len).collect::<Vec<_>>(), [64, 64, 128], "each time as many as before");
    let told: BTreeMap<_, _> = told.concat().into_iter().map(|one| (one.name, one.version)).collect();
    assert_eq!(told.len(), 256, "no file is in two parts");
    let all: BTreeMap<_, _> = result.sightings.iter().map(|one| (one.name.clone(), one.version.clone())).collect();
    assert_eq!(all.len(), 500, "the result has all");
    assert!(told.iter().all(|(name, version)| all.get(name) == Some(version)));
}

#[tokio::test]
async fn names_that_are_not_utf_8_stay_apart() {
    let root = TempDir::new().unwrap();
    for name in [b"\xff.pem".as_slice(), b"\xfe.pem"] {
        fs::write(root.path().join(OsStr::from_bytes(name)), "").unwrap();
    }
    let scan = scan(&DirectorySource::new(root.path())).await;
    assert_eq!(scan.sightings.len(), 2);
    assert_ne!(scan.sightings[0].name, scan.sightings[1].name);
}

#[tokio::test]
async fn a_watched_directory_tells_of_new_changed_and_removed_files() {
    let root = TempDir::new().unwrap();
    touch(root.path().join("a.pem"), "one");
    let source = watched(DirectorySource::new(root.path()).recursive(true)).await;
    stays_quiet(&source).await;

    touch(root.path().join("b.pem"), "one");
    changes(&source).await;
    assert_eq!(names(&scan(&source).await, &root), ["a.pem", "b.pem"]);

    touch(root.path().join("a.pem"), "two");
    changes(&source).await;
    scan(&source).await;

    fs::rename(root.path().join("b.pem"), root.path().join("a.pem")).unwrap();
    changes(&source).await;
    assert_eq!(names(&scan(&source).await, &root), ["a.pem"]);

    // A new directory, then a file in it.
    fs::create_dir(root.path().join("sub")).unwrap();
    changes(&source).await;
    scan(&source).await;
    touch(root.path().join("sub/c.pem"), "one");
    changes(&source).await;
    assert_eq!(names(&scan(&source).await, &root), ["a.pem", "sub/c.pem"]);

    fs::remove_file(root.path().join("a.pem")).unwrap();
    changes(&source).await;
    assert_eq!(names(&scan(&source).await, &root), ["sub/c.pem"]);
}

#[tokio::test]
async fn staples_and_half_written_files_are_no_news() {
    let root = TempDir::new().unwrap();
    touch(root.path().join("a.pem"), "one");
    let source = watched(DirectorySource::new(root.path())).await;
    touch(root.path().join(".a.pem.ocsp.x1y2z3.tmp"), "staple");
    fs::rename(root.path().join(".a.pem.ocsp.x1y2z3.tmp"), root.path().join("a.pem.ocsp")).unwrap();
    fs::read(root.path().join("a.pem")).unwrap();
    scan(&source).await;
    stays_quiet(&source).await;
}

#[tokio::test]
async fn a_hint_outlives_a_dropped_wait_and_ends_with_a_scan() {
    let root = TempDir::new().unwrap();
    let source = watched(DirectorySource::new(root.path())).await;
    touch(root.path().join("a.pem"), "one");
    changes(&source).await;
    // No scan has run since: the hint is still there.
    changes(&source).await;
    scan(&source).await;
    stays_quiet(&source).await;
}

#[tokio::test]
async fn a_steady_stream_of_events_does_not_hold_the_hint_back() {
    let root = TempDir::new().unwrap();
    let source = watched(DirectorySource::new(root.path())).await;
    let path = root.path().join("busy.pem");
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let writer = std::thread::spawn(move || {
        let pause = Duration::from_millis(20);
        while stopped.recv_timeout(pause) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            fs::write(&path, "more").unwrap();
        }
    });
    tokio::time::timeout(Duration::from_secs(4), source.changed()).await.expect("a hint in the midst of events");
    drop(stop);
    writer.join().unwrap();
}

#[tokio::test]
async fn a_root_that_comes_goes_and_comes_again_is_watched() {
    let around = TempDir::new().unwrap();
    let root = around.path().join("certs");
    let source = watched(DirectorySource::new(&root)).await;
    for round in 0..3 {
        touch(root.join("a.pem"), "one");
        changes(&source).await;
        assert_eq!(scan(&source).await.sightings.len(), 1, "round {round}");
        // The watch of the new directory works.
        touch(root.join("b.pem"), "one");
        changes(&source).await;
        assert_eq!(scan(&source).await.sightings.len(), 2, "round {round}");
        fs::remove_dir_all(&root).unwrap();
        changes(&source).await;
        assert_eq!(problems(&scan(&source).await), [("path_missing", true)]);
    }
    // Changes of neighbouring files give no hint.
    scan(&source).await;
    touch(around.path().join("other"), "");
    stays_quiet(&source).await;
}

#[tokio::test]
async fn a_single_file_is_watched_through_its_directory() {
    let around = TempDir::new().unwrap();
    let path = around.path().join("site.pem");
    touch(&path, "one");
    let source = watched(DirectorySource::new(&path)).await;
    let before = version(&scan(&source).await, "site.pem");
    touch(around.path().join("new"), "two");
    fs::rename(around.path().join("new"), &path).unwrap();
    changes(&source).await;
    let after = version(&scan(&source).await, "site.pem");
    assert_ne!(after, before);
    touch(around.path().join("site.pem.issuer"), "issuer");
    changes(&source).await;
    assert_ne!(version(&scan(&source).await, "site.pem"), after);
}

#[tokio::test]
async fn certbots_renewal_is_noticed() {
    let root = TempDir::new().unwrap();
    let live = root.path().join("live/example.org");
    let archive = root.path().join("archive/example.org");
    touch(archive.join("fullchain1.pem"), "one");
    fs::create_dir_all(&live).unwrap();
    symlink("../../archive/example.org/fullchain1.pem", live.join("fullchain.pem")).unwrap();
    let source = watched(DirectorySource::new(root.path().join("live")).recursive(true)).await;
    let first = version(&scan(&source).await, "fullchain.pem");

    touch(archive.join("fullchain2.pem"), "two");
    fs::remove_file(live.join("fullchain.pem")).unwrap();
    symlink("../../archive/example.org/fullchain2.pem", live.join("fullchain.pem")).unwrap();
    changes(&source).await;
    let second = version(&scan(&source).await, "fullchain.pem");
    assert_ne!(second, first);
    while tokio::time::timeout(Duration::from_millis(300), source.changed()).await.is_ok() {
        scan(&source).await;
    }

    // A change of the file behind the link.
    touch(archive.join("fullchain2.pem"), "three");
    changes(&source).await;
    assert_ne!(version(&scan(&source).await, "fullchain.pem"), second);
}

#[tokio::test]
async fn relative_paths_are_watched_like_absolute_ones() {
    let around = TempDir::new().unwrap();
    if !is_inside(around.path(), "relative_paths_are_watched_like_absolute_ones") {
        return;
    }
    let here = std::env::current_dir().unwrap();
    let up = Path::new("..").join(here.file_name().unwrap()).join("up");
    for root in [Path::new("certs"), Path::new("./dotted"), &up] {
        touch(root.join("a.pem"), "one");
        let source = watched(DirectorySource::new(root)).await;
        let found = scan(&source).await;
        assert_eq!(&*found.sightings[0].name, root.join("a.pem").to_str().unwrap(), "the name stays as it was given");
        // A neighbour, such as the log of a program that runs here.
        for _ in 0..5 {
            touch("./log", "line");
            stays_quiet(&source).await;
        }
        touch(root.join("b.pem"), "one");
        changes(&source).await;
        assert_eq!(scan(&source).await.sightings.len(), 2, "{root:?}");
        // The directory is replaced by another one.
        touch("new/c.pem", "one");
        fs::rename(root, "old").unwrap();
        fs::rename("new", root).unwrap();
        changes(&source).await;
        assert_eq!(scan(&source).await.sightings.len(), 1, "{root:?}");
        while tokio::time::timeout(Duration::from_millis(300), source.changed()).await.is_ok() {
            scan(&source).await;
        }
        touch(root.join("d.pem"), "one");
        changes(&source).await;
        assert_eq!(scan(&source).await.sightings.len(), 2, "{root:?}");
        // The old one is not watched any longer.
        touch("old/e.pem", "one");
        stays_quiet(&source).await;
        fs::remove_dir_all("old").unwrap();
    }
}

#[tokio::test]
async fn kubernetes_swap_of_a_volume_is_noticed() {
    let root = TempDir::new().unwrap();
    touch(root.path().join("..2026_01/tls.pem"), "one");
    symlink("..2026_01", root.path().join("..data")).unwrap();
    symlink("..data/tls.pem", root.path().join("tls.pem")).unwrap();
    let source = watched(DirectorySource::new(root.path()).recursive(true)).await;
    let found = scan(&source).await;
    assert_eq!(names(&found, &root), ["tls.pem"], "dotted entries are seen through the link only");
    let first = version(&found, "tls.pem");

    touch(root.path().join("..2026_02/tls.pem"), "two");
    symlink("..2026_02", root.path().join("..data_tmp")).unwrap();
    fs::rename(root.path().join("..data_tmp"), root.path().join("..data")).unwrap();
    fs::remove_dir_all(root.path().join("..2026_01")).unwrap();
    changes(&source).await;
    assert_ne!(version(&scan(&source).await, "tls.pem"), first);
}

#[tokio::test]
async fn a_directory_that_was_moved_is_still_watched() {
    let root = TempDir::new().unwrap();
    touch(root.path().join("old/a.pem"), "one");
    let source = watched(DirectorySource::new(root.path()).recursive(true)).await;
    fs::rename(root.path().join("old"), root.path().join("new")).unwrap();
    changes(&source).await;
    assert_eq!(names(&scan(&source).await, &root), ["new/a.pem"]);
    touch(root.path().join("new/b.pem"), "one");
    changes(&source).await;
    assert_eq!(names(&scan(&source).await, &root), ["new/a.pem", "new/b.pem"]);
}

#[tokio::test]
async fn ten_thousand_files_are_no_burden() {
    let root = TempDir::new().unwrap();
    for number in 0..10_000 {
        fs::write(root.path().join(format!("{number}.pem")), "certificate").unwrap();
    }
    let start = std::time::Instant::now();
    for entry in fs::read_dir(root.path()).unwrap() {
        assert_eq!(fs::read(entry.unwrap().path()).unwrap(), b"certificate");
    }
    let bare = start.elapsed();
    let source = DirectorySource::new(root.path());
    let start = std::time::Instant::now();
    assert_eq!(scan(&source).await.sightings.len(), 10_000);
    let first = start.elapsed();
    let start = std::time::Instant::now();
    assert_eq!(scan(&source).await.sightings.len(), 10_000);
    println!("10,000 files: {first:?} at first, {:?} again; {bare:?} to read them", start.elapsed());
    // A cost that grows with the square of the number would be hundreds of times that of reading.
    assert!(first < bare * 100, "{first:?}, but {bare:?} to read them");
}
