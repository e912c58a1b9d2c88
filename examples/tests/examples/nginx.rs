use std::ffi::OsString;
use std::os::unix::net::UnixStream;
use std::process::{Command, Output};
use std::time::Instant;

use stapled_ca::{Issued, Key, KeyType};
use stapled_core::inventory::standing::DeliveryState;
use stapled_core::io::directory::DirectorySource;
use stapled_core::stapler::Stapler;
use stapled_tests::{PATIENCE, Running, wait_for};

use crate::support::{self, HOUR, InProcess, World, contents};

#[allow(dead_code)] // its `main`
#[path = "../../nginx.rs"]
mod example;

const NGINX: &str = env!("CARGO_BIN_EXE_nginx");

impl World {
    /// Writes a configuration with a server for each of these certificates, in the form that the example shows.
    fn configure_nginx(&self, hosts: &[&str]) {
        let servers = hosts.iter().map(|host| {
            let certificate = self.text(&format!("certs/{host}.pem"));
            self.server(host, &format!("include {certificate}.stapling*.conf;"))
        });
        self.write_configuration(&servers.collect::<String>());
    }

    fn server(&self, host: &str, more: &str) -> String {
        format!(
            "server {{ listen unix:{socket} ssl; server_name {host}; ssl_certificate {certificate}; \
             ssl_certificate_key {key}; {more} location / {{ return 204; }} }}\n",
            socket = self.text("tls.sock"),
            certificate = self.text(&format!("certs/{host}.pem")),
            key = self.text(&format!("{host}.key")),
        )
    }

    fn write_configuration(&self, servers: &str) {
        let configuration = format!(
            "daemon off; pid nginx.pid; error_log error.log notice; events {{}}\n\
             http {{ access_log off; ssl_protocols TLSv1.2 TLSv1.3; client_body_temp_path t1; proxy_temp_path t2; \
             fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;\n{servers}}}\n"
        );
        std::fs::write(self.path("nginx.conf"), configuration).unwrap();
    }

    /// The command line that starts this nginx.
    fn nginx(&self) -> Vec<String> {
        let on_path = Command::new("nginx").arg("-v").output().is_ok();
        let nginx = if on_path { "nginx" } else { "/usr/sbin/nginx" };
        let (prefix, configuration) = (self.text(""), self.text("nginx.conf"));
        [nginx, "-p", &prefix, "-e", "error.log", "-c", &configuration].map(str::to_owned).to_vec()
    }

    fn nginx_command(&self) -> Command {
        let line = self.nginx();
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]);
        command
    }

    fn start_nginx(&self) -> Running {
        let mut nginx = Running::start(self.nginx_command());
        wait_for("nginx", || {
            assert!(nginx.is_running(), "{}", self.error_log());
            // A reload needs the file with the process id.
            (contents(self.path("nginx.pid")).is_some_and(|pid| !pid.is_empty())
                && UnixStream::connect(self.path("tls.sock")).is_ok())
            .then_some(())
        });
        nginx
    }

    /// Whether nginx accepts its configuration.
    fn test_nginx(&self) -> Output {
        self.nginx_command().arg("-t").output().unwrap()
    }

    fn error_log(&self) -> String {
        contents(self.path("error.log")).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    fn reloads(&self) -> usize {
        self.error_log().lines().filter(|line| line.contains("(SIGHUP) received")).count()
    }

    fn nginx_staples(&self, host: &str) -> Option<Vec<u8>> {
        self.stapled(UnixStream::connect(self.path("tls.sock")).unwrap(), host)
    }

    fn sink(&self) -> example::NginxSink {
        let line = self.nginx();
        example::NginxSink::new(&line[0], line[1..].iter().map(OsString::from))
    }

    fn start_stapler(&self) -> InProcess {
        InProcess::start(Stapler::builder().source(DirectorySource::new(self.path("certs"))).sink(self.sink()))
    }
}

#[test]
fn nginx_staples_each_answer_of_the_ca_until_the_certificate_is_revoked() {
    let world = World::new();
    let issued = world.issue("a.test");
    world.issue("b.test");
    world.configure_nginx(&["a.test", "b.test"]);
    let _nginx = world.start_nginx();
    let openssl = || world.openssl(["-unix", &world.text("tls.sock")], "a.test");
    assert!(openssl().contains("OCSP response: no response sent"), "{}", openssl());

    let stapler = world.start_stapler();
    let first = wait_for("a staple", || world.nginx_staples("a.test"));
    assert!(world.proxy.responses().contains(&first));
    assert_eq!(contents(world.path("certs/a.test.pem.ocsp")), Some(first.clone()));
    // The workers from before the reload still accept connections for a moment.
    let said = wait_for("OpenSSL's word", || Some(openssl()).filter(|said| said.contains("OCSP Response Data")));
    assert!(said.contains("OCSP Response Status: successful (0x0)"), "{said}");
    assert!(said.contains("Cert Status: good"), "{said}");
    assert!(said.contains("Verify return code: 0 (ok)"), "{said}");
    let other = wait_for("the other's staple", || world.nginx_staples("b.test"));
    assert!(world.proxy.responses().contains(&other) && other != first);

    stapler.pass_until(HOUR, "a renewal", || world.lab.requests_for(issued.serial()) == 2);
    let second = wait_for("a new staple", || world.nginx_staples("a.test").filter(|staple| *staple != first));
    assert!(world.proxy.responses().contains(&second));
    assert_eq!(world.lab.requests_for(issued.serial()), 2);

    world.lab.revoke(issued.serial()).unwrap();
    stapler.pass_until(HOUR, "the withdrawal", || world.nginx_staples("a.test").is_none());
    wait_for("the file's removal", || (!world.path("certs/a.test.pem.ocsp").exists()).then_some(()));
    assert!(!world.path("certs/a.test.pem.stapling.conf").exists());
    assert!(world.nginx_staples("b.test").is_some());
    assert!(world.test_nginx().status.success(), "it can start again");
}

#[test]
fn hundreds_of_deliveries_cost_a_few_reloads() {
    let world = World::new();
    world.issue("a.test");
    world.configure_nginx(&["a.test"]);
    let _nginx = world.start_nginx();
    let key = std::sync::Arc::new(Key::generate(KeyType::EcdsaP256).unwrap());
    for number in 1..300 {
        let host = format!("{number}.test");
        world.issue_from(&host, &world.profile(&host).existing_key(key.clone()));
    }
    let began = Instant::now();
    let stapler = world.start_stapler();
    let confirmed = |stapler: &InProcess| {
        let certificates = stapler.inventory.certificates();
        certificates.iter().filter(|certificate| certificate.deliveries[0].state == DeliveryState::Confirmed).count()
    };
    wait_for("300 deliveries", || (confirmed(&stapler) == 300).then_some(()));
    // With one reload for each delivery, they would take a second each, more than the deadline.
    let (reloads, seconds) = (world.reloads(), began.elapsed().as_secs());
    assert!((1..=seconds as usize).contains(&reloads), "{reloads} reloads in {seconds} s");
    wait_for("a staple", || world.nginx_staples("a.test"));
}

#[test]
fn existing_staples_are_used_again_without_a_question() {
    let world = World::new();
    world.issue("a.test");
    world.configure_nginx(&["a.test"]);
    let nginx = world.start_nginx();
    let (certs, line) = (world.text("certs"), world.nginx());
    let arguments: Vec<&str> = [certs.as_str()].into_iter().chain(line.iter().map(String::as_str)).collect();

    let program = support::example(NGINX, &arguments);
    let staple = wait_for("a staple", || world.nginx_staples("a.test"));
    program.line("a.test: staple delivered to nginx");
    program.signal("INT");
    assert_eq!(program.end(PATIENCE).code, 0);
    drop(nginx);

    std::fs::remove_file(world.path("tls.sock")).unwrap();
    std::fs::remove_file(world.path("nginx.pid")).unwrap();
    let _nginx = world.start_nginx();
    assert_eq!(world.nginx_staples("a.test").as_ref(), Some(&staple), "nginx reads it when it starts");
    let program = support::example(NGINX, &arguments);
    program.line("a.test: kept staple is good until");
    program.line("a.test: staple delivered to nginx");
    assert_eq!(world.proxy.responses(), [staple]);
}

#[test]
fn an_nginx_that_cannot_reload_is_reported_and_keeps_running() {
    let world = World::new();
    world.issue("a.test");
    world.configure_nginx(&["a.test"]);
    let _nginx = world.start_nginx();
    world.write_configuration("nonsense;");
    let stapler = world.start_stapler();
    let state = wait_for("a failure", || {
        let certificates = stapler.inventory.certificates();
        let state = certificates.first().map(|certificate| certificate.deliveries[0].state.clone());
        state.filter(|state| matches!(state, DeliveryState::Failed { .. }))
    });
    let DeliveryState::Failed { code, what, .. } = state else { unreachable!() };
    assert_eq!(code.as_str(), "nginx_reload_failed");
    assert!(what.contains("unknown directive \"nonsense\""), "{what}");
    assert_eq!(world.nginx_staples("a.test"), None);
    // The staple is in its file, for the time when the configuration is corrected.
    assert_eq!(contents(world.path("certs/a.test.pem.ocsp")).as_ref(), world.proxy.responses().last());
}

/// The statements about nginx in the example are true.
#[test]
fn nginx_checks_only_that_a_response_exists() {
    let world = World::new();
    world.issue("a.test");
    let issued: Issued = world.issue("b.test");
    let file = world.path("response.ocsp");
    let stapling = format!("ssl_stapling on; ssl_stapling_file {};", file.display());
    world.write_configuration(&world.server("a.test", &stapling));
    let refused = |why: &str| {
        let output = world.test_nginx();
        assert!(!output.status.success());
        assert!(String::from_utf8_lossy(&output.stderr).contains(why), "{output:?}");
    };
    refused("BIO_new_file");
    std::fs::write(&file, "no response").unwrap();
    refused("d2i_OCSP_RESPONSE_bio");

    // An expired response, one for another certificate, and one with another hash in its CertID.
    let cert_id = world.ca.cert_id(issued.serial(), stapled_ca::ocsp::HashAlgorithm::Sha256);
    let builder = stapled_ca::ocsp::ResponseBuilder::new(&world.ca).this_update(1_000).next_update(2_000);
    let response = builder.revoked(&cert_id, 500, None).build().unwrap();
    std::fs::write(&file, &response).unwrap();
    let nginx = world.start_nginx();
    assert_eq!(world.nginx_staples("a.test"), Some(response.clone()));
    drop(nginx);

    // Two certificates in one server block: both get the staple.
    std::fs::remove_file(world.path("tls.sock")).unwrap();
    std::fs::remove_file(world.path("nginx.pid")).unwrap();
    world.issue_from("rsa.test", &world.profile("a.test").key(KeyType::Rsa2048));
    let second = format!(
        "ssl_certificate {}; ssl_certificate_key {}; {stapling}",
        world.text("certs/rsa.test.pem"),
        world.text("rsa.test.key")
    );
    world.write_configuration(&world.server("a.test", &second));
    let _nginx = world.start_nginx();
    for (algorithms, key) in [("RSA+SHA256", "rsaEncryption"), ("ECDSA+SHA256", "id-ecPublicKey")] {
        let socket = world.text("tls.sock");
        let output = Command::new("openssl")
            .args(["s_client", "-tls1_2", "-status", "-servername", "a.test", "-sigalgs", algorithms, "-unix", &socket])
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("Cert Status: revoked") && said.contains(key), "{said}");
    }
}
