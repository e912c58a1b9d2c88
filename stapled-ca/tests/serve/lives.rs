//! Sessions from end to end.

use crate::world::{World, eventually, is_certificate, on_each_store};

on_each_store! {
    a_request_becomes_a_certificate
    the_single_steps_do_the_same
    operators_see_and_end_sessions
    a_client_without_its_file_fails_with_a_reason
}

fn a_request_becomes_a_certificate(mut world: World) {
    let output = world.client("a").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let out = String::from_utf8(output.stdout).unwrap();
    let session = out.split(' ').next().unwrap();
    assert_eq!(out, format!("{session} submitted\n{session} certificate in a.crt\n"));
    let serial = world.serial("a.crt");
    assert!(world.status("a.crt").contains("a.crt: good"), "{}", world.status("a.crt"));
    // The challenge's file is gone.
    assert_eq!(std::fs::read_dir(world.path("web/.well-known/acme-challenge")).unwrap().count(), 0);

    // Nothing is forgotten over a restart: the certificate can be fetched, though the client said thanks.
    world.terminate_server();
    world.serve();
    let fetched = world.run(&["fetch", "--server", &world.url(), session, "-o", "again.crt"]);
    assert_eq!(fetched.code, 0, "{fetched:?}");
    assert_eq!(world.serial("again.crt"), serial);

    // A revocation is visible within seconds and after a restart.
    let revoked = world.run(&["revoke", "--dir", "ca", &serial, "--reason", "keyCompromise"]);
    assert_eq!(revoked.code, 0, "{revoked:?}");
    eventually("the revocation is visible", || world.status("a.crt").contains("a.crt: revoked"));
    world.kill_server();
    world.serve();
    assert!(world.status("a.crt").contains("keyCompromise"));
}

fn the_single_steps_do_the_same(world: World) {
    world.request("a.csr");
    let url = world.url();
    let submitted = world.run(&["submit", "--server", &url, "a.csr"]);
    let session = submitted.out.split(' ').next().unwrap();
    let shown = world.run(&["challenges", "--server", &url, session]);
    // An IP address is proved by http-01 or tls-alpn-01.
    let line = shown.out.lines().find(|line| line.contains(" http-01 ")).unwrap_or_else(|| panic!("{shown:?}"));
    let fields: Vec<&str> = line.split(' ').collect();
    let [number, _, name, token, authorization] = fields[..] else { panic!("{line}") };
    assert_eq!(name, "127.0.0.1");

    let early = world.run(&["fetch", "--server", &url, session, "-o", "a.crt"]);
    assert_eq!(early.code, 3, "{early:?}");
    assert!(!world.path("a.crt").exists());

    let folder = world.path("web/.well-known/acme-challenge");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(token), authorization).unwrap();
    let ready = world.run(&["ready", "--server", &url, session, number]);
    assert_eq!(ready.code, 0, "{ready:?}");
    let fetched = world.run(&["fetch", "--server", &url, session, "-o", "a.crt", "--wait", "60"]);
    assert_eq!(fetched.code, 0, "{fetched:?}");
    world.serial("a.crt");
    for _ in 0..2 {
        let thanks = world.run(&["thanks", "--server", &url, session]);
        assert_eq!(thanks.code, 0, "{thanks:?}");
    }
    let again = world.run(&["fetch", "--server", &url, session, "-o", "b.crt"]);
    assert_eq!(again.code, 0, "{again:?}");
}

fn operators_see_and_end_sessions(mut world: World) {
    world.request("a.csr");
    let submitted = world.run(&["submit", "--server", &world.url(), "a.csr"]);
    let session = submitted.out.split(' ').next().unwrap().to_owned();
    eventually("the session is listed", || world.operate(&["sessions", "list"]).out.contains("testchallenge"));
    let listed = world.operate(&["sessions", "list", "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed.out).unwrap();
    assert_eq!((&listed["active"], &listed["sessions"][0]["session"]), (&1.into(), &session.as_str().into()));
    // Tokens are for the client alone.
    let shown = world.operate(&["sessions", "show", &session, "--json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown.out).unwrap();
    assert_eq!(shown["challenges"][0]["token"], "");

    let status = world.operate(&["status"]);
    assert!(status.out.contains("active sessions: 1"), "{status:?}");
    let recovered = world.operate(&["recover", "--dry-run"]);
    assert!(recovered.out.contains("0 sessions without a task would be put"), "{recovered:?}");

    let killed = world.operate(&["sessions", "kill", &session, "--reason", "not wanted"]);
    assert!(killed.out.contains("killed") && killed.out.contains("not wanted"), "{killed:?}");
    let fetched = world.run(&["fetch", "--server", &world.url(), &session, "-o", "a.crt"]);
    assert!(fetched.code == 1 && fetched.error.contains("killed: not wanted"), "{fetched:?}");

    // The same without a running server.
    world.terminate_server();
    let shown = world.operate(&["sessions", "show", &session]);
    assert!(shown.out.contains("killed"), "{shown:?}");
    let unknown = world.operate(&["sessions", "show", &"0".repeat(32)]);
    assert!(unknown.code == 1 && unknown.error.contains("no such session"), "{unknown:?}");
}

fn a_client_without_its_file_fails_with_a_reason(world: World) {
    world.request("a.csr");
    // The web server serves another directory.
    std::fs::create_dir(world.path("elsewhere")).unwrap();
    let ended = world.run(&["submit", "--server", &world.url(), "a.csr", "--webroot", "elsewhere", "-o", "a.crt"]);
    assert!(ended.error.contains("failed: 127.0.0.1: http://127.0.0.1:"), "{ended:?}");
    assert!(ended.error.contains(" answers with status 404"), "{ended:?}");
    assert!(ended.code == 1 && ended.error.contains("/.well-known/acme-challenge/"), "{ended:?}");
    assert!(!is_certificate(&world.path("a.crt")));
}
