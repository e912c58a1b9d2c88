//! A sink of your own: staples for nginx.
//!
//! nginx reads `ssl_stapling_file` with its configuration, and never again. So the sink writes a staple and reloads
//! nginx. Staples that arrive together share a reload.
//!
//! ```text
//! cargo run -p stapled-examples --bin nginx -- /etc/nginx/certs nginx -c /etc/nginx/nginx.conf
//! ```
//!
//! The arguments after the directory are the command line that starts this nginx; the sink appends `-s reload`. For
//! each certificate, the sink writes the staple, `example.org.pem.ocsp`, and two lines of configuration,
//! `example.org.pem.stapling.conf`, into the directory:
//!
//! ```text
//! server {
//!     listen 443 ssl;
//!     ssl_certificate     /etc/nginx/certs/example.org.pem;
//!     ssl_certificate_key /etc/nginx/keys/example.org.key;
//!     include             /etc/nginx/certs/example.org.pem.stapling*.conf;
//! }
//! ```
//!
//! The asterisk matters. nginx does not start if a file that its configuration names is missing: an included file or a
//! staple. But an `include` with a pattern may match no file. So nginx starts before the first staple exists, and a
//! staple can be withdrawn. With `ssl_stapling_file` in the configuration itself, neither would be possible.
//!
//! nginx checks only that the file has an OCSP response in DER; otherwise it refuses the new configuration, and the old
//! one stays in force. nginx checks neither status nor signature, times or certificate, and serves the response as long
//! as it runs. So a sink for nginx must be able to withdraw, and must keep running. Any hash in the CertID will do. A
//! server block with several certificates staples the same file to each of them: give each certificate a block of its
//! own, and its file the whole chain.

#![allow(clippy::print_stdout)] // This program has no log.

use std::error::Error;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use stapled_core::chain::CertChain;
use stapled_core::event::Event;
use stapled_core::io::file::{read_existing, staple_path};
use stapled_core::reason::ReasonCode;
use stapled_core::sink::{Delivered, Requirements, SinkError, Site, StapleSink, Withdrawal, Withdrawn};
use stapled_core::staple::Staple;
use stapled_core::{DirectorySource, FileSink, Stapler};
use tokio::fs;
use tokio::process::Command;
use tokio::sync::Mutex;

/// The time that a reload waits for more staples. Each reload starts new workers while the old ones finish their
/// connections. On a busy server a minute is better; staples, which last for days, can wait for it.
const SETTLE: Duration = Duration::from_secs(1);
/// The deadline for nginx to read its configuration.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let usage = "usage: nginx DIRECTORY NGINX [ARGUMENT...]";
    let (directory, nginx) = arguments.next().zip(arguments.next()).ok_or(usage)?;
    let stapler = Stapler::builder()
        .source(DirectorySource::new(directory))
        .sink(NginxSink::new(nginx, arguments))
        .observer(|event: &Event| println!("{event}"))
        .build()?;
    stapler.run(async { tokio::signal::ctrl_c().await.unwrap_or_default() }).await;
    Ok(())
}

/// Writes staples to files for nginx, and reloads nginx.
pub(crate) struct NginxSink {
    /// Writes files atomically, and removes only its own.
    files: FileSink,
    nginx: OsString,
    arguments: Vec<OsString>,
    /// The number of requested reloads.
    asked: AtomicU64,
    /// The number of requests that the last reload fulfilled, and its result.
    done: Mutex<(u64, Result<(), SinkError>)>,
}

#[async_trait]
impl StapleSink for NginxSink {
    async fn deliver(&self, staple: &Staple, sites: &[Site]) -> Result<Delivered, SinkError> {
        let delivered = self.files.deliver(staple, sites).await?;
        if delivered == Delivered::Confirmed {
            for (staple, include) in places(sites) {
                publish(&staple, &include).await.map_err(|error| unwritable(&include, &error))?;
            }
            self.reload().await?;
        }
        Ok(delivered)
    }

    async fn withdraw(&self, chain: &CertChain, sites: &[Site], why: Withdrawal) -> Result<Withdrawn, SinkError> {
        for (_, include) in places(sites) {
            match fs::remove_file(&include).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(unwritable(&include, &error)),
                _ => {}
            }
        }
        self.reload().await?;
        // The staple is removed last, when no configuration names it.
        self.files.withdraw(chain, sites, why).await
    }

    /// The staple of an earlier run. It is verified like any response; if it is good, the CA is not asked for another.
    async fn recall(&self, _: &CertChain, sites: &[Site]) -> Option<Bytes> {
        places(sites).find_map(|(staple, _)| read_existing(&staple).ok()?).map(Bytes::from)
    }

    fn requirements(&self) -> Requirements {
        let mut requirements = Requirements::default();
        // A delivery waits for its reload. Only deliveries that wait at the same time share a reload.
        requirements.concurrency = 1000;
        requirements
    }

    fn name(&self) -> String {
        "nginx".to_owned()
    }

    // No `lost`: nginx reads the files when it starts again.
}

impl NginxSink {
    pub(crate) fn new(nginx: impl Into<OsString>, arguments: impl IntoIterator<Item = OsString>) -> Self {
        NginxSink {
            files: FileSink::new(),
            nginx: nginx.into(),
            arguments: arguments.into_iter().collect(),
            asked: AtomicU64::new(0),
            done: Mutex::new((0, Ok(()))),
        }
    }

    /// Returns after a reload that began after this call. The first caller waits for [`SETTLE`], then reloads for all
    /// calls until then.
    async fn reload(&self) -> Result<(), SinkError> {
        let mine = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut done = self.done.lock().await;
        if done.0 < mine {
            tokio::time::sleep(SETTLE).await;
            let asked = self.asked.load(Ordering::SeqCst);
            *done = (asked, self.reload_now().await);
        }
        done.1.clone()
    }

    /// `nginx -s reload` reads the whole configuration with the staples before it signals the running nginx. So its
    /// success means that nginx accepts them. They are in service when the new workers run, a moment later.
    async fn reload_now(&self) -> Result<(), SinkError> {
        let mut command = Command::new(&self.nginx);
        command.args(&self.arguments).args(["-s", "reload"]).kill_on_drop(true);
        let why = match tokio::time::timeout(PATIENCE, command.output()).await {
            Ok(Ok(output)) if output.status.success() => return Ok(()),
            Ok(Ok(output)) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("not done after {} s", PATIENCE.as_secs()),
        };
        // The files are in place for the next start of nginx. The delivery is retried.
        Err(SinkError::Refused {
            code: ReasonCode::new("nginx_reload_failed"),
            what: format!("nginx -s reload: {why}"),
        })
    }
}

/// The staple file of each site, and the configuration file that names it.
fn places(sites: &[Site]) -> impl Iterator<Item = (PathBuf, PathBuf)> {
    sites.iter().filter_map(|site| {
        let mut include = OsString::from(site.file.as_deref()?);
        include.push(".stapling.conf");
        Some((staple_path(site)?, include.into()))
    })
}

/// Names a staple in a configuration file, if the staple exists: a missing one would keep nginx from starting.
async fn publish(staple: &Path, include: &Path) -> std::io::Result<()> {
    if !fs::try_exists(staple).await? {
        return Ok(());
    }
    // Written under another name first: nginx may be reloaded at any time. `{:?}` escapes quotes as nginx does.
    let draft = include.with_extension("tmp");
    fs::write(&draft, format!("ssl_stapling on;\nssl_stapling_file {staple:?};\n")).await?;
    fs::rename(&draft, include).await
}

fn unwritable(path: &Path, error: &std::io::Error) -> SinkError {
    let what = format!("{}: {error}; let this user write there", path.display());
    SinkError::Unreachable { code: ReasonCode::new("unwritable"), what }
}
