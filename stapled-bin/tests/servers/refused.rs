//! Servers that take no staples from files: what they do with a file where others look, and what the configuration says.

use std::fs;
use std::path::Path;
use std::process::Command;

use stapled_ca::Profile;
use stapled_tests::{Ended, Private, Running, free_port};

use crate::journey::{HOST, Server, shipped, world};
use crate::table::row;
use crate::world::{PATIENCE, World};

/// The messages of `stapled` about a server with this layout.
fn refusal(world: &World, layout: &str) -> String {
    let text = format!("cert-paths = [\"certs\"]\n[[server]]\nlayout = \"{layout}\"\n");
    fs::write(world.path("refused.conf"), text).unwrap();
    let ended = world.run(&["--config", "refused.conf", "--check-config"]);
    assert_eq!(ended.code, 2, "{ended:?}");
    ended.err
}

/// A world whose certificate has a staple beside it.
fn stapled() -> World {
    let (world, _) = world();
    assert_eq!(world.one_off(&[]).code, 0);
    world
}

fn output(mut command: Command) -> String {
    let Ended { out, err, .. } = Running::start({
        command.stdin(std::process::Stdio::null());
        command
    })
    .end(PATIENCE);
    out + &err
}

#[test]
fn apache_takes_no_file_and_asks_the_responder_that_it_is_told() {
    let (world, _) = (stapled(), ());
    // Where the certificate's own responder is, nothing answers.
    let port = free_port();
    let modules = shipped("apache2", "usr/lib/apache2/modules");
    let configure = |stapling: &str| {
        let load = ["mpm_event", "ssl", "socache_shmcb", "authz_core"]
            .map(|name| format!("LoadModule {name}_module {}/mod_{name}.so\n", modules.display()));
        let text = format!(
            "ServerRoot {0}\nDefaultRuntimeDir {0}\nPidFile apache.pid\nErrorLog {0}/apache.log\nServerName {HOST}\n\
             Listen 127.0.0.1:{port}\n{1}{stapling}\nSSLEngine on\nSSLCertificateFile {2}\nSSLCertificateKeyFile {2}\n",
            world.path("").display(),
            load.concat(),
            world.path("certs/a.pem").display(),
        );
        fs::write(world.path("apache.conf"), text).unwrap();
    };
    let apache = || {
        let mut command = Command::new("apache2");
        command.arg("-DFOREGROUND").arg("-f").arg(world.path("apache.conf"));
        command
    };
    let dead = format!("http://127.0.0.1:{}/", free_port());
    world.issue("a.pem", &Profile::server(HOST).ocsp_url(&dead));
    assert_eq!(world.one_off(&["--responder", &format!("{dead}={}", world.lab.url())]).code, 0);
    let stapling = "SSLStaplingCache shmcb:stapling(65536)\nSSLUseStapling on\nSSLStaplingReturnResponderErrors off\n";
    configure(stapling);
    let mut server = Server::new(&world, port, apache);
    server.start();
    let mut seen = vec![server.seen()];
    server.stop();
    configure(&format!("{stapling}SSLStaplingForceURL {}\n", world.lab.url()));
    server.start();
    seen.push(server.seen());
    assert_eq!(row("apache"), seen);
    assert!(refusal(&world, "apache").contains("takes no staples from files"));
    // Its directives name no file of a response.
    let mut listing = apache();
    listing.arg("-L");
    let listing = output(listing);
    let about_stapling: Vec<&str> = listing.lines().filter(|line| line.contains("Stapling")).collect();
    assert!(about_stapling.iter().any(|line| line.starts_with("SSLStaplingForceURL")), "{listing}");
    assert!(about_stapling.iter().all(|line| !line.contains("File")), "{about_stapling:?}");
}

#[test]
fn caddy_takes_no_file_and_asks_the_responder_that_it_is_told() {
    let world = stapled();
    let dead = format!("http://127.0.0.1:{}/", free_port());
    world.issue("a.pem", &Profile::server(HOST).ocsp_url(&dead));
    assert_eq!(world.one_off(&["--responder", &format!("{dead}={}", world.lab.url())]).code, 0);
    let port = free_port();
    let certificate = world.path("certs/a.pem").display().to_string();
    let configure = |overrides: &str| {
        let text = format!(
            "{{\"admin\": {{\"disabled\": true}}, \"apps\": {{\"tls\": {{\"certificates\": {{\"load_files\": [{{\"certificate\": \
             \"{certificate}\", \"key\": \"{certificate}\"}}]}}, \"automation\": {{\"policies\": [{{{overrides}}}]}}}}, \
             \"http\": {{\"servers\": {{\"one\": {{\"listen\": [\"127.0.0.1:{port}\"], \"tls_connection_policies\": [{{}}], \
             \"automatic_https\": {{\"disable\": true}}}}}}}}}}}}"
        );
        fs::write(world.path("caddy.json"), text).unwrap();
    };
    let mut server = Server::new(&world, port, || {
        let mut command = Command::new("caddy");
        command.arg("run").arg("--config").arg(world.path("caddy.json"));
        command.env("HOME", world.path("caddy")).env("XDG_DATA_HOME", world.path("caddy"));
        command
    });
    configure("");
    server.start();
    let mut seen = vec![server.seen()];
    server.stop();
    configure(&format!("\"ocsp_overrides\": {{\"{dead}\": \"{}\"}}", world.lab.url()));
    server.start();
    seen.push(server.seen());
    assert_eq!(row("caddy"), seen);
    assert!(refusal(&world, "caddy").contains("takes no staples from files"));
}

#[test]
fn dovecot_does_not_staple() {
    // Dovecot finds its modules only where its package installs them.
    if Private::find().is_none() {
        return;
    }
    let world = stapled();
    let port = free_port();
    let certificate = world.path("certs/a.pem").display().to_string();
    let text = format!(
        "base_dir = {0}run\nstate_dir = {0}run\nlog_path = {0}dovecot.log\nprotocols = imap\nssl = required\n\
         ssl_cert = <{certificate}\nssl_key = <{certificate}\nssl_dh =\ndefault_internal_user = nobody\n\
         default_internal_group = nogroup\ndefault_login_user = nobody\nlisten = 127.0.0.1\nservice anvil {{\n chroot =\n}}\n\
         service stats {{\n chroot =\n}}\nservice imap-login {{\n chroot =\n inet_listener imap {{\n  port = 0\n }}\n \
         inet_listener imaps {{\n  port = {port}\n  ssl = yes\n }}\n}}\n",
        world.path("").display(),
    );
    fs::write(world.path("dovecot.conf"), text).unwrap();
    let root = shipped("dovecot", "usr/lib/dovecot").join("../..").canonicalize().unwrap();
    let installed = match root == Path::new("/usr") {
        true => "true".to_owned(),
        false => format!("mount -t overlay overlay -o lowerdir={}:/usr /usr", root.display()),
    };
    let dovecot = |program: &str| {
        let mut command = Command::new("unshare");
        let line = format!("{installed} && exec {program} -c {}", world.path("dovecot.conf").display());
        command.args(["--mount", "sh", "-c", &line]);
        let libraries = root.join("lib/x86_64-linux-gnu");
        command.env("LD_LIBRARY_PATH", libraries);
        command
    };
    let mut server = Server::new(&world, port, || dovecot("/usr/sbin/dovecot -F"));
    server.start();
    let seen = server.seen();
    server.signal("TERM");
    // None of its settings is about staples.
    let settings = output(dovecot("/usr/bin/doveconf -a"));
    assert!(settings.contains("ssl_cert ="), "{settings}");
    let has_setting = settings.to_lowercase().contains("ocsp") || settings.contains("stapling");
    assert_eq!(row("dovecot"), [seen, if has_setting { "yes" } else { "none" }]);
    assert!(refusal(&world, "dovecot").contains("Dovecot does not staple"));
}

#[test]
fn postfix_does_not_staple() {
    let (world, _) = world();
    let directory = world.path("postfix");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("main.cf"), "").unwrap();
    let mut command = Command::new("postconf");
    command.arg("-c").arg(&directory).arg("-d");
    let settings = output(command);
    assert!(settings.contains("smtpd_tls_chain_files"), "{settings}");
    let names = settings.lines().filter_map(|line| line.split_once(" =")).map(|(name, _)| name);
    let has_setting = names.into_iter().any(|name| name.contains("ocsp") || name.contains("stapl"));
    assert_eq!(row("postfix"), ["not started here", if has_setting { "yes" } else { "none" }]);
    assert!(refusal(&world, "postfix").contains("Postfix does not staple"));
}
