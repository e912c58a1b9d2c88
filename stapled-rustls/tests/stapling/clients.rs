//! Tests with OpenSSL and GnuTLS as clients: what they say of the staple.

use std::process::{Command, Stdio};
use std::sync::Arc;

use stapled_rustls::Certificates;
use stapled_tests::World;

use crate::support::{Server, issue, responder};

#[test]
fn openssl_and_gnutls_accept_the_staple_of_a_must_staple_certificate() {
    let world = World::new();
    let lab = responder(&world);
    let (_, key) = issue(&world, &lab, "a.test", |profile| profile.must_staple(true));
    let certificates = Arc::new(Certificates::new());
    certificates.set("a.test", key);
    let server = Server::start(certificates.stapling());
    server.wait_for_staple("a.test");
    let ca = world.path("ca.pem");
    std::fs::write(&ca, world.ca.certificate_pem()).unwrap();
    for version in ["-tls1_2", "-tls1_3"] {
        let output = Command::new("openssl")
            .args(["s_client", "-status", "-partial_chain", "-verify_return_error", "-servername", "a.test", version])
            .args(["-connect", &server.address.to_string(), "-CAfile"])
            .arg(&ca)
            .stdin(Stdio::null())
            .output()
            .expect("openssl");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("Cert Status: good"), "{version}: {said}");
        assert!(said.contains("Verify return code: 0 (ok)"), "{version}: {said}");
    }
    let port = server.address.port().to_string();
    let output = Command::new("gnutls-cli")
        .args(["--verify-hostname", "a.test", "--sni-hostname", "a.test", "--port", &port, "--x509cafile"])
        .arg(&ca)
        .arg("127.0.0.1")
        .stdin(Stdio::null())
        .output()
        .expect("gnutls-cli");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("- Status: The certificate is trusted."), "{said}");
    assert!(said.contains("- Options: OCSP status request,\n"), "{said}");
}
