//! Tests of layouts: the names of staple files, files that name them, and directories that change all at once.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing, clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

use std::collections::HashSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use stapled_core::io::file::layout::Layout;
use stapled_core::io::file::{FileSink, WithdrawFiles};
use stapled_core::sink::lost::Found;
use stapled_core::sink::{Delivered, Lost, SinkError, Site, StapleSink, Withdrawal, Withdrawn};
use stapled_core::staple::Staple;
use stapled_core::time::Timestamp;
use stapled_tests::{Example, World, how_many, now, wait_for};
use tempfile::TempDir;

/// The smallest OCSP response: tryLater.
const TRY_LATER: [u8; 5] = [0x30, 0x03, 0x0a, 0x01, 0x03];
/// The environment variable that names the directory for a process that is killed.
const KILLED: &str = "STAPLED_TEST_SWAPPED";

/// A directory with `certs/` and `out/`.
fn world() -> (TempDir, PathBuf, PathBuf) {
    let directory = TempDir::new().unwrap();
    let (certs, out) = (directory.path().join("certs"), directory.path().join("out"));
    fs::create_dir(&certs).unwrap();
    fs::create_dir(&out).unwrap();
    (directory, certs, out)
}

fn file(path: &Path) -> Site {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, "certificate").unwrap();
    Site::file(path)
}

fn layout(template: &str) -> Layout {
    Layout::new(template).unwrap()
}

async fn deliver(sink: &FileSink, staple: &Staple, site: &Site) -> Result<Delivered, SinkError> {
    sink.deliver(staple, std::slice::from_ref(site)).await
}

async fn clear(sink: &FileSink, example: &Example, site: &Site) {
    sink.clear_leftover(&example.chain, std::slice::from_ref(site), Timestamp::from_unix(now())).await;
}

async fn withdraw(sink: &FileSink, example: &Example, site: &Site, why: Withdrawal) -> Withdrawn {
    sink.withdraw(&example.chain, std::slice::from_ref(site), why).await.unwrap()
}

#[tokio::test]
async fn staples_have_the_names_of_the_layout_and_all_can_read_them() {
    let (example, (_directory, certs, out)) = (Example::new(&[24]), world());
    let staple = &example.staples[0];
    let site = file(&certs.join("example.org/cert.pem"));
    fs::set_permissions(certs.join("example.org/cert.pem"), Permissions::from_mode(0o600)).unwrap();
    let in_common = FileSink::new().layout(layout("{parent}-{name}.der").directory(&out).unwrap()).named("front");
    assert_eq!(in_common.name(), "front");
    assert_eq!(deliver(&in_common, staple, &site).await.unwrap(), Delivered::Confirmed);
    let path = out.join("example.org-cert.der");
    assert_eq!(fs::read(&path).unwrap(), staple.response()[..]);
    // Users who may read the staple need not be allowed to read private keys.
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o644);
    assert_eq!(in_common.recall(&example.chain, std::slice::from_ref(&site)).await.unwrap(), staple.response());
    // Beside the certificate, a name may be the same for all.
    let beside = FileSink::new().layout(layout("tls.ocsp-staple"));
    assert_eq!(deliver(&beside, staple, &site).await.unwrap(), Delivered::Confirmed);
    assert_eq!(World::listing(&certs.join("example.org")), ["cert.pem", "tls.ocsp-staple"]);
    // A withdrawn staple is removed.
    assert_eq!(withdraw(&in_common, &example, &site, Withdrawal::Revoked).await, Withdrawn::Confirmed);
    assert!(World::listing(&out).is_empty());
}

#[tokio::test]
async fn a_directory_that_is_missing_is_named_with_a_remedy() {
    let (example, (_directory, certs, out)) = (Example::new(&[24]), world());
    let site = file(&certs.join("a.pem"));
    for swapped in [false, true] {
        let layout = layout("{name}").directory(out.join("missing")).unwrap();
        let layout = if swapped { layout.swapped().unwrap() } else { layout };
        let error = deliver(&FileSink::new().layout(layout), &example.staples[0], &site).await.unwrap_err();
        assert_eq!(error.code().as_str(), "directory_missing");
        let (what, create) = (error.to_string(), format!("create {}", out.join("missing").display()));
        assert!(what.ends_with(&create) && !what.contains("..data"), "{what}");
    }
}

#[tokio::test]
async fn of_two_certificates_with_one_path_the_second_is_refused() {
    let (first, second, (_directory, certs, out)) = (Example::new(&[24]), Example::new(&[24]), world());
    let (a, b) = (file(&certs.join("a/cert.pem")), file(&certs.join("b/cert.pem")));
    let sink = FileSink::new().layout(layout("{name}.ocsp").directory(&out).unwrap()).named("one");
    let other = FileSink::new().layout(layout("{name}.ocsp").directory(&out).unwrap()).named("two").apart_from(&sink);
    deliver(&sink, &first.staples[0], &a).await.unwrap();
    for (sink, site) in [(&sink, &b), (&other, &b), (&other, &a)] {
        let error = deliver(sink, &second.staples[0], site).await.unwrap_err();
        assert_eq!(error.code().as_str(), "staple_path_taken");
        let what = error.to_string();
        assert!(what.contains("a/cert.pem has this path, for one") && what.contains("{parent}"), "{what}");
        // Neither a withdrawal nor the search for what was left behind touches the staple of the first one.
        withdraw(sink, &second, site, Withdrawal::Revoked).await;
        clear(sink, &second, site).await;
    }
    assert_eq!(fs::read(out.join("cert.ocsp")).unwrap(), first.staples[0].response()[..]);
    // A certificate that is gone gives its path up.
    withdraw(&sink, &first, &a, Withdrawal::Retired).await;
    assert_eq!(deliver(&sink, &second.staples[0], &b).await.unwrap(), Delivered::Confirmed);
}

#[tokio::test]
async fn other_certificates_than_those_of_the_server_are_not_wanted() {
    let (example, (_directory, certs, out)) = (Example::new(&[24]), world());
    let (a, b) = (file(&certs.join("a.pem")), file(&certs.join("b.pem")));
    let sink = FileSink::new().layout(layout("{name}").directory(&out).unwrap()).only(|file| file.ends_with("b.pem"));
    let Delivered::NotWanted { code, .. } = deliver(&sink, &example.staples[0], &a).await.unwrap() else {
        panic!("wanted")
    };
    assert_eq!(code.as_str(), "other_server");
    assert_eq!(deliver(&sink, &example.staples[0], &b).await.unwrap(), Delivered::Confirmed);
    assert_eq!(World::listing(&out), ["b"]);
}

/// A server does not start with a file that names a missing one.
#[tokio::test]
async fn a_companion_exists_only_while_its_staple_does() {
    let (example, (_directory, certs, _)) = (Example::new(&[24]), world());
    let site = file(&certs.join("a.pem"));
    let layout = layout("{file}.ocsp").companion("{file}.conf", "staple \"{staple}\";").unwrap();
    let sink = || FileSink::new().layout(layout.clone()).look_interval(Duration::from_millis(20));
    let (staple, companion) = (certs.join("a.pem.ocsp"), certs.join("a.pem.conf"));
    let first = sink();
    deliver(&first, &example.staples[0], &site).await.unwrap();
    assert_eq!(fs::read_to_string(&companion).unwrap(), format!("staple \"{}\";", staple.display()));
    // Another program removes the staple.
    fs::remove_file(&staple).unwrap();
    let Lost::Changed(changes) = first.lost().await else { panic!("no change") };
    assert_eq!(changes[0].found, Found::Withdrawn);
    assert!(!companion.exists());
    // A new process withdraws what a former one wrote, and finds a companion alone.
    deliver(&first, &example.staples[0], &site).await.unwrap();
    withdraw(&sink(), &example, &site, Withdrawal::Revoked).await;
    assert_eq!(World::listing(&certs), ["a.pem"]);
    fs::write(&companion, "staple").unwrap();
    clear(&sink(), &example, &site).await;
    assert_eq!(World::listing(&certs), ["a.pem"]);
    // A companion that another program changed is mended with the next delivery.
    fs::write(&companion, "other").unwrap();
    deliver(&first, &example.staples[0], &site).await.unwrap();
    assert!(fs::read_to_string(&companion).unwrap().starts_with("staple \""));
}

#[tokio::test]
async fn a_file_that_must_exist_has_an_error_response_while_there_is_no_staple() {
    let (example, (_directory, certs, _)) = (Example::new(&[24]), world());
    let site = file(&certs.join("a.pem"));
    let path = certs.join("a.pem.ocsp");
    let sink = FileSink::new().withdraw_files(WithdrawFiles::Replace).look_interval(Duration::from_millis(20));
    clear(&sink, &example, &site).await;
    assert_eq!(fs::read(&path).unwrap(), TRY_LATER);
    assert_eq!(sink.recall(&example.chain, std::slice::from_ref(&site)).await, None, "it is no staple");
    deliver(&sink, &example.staples[0], &site).await.unwrap();
    let staple = fs::read(&path).unwrap();
    // The end of a staple changes nothing, and neither does the search for what was left behind.
    for why in [Withdrawal::Expiring, Withdrawal::Retired] {
        assert_eq!(withdraw(&sink, &example, &site, why).await, Withdrawn::Unsupported);
    }
    clear(&sink, &example, &site).await;
    assert_eq!(fs::read(&path).unwrap(), staple);
    assert_eq!(withdraw(&sink, &example, &site, Withdrawal::Revoked).await, Withdrawn::Confirmed);
    assert_eq!(fs::read(&path).unwrap(), TRY_LATER);
    // A backup restores the staple.
    fs::write(&path, &staple).unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(200), sink.lost()).await.is_err());
    assert_eq!(fs::read(&path).unwrap(), TRY_LATER);
    deliver(&sink, &example.staples[0], &site).await.unwrap();
    assert_eq!(fs::read(&path).unwrap(), staple);
}

/// A sink that swaps a directory, and the names of that directory that are no files for users.
fn swapping(out: &Path) -> FileSink {
    FileSink::new().layout(layout("{name}").directory(out).unwrap().swapped().unwrap())
}

fn hidden(out: &Path) -> Vec<String> {
    World::listing(out).into_iter().filter(|name| name.starts_with("..") && name != "..data").collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_of_a_swapped_directory_see_whole_files_all_the_time() {
    let (example, (_directory, certs, out)) = (Example::new(&[24, 48]), world());
    let sites: Vec<Site> = (0..4).map(|number| file(&certs.join(format!("{number}.pem")))).collect();
    let sink = swapping(&out).look_interval(Duration::from_millis(50));
    for site in &sites {
        deliver(&sink, &example.staples[0], site).await.unwrap();
    }
    assert_eq!(fs::read_link(out.join("0")).unwrap(), Path::new("..data/0"));
    assert!(!fs::read_link(out.join("..data")).unwrap().to_string_lossy().contains('/'));
    let whole: HashSet<Vec<u8>> = example.staples.iter().map(|staple| staple.response().to_vec()).collect();
    let (stop, reads) = (AtomicBool::new(false), AtomicUsize::new(0));
    let handle = tokio::runtime::Handle::current();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    for number in 0..4 {
                        let read = fs::read(out.join(number.to_string()));
                        assert!(whole.contains(&read.expect("a file")), "half a file");
                        reads.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        let writer = scope.spawn(|| {
            for round in 0..how_many(200, 20) {
                let staple = &example.staples[round % 2];
                // All at once: one new directory has several of them.
                let deliveries = sites.iter().map(|site| deliver(&sink, staple, site));
                for done in handle.block_on(futures_util::future::join_all(deliveries)) {
                    assert_eq!(done.unwrap(), Delivered::Confirmed);
                }
            }
        });
        let ended = writer.join();
        stop.store(true, Ordering::Relaxed);
        ended.unwrap();
    });
    assert!(reads.load(Ordering::Relaxed) > 100, "{reads:?} reads");
    // The directories that were replaced go after a while, without a further write.
    assert!(hidden(&out).len() > 1);
    let swept = async {
        loop {
            tokio::time::timeout(Duration::from_millis(200), sink.lost()).await.expect_err("nothing was changed");
            if hidden(&out).len() == 1 {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), swept).await.expect("they are removed");
    // A file of a certificate that is revoked goes with its link, and the others stay.
    withdraw(&sink, &example, &sites[0], Withdrawal::Revoked).await;
    assert!(fs::symlink_metadata(out.join("0")).is_err());
    assert!(whole.contains(&fs::read(out.join("1")).unwrap()));
}

#[tokio::test]
async fn a_change_by_another_program_is_told_of_in_a_swapped_directory() {
    let (example, (_directory, certs, out)) = (Example::new(&[24]), world());
    let site = file(&certs.join("a.pem"));
    let sink = swapping(&out).look_interval(Duration::from_millis(20));
    deliver(&sink, &example.staples[0], &site).await.unwrap();
    fs::remove_file(out.join("..data/a")).unwrap();
    let Lost::Changed(changes) = sink.lost().await else { panic!("no change") };
    assert_eq!(changes[0].found, Found::Withdrawn);
    // The link of users alone is mended with the next delivery.
    deliver(&sink, &example.staples[0], &site).await.unwrap();
    fs::remove_file(out.join("a")).unwrap();
    deliver(&sink, &example.staples[0], &site).await.unwrap();
    assert_eq!(fs::read(out.join("a")).unwrap(), example.staples[0].response()[..]);
}

/// The process that is killed while it writes: it does nothing in an ordinary run of the tests.
#[tokio::test]
async fn the_process_that_is_killed() {
    let Some(directory) = std::env::var_os(KILLED).map(PathBuf::from) else { return };
    let example = Example::new(&[24, 48]);
    let sink = swapping(&directory.join("out"));
    let sites: Vec<Site> = (0..3).map(|number| file(&directory.join(format!("certs/{number}.pem")))).collect();
    for round in 0_usize.. {
        for site in &sites {
            deliver(&sink, &example.staples[round % 2], site).await.unwrap();
        }
        if round == 0 {
            fs::write(directory.join("begun"), "").unwrap();
        }
    }
}

#[tokio::test]
async fn a_process_that_is_killed_leaves_whole_files_and_the_next_one_goes_on() {
    let (directory, certs, out) = world();
    let example = Example::new(&[24]);
    for round in 0..how_many(50, 3) {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "the_process_that_is_killed", "--nocapture"]).env(KILLED, directory.path());
        let mut process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_for("a first round", || directory.path().join("begun").exists().then_some(()));
        // The instant of the kill is drawn: the process is somewhere in a write.
        let instant = Duration::from_micros(u64::from(std::process::id()) * 7919 * (round as u64 + 1) % 20_000);
        std::thread::sleep(instant);
        process.kill().unwrap();
        process.wait().unwrap();
        fs::remove_file(directory.path().join("begun")).unwrap();
        for number in 0..3 {
            let bytes = fs::read(out.join(number.to_string())).expect("a file");
            assert!(stapled_core::ocsp::OcspResponse::from_der(&bytes).is_ok(), "half a file");
        }
    }
    let sink = swapping(&out).look_interval(Duration::from_millis(50));
    let site = file(&certs.join("0.pem"));
    deliver(&sink, &example.staples[0], &site).await.unwrap();
    assert_eq!(fs::read(out.join("0")).unwrap(), example.staples[0].response()[..]);
    assert!(out.join("1").exists() && out.join("2").exists(), "the others are still there");
    // The files of the killed processes are removed.
    let swept = async {
        while hidden(&out).len() > 1 {
            let _ = tokio::time::timeout(Duration::from_millis(200), sink.lost()).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), swept).await.expect("they are removed");
}
