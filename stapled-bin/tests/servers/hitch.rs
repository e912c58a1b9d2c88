//! Hitch, with its directory of staples.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use stapled_ca::{Issued, Profile};
use stapled_tests::{free_port, wait_for};

use crate::journey::{HOST, Server, daemon, journey, world};
use crate::world::World;

/// Writes a configuration for these files, and returns the port.
fn configured(world: &World, files: &[&str]) -> u16 {
    let port = free_port();
    let directory = world.path("staples");
    fs::create_dir(&directory).unwrap();
    fs::set_permissions(&directory, Permissions::from_mode(0o755)).unwrap();
    let certificates: String =
        files.iter().map(|file| format!("pem-file = \"{}\"\n", world.path("certs").join(file).display())).collect();
    let user = if rustix::process::geteuid().is_root() { "user = \"nobody\"\n" } else { "" };
    let text = format!(
        "frontend = \"[127.0.0.1]:{port}\"\nbackend = \"[127.0.0.1]:9\"\n{certificates}ocsp-dir = \"{}\"\n{user}workers = 1\n",
        directory.display()
    );
    fs::write(world.path("hitch.conf"), text).unwrap();
    port
}

/// A command that asks the test to restart the server, and waits until that is done.
fn restart(world: &World) -> String {
    let file = world.path("restart");
    format!("sh -c 'touch {0}; while [ -e {0} ]; do sleep 0.05; done'", file.display())
}

fn hitch(world: &World) -> Command {
    let mut command = Command::new("hitch");
    command.arg(format!("--config={}", world.path("hitch.conf").display()));
    command
}

fn table(world: &World, reload: &str) -> String {
    let directory = world.path("staples");
    format!(
        "[[server]]\nlayout = \"hitch\"\ndirectory = \"{}\"\nreload = \"{reload}\"\nreload-pause = 1\n",
        directory.display()
    )
}

/// Has the certificate name a responder that nothing answers for, and returns the settings with which stapled asks the lab: Hitch
/// asks the CA as well, and what a client gets is to be from stapled.
fn unanswered(world: &World) -> (Issued, String) {
    let dead = format!("http://127.0.0.1:{}/", free_port());
    let issued = world.issue("a.pem", &Profile::server(HOST).ocsp_url(&dead));
    (issued, format!("responder = [\"{dead}={}\"]\n", world.lab.url()))
}

#[test]
fn hitch_with_its_directory() {
    let (world, _) = world();
    let (issued, responder) = unanswered(&world);
    let port = configured(&world, &["a.pem"]);
    let mut server = Server::new(&world, port, || hitch(&world));
    journey("hitch", &mut server, &issued, &format!("{responder}{}", table(&world, &restart(&world))));
}

/// Why the document says `restart`, and not `reload`.
#[test]
fn hitch_forgets_new_staples_at_a_reload_of_its_own() {
    let (world, _) = world();
    let (_, responder) = unanswered(&world);
    let port = configured(&world, &["a.pem"]);
    let mut server = Server::new(&world, port, || hitch(&world));
    server.start();
    let _stapled = daemon(&world, &format!("{responder}{}", table(&world, "true")));
    let staple = wait_for("a staple", || server.staple().ok().flatten());
    server.signal("HUP");
    wait_for("a worker without the staple", || server.staple().ok().filter(Option::is_none));
    // After a restart it is there.
    server.stop();
    server.start();
    assert_eq!(server.staple().unwrap(), Some(staple));
}
