//! The intake of a certificate authority, and the certificate requests that it reads.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, LazyLock};

use stapled_ca::session::{CertificateRequest, Intake, Limits, Policy, Sessions};
use stapled_embedded::EmbeddedScheduler;
use tokio::runtime::Runtime;

/// The most octets of a request, as in the default settings.
const LONGEST: usize = 20 * 1024;

/// An intake on a store in memory.
struct World {
    runtime: Runtime,
    intake: Intake,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let mut limits = Limits::default();
    // Bounds the memory: no daemon works the sessions off.
    limits.waiting = 64;
    let store = Arc::new(EmbeddedScheduler::in_memory().unwrap());
    let sessions = Sessions::without_ledger(store, limits, Policy::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(sessions.configure()).unwrap();
    World { runtime, intake: Intake::new(sessions, String::new()) }
});

/// The intake answers every call: a line with method and path, and a body. Only a certificate request makes a session, and a
/// request is read again from what is stored of it.
pub fn intake(bytes: &[u8]) {
    let end = bytes.iter().position(|&octet| octet == b'\n').unwrap_or(bytes.len());
    let (line, body) = (&bytes[..end], bytes.get(end + 1..).unwrap_or_default());
    let request = CertificateRequest::read(body, LONGEST);
    if let Ok(request) = &request {
        assert!(!request.names.is_empty());
        let again = CertificateRequest::read(request.to_pem().as_bytes(), usize::MAX).unwrap();
        assert_eq!((again.name_texts(), again.public_key), (request.name_texts(), request.public_key.clone()));
    }
    let line = String::from_utf8_lossy(line);
    let (method, path) = line.split_once(' ').unwrap_or(("GET", &line));
    let Ok(method) = method.parse() else { return };
    let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let answer = WORLD.runtime.block_on(WORLD.intake.call(client, &method, path, body));
    let status = answer.status().as_u16();
    assert!(matches!(status, 200 | 201 | 202 | 400 | 403 | 404 | 409 | 413 | 429 | 503), "{status}");
    assert!(status != 201 || request.is_ok());
}
