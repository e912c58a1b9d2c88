//! H2O, whose command for responses prints the file.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use stapled_tests::free_port;

use crate::journey::{HOST, Server, journey, world};

/// The command of the document: nothing on its output is no staple.
const COMMAND: &str = "#!/bin/sh\n[ ! -e \"$1.ocsp\" ] || exec cat \"$1.ocsp\"\n";

#[test]
fn h2o_with_a_command_that_prints_the_file() {
    let (world, issued) = world();
    let port = free_port();
    let (certificate, command) = (world.path("certs/a.pem"), world.path("staple"));
    fs::write(&command, COMMAND).unwrap();
    fs::set_permissions(&command, Permissions::from_mode(0o755)).unwrap();
    let user = if rustix::process::geteuid().is_root() { "user: root\n" } else { "" };
    let text = format!(
        "hosts:\n  \"{HOST}:{port}\":\n    listen:\n      host: 127.0.0.1\n      port: {port}\n      ssl:\n        \
         certificate-file: {0}\n        key-file: {0}\n        ocsp-update-cmd: {1}\n        ocsp-update-interval: 1\n    \
         paths:\n      /:\n        file.dir: {2}\n{user}num-threads: 1\n",
        certificate.display(),
        command.display(),
        world.path("home").display(),
    );
    fs::write(world.path("h2o.conf"), text).unwrap();
    let mut server = Server::new(&world, port, || {
        let mut command = Command::new("h2o");
        command.arg("-m").arg("worker").arg("-c").arg(world.path("h2o.conf"));
        command
    });
    journey("h2o", &mut server, &issued, "[[server]]\nlayout = \"h2o\"\n");
}
