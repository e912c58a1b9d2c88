//! Tests of the sink that keeps staples in files, on a real file system.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing, clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use stapled_core::io::file::{FileSink, WithdrawFiles, read_existing, staple_path};
use stapled_core::lookup::IssuerPlace;
use stapled_core::sink::lost::{Change, Found};
use stapled_core::sink::{Delivered, Lost, SinkError, Site, StapleSink, Withdrawal, Withdrawn};
use stapled_core::staple::Staple;
use stapled_tests::{Example, Private, World, skip};
use tempfile::TempDir;

/// A directory with a certificate's file, whose contents do not matter here.
fn certificate(name: &str) -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join(name);
    fs::write(&path, "certificate").unwrap();
    (directory, path)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn unreachable(result: Result<Delivered, SinkError>) -> (&'static str, String) {
    match result {
        Err(SinkError::Unreachable { code, what }) => (code.as_str(), what),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_file_holds_the_responders_bytes() {
    let example = Example::new(&[24, 48]);
    let (directory, path) = certificate("site.pem");
    let sink = FileSink::new();
    for staple in &example.staples {
        assert_eq!(sink.deliver(staple, &[Site::file(&path)]).await.unwrap(), Delivered::Confirmed);
        assert_eq!(fs::read(directory.path().join("site.pem.ocsp")).unwrap(), staple.response()[..]);
    }
    assert_eq!(World::listing(directory.path()), ["site.pem", "site.pem.ocsp"], "nothing else is left behind");
}

#[tokio::test]
async fn the_same_staple_is_not_written_again() {
    let example = Example::new(&[24]);
    let (directory, path) = certificate("site.pem");
    let staple = directory.path().join("site.pem.ocsp");
    let sink = FileSink::new();
    sink.deliver(&example.staples[0], &[Site::file(&path)]).await.unwrap();
    let before = fs::metadata(&staple).unwrap().ino();
    sink.deliver(&example.staples[0], &[Site::file(&path)]).await.unwrap();
    FileSink::new().deliver(&example.staples[0], &[Site::file(&path)]).await.unwrap();
    assert_eq!(fs::metadata(&staple).unwrap().ino(), before);
}

#[tokio::test]
async fn it_goes_where_the_server_looks() {
    let example = Example::new(&[24]);
    let (directory, path) = certificate("site.pem");
    let configured = directory.path().join("elsewhere.der");
    let site = Site::file(&path).staple_file(&configured);
    assert_eq!(staple_path(&site), Some(configured.clone()));
    FileSink::new().deliver(&example.staples[0], std::slice::from_ref(&site)).await.unwrap();
    assert_eq!(read_existing(&configured).unwrap().as_deref(), Some(&example.staples[0].response()[..]));
    assert_eq!(World::listing(directory.path()), ["elsewhere.der", "site.pem"]);

    let issuer = IssuerPlace::IssuerFile(directory.path().join("site.pem.issuer"));
    let site = Site::file(&path).issuer(issuer);
    FileSink::new().deliver(&example.staples[0], &[site]).await.unwrap();
    assert!(directory.path().join("site.pem.ocsp").exists());
}

#[tokio::test]
async fn a_new_file_is_like_its_certificate_and_no_wider() {
    let example = Example::new(&[24]);
    for (of_certificate, expected) in
        [(0o600, 0o600), (0o640, 0o640), (0o644, 0o644), (0o664, 0o644), (0o777, 0o644), (0o400, 0o400)]
    {
        let (directory, path) = certificate("site.pem");
        fs::set_permissions(&path, Permissions::from_mode(of_certificate)).unwrap();
        FileSink::new().deliver(&example.staples[0], &[Site::file(&path)]).await.unwrap();
        assert_eq!(mode(&directory.path().join("site.pem.ocsp")), expected, "{of_certificate:o}");
    }
}

#[tokio::test]
async fn mode_and_owner_of_the_file_before_are_kept() {
    let example = Example::new(&[24]);
    let (directory, path) = certificate("site.pem");
    let staple = directory.path().join("site.pem.ocsp");
    fs::write(&staple, "").unwrap();
    fs::set_permissions(&staple, Permissions::from_mode(0o4775)).unwrap();
    // Only root may change the owner of a file.
    let is_root = chown(&staple, Some(12_345), Some(23_456)).is_ok();
    if !is_root {
        skip("only root may give files away");
    }
    FileSink::new().deliver(&example.staples[0], &[Site::file(&path)]).await.unwrap();
    assert_eq!(mode(&staple), 0o664, "nothing executable");
    if is_root {
        let metadata = fs::metadata(&staple).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (12_345, 23_456));
    }
}

#[tokio::test]
async fn owner_and_group_of_a_new_file_are_the_certificates() {
    let example = Example::new(&[24]);
    let (directory, path) = certificate("site.pem");
    if chown(&path, Some(12_345), Some(23_456)).is_err() {
        return skip("only root may give files away");
    }
    FileSink::new().deliver(&example.staples[0], &[Site::file(&path)]).await.unwrap();
    let metadata = fs::metadata(directory.path().join("site.pem.ocsp")).unwrap();
    assert_eq!((metadata.uid(), metadata.gid()), (12_345, 23_456));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_never_sees_a_part() {
    let example = Example::new(&[24, 48]);
    let (directory, path) = certificate("site.pem");
    let sink = FileSink::new();
    let sites = [Site::file(&path)];
    sink.deliver(&example.staples[0], &sites).await.unwrap();
    let staple = directory.path().join("site.pem.ocsp");
    let whole: Vec<Vec<u8>> = example.staples.iter().map(|staple| staple.response().to_vec()).collect();
    let stop = std::sync::Arc::new(AtomicBool::new(false));
    let reader = std::thread::spawn({
        let stop = stop.clone();
        move || {
            let mut reads = 0;
            while !stop.load(Ordering::Relaxed) || reads == 0 {
                let bytes = fs::read(&staple).unwrap();
                assert!(whole.contains(&bytes), "{} bytes", bytes.len());
                reads += 1;
            }
        }
    });
    for round in 0..200 {
        sink.deliver(&example.staples[round % 2], &sites).await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    reader.join().unwrap();
}

#[tokio::test]
async fn a_symbolic_link_is_replaced_and_its_target_left_alone() {
    let example = Example::new(&[24]);
    let (directory, path) = certificate("site.pem");
    let target = directory.path().join("precious");
    fs::write(&target, "precious").unwrap();
    fs::set_permissions(&target, Permissions::from_mode(0o666)).unwrap();
    let staple = directory.path().join("site.pem.ocsp");
    symlink("precious", &staple).unwrap();
    FileSink::new().deliver(&example.staples[0], &[Site::file(&path)]).await.unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"precious");
    assert!(!staple.is_symlink());
    assert_eq!(fs::read(&staple).unwrap(), example.staples[0].response()[..]);

    // A link to the same contents counts as well.
    fs::rename(&staple, directory.path().join("copy")).unwrap();
    symlink("copy", &staple).unwrap();
    FileSink::new().deliver(&example.staples[0], &[Site::file(&path)]).await.unwrap();
    assert!(!staple.is_symlink());
}

#[tokio::test]
async fn what_stands_in_the_way_is_named_with_a_remedy() {
    let example = Example::new(&[24]);
    let deliver =
        async |path: &Path| unreachable(FileSink::new().deliver(&example.staples[0], &[Site::file(path)]).await);

    let (directory, path) = certificate("site.pem");
    let (code, what) = deliver(&directory.path().join("missing/site.pem")).await;
    assert_eq!(code, "directory_missing");
    assert!(what.contains("missing/site.pem.ocsp") && what.contains("create"), "{what}");

    assert_eq!(deliver(&path.join("site.pem")).await.0, "directory_missing");

    // No user, not even root, can create files there.
    let (code, what) = deliver(Path::new("/proc/self/site.pem")).await;
    assert!(["directory_missing", "no_permission", "unwritable"].contains(&code), "{code}: {what}");

    fs::create_dir(directory.path().join("site.pem.ocsp")).unwrap();
    assert_eq!(deliver(&path).await.0, "unwritable");
    assert_eq!(World::listing(directory.path()), ["site.pem", "site.pem.ocsp"], "no half-written file is left");
}

#[tokio::test]
async fn one_site_that_fails_does_not_keep_the_others_from_theirs() {
    let example = Example::new(&[24]);
    let (directory, path) = certificate("site.pem");
    let sites = [Site::file("/nonexistent/site.pem"), Site::file(&path)];
    let (code, _) = unreachable(FileSink::new().deliver(&example.staples[0], &sites).await);
    assert_eq!(code, "directory_missing");
    assert!(directory.path().join("site.pem.ocsp").exists());
}

#[tokio::test]
async fn a_full_disk_leaves_the_staple_before_as_it_was() {
    let Some(private) = Private::find() else { return };
    if !private.is_inside("a_full_disk_leaves_the_staple_before_as_it_was") {
        return;
    }
    let (example, mounted) = (Example::new(&[24, 48]), TempDir::new().unwrap());
    let directory = mounted.path();
    private.mount(directory, 16);
    fs::write(directory.join("site.pem"), "certificate").unwrap();
    let sink = FileSink::new();
    let sites = [Site::file(directory.join("site.pem"))];
    sink.deliver(&example.staples[0], &sites).await.unwrap();
    while fs::write(directory.join("filler"), vec![0; 16 * 1024]).is_ok() {}
    let (code, what) = unreachable(sink.deliver(&example.staples[1], &sites).await);
    assert_eq!(code, "disk_full", "{what}");
    assert_eq!(fs::read(directory.join("site.pem.ocsp")).unwrap(), example.staples[0].response()[..]);
    assert_eq!(World::listing(directory), ["filler", "site.pem", "site.pem.ocsp"]);
    fs::remove_file(directory.join("filler")).unwrap();
    assert_eq!(sink.deliver(&example.staples[1], &sites).await.unwrap(), Delivered::Confirmed);
}

#[tokio::test]
async fn a_read_only_file_system_is_named() {
    let Some(private) = Private::find() else { return };
    if !private.is_inside("a_read_only_file_system_is_named") {
        return;
    }
    let (example, mounted) = (Example::new(&[24]), TempDir::new().unwrap());
    private.mount(mounted.path(), 16);
    private.remount_here(mounted.path(), "ro");
    let site = Site::file(mounted.path().join("site.pem"));
    assert_eq!(unreachable(FileSink::new().deliver(&example.staples[0], &[site]).await).0, "read_only");
}

#[tokio::test]
async fn without_an_issuer_nothing_is_written_beside_the_certificate() {
    let example = Example::new(&[24]);
    let (directory, path) = certificate("site.pem");
    let lonely = Site::file(&path).issuer(IssuerPlace::Elsewhere);
    match FileSink::new().deliver(&example.staples[0], std::slice::from_ref(&lonely)).await.unwrap() {
        Delivered::NotWanted { code, what } => {
            assert_eq!(code.as_str(), "issuer_not_found_by_server");
            assert!(what.contains("site.pem.issuer"), "{what}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(World::listing(directory.path()), ["site.pem"]);

    // With another site that can take the staple, the delivery counts.
    let (_other, path) = certificate("other.pem");
    let both = [lonely, Site::file(&path)];
    assert_eq!(FileSink::new().deliver(&example.staples[0], &both).await.unwrap(), Delivered::Confirmed);
}

#[tokio::test]
async fn a_staple_of_ours_goes_when_the_issuer_does() {
    let example = Example::new(&[24]);
    let (directory, path) = certificate("site.pem");
    let sink = FileSink::new();
    sink.deliver(&example.staples[0], &[Site::file(&path)]).await.unwrap();
    let lonely = Site::file(&path).issuer(IssuerPlace::Elsewhere);
    sink.deliver(&example.staples[0], &[lonely]).await.unwrap();
    assert_eq!(World::listing(directory.path()), ["site.pem"]);
}

/// One server finds the issuer of a certificate. Another server that looks for the staple in the same place does not
/// find the issuer: with the staple, it would not start.
#[tokio::test]
async fn what_one_site_must_not_have_no_other_gets_there() {
    let example = Example::new(&[24]);
    let staple = &example.staples[0];
    let (directory, path) = certificate("site.pem");
    let apart = directory.path().join("apart.ocsp");
    let good = Site::file(&path);
    let lonely = Site::file(&path).served_as("other").issuer(IssuerPlace::Elsewhere);
    let elsewhere = Site::file(&path).served_as("third").staple_file(apart);
    let sink = FileSink::new();
    for sites in [[good.clone(), lonely.clone()], [lonely.clone(), good.clone()]] {
        sink.deliver(staple, std::slice::from_ref(&good)).await.unwrap();
        assert_eq!(World::listing(directory.path()), ["site.pem", "site.pem.ocsp"]);
        match sink.deliver(staple, &sites).await.unwrap() {
            Delivered::NotWanted { code, .. } => assert_eq!(code.as_str(), "issuer_not_found_by_server"),
            other => panic!("{other:?}"),
        }
        assert_eq!(World::listing(directory.path()), ["site.pem"]);
    }
    let delivered = sink.deliver(staple, &[good, lonely, elsewhere]).await.unwrap();
    assert_eq!(delivered, Delivered::Confirmed);
    assert_eq!(World::listing(directory.path()), ["apart.ocsp", "site.pem"]);
}

#[tokio::test]
async fn certificates_in_memory_have_no_place() {
    let example = Example::new(&[24]);
    let site = Site::named("in memory");
    assert_eq!(staple_path(&site), None);
    let delivered = FileSink::new().deliver(&example.staples[0], &[site]).await.unwrap();
    assert!(matches!(delivered, Delivered::NotWanted { code, .. } if code.as_str() == "no_file"));
}

#[tokio::test]
async fn the_staple_directory_takes_what_may_not_lie_beside() {
    let example = Example::new(&[24]);
    let staples = TempDir::new().unwrap();
    let sink = FileSink::new().staple_dir(staples.path());
    let (one, first) = certificate("site.pem");
    let (_two, second) = certificate("site.pem");
    let (_three, third) = certificate("site.pem");
    let lonely = |path: &Path| Site::file(path).issuer(IssuerPlace::Elsewhere);
    for path in [&first, &second, &third, &second] {
        assert_eq!(sink.deliver(&example.staples[0], &[lonely(path)]).await.unwrap(), Delivered::Confirmed);
    }
    let found = World::listing(staples.path());
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found.contains(&"site.pem.ocsp".to_owned()), "{found:?}");
    assert!(found.iter().all(|name| name.starts_with("site.pem.") && name.ends_with(".ocsp")), "{found:?}");
    assert_eq!(World::listing(one.path()), ["site.pem"]);

    for path in [&first, &second, &third] {
        sink.withdraw(&example.chain, &[lonely(path)], Withdrawal::Retired).await.unwrap();
    }
    assert!(World::listing(staples.path()).is_empty());
}

#[tokio::test]
async fn a_file_that_a_server_needs_to_start_is_emptied_instead() {
    let example = Example::new(&[24]);
    for why in [Withdrawal::Revoked, Withdrawal::Expiring, Withdrawal::Retired] {
        let (directory, path) = certificate("site.pem");
        let named = directory.path().join("named.der");
        let sites = [Site::file(&path).needed_staple_file(&named)];
        let sink = FileSink::new();
        for _ in 0..2 {
            sink.deliver(&example.staples[0], &sites).await.unwrap();
            assert_eq!(fs::read(&named).unwrap(), example.staples[0].response()[..]);
            assert_eq!(sink.withdraw(&example.chain, &sites, why).await.unwrap(), Withdrawn::Confirmed);
            assert_eq!(fs::read(&named).unwrap(), b"", "{why:?}");
        }
        // A withdrawal does not create a missing file.
        fs::remove_file(&named).unwrap();
        assert_eq!(sink.withdraw(&example.chain, &sites, why).await.unwrap(), Withdrawn::Confirmed);
        fs::write(&named, "somebody else's").unwrap();
        assert_eq!(sink.withdraw(&example.chain, &sites, why).await.unwrap(), Withdrawn::Confirmed);
        assert_eq!(fs::read(&named).unwrap(), b"somebody else's");
        assert_eq!(World::listing(directory.path()), ["named.der", "site.pem"]);
    }
}

#[tokio::test]
async fn a_withdrawn_staple_is_removed_if_it_is_ours() {
    let example = Example::new(&[24]);
    for why in [Withdrawal::Revoked, Withdrawal::Expiring, Withdrawal::Retired] {
        let (directory, path) = certificate("site.pem");
        let staple = directory.path().join("site.pem.ocsp");
        let sites = [Site::file(&path)];
        let sink = FileSink::new();
        sink.deliver(&example.staples[0], &sites).await.unwrap();
        assert_eq!(sink.withdraw(&example.chain, &sites, why).await.unwrap(), Withdrawn::Confirmed);
        assert!(!staple.exists(), "{why:?}");
        // A second withdrawal, and one after another program removed the file, have nothing to do.
        assert_eq!(sink.withdraw(&example.chain, &sites, why).await.unwrap(), Withdrawn::Confirmed);

        sink.deliver(&example.staples[0], &sites).await.unwrap();
        fs::write(&staple, "somebody else's").unwrap();
        assert_eq!(sink.withdraw(&example.chain, &sites, why).await.unwrap(), Withdrawn::Confirmed);
        assert!(staple.exists(), "{why:?}");
        // A sink that has written no file removes no file.
        FileSink::new().withdraw(&example.chain, &sites, why).await.unwrap();
        assert!(staple.exists(), "{why:?}");
    }
}

#[tokio::test]
async fn files_are_kept_on_request() {
    let example = Example::new(&[24]);
    let (directory, path) = certificate("site.pem");
    let sink = FileSink::new().withdraw_files(WithdrawFiles::Keep);
    sink.deliver(&example.staples[0], &[Site::file(&path)]).await.unwrap();
    let withdrawn = sink.withdraw(&example.chain, &[Site::file(&path)], Withdrawal::Revoked).await.unwrap();
    assert_eq!(withdrawn, Withdrawn::Unsupported);
    assert!(directory.path().join("site.pem.ocsp").exists());
}

/// A change of a staple's file by another program is reported once, with the new contents.
#[tokio::test]
async fn a_file_that_somebody_else_changed_is_told_of_once() {
    let (folder, path) = certificate("a.pem");
    let sink = FileSink::new().look_interval(Duration::from_millis(20));
    let (example, site) = (Example::new(&[24, 48]), Site::file(&path));
    let (staple, other) = (&example.staples[0], &example.staples[1]);
    let looked = |patience: u64| tokio::time::timeout(Duration::from_millis(patience), sink.lost());
    let changed = |found: Found| Lost::Changed(vec![Change::new(example.chain.subject().clone(), found)]);
    let file = folder.path().join("a.pem.ocsp");
    let far = folder.path().join("elsewhere");
    fs::write(&far, other.response()).unwrap();
    let theirs = || Found::Response(Bytes::from_static(b"theirs"));
    // In one step: the sink may look at any time.
    let new = folder.path().join("new");
    let put = |contents: &[u8]| {
        fs::write(&new, contents).unwrap();
        fs::rename(&new, &file).unwrap();
    };
    let changes: [(&str, &dyn Fn(), Found); 6] = [
        ("removed", &|| fs::remove_file(&file).unwrap(), Found::Withdrawn),
        ("emptied", &|| fs::write(&file, "").unwrap(), Found::Withdrawn),
        ("overwritten", &|| put(b"theirs"), theirs()),
        ("replaced", &|| fs::rename(&far, &file).unwrap(), Found::Response(other.response().clone())),
        ("too large", &|| put(&vec![0; 1 << 20]), Found::Unreadable),
        (
            "a link",
            &|| {
                symlink("a.pem", &new).unwrap();
                fs::rename(&new, &file).unwrap();
            },
            Found::Unreadable,
        ),
    ];
    for (what, change, found) in changes {
        sink.deliver(staple, std::slice::from_ref(&site)).await.unwrap();
        assert!(looked(100).await.is_err(), "{what}: nothing has changed yet");
        change();
        assert_eq!(looked(5000).await.unwrap(), changed(found), "{what}");
        assert!(looked(100).await.is_err(), "{what}: once");
        sink.deliver(staple, std::slice::from_ref(&site)).await.unwrap();
        assert_eq!(fs::read(&file).unwrap(), staple.response()[..], "{what}");
        assert!(fs::symlink_metadata(&file).unwrap().is_file(), "{what}");
    }
    // A write of the same contents is not a change, from any program.
    fs::write(&far, staple.response()).unwrap();
    fs::rename(&far, &file).unwrap();
    assert!(looked(100).await.is_err());
    // A missing directory gives nothing to do.
    drop(folder);
    assert!(looked(100).await.is_err());
}

/// The system reports changes, so that files at rest need no checks.
#[tokio::test]
async fn a_change_is_told_of_without_waiting_for_the_interval() {
    let (folder, path) = certificate("a.pem");
    let sink = FileSink::new().look_interval(Duration::from_secs(3600));
    let (example, site) = (Example::new(&[24]), Site::file(&path));
    for _ in 0..2 {
        sink.deliver(&example.staples[0], std::slice::from_ref(&site)).await.unwrap();
        let lost = tokio::time::timeout(Duration::from_secs(60), sink.lost());
        let change = async {
            // Before the sink watches, or later: it must not matter.
            fs::remove_file(folder.path().join("a.pem.ocsp")).unwrap();
        };
        let (lost, ()) = tokio::join!(lost, change);
        let changes = vec![Change::new(example.chain.subject().clone(), Found::Withdrawn)];
        assert_eq!(lost.unwrap(), Lost::Changed(changes));
    }
}

/// A backup restores a staple that was withdrawn because its certificate is revoked.
#[tokio::test]
async fn a_revoked_certificates_file_does_not_come_back() {
    let (example, (folder, path)) = (Example::new(&[24, 48]), certificate("a.pem"));
    let sink = FileSink::new().look_interval(Duration::from_millis(20));
    let (old, new) = (&example.staples[0], &example.staples[1]);
    sink.deliver(old, &[Site::file(&path)]).await.unwrap();
    sink.withdraw(old.chain(), &[Site::file(&path)], Withdrawal::Revoked).await.unwrap();
    let file = folder.path().join("a.pem.ocsp");
    let look = async || tokio::time::timeout(Duration::from_millis(200), sink.lost()).await.is_err();
    for brought in [old, new] {
        assert!(!file.exists());
        fs::write(&file, brought.response()).unwrap();
        assert!(look().await, "nothing is missed");
    }
    assert!(!file.exists());
    // A response about another certificate is not touched, and a hold on a certificate may end.
    fs::write(&file, "theirs").unwrap();
    assert!(look().await && file.exists());
    sink.deliver(new, &[Site::file(&path)]).await.unwrap();
    assert!(look().await);
    assert_eq!(fs::read(&file).unwrap(), new.response()[..]);
}

#[tokio::test]
async fn stale_half_written_files_are_swept_up() {
    let example = Example::new(&[24]);
    let (directory, path) = certificate("site.pem");
    let old = SystemTime::now() - Duration::from_secs(180);
    for (name, is_old) in [
        (".site.pem.ocsp.a1b2c3.tmp", true),
        (".other.pem.ocsp.d4e5f6.tmp", true),
        (".site.pem.ocsp.young1.tmp", false),
        (".editor.tmp", true),
        ("site.pem.ocsp.tmp", true),
    ] {
        let file = fs::File::create(directory.path().join(name)).unwrap();
        if is_old {
            file.set_modified(old).unwrap();
        }
    }
    FileSink::new().deliver(&example.staples[0], &[Site::file(&path)]).await.unwrap();
    assert_eq!(
        World::listing(directory.path()),
        [".editor.tmp", ".site.pem.ocsp.young1.tmp", "site.pem", "site.pem.ocsp", "site.pem.ocsp.tmp"]
    );
}

#[tokio::test]
async fn many_deliveries_at_once() {
    let example = Example::new(&[24]);
    let directory = TempDir::new().unwrap();
    let sink = FileSink::new();
    let deliveries = (0..64).map(|number| {
        let (sink, staple) = (sink.clone(), example.staples[0].clone());
        let path = directory.path().join(format!("{number}.pem"));
        fs::write(&path, "certificate").unwrap();
        tokio::spawn(async move { sink.deliver(&staple, &[Site::file(path)]).await })
    });
    for delivery in deliveries.collect::<Vec<_>>() {
        assert_eq!(delivery.await.unwrap().unwrap(), Delivered::Confirmed);
    }
    assert_eq!(World::listing(directory.path()).len(), 128);
}

#[test]
fn reading_back_is_bounded_and_opens_files_only() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("x.ocsp");
    assert_eq!(read_existing(&path).unwrap(), None);
    fs::write(&path, vec![1; Staple::MAX_RECEIVED]).unwrap();
    assert_eq!(read_existing(&path).unwrap().map(|bytes| bytes.len()), Some(Staple::MAX_RECEIVED));
    fs::write(&path, vec![1; Staple::MAX_RECEIVED + 1]).unwrap();
    assert!(read_existing(&path).is_err());
    assert!(read_existing(directory.path()).is_err());
    assert!(read_existing(Path::new("/dev/zero")).is_err());
    let fifo = directory.path().join("fifo.ocsp");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    assert!(read_existing(&fifo).is_err());
}

/// Responses that a former certificate or a former process left, whichever program wrote them; nothing else.
#[tokio::test]
async fn a_response_that_was_left_behind_is_removed() {
    let (example, other) = (Example::new(&[24]), Example::new(&[24]));
    let staple = &example.staples[0];
    let (directory, path) = certificate("site.pem");
    let file = directory.path().join("site.pem.ocsp");
    let (now, after) = (staple.this_update(), staple.expires());
    let site = || Site::file(&path);
    let foreign = other.staples[0].response();
    for (case, contents, sink, site, at, is_removed) in [
        ("good", &staple.response()[..], FileSink::new(), site(), now, false),
        ("ended", &staple.response()[..], FileSink::new(), site(), after, true),
        ("another certificate's", &foreign[..], FileSink::new(), site(), now, true),
        ("a responder's error", &[0x30, 3, 0x0a, 1, 3][..], FileSink::new(), site(), now, true),
        ("no response", b"a note", FileSink::new(), site(), now, false),
        ("empty", b"", FileSink::new(), site(), now, false),
        ("needed", &foreign[..], FileSink::new(), site().needed_staple_file(&file), now, false),
        ("kept on request", &foreign[..], FileSink::new().withdraw_files(WithdrawFiles::Keep), site(), now, false),
        ("the server finds no issuer", &foreign[..], FileSink::new(), site().issuer(IssuerPlace::Elsewhere), now, true),
    ] {
        fs::write(&file, contents).unwrap();
        sink.clear_leftover(&example.chain, &[site], at).await;
        assert_eq!(!file.exists(), is_removed, "{case}");
    }
    let target = directory.path().join("target");
    fs::write(&target, foreign).unwrap();
    let _ = fs::remove_file(&file);
    symlink(&target, &file).unwrap();
    FileSink::new().clear_leftover(&example.chain, &[site()], now).await;
    assert!(file.exists() && target.exists(), "a link stays");
}

/// A directory that another user may rename can be replaced by a link to a directory of somebody else at any moment.
#[test]
fn a_directory_that_is_swapped_in_gets_nothing() {
    let example = Example::new(&[24, 48]);
    let around = TempDir::new().unwrap();
    let at = |name: &str| around.path().join(name);
    for (swapped, is_link) in [("link", true), ("other", false)] {
        let victim = at(&format!("victim-{swapped}"));
        fs::create_dir(&victim).unwrap();
        fs::create_dir_all(at("certs")).unwrap();
        fs::write(at("certs/site.pem"), "certificate").unwrap();
        match is_link {
            true => symlink(&victim, at(swapped)).unwrap(),
            false => fs::rename(&victim, at(swapped)).unwrap(),
        }
        let sink = FileSink::new();
        let is_over = AtomicBool::new(false);
        let written = std::thread::scope(|scope| {
            let swapping = scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    use rustix::fs::{CWD, RenameFlags, renameat_with};
                    renameat_with(CWD, at("certs"), CWD, at(swapped), RenameFlags::EXCHANGE).unwrap();
                }
            });
            let delivering = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                let deliver = |number: &usize| {
                    let site = Site::file(at("certs/site.pem"));
                    runtime.block_on(sink.deliver(&example.staples[number % 2], &[site])).is_ok()
                };
                (0..400).filter(deliver).count()
            });
            let written = delivering.join();
            is_over.store(true, Ordering::Relaxed);
            swapping.join().unwrap();
            written.unwrap()
        });
        assert!((1..400).contains(&written), "{written}");
        for directory in [at("certs"), at(swapped)] {
            let listing = World::listing(&directory);
            let is_own = listing.contains(&"site.pem".to_owned());
            assert!(
                is_own && listing == ["site.pem", "site.pem.ocsp"] || listing.is_empty(),
                "{directory:?}: {listing:?}"
            );
        }
        let _ = fs::remove_dir_all(at("certs"));
        let _ = fs::remove_file(at("certs"));
    }
}

/// A file that was renewed holds another certificate than that of the staple.
#[tokio::test]
async fn nothing_is_written_beside_another_certificate() {
    let example = Example::new(&[24]);
    let (directory, path) = certificate("site.pem");
    let sink = FileSink::new();
    let own = example.staples[0].chain().end_entity();
    let other = stapled_ca::Authority::root("Other").create().unwrap();
    let other = other.issue(&stapled_ca::Profile::server("other.test")).unwrap().certificate_pem();
    fs::write(&path, &other).unwrap();
    let (_, what) = unreachable(sink.deliver(&example.staples[0], &[Site::file(&path)]).await);
    assert!(what.contains("another certificate is beside it"), "{what}");
    fs::remove_file(&path).unwrap();
    let (_, what) = unreachable(sink.deliver(&example.staples[0], &[Site::file(&path)]).await);
    assert!(what.contains("its certificate is not beside it"), "{what}");
    assert_eq!(World::listing(directory.path()), [""; 0]);
    fs::write(&path, other + &own.to_pem()).unwrap();
    sink.deliver(&example.staples[0], &[Site::file(&path)]).await.unwrap();
}
