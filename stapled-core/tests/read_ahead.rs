//! Tests of the sink that keeps staples in files, at a start: a staple that was read together with its certificate is read once.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

use std::fs;
use std::time::Duration;

use stapled_core::io::file::FileSink;
use stapled_core::lookup::IssuerPlace;
use stapled_core::sink::lost::Found;
use stapled_core::sink::{Delivered, Lost, Site, StapleSink};
use stapled_tests::{Example, until};
use tempfile::TempDir;

/// A staple file that was read ahead is recalled and counts as delivered without being read again, unless the delivery has more to do.
#[tokio::test]
async fn what_was_read_ahead_is_in_service_if_nothing_is_to_be_done() {
    let example = Example::new(&[24, 48]);
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("site.pem");
    fs::write(&path, "certificate").unwrap();
    let file = directory.path().join("site.pem.ocsp");
    let (staple, other) = (&example.staples[0], &example.staples[1]);
    let plain = Site::file(&path);
    let elsewhere = plain.clone().issuer(IssuerPlace::Elsewhere);
    let sink = FileSink::new();
    // The first delivery into a directory looks for half-written files there.
    fs::write(directory.path().join("first.pem"), "certificate").unwrap();
    fs::write(&file, &staple.response()[..]).unwrap();
    sink.read_ahead(&path, None);
    assert!(!sink.has_recalled(staple, std::slice::from_ref(&plain)), "the directory is new");
    sink.deliver(staple, &[Site::file(directory.path().join("first.pem"))]).await.unwrap();
    let reads = |sink: &FileSink| sink.read_ahead(&path, None);
    // The file may change again within the same times, until they are older.
    let is_older = || {
        until(Duration::from_secs(20), || {
            reads(&sink);
            sink.has_recalled(staple, std::slice::from_ref(&plain))
        })
    };
    assert!(is_older());
    reads(&sink);
    let recalled = sink.recall(staple.chain(), std::slice::from_ref(&plain)).await;
    assert_eq!(recalled.as_ref(), Some(staple.response()));
    assert!(sink.has_recalled(staple, std::slice::from_ref(&plain)));
    assert!(!sink.has_recalled(staple, std::slice::from_ref(&plain)), "it was not read again");
    for (case, staple, sites) in [
        ("another staple", other, vec![plain.clone()]),
        ("several sites", staple, vec![plain.clone(), plain.clone()]),
        ("the server finds no issuer", staple, vec![elsewhere]),
        ("another file", staple, vec![plain.clone().staple_file(directory.path().join("x"))]),
    ] {
        reads(&sink);
        assert!(!sink.has_recalled(staple, &sites), "{case}");
    }
    // A file that is gone is forgotten by the next read.
    reads(&sink);
    fs::rename(&file, directory.path().join("away")).unwrap();
    reads(&sink);
    assert!(!sink.has_recalled(staple, std::slice::from_ref(&plain)));
    fs::rename(directory.path().join("away"), &file).unwrap();
    // It is watched like a file that the sink wrote. The rename has changed its times.
    assert!(is_older());
    fs::remove_file(&file).unwrap();
    let lost = tokio::time::timeout(Duration::from_secs(30), sink.lost()).await.unwrap();
    assert!(
        matches!(&lost, Lost::Changed(changes) if changes.iter().any(|change| change.found == Found::Withdrawn)),
        "{lost:?}"
    );
    // A delivery that finds it changed writes it.
    assert_eq!(sink.deliver(staple, &[plain]).await.unwrap(), Delivered::Confirmed);
    assert_eq!(fs::read(&file).unwrap(), staple.response()[..]);
}
