//! nginx, with the line that includes what stapled writes, and with the name of the file itself.

use std::fs;
use std::process::Command;

use stapled_tests::free_port;

use crate::journey::{HOST, Server, journey, world};
use crate::world::World;

/// Writes a configuration with this line in its server, and returns the port and the command line.
pub(crate) fn configured(world: &World, line: &str) -> (u16, Vec<String>) {
    let port = free_port();
    let certificate = world.path("certs/a.pem").display().to_string();
    let text = format!(
        "daemon off; pid nginx.pid; error_log error.log notice; events {{}}\n\
         http {{ access_log off; client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; \
         scgi_temp_path t5;\nserver {{ listen 127.0.0.1:{port} ssl; server_name {HOST}; ssl_certificate {certificate}; \
         ssl_certificate_key {certificate}; {line} return 204; }} }}\n"
    );
    fs::write(world.path("nginx.conf"), text).unwrap();
    let path = |name: &str| world.path(name).display().to_string();
    (port, ["nginx", "-p", &path(""), "-e", "error.log", "-c", &path("nginx.conf")].map(str::to_owned).to_vec())
}

/// The command line that starts this nginx.
pub(crate) fn start(line: &[String]) -> Command {
    let mut command = Command::new(&line[0]);
    command.args(&line[1..]);
    command
}

fn table(layout: &str, line: &[String]) -> String {
    format!("[[server]]\nlayout = \"{layout}\"\nreload = \"{} -s reload\"\nreload-pause = 1\n", line.join(" "))
}

#[test]
fn nginx_with_an_included_file() {
    let (world, issued) = world();
    let include = format!("include {}.stapling*.conf;", world.path("certs/a.pem").display());
    let (port, line) = configured(&world, &include);
    let mut server = Server::new(&world, port, || start(&line));
    journey("nginx", &mut server, &issued, &table("nginx", &line));
}

#[test]
fn nginx_with_the_name_of_the_file() {
    let (world, issued) = world();
    let named = format!("ssl_stapling on; ssl_stapling_file {}.ocsp;", world.path("certs/a.pem").display());
    let (port, line) = configured(&world, &named);
    let mut server = Server::new(&world, port, || start(&line));
    journey("nginx-file", &mut server, &issued, &table("nginx-file", &line));
}
