//! Exim, which reads the file for each connection.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use stapled_tests::{free_port, wait_for};

use crate::journey::{HOST, Server, journey, world};
use crate::world::World;

/// Writes a configuration with this value of `tls_ocsp_file`, and returns the server.
fn exim<'w>(world: &'w World, file: &str) -> Server<'w> {
    let port = free_port();
    let spool = world.path("spool");
    fs::create_dir(&spool).unwrap();
    fs::set_permissions(&spool, Permissions::from_mode(0o777)).unwrap();
    let text = format!(
        "primary_hostname = {HOST}\nspool_directory = {1}\nlog_file_path = {1}/%slog\npid_file_path = {1}/pid\n\
         local_interfaces = 127.0.0.1\ndaemon_smtp_ports = {port}\ntls_on_connect_ports = {port}\ntls_advertise_hosts = *\n\
         tls_certificate = {0}\ntls_privatekey = {0}\ntls_ocsp_file = {file}\nacl_smtp_connect = accept\nkeep_environment =\n",
        world.path("certs/a.pem").display(),
        spool.display(),
    );
    fs::write(world.path("exim.conf"), text).unwrap();
    Server::new(world, port, || {
        let mut command = Command::new("exim4");
        command.arg("-bdf").arg("-C").arg(world.path("exim.conf"));
        command
    })
}

#[test]
fn exim_with_a_file_that_may_be_missing() {
    let (world, issued) = world();
    let staple = world.staple("a.pem");
    let mut server = exim(&world, &format!("${{if exists{{{0}}}{{{0}}}{{}}}}", staple.display()));
    journey("exim", &mut server, &issued, "[[server]]\nlayout = \"exim\"\n");
}

/// Why the document has a condition: without it, clients get no connection.
#[test]
fn exim_ends_connections_while_a_named_file_is_missing() {
    let (world, _) = world();
    let mut server = exim(&world, &world.staple("a.pem").display().to_string());
    server.start();
    assert_eq!(server.seen(), "no connection");
    assert_eq!(world.one_off(&[]).code, 0);
    server.stop();
    server.start();
    wait_for("a staple", || server.staple().ok().flatten());
}
