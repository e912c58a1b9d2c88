//! Sinks on the HAProxy of the test harness.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;
use std::time::Duration;

use stapled_ca::Authority;
use stapled_core::sink::{Lost, StapleSink};
use stapled_haproxy::{Address, HaproxySink};
use stapled_tests::{Haproxy, PATIENCE, World};

/// A folder with certificates from an authority without a root above it.
pub(crate) fn world() -> World {
    World::under(Authority::root("Lab").create().expect("an authority"))
}

/// Starts HAProxy with these words behind `bind … ssl`.
pub(crate) fn start(world: &World, binary: &str, bind: &str) -> Haproxy {
    Haproxy::of(binary, world, "").bind(bind).start()
}

/// Starts HAProxy with these words behind `bind … ssl`, these lines in `global`, and these arguments.
pub(crate) fn start_with(world: &World, binary: &str, bind: &str, global: &str, arguments: &[&str]) -> Haproxy {
    Haproxy::of(binary, world, "").bind(bind).global(global).arguments(arguments).start()
}

/// Starts HAProxy with these sections besides `global` and `defaults`.
pub(crate) fn start_in(world: &World, binary: &str, sections: &str) -> Haproxy {
    Haproxy::of(binary, world, "").sections(sections).start()
}

/// Starts HAProxy with the configuration that is in its file.
pub(crate) fn launch(world: &World, binary: &str, arguments: &[&str]) -> Haproxy {
    Haproxy::of(binary, world, "").arguments(arguments).start_as_it_is()
}

/// Starts a HAProxy that serves no TLS.
pub(crate) fn start_without_certificates(world: &World, binary: &str) -> Haproxy {
    start_in(world, binary, "frontend f\n  bind unix@@TLS\n")
}

/// A sink for this HAProxy that notices changes soon.
pub(crate) fn sink_of(haproxy: &Haproxy) -> HaproxySink {
    sink(&haproxy.socket())
}

/// A sink for the master of this HAProxy that notices changes soon.
pub(crate) fn master_sink_of(haproxy: &Haproxy) -> HaproxySink {
    sink_at(Address::master(haproxy.master()))
}

/// A sink for the HAProxy at this socket that notices changes soon.
pub(crate) fn sink(socket: &Path) -> HaproxySink {
    sink_at(Address::unix(socket))
}

/// A sink for the HAProxy at this address that notices changes soon.
pub(crate) fn sink_at(address: Address) -> HaproxySink {
    HaproxySink::builder(address)
        .look_interval(Duration::from_millis(30))
        .compare_interval(Duration::from_millis(100))
        .build()
}

/// The next loss that the sink reports.
pub(crate) async fn lost(sink: &HaproxySink) -> Lost {
    tokio::time::timeout(PATIENCE, sink.lost()).await.expect("word of a loss")
}
