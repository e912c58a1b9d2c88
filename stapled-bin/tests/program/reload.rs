//! SIGHUP: a changed configuration takes effect without requests to the CA; a wrong one is refused, and nothing is lost.

use std::fs::{self, File};
use std::io::Write;
use std::process::Command;

use crate::manager::Manager;
use crate::world::{PATIENCE, Running, World, contents, until};

fn start(world: &World, text: &str) -> Running {
    fs::write(world.path("x.conf"), text).unwrap();
    Running::start(world.command(&["--config", "x.conf", "--verbosity", "3"]))
}

fn reload(world: &World, running: &Running, text: &str, event: &str) {
    let count = |running: &Running| running.words().matches(event).count();
    let before = count(running);
    fs::write(world.path("x.conf"), text).unwrap();
    running.signal("HUP");
    assert!(until(PATIENCE, || count(running) > before), "{event}\n{}", running.words());
}

fn end(running: Running) -> String {
    running.signal("TERM");
    let ended = running.end(PATIENCE);
    assert_eq!(ended.code, 0, "{ended:?}");
    ended.err
}

#[test]
fn a_changed_configuration_takes_effect_without_requests_to_the_ca() {
    let world = World::new();
    fs::create_dir(world.path("more")).unwrap();
    for name in ["a", "b"] {
        world.issue(&format!("{name}.pem"), &world.profile(&format!("{name}.example")));
    }
    let other = world.ca.issue(&world.profile("c.example")).unwrap();
    other.write_bundle(&world.path("more/c.pem")).unwrap();
    // No file holds a staple: the inventory is handed on in memory.
    let running = start(&world, "cert-paths = \"certs\"\nno-recycle = true\n");
    assert!(until(PATIENCE, || world.staple("a.pem").exists() && world.staple("b.pem").exists()));
    assert_eq!(world.lab.requests().len(), 2);
    reload(&world, &running, "cert-paths = [\"certs\", \"more\"]\nno-recycle = true\n", "event=reloaded");
    assert!(until(PATIENCE, || world.path("more/c.pem.ocsp").exists()), "{}", running.words());
    assert_eq!(world.lab.requests().len(), 3);
    // And back, several times in a row.
    for _ in 0..3 {
        reload(&world, &running, "cert-paths = \"certs\"\nno-recycle = true\n", "event=reloaded");
        let ended = world.run(&["status", "--config", "x.conf"]);
        assert!(ended.code != 4, "{ended:?}");
    }
    assert!(until(PATIENCE, || world.run(&["status"]).code == 0));
    assert_eq!(world.lab.requests().len(), 3);
    let ended = world.run(&["status", "--json"]);
    assert_eq!(ended.rows_and_last().0.len(), 2, "{ended:?}");
    assert!(world.staple("a.pem").exists() && world.path("more/c.pem.ocsp").exists());
    end(running);
}

/// Opening the FIFO behind the descriptor waits for a writer.
#[test]
fn a_configuration_that_cannot_be_read_does_not_delay_the_end() {
    let world = World::new();
    let fifo = world.path("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let mut writer = File::options().read(true).write(true).open(&fifo).unwrap();
    writer.write_all(b"cert-paths = \"certs\"\nverbosity = 4\n").unwrap();
    let program = world.command(&["--config", "/dev/fd/3"]);
    let mut command = Command::new("sh");
    command.args(["-c", "exec 3<fifo; exec \"$@\"", "sh"]).arg(program.get_program()).args(program.get_args());
    command.current_dir(world.path("")).env_clear().env("HOME", world.path("home"));
    command.env("RUNTIME_DIRECTORY", world.path("")).env("PATH", std::env::var_os("PATH").unwrap());
    let running = Running::start(command);
    assert!(until(PATIENCE, || rustix::io::ioctl_fionread(&writer).unwrap() == 0), "the configuration is read");
    drop(writer);
    assert!(until(PATIENCE, || running.words().contains("event=started")), "{}", running.words());
    running.signal("HUP");
    assert!(until(PATIENCE, || running.words().contains("event=reloading")), "{}", running.words());
    running.signal("TERM");
    let ended = running.end(PATIENCE);
    assert_eq!(ended.code, 0, "{ended:?}");
}

#[test]
fn a_wrong_configuration_is_refused_as_a_whole_with_line_and_reason() {
    let world = World::new();
    fs::create_dir(world.path("more")).unwrap();
    world.issue("a.pem", &world.profile("a.example"));
    let good = "cert-paths = \"certs\"\nrefresh-interval = 1\n";
    let running = start(&world, good);
    assert!(until(PATIENCE, || world.staple("a.pem").exists()));
    for (text, words) in [
        (
            "cert-paths = [\"certs\", \"more\"]\nminimum-validty = 3\n",
            "x.conf:2:1: there is no setting \"minimum-validty\"",
        ),
        ("cert-paths = \"more\"\nhash = \"md5\"\n", "x.conf:2:8: hash: \"sha1\" or \"sha256\" is needed, not \"md5\""),
        ("cert-paths = \"certs\"\nhaproxy-sockets = [\"/a\", \"/b\"]\n", "x.conf:2:1: haproxy-sockets"),
        ("cert-paths = \"more\"\nhook = \"missing\"\n", "x.conf:2:1: hook: "),
        ("", "no paths to certificates"),
        ("cert-paths = \"more\"\nissuer-dir = \"x.conf/issuers\"\n", "x.conf:2:1: issuer-dir: "),
    ] {
        let before = running.words().len();
        reload(&world, &running, text, "event=reload_refused");
        let said = running.words().split_off(before);
        let line = said.lines().find(|line| line.contains("event=reload_refused")).unwrap();
        assert!(
            line.contains("ERROR") && line.contains(words) && line.contains("the old one stays in effect"),
            "{words}\n{said}"
        );
        assert!(!said.contains("event=reloaded"), "{said}");
    }
    fs::remove_file(world.path("x.conf")).unwrap();
    running.signal("HUP");
    assert!(until(PATIENCE, || running.said("there is no configuration file")));
    // The old one is still in effect.
    world.issue("b.pem", &world.profile("b.example"));
    assert!(until(PATIENCE, || world.staple("b.pem").exists()), "{}", running.words());
    reload(&world, &running, good, "event=reloaded");
    assert!(until(PATIENCE, || world.run(&["status"]).code == 0));
    assert_eq!(world.lab.requests().len(), 2);
    end(running);
}

#[test]
fn changes_that_need_a_restart_are_logged() {
    let world = World::new();
    let running = start(&world, "cert-paths = \"certs\"\n");
    assert!(until(PATIENCE, || running.said("event=started")));
    let changed = "cert-paths = \"certs\"\npid-file = \"pid\"\ncontrol-socket = \"x.sock\"\nquiet = true\nhaproxy-socket-keepalive = 3\n";
    reload(&world, &running, changed, "event=reloaded");
    let said = end(running);
    for setting in ["pid-file", "control-socket", "logging", "haproxy-socket-keepalive"] {
        assert!(said.lines().any(|line| line.contains("event=restart_needed") && line.contains(setting)), "{said}");
    }
    assert!(!world.path("pid").exists() && !world.path("x.sock").exists());
}

#[test]
fn relative_paths_keep_their_meaning_in_the_background() {
    let world = World::new();
    world.issue("a.pem", &world.profile("a.example"));
    fs::write(world.path("x.conf"), "").unwrap();
    let arguments = ["--daemon", "-c", "x.conf", "-p", "certs", "--pid-file", "pid", "--logdir", "logs"];
    let ended = world.run(&arguments);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(until(PATIENCE, || world.staple("a.pem").exists()));
    let pid: u32 = fs::read_to_string(world.path("pid")).unwrap().trim().parse().unwrap();
    fs::write(world.path("x.conf"), "recursive = true\n").unwrap();
    fs::create_dir(world.path("certs/deep")).unwrap();
    world.issue("deep/b.pem", &world.profile("b.example"));
    crate::world::signal_to(pid, "HUP");
    let logs = || contents(&world.path("logs"));
    assert!(until(PATIENCE, || world.path("certs/deep/b.pem.ocsp").exists()), "{}", logs());
    assert!(!logs().contains("restart_needed"), "{}", logs());
    crate::world::signal_to(pid, "TERM");
    assert!(until(PATIENCE, || !world.path("pid").exists()), "{}", logs());
}

#[test]
fn a_reload_is_reported_to_systemd() {
    let world = World::new();
    let manager = Manager::at(world.path("notify").to_str().unwrap());
    fs::write(world.path("x.conf"), "cert-paths = \"certs\"").unwrap();
    let mut command = world.command(&["--config", "x.conf"]);
    command.env("NOTIFY_SOCKET", world.path("notify"));
    let running = Running::start(command);
    assert_eq!(manager.told("READY"), "READY=1\n");
    for text in ["cert-paths = \"certs\"\nrecursive = true", "nonsense"] {
        fs::write(world.path("x.conf"), text).unwrap();
        running.signal("HUP");
        let reloading = manager.told("RELOADING");
        let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().trim().parse::<u64>();
        assert!(time.is_ok(), "{reloading}");
        assert_eq!(manager.told("READY"), "READY=1\n", "whether it was taken or refused");
    }
    end(running);
}
