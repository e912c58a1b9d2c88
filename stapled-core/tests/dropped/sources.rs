//! Tests of the sources that read files.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use stapled_core::io::directory::DirectorySource;
use stapled_core::io::files::Files;
use stapled_core::source::{CertSource, Scan, Sighting, SourceError};
use stapled_tests::polled;
use tempfile::TempDir;

use crate::soon;

const MANY: usize = 200;

/// A custom source, written as the documentation describes.
struct Own {
    files: Files,
    directory: Arc<Path>,
}

#[async_trait]
impl CertSource for Own {
    async fn scan(&self) -> Result<Scan, SourceError> {
        let (files, directory) = (self.files.clone(), Arc::clone(&self.directory));
        let scan = move || {
            let mut look = files.look();
            look.directory(&directory);
            let mut sightings = Vec::new();
            for entry in fs::read_dir(&directory).unwrap() {
                let path = entry.unwrap().path();
                let version = look.version([&path]);
                sightings.push(Sighting::file(path, version));
            }
            Scan::of(sightings).problems(look.end("own"))
        };
        Ok(self.files.scan(scan).await.unwrap())
    }

    async fn changed(&self) {
        self.files.changed().await;
    }
}

fn sources(directory: &Path) -> [Box<dyn CertSource>; 2] {
    let own = Own { files: Files::new(), directory: directory.into() };
    [Box::new(DirectorySource::new(directory)), Box::new(own)]
}

/// Sets the watches, and waits until no more hints come.
async fn watch(source: &dyn CertSource) {
    soon(source.changed(), "watches are asked for").await;
    source.scan().await.unwrap();
    while tokio::time::timeout(Duration::from_millis(300), source.changed()).await.is_ok() {
        source.scan().await.unwrap();
    }
}

#[tokio::test]
async fn a_hint_that_was_dropped_comes_again() {
    for kind in [0, 1] {
        for times in 1.. {
            let folder = TempDir::new().unwrap();
            let source = &sources(folder.path())[kind];
            watch(&**source).await;
            fs::write(folder.path().join("a.pem"), "certificate").unwrap();
            let is_over = soon(polled(source.changed(), times), "polls").await.is_some();
            soon(source.changed(), &format!("dropped after {times} polls, the hint comes")).await;
            assert_eq!(source.scan().await.unwrap().sightings.len(), 1);
            if is_over {
                break;
            }
        }
    }
}

#[tokio::test]
async fn what_a_dropped_scan_has_seen_is_hinted_at_again() {
    for kind in [0, 1] {
        for times in [0, 1, 1, 1, 2] {
            let folder = TempDir::new().unwrap();
            let source = &sources(folder.path())[kind];
            // Enough files that a scan takes more than one step.
            for number in 0..MANY {
                fs::write(folder.path().join(format!("{number}.pem")), "certificate").unwrap();
            }
            watch(&**source).await;
            fs::write(folder.path().join("a.pem"), "certificate").unwrap();
            soon(source.changed(), "a hint").await;
            if polled(source.scan(), times).await.is_some() {
                continue;
            }
            soon(source.changed(), &format!("dropped after {times} polls, there is a hint")).await;
            assert_eq!(source.scan().await.unwrap().sightings.len(), MANY + 1);
        }
    }
}
