//! A stapler inside a program of your own.
//!
//! It staples all certificates in a directory: in files beside them, where HAProxy finds the staples when it starts,
//! and in the running HAProxy if its admin socket is given.
//!
//! ```text
//! cargo run -p stapled-examples --bin embed -- /etc/haproxy/certs
//! cargo run -p stapled-examples --bin embed -- /etc/haproxy/certs /run/haproxy/admin.sock
//! ```

#![allow(clippy::print_stdout)] // This program has no log.

use std::error::Error;

use stapled_core::event::Event;
use stapled_core::{DirectorySource, FileSink, Stapler};
use stapled_haproxy::HaproxySink;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let directory = arguments.next().ok_or("usage: embed DIRECTORY [ADMIN_SOCKET]")?;

    let mut stapler = Stapler::builder()
        .source(DirectorySource::new(directory))
        .sink(FileSink::new())
        // Without an observer, failures are silent: a library writes to no log.
        .observer(|event: &Event| println!("{event}"));
    if let Some(socket) = arguments.next() {
        stapler = stapler.sink(HaproxySink::new(socket));
    }
    // The stapler runs beside the other work of this program until this future is ready. Then it finishes its open
    // work.
    let shutdown = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
    tokio::spawn(stapler.build()?.run(shutdown)).await?;
    Ok(())
}
