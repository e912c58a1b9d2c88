//! Tests of the sink that keeps files.

use std::fs;
use std::path::Path;
use std::time::Duration;

use stapled_core::io::file::{FileSink, staple_path};
use stapled_core::sink::lost::{Change, Found};
use stapled_core::sink::{Delivered, Lost, Site, StapleSink, Withdrawal, Withdrawn};
use stapled_tests::{Example, polled};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::soon;

/// Sites in this many directories, with one certificate in each.
fn sites(folder: &Path, count: usize) -> Vec<Site> {
    let site = |number| {
        let directory = folder.join(format!("{number:03}"));
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("a.pem"), "certificate").unwrap();
        Site::file(directory.join("a.pem"))
    };
    (0..count).map(site).collect()
}

/// A runtime of the test's own: after its drop, no work of it remains.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

#[test]
fn what_a_dropped_look_found_is_told_by_the_next() {
    let example = Example::new(&[24]);
    // The drop comes during the pause, during the check of the files, and perhaps after the end.
    for times in [1, 2, 2, 2, 3, 4] {
        let folder = TempDir::new().unwrap();
        let sites = sites(folder.path(), 1);
        runtime().block_on(async {
            let sink = FileSink::new().look_interval(Duration::from_millis(10));
            sink.deliver(&example.staples[0], &sites).await.unwrap();
            fs::remove_file(staple_path(&sites[0]).unwrap()).unwrap();
            let lost = match polled(sink.lost(), times).await {
                Some(lost) => lost,
                None => soon(sink.lost(), &format!("dropped after {times} polls, the loss is told")).await,
            };
            let change = Change::new(example.staples[0].chain().subject().clone(), Found::Withdrawn);
            assert_eq!(lost, Lost::Changed(vec![change]), "after {times} polls");
        });
    }
}

/// A withdrawal after a dropped delivery is not undone by the rest of that delivery.
#[test]
fn a_dropped_delivery_writes_nothing_after_a_withdrawal() {
    const SITES: usize = 100;
    let example = Example::new(&[24]);
    let staple = &example.staples[0];
    for why in [Withdrawal::Revoked, Withdrawal::Expiring] {
        let folder = TempDir::new().unwrap();
        let sites = sites(folder.path(), SITES);
        // The reverse order, so that both deliveries meet.
        let backwards: Vec<Site> = sites.iter().rev().cloned().collect();
        let runtime = runtime();
        runtime.block_on(async {
            let sink = FileSink::new();
            assert!(polled(sink.deliver(staple, &sites), 1).await.is_none(), "it is under way");
            let withdrawn = sink.withdraw(staple.chain(), &backwards, why).await.unwrap();
            assert_eq!(withdrawn, Withdrawn::Confirmed);
        });
        drop(runtime);
        let left = sites.iter().filter(|site| staple_path(site).unwrap().exists()).count();
        assert_eq!(left, 0, "{why:?}: of {SITES} files");
    }
}

#[test]
fn a_dropped_withdrawal_takes_nothing_away_after_a_delivery() {
    const SITES: usize = 100;
    let example = Example::new(&[24, 48]);
    let folder = TempDir::new().unwrap();
    let sites = sites(folder.path(), SITES);
    let backwards: Vec<Site> = sites.iter().rev().cloned().collect();
    let runtime = runtime();
    runtime.block_on(async {
        let sink = FileSink::new();
        sink.deliver(&example.staples[0], &sites).await.unwrap();
        let withdrawal = sink.withdraw(&example.chain, &sites, Withdrawal::Revoked);
        assert!(polled(withdrawal, 1).await.is_none(), "it is under way");
        assert_eq!(sink.deliver(&example.staples[1], &backwards).await.unwrap(), Delivered::Confirmed);
        // A later check of the files does not remove the staples of the last delivery either.
        let looked = tokio::time::timeout(Duration::from_millis(50), sink.lost()).await;
        assert!(looked.is_err());
    });
    drop(runtime);
    let staple = example.staples[1].response();
    let kept = |site: &&Site| fs::read(staple_path(site).unwrap()).is_ok_and(|bytes| bytes == staple[..]);
    assert_eq!(sites.iter().filter(kept).count(), SITES);
}

#[tokio::test]
async fn a_dropped_recall_keeps_nobody_from_the_next() {
    let example = Example::new(&[24]);
    let folder = TempDir::new().unwrap();
    let sites = sites(folder.path(), 1);
    let sink = FileSink::new();
    sink.deliver(&example.staples[0], &sites).await.unwrap();
    for times in 1.. {
        let is_over = polled(sink.recall(&example.chain, &sites), times).await.is_some();
        assert_eq!(sink.recall(&example.chain, &sites).await.as_ref(), Some(example.staples[0].response()));
        if is_over {
            return;
        }
    }
}
