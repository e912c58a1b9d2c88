//! Tests of `Files`, which custom sources use: versions of files, and hints of their changes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::time::Duration;

use stapled_core::io::files::Files;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(10);
/// The time after which a missing hint counts as absent. A burst of changes is collected for 150 ms.
const SILENCE: Duration = Duration::from_millis(700);

/// Checks files and directories, and sets up the watches.
async fn watched(files: &Files, names: &[&Path], directories: &[&Path]) {
    let look = || {
        let mut look = files.look();
        names.iter().for_each(|name| look.name(name));
        directories.iter().for_each(|directory| look.directory(directory));
        assert!(look.end("test").is_none());
    };
    // The first wait asks for watches; the next check sets them up.
    files.changed().await;
    tokio::time::timeout(PATIENCE, files.changed()).await.expect("the wish for watches is a hint");
    look();
}

async fn hears(files: &Files) -> bool {
    tokio::time::timeout(SILENCE, files.changed()).await.is_ok()
}

#[tokio::test]
async fn only_names_that_matter_are_heard_of() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("list");
    let files = Files::new();
    watched(&files, &[&path], &[]).await;

    std::fs::write(folder.path().join("other"), "x").unwrap();
    std::fs::write(folder.path().join("lis"), "x").unwrap();
    assert!(!hears(&files).await, "another name");
    for name in ["list", "list.issuer"] {
        std::fs::write(folder.path().join(name), "x").unwrap();
        assert!(hears(&files).await, "{name}");
        watched_again(&files, &path);
    }
    let fresh = folder.path().join("fresh");
    std::fs::write(&fresh, "y").unwrap();
    std::fs::rename(&fresh, &path).unwrap();
    assert!(hears(&files).await, "a replacement");
}

fn watched_again(files: &Files, path: &Path) {
    let mut look = files.look();
    look.name(path);
    assert!(look.end("test").is_none());
}

#[tokio::test]
async fn everything_in_a_directory_is_heard_of_but_staples() {
    let folder = TempDir::new().unwrap();
    let named = folder.path().join("named");
    let files = Files::new();
    // The order does not matter: the wider watch wins.
    watched(&files, &[&named], &[folder.path()]).await;
    std::fs::write(folder.path().join("a.pem.ocsp"), "x").unwrap();
    assert!(!hears(&files).await, "a staple");
    std::fs::write(folder.path().join("a.pem"), "x").unwrap();
    assert!(hears(&files).await, "a file");

    // From now on, only the file with this name is watched.
    watched_again(&files, &named);
    std::fs::write(folder.path().join("b.pem"), "x").unwrap();
    assert!(!hears(&files).await, "a name that does not matter any more");
    std::fs::write(&named, "x").unwrap();
    assert!(hears(&files).await, "the name");
}

#[tokio::test]
async fn what_is_behind_a_link_is_heard_of() {
    let folder = TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("there")).unwrap();
    let target = folder.path().join("there/target");
    std::fs::write(&target, "x").unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&target, &link).unwrap();
    let files = Files::new();
    watched(&files, &[&link], &[]).await;
    std::fs::write(folder.path().join("there/other"), "y").unwrap();
    assert!(!hears(&files).await, "beside the target");
    std::fs::write(&target, "y").unwrap();
    assert!(hears(&files).await, "the target");
}

#[tokio::test]
async fn versions_tell_contents_and_presence() {
    let folder = TempDir::new().unwrap();
    let [one, other] = ["one", "other"].map(|name| folder.path().join(name));
    let files = Files::new();
    let version = || {
        let mut look = files.look();
        let version = (look.version([&one, &other]), look.version_of_directory(folder.path()));
        assert!(look.end("test").is_none());
        version
    };
    let nothing = version();
    assert_eq!(version(), nothing);
    std::fs::write(&one, "a").unwrap();
    let one_only = version();
    assert!(one_only.0 != nothing.0 && one_only.1 != nothing.1);
    assert_eq!(version(), one_only);
    std::fs::write(&one, "b").unwrap();
    let changed = version();
    assert!(changed.0 != one_only.0 && changed.1 != one_only.1);
    std::fs::write(folder.path().join("one.ocsp"), "x").unwrap();
    assert_eq!(version(), changed, "a staple");
    std::fs::rename(&one, &other).unwrap();
    let renamed = version();
    assert!(renamed.0 != changed.0 && renamed.1 != changed.1);
}
