//! OpenSSL as a responder and as a judge, independent of this project.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use stapled_ca::{Issued, Serial};

use crate::port::free_port;
use crate::stapled::tail;
use crate::wait::wait_until;
use crate::world::World;

/// The responder `openssl ocsp`, before or while it runs. Its drop ends it.
pub struct OpensslResponder {
    port: u16,
    child: Option<Child>,
    log: std::path::PathBuf,
}

impl OpensslResponder {
    /// A responder that does not run yet, with a known URL.
    pub fn new(world: &World) -> Self {
        OpensslResponder { port: free_port(), child: None, log: world.path("openssl.log") }
    }

    /// The OCSP URL.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Starts the responder for the certificates of the world's authority. The signer is `delegate`, or the authority
    /// itself.
    pub fn start(&mut self, world: &World, delegate: Option<&Issued>) {
        let records = world.ca.records().expect("records");
        let index: String = records.iter().map(|record| Self::valid(&record.serial)).collect();
        self.start_with(world, delegate, &index, &["-ndays", "7"]);
    }

    /// The line of the responder's index for a valid certificate.
    pub fn valid(serial: &Serial) -> String {
        // State, end, revocation, serial number, file, name. The responder does not use the end.
        format!("V\t491231235959Z\t\t{serial}\tunknown\t/CN=any\n")
    }

    /// The line of the responder's index for a revoked certificate. `revocation` is a UTCTime, with a reason after a
    /// comma.
    pub fn revoked(serial: &Serial, revocation: &str) -> String {
        format!("R\t491231235959Z\t{revocation}\t{serial}\tunknown\t/CN=any\n")
    }

    /// Starts the responder with these lines as its index, and these arguments.
    pub fn start_with(&mut self, world: &World, delegate: Option<&Issued>, index: &str, arguments: &[&str]) {
        let (certificate, key) = match delegate {
            Some(delegate) => (delegate.certificate_pem(), delegate.key_pem()),
            None => (world.ca.certificate_pem(), world.ca.key().to_pem()),
        };
        for (name, text) in [
            ("index.txt", index),
            ("index.txt.attr", "unique_subject = no\n"),
            ("ca.pem", &world.ca.certificate_pem()),
            ("signer.pem", &certificate),
            ("signer.key", &key),
        ] {
            std::fs::write(world.path(name), text).expect("a file");
        }
        let log = std::fs::File::create(&self.log).expect("a log file");
        let mut command = Command::new("openssl");
        command.args(["ocsp", "-index", "index.txt", "-CA", "ca.pem", "-rsigner", "signer.pem", "-rkey", "signer.key"]);
        command.args(["-port", &self.port.to_string()]).args(arguments).current_dir(world.path(""));
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log file")).stderr(log);
        self.child = Some(command.spawn().expect("openssl"));
        // A question, not only a connection: an open connection would block the responder for ever.
        wait_until("openssl's responder answers", || {
            let mut question = Command::new("openssl");
            question.args(["ocsp", "-issuer", "ca.pem", "-serial", "1", "-noverify", "-url", &self.url()]);
            question.current_dir(world.path("")).stdout(Stdio::null()).stderr(Stdio::null());
            question.status().expect("openssl").success()
        });
    }
}

impl Drop for OpensslResponder {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- openssl:\n{}", tail(&self.log, 20));
        }
    }
}

/// Lets OpenSSL judge a response about a certificate of the world's authority. The response must be verified and good.
pub fn check_with_openssl(world: &World, certificate: &Issued, response: &Path) {
    for (name, text) in [
        ("judged.pem", certificate.certificate_pem()),
        ("issuer.pem", world.ca.certificate_pem()),
        ("root.pem", world.ca.root_pem()),
    ] {
        std::fs::write(world.path(name), text).expect("a file");
    }
    let mut command = Command::new("openssl");
    command.args(["ocsp", "-issuer", "issuer.pem", "-cert", "judged.pem", "-CAfile", "root.pem", "-no_nonce"]);
    command.args(["-verify_other", "issuer.pem"]).arg("-respin").arg(response).current_dir(world.path(""));
    let output = command.output().expect("openssl");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("Response verify OK") && said.contains(": good"), "{said}");
}
