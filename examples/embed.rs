//! stapled inside a program of one's own.
//!
//! Staples for all certificates in a directory: as files beside them, where HAProxy finds them when it starts, and,
//! when its admin socket is named, in the running HAProxy, too.
//!
//! ```text
//! cargo run -p stapled-examples --bin embed -- /etc/haproxy/certs
//! cargo run -p stapled-examples --bin embed -- /etc/haproxy/certs /run/haproxy/admin.sock
//! ```

#![allow(clippy::print_stdout)] // This program has no log.

use std::error::Error;

use stapled_core::event::Event;
use stapled_core::io::directory::DirectorySource;
use stapled_core::io::file::FileSink;
use stapled_core::stapler::Stapler;
use stapled_haproxy::HaproxySink;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let directory = arguments.next().ok_or("usage: embed DIRECTORY [ADMIN_SOCKET]")?;

    let mut stapler = Stapler::builder()
        .source(DirectorySource::new(directory))
        .sink(FileSink::new())
        // Without an observer nobody hears of failures: a library does not write to somebody else's log.
        .observer(|event: &Event| println!("{event}"));
    if let Some(socket) = arguments.next() {
        stapler = stapler.sink(HaproxySink::new(socket));
    }
    // It runs beside whatever else this program does, until this future is ready, and then finishes what is in hand.
    let shutdown = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
    tokio::spawn(stapler.build()?.run(shutdown)).await?;
    Ok(())
}
