//! Several servers side by side, `--layout`, and the directory for Kubernetes.

use std::fs;
use std::path::Path;

use stapled_tests::wait_for;

use crate::journey::{HOST, daemon, world};
use crate::world::{PATIENCE, until};

/// A command for `reload` that copies a file: who sees the copy sees all of it.
fn copies(from: &Path, to: &Path) -> String {
    format!("sh -c 'cp {from} {to}.new && mv {to}.new {to}'", from = from.display(), to = to.display())
}

/// One server's command hangs and another one's fails, a third one's directory is missing: the fourth one gets everything at once.
#[test]
fn a_server_that_fails_or_hangs_holds_up_no_other() {
    let (world, _) = world();
    for directory in ["hangs", "fails", "well"] {
        fs::create_dir(world.path(directory)).unwrap();
    }
    let server = |name: &str, reload: &str| {
        format!(
            "[[server]]\nname = \"{name}\"\nlayout = \"{{name}}.der\"\ndirectory = \"{name}\"\nreload = \"{reload}\"\n"
        )
    };
    let tables = [
        server("hangs", "sleep 1000"),
        server("fails", "sh -c 'echo no such server >&2; exit 3'"),
        server("missing", "true"),
        server("well", &copies(&world.path("well/a.der"), &world.path("told"))),
    ];
    let stapled = daemon(&world, &tables.concat());
    wait_for("the command of the last one", || world.path("told").exists().then_some(()));
    for directory in ["hangs", "fails", "well"] {
        let staple = world.path(directory).join("a.der");
        wait_for("the staple", || staple.exists().then_some(()));
        assert_eq!(fs::read(staple).unwrap(), fs::read(world.path("told")).unwrap());
    }
    assert!(!world.staple("a.pem").exists(), "nobody asked for it");
    // The log, the state and the hook name the server.
    wait_for("a report", || stapled.said("event=reload_failed").then_some(()));
    assert!(stapled.said("fails: sh -c"), "{}", stapled.words());
    assert!(stapled.said("no such server"), "{}", stapled.words());
    let status = wait_for("the state", || {
        Some(world.run(&["status", "--json"]).out).filter(|out| out.contains("directory_missing"))
    });
    for name in ["hangs", "fails", "missing", "well"] {
        assert!(status.contains(&format!("\"{name}\"")), "{status}");
    }
    let missing = world.path("missing");
    assert!(status.contains(&format!("create {}", missing.display())), "{status}");
    // The directory is made, and the staple is delivered without a restart.
    fs::create_dir(&missing).unwrap();
    assert!(until(PATIENCE, || missing.join("a.der").exists() || world.run(&["renew", "--wait", HOST]).code > 2));
}

#[test]
fn a_reload_of_the_configuration_takes_up_servers() {
    let (world, _) = world();
    fs::create_dir(world.path("new")).unwrap();
    let stapled = daemon(&world, "[[server]]\nlayout = \"{name}.der\"\nname = \"old\"\n");
    wait_for("the first place", || world.path("certs/a.der").exists().then_some(()));
    let text = format!(
        "cert-paths = [\"certs\"]\n[[server]]\nlayout = \"{{name}}.der\"\nname = \"new\"\ndirectory = \"new\"\n\
         reload = \"{}\"\n",
        copies(&world.path("new/a.der"), &world.path("told"))
    );
    fs::write(world.path("stapled.conf"), &text).unwrap();
    stapled.signal("HUP");
    wait_for("the command of the new one", || world.path("told").exists().then_some(()));
    assert_eq!(fs::read(world.path("new/a.der")).unwrap(), fs::read(world.path("certs/a.der")).unwrap());
    // A configuration with an error changes nothing.
    fs::write(world.path("stapled.conf"), format!("{text}[[server]]\nlayout = \"ngnix\"\n")).unwrap();
    stapled.signal("HUP");
    wait_for("the refusal", || stapled.said("event=reload_refused").then_some(()));
    assert!(stapled.said("did you mean \"nginx\"?"), "{}", stapled.words());
}

#[test]
fn a_layout_on_the_command_line_is_one_server() {
    let (world, _) = world();
    fs::create_dir(world.path("out")).unwrap();
    let command = format!("/bin/cp {0}/out/a.der {0}/told", world.path("").display());
    let reload = ["--reload-command", &command];
    assert_eq!(world.one_off(&[&["--layout", "{name}.der", "--staple-dir", "out"], &reload[..]].concat()).code, 0);
    assert_eq!(fs::read(world.path("told")).unwrap(), fs::read(world.path("out/a.der")).unwrap());
    assert!(!world.staple("a.pem").exists());
}

#[test]
fn a_directory_for_kubernetes_has_links_to_all_staples_of_one_state() {
    let (world, _) = world();
    world.issue("b.pem", &world.profile("b.example"));
    fs::create_dir(world.path("out")).unwrap();
    assert_eq!(world.one_off(&["--layout", "kubernetes", "--staple-dir", "out"]).code, 0);
    for name in ["a", "b"] {
        let path = world.path("out").join(format!("{name}.ocsp-staple"));
        assert_eq!(fs::read_link(&path).unwrap().to_str().unwrap(), format!("..data/{name}.ocsp-staple"));
        assert!(!fs::read(&path).unwrap().is_empty());
    }
    // The staples are used again.
    let ended = world.one_off(&["--layout", "kubernetes", "--staple-dir", "out"]);
    assert_eq!((ended.code, world.lab.requests().len()), (0, 2), "{ended:?}");
}
