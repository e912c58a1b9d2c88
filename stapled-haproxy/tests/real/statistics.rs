//! The handshakes that HAProxy counts.

use std::collections::BTreeSet;
use std::sync::Arc;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use stapled_haproxy::Handshakes;

use super::*;

/// The numbers as text.
fn text(handshakes: &Arc<Handshakes>) -> String {
    let mut registry = Registry::with_prefix("stapled");
    registry.register_collector(Box::new(Arc::clone(handshakes)));
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    text
}

#[tokio::test]
async fn handshakes_with_a_staple_are_counted_by_frontend_while_a_peer_that_hangs_delays_nothing() {
    for binary in binaries() {
        let world = support::world();
        let cert = world.cert_file("a.pem");
        let haproxy = support::start(&world, &binary, &crt(&cert));
        // A socket that accepts, and never answers.
        let silent = world.path("silent.sock");
        let _listener = std::os::unix::net::UnixListener::bind(&silent).unwrap();
        let handshakes = Arc::new(Handshakes::default());
        let sockets = [silent, haproxy.socket()].map(|path| path.display().to_string().parse::<Address>().unwrap());
        handshakes.of(sockets.to_vec());
        deliver(&world, &support::sink_of(&haproxy), &cert).await;
        let has_counters = version(&binary) >= (3, 2);
        for _ in 0..3 {
            assert!(haproxy.staple(&cert).is_some());
        }
        handshakes.read().await;
        let text = text(&handshakes);
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        println!("{binary}: {samples:?}");
        if !has_counters {
            assert!(samples.is_empty(), "{binary}: {text}");
            continue;
        }
        let server = haproxy.socket().display().to_string();
        let labels = |name: &str| format!("stapled_haproxy_{name}_total{{server=\"{server}\",frontend=\"");
        let counted = |name: &str| -> u64 {
            let of = samples.iter().filter(|sample| sample.starts_with(&labels(name)));
            of.map(|sample| sample.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
        };
        assert!(counted("stapled_handshakes") >= 3, "{binary}: {text}");
        assert_eq!(counted("failed_staples"), 0, "{binary}: {text}");
        assert!(!text.contains("silent.sock"), "{text}");
    }
}

#[test]
fn the_document_has_these_metrics() {
    let exposed = text(&Arc::default());
    let exposed: BTreeSet<String> = exposed
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .map(|name| format!("{name}_total"))
        .collect();
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/monitoring.md")).unwrap();
    let documented: BTreeSet<String> = document
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter(|row| row.starts_with("stapled_haproxy_") && row.contains("| counter | `server`, `frontend` |"))
        .map(|row| row.split('`').next().unwrap().to_owned())
        .collect();
    assert_eq!(exposed, documented);
}
