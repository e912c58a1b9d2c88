//! A stapler for one HAProxy, from its configuration alone.
//!
//! The configuration names the certificates and the admin sockets. The running process adds the certificates that were
//! loaded at run time. Three lines do the work of `stapled --haproxy-config`: open the configuration, build the
//! stapler, run it. In between, a check prints every problem that prevents a staple.
//!
//! ```text
//! cargo run -p stapled-examples --bin haproxy -- /etc/haproxy/haproxy.cfg
//! ```

#![allow(clippy::print_stdout)] // This program has no log.

use std::error::Error;

use stapled_core::event::Event;
use stapled_core::stapler::Stapler;
use stapled_haproxy::Haproxy;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let configuration = std::env::args_os().nth(1).ok_or("usage: haproxy CONFIGURATION")?;

    let mut haproxy = Haproxy::with_configuration([&configuration])?;
    let report = haproxy.check().run().await;
    for certificate in &report.certificates {
        for finding in report.about(certificate).filter(|finding| finding.needs_operator()) {
            println!("{}: {}; {}", certificate.certificate, finding.what(), finding.remedy().unwrap_or_default());
        }
    }

    let shutdown = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
    // Without an observer, failures are silent: a library writes to no log.
    let observer = |event: &Event| println!("{event}");
    let stapler = Stapler::builder().groups(haproxy.groups()).observer(observer).build()?;
    stapler.run(shutdown).await;
    Ok(())
}
