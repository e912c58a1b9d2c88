//! `--reload-command`: a server that reads files gets new staples. The real nginx, seen by a client.

use std::fs;
use std::process::Command;

use stapled_tests::{handshake, wait_for};

use crate::world::{PATIENCE, Running, World, until};

/// The command line of an nginx for `certs/a.pem` with its staple file, which listens on `tls.sock`.
fn nginx(world: &World) -> Vec<String> {
    let path = |name: &str| world.path(name).display().to_string();
    let configuration = format!(
        "daemon off; pid nginx.pid; error_log error.log notice; events {{}}\n\
         http {{ access_log off; client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; \
         scgi_temp_path t5;\nserver {{ listen unix:{socket} ssl; server_name a.example; ssl_certificate {certificate}; \
         ssl_certificate_key {certificate}; ssl_stapling on; ssl_stapling_file {certificate}.ocsp; return 204; }} }}\n",
        socket = path("tls.sock"),
        certificate = path("certs/a.pem"),
    );
    fs::write(world.path("nginx.conf"), configuration).unwrap();
    let on_path = Command::new("nginx").arg("-v").output().is_ok();
    let nginx = if on_path { "nginx" } else { "/usr/sbin/nginx" };
    [nginx, "-p", &path(""), "-e", "error.log", "-c", &path("nginx.conf")].map(str::to_owned).to_vec()
}

#[test]
fn a_client_of_nginx_gets_each_new_staple() {
    let world = World::new();
    world.issue("a.pem", &world.profile("a.example"));
    // nginx does not start without the file.
    assert_eq!(world.one_off(&[]).code, 0);
    let line = nginx(&world);
    let (program, arguments) = line.split_first().unwrap();
    let mut command = Command::new(program);
    command.args(arguments);
    let mut server = Running::start(command);
    let error_log = || fs::read_to_string(world.path("error.log")).unwrap_or_default();
    let client = || handshake(&world.path("tls.sock"), "a.example").ok().and_then(|handshake| handshake.staple);
    let first = wait_for("the first staple", || {
        assert!(server.is_running(), "{}", error_log());
        client()
    });
    assert_eq!(first, fs::read(world.staple("a.pem")).unwrap());
    let reload = format!("{} -s reload", line.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "));
    let arguments = ["--cert-paths", "certs", "--reload-command", &reload, "--reload-pause", "1s"];
    let mut command = world.command(&arguments);
    command.env("PATH", std::env::var_os("PATH").unwrap());
    let running = Running::start(command);
    assert!(until(PATIENCE, || world.run(&["status"]).code == 0), "{}", running.words());
    let mut before = first;
    for _ in 0..2 {
        assert_eq!(world.run(&["renew", "--wait", "--", "a.example"]).code, 0);
        let new = fs::read(world.staple("a.pem")).unwrap();
        assert_ne!(new, before);
        // Workers from before the reload still accept connections for a moment.
        wait_for("the new staple", || client().filter(|staple| *staple == new));
        before = new;
    }
    assert!(running.said("event=reload_done"), "{}", running.words());
    running.signal("TERM");
    assert_eq!(running.end(PATIENCE).code, 0);
    let count = error_log().lines().filter(|line| line.contains("(SIGHUP) received")).count();
    assert!((2..=4).contains(&count), "one for each renewal, and one at the start: {count}");
}

#[test]
fn many_staples_are_one_run_and_a_failure_is_an_event() {
    let world = World::new();
    for number in 0..100 {
        world.issue(&format!("{number}.pem"), &world.profile(&format!("{number}.example")));
    }
    let (runs, hooked) = (world.path("runs"), world.path("hooked"));
    let hook = format!("printf '#!/bin/sh\\necho $STAPLED_EVENT >>{}\\n' >hook; chmod 755 hook", hooked.display());
    assert!(Command::new("/bin/sh").args(["-c", &hook]).current_dir(world.path("")).status().unwrap().success());
    let all_there = "for i in 0 10 99; do [ -s certs/$i.pem.ocsp ] || exit 9; done";
    let command = format!("/bin/sh -c 'cd {} && {all_there}; echo run >>{}'", world.path("").display(), runs.display());
    let ended = world.one_off(&["--reload-command", &command, "--hook", "hook"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let count = fs::read_to_string(&runs).unwrap().lines().count();
    assert!(count <= 3, "{count} runs");
    // A command that fails: an event for log and hook, and no success of the pass.
    let failing = "/bin/sh -c 'echo no >&2; exit 3'";
    let ended = world.one_off(&["--no-recycle", "--reload-command", failing, "--hook", "hook", "--reload-pause", "1s"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    let said = ended.err.lines().find(|line| line.contains("event=reload_failed")).unwrap_or_default();
    assert!(said.contains("exit status: 3") && said.contains("no") && said.contains("tried again in"), "{ended:?}");
    assert!(fs::read_to_string(&hooked).unwrap().contains("reload_failed"));
}

#[test]
fn commands_that_cannot_run_are_refused_at_the_start() {
    let world = World::new();
    for (arguments, words) in [
        (
            &["--reload-command", "no-such-program -s reload"][..],
            "--reload-command: no-such-program: not an executable file",
        ),
        (&["--reload-command", "'/bin/true"], "--reload-command: a quotation mark without its end"),
        (&["--reload-command", " "], "--reload-command: no program"),
        (&["--reload-command", "/bin/true", "-s", "/a", "--no-staple-files"], "--reload-command: it tells servers of"),
        (&["--reload-pause", "1m"], "--reload-pause: belongs to reload-command"),
    ] {
        let ended = world.run(&[&["--cert-paths", "certs"], arguments].concat());
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.err.contains(words), "{ended:?}");
    }
}
