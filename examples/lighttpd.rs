//! A sink of your own in 25 lines: staples for lighttpd, which reads `ssl.stapling-file` when it starts.
//!
//! ```text
//! cargo run -p stapled-examples --bin lighttpd -- /etc/lighttpd/certs /run/lighttpd.pid
//! ```
//!
//! ```text
//! ssl.pemfile       = "/etc/lighttpd/certs/example.org.pem"
//! ssl.stapling-file = "/etc/lighttpd/certs/example.org.pem.ocsp"
//! ```
//!
//! lighttpd starts without the file, and then sends no staple. It restarts itself at the signal USR1, and ends no connection by
//! that. The sink gives the name of the file and the bytes to the library, which replaces files whole.

#![allow(clippy::print_stdout)] // This program has no log.

use std::path::{Path, PathBuf};
use std::process::Command;

use async_trait::async_trait;
use stapled_core::chain::CertChain;
use stapled_core::event::Event;
use stapled_core::io::certificate_file::staple_file_of;
use stapled_core::io::file::{remove_answer, replace};
use stapled_core::reason::ReasonCode;
use stapled_core::sink::{Delivered, SinkError, Site, StapleSink, Withdrawal, Withdrawn};
use stapled_core::staple::Staple;
use stapled_core::{DirectorySource, Stapler};

struct Lighttpd(PathBuf);

impl Lighttpd {
    /// Changes the staple file of each site, and restarts lighttpd.
    fn change(&self, sites: &[Site], change: impl Fn(&Path) -> std::io::Result<()>) -> Result<(), SinkError> {
        let files = sites.iter().filter_map(|site| site.file.as_deref());
        let changed = files.map(staple_file_of).try_for_each(|staple| change(&staple)).and_then(|()| {
            let pid = std::fs::read_to_string(&self.0)?;
            Command::new("kill").args(["-USR1", pid.trim()]).status()
        });
        match changed {
            Ok(killed) if killed.success() => Ok(()),
            other => Err(SinkError::unreachable(ReasonCode::new("no_lighttpd"), format!("lighttpd: {other:?}"))),
        }
    }
}

#[async_trait]
impl StapleSink for Lighttpd {
    async fn deliver(&self, staple: &Staple, sites: &[Site]) -> Result<Delivered, SinkError> {
        self.change(sites, |file| replace(file, staple.response())).map(|()| Delivered::Confirmed)
    }

    async fn withdraw(&self, chain: &CertChain, sites: &[Site], _: Withdrawal) -> Result<Withdrawn, SinkError> {
        self.change(sites, |file| remove_answer(file, chain).map(drop)).map(|()| Withdrawn::Confirmed)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [directory, pid_file] = arguments.try_into().map_err(|_| "usage: lighttpd DIRECTORY PID_FILE")?;
    let stapler = Stapler::builder().source(DirectorySource::new(directory)).sink(Lighttpd(pid_file));
    let stapler = stapler.observer(|event: &Event| println!("{event}")).build()?;
    stapler.run(async { tokio::signal::ctrl_c().await.unwrap_or_default() }).await;
    Ok(())
}
