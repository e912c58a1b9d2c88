//! `serve`, everything in one process, and `work`, one daemon.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use stapled_ca::responder::{Limits, Responder, UnknownSerial, file_name};
use stapled_ca::session::{Intake, Issue, Operators, Sessions};
use stapled_ca::{Authority, LedgerFile, Metrics, interrupted, pem};
use tokio::net::{TcpListener, UnixListener};

use crate::authorities::{CONTROL, LEDGER, ROOT, open};
use crate::daemons::{Daemons, Parts, Stage};
use crate::failure::Failure;
use crate::session_arguments::{CertificateArguments, PolicyArguments, ProbeArguments};
use crate::signers::answer_for;
use crate::store_arguments::{NoStore, StoreArguments};

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// An authority's directory (may be repeated: one responder for all). The first one issues for --intake
    #[arg(long, required = true)]
    dir: Vec<PathBuf>,
    /// Address and port of the OCSP responder; port 0 chooses a free port and prints it
    #[arg(long, default_value = "127.0.0.1:8888", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// The validity of a response in seconds
    #[arg(long, default_value_t = 345_600, value_name = "SECONDS")]
    validity: u64,
    /// The time from the beginning of the validity to the signature, in seconds
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    backdate: u64,
    /// The most responses that are signed in advance, two for each certificate; 0 signs when asked
    #[arg(long, default_value_t = 200_000, value_name = "NUMBER")]
    presign: usize,
    /// The validity of a revocation list in seconds
    #[arg(long, default_value_t = 604_800, value_name = "SECONDS")]
    crl_validity: u64,
    /// Refuse to start unless each authority of --dir has a delegate, made by `stapled-ca init` or `stapled-ca responder`. An
    /// authority's delegate signs its responses wherever there is one
    #[arg(long)]
    delegate: bool,
    /// Echo nonces; then each request needs a signature
    #[arg(long)]
    nonce: bool,
    /// The answer for serial numbers that were never issued: unknown or unauthorized
    #[arg(long, default_value = "unknown", value_name = "ANSWER")]
    unknown_serial: UnknownSerial,
    /// The number of threads that answer
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Take certificate requests at this address, as sessions; docs/ca.md describes the calls
    #[arg(long, value_name = "ADDRESS:PORT")]
    intake: Option<SocketAddr>,
    /// Answer GET /metrics (OpenMetrics) at this loopback address and port, or at this unix socket
    #[arg(long, value_name = "ADDRESS:PORT|PATH")]
    metrics: Option<MetricsPlace>,
    #[command(flatten)]
    store: StoreArguments,
    #[command(flatten)]
    policy: PolicyArguments,
    #[command(flatten)]
    probe: ProbeArguments,
    #[command(flatten)]
    certificate: CertificateArguments,
}

#[derive(Debug, Args)]
pub(crate) struct WorkArguments {
    /// The state whose sessions this process works on (may be repeated)
    #[arg(required = true, value_enum)]
    stage: Vec<Stage>,
    /// The authority's directory: for issue and done alone, which sign and write the ledger
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Answer GET /metrics (OpenMetrics) at this loopback address and port, or at this unix socket
    #[arg(long, value_name = "ADDRESS:PORT|PATH")]
    metrics: Option<MetricsPlace>,
    #[command(flatten)]
    store: StoreArguments,
    #[command(flatten)]
    policy: PolicyArguments,
    #[command(flatten)]
    probe: ProbeArguments,
    #[command(flatten)]
    certificate: CertificateArguments,
}

impl Serve {
    pub(crate) fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let mut builder = Responder::builder()
            .validity(Duration::from_secs(self.validity))
            .backdate(Duration::from_secs(self.backdate))
            .echo_nonce(self.nonce)
            .unknown_serial(self.unknown_serial)
            .record_first_questions(true)
            .presign(self.presign)
            .publish_crls(Duration::from_secs(self.crl_validity));
        let mut first = None;
        for dir in &self.dir {
            let authority = open(dir)?;
            builder = answer_for(builder, &authority, self.delegate)?;
            first.get_or_insert((dir, authority));
        }
        // The root that `init` made answers for the authority's own certificate.
        for root in self.dir.iter().map(|dir| dir.join(ROOT)).filter(|root| root.is_dir() && !self.dir.contains(root)) {
            builder = builder.authority(&open(&root)?);
        }
        let responder = Arc::new(builder.build());
        let _upkeep = responder.upkeep()?;
        // The writes of sessions wait for the disk. Answers do not wait for them: each has threads of its own.
        let (answering, working) = (runtime(self.threads)?, runtime(2)?);
        let listen = |address| move |source| Failure::Listen { address, source };
        let listener = answering.block_on(TcpListener::bind(self.listen)).map_err(listen(self.listen))?;
        let address = listener.local_addr()?;
        let mut metrics = Metrics::new().responder(Arc::clone(&responder));
        let sessions = match (self.intake, first) {
            (Some(intake), Some((dir, authority))) => {
                Some(working.block_on(self.start_sessions(dir, &authority, intake, address, &mut metrics))?)
            }
            _ => None,
        };
        let measured = working.block_on(publish(self.metrics.as_ref(), metrics))?;
        answering.block_on(async {
            // Signals are caught before the address is printed: a reader of the address may stop the server at once.
            let shutdown = interrupted()?;
            writeln!(out, "OCSP at http://{address}/")?;
            if let Some(running) = &sessions {
                writeln!(out, "intake at http://{}/", running.address)?;
            }
            if let Some(address) = measured {
                writeln!(out, "metrics at {address}")?;
            }
            out.flush()?;
            // Spawned, so that the worker threads of the runtime answer, not this thread.
            let serving = tokio::spawn(responder.serve(listener, Limits::default(), shutdown));
            serving.await.map_err(io::Error::other)?;
            Ok::<_, Failure>(())
        })?;
        if let Some(running) = sessions {
            working.block_on(running.stop());
        }
        Ok(())
    }

    /// Starts the intake at `intake`, the socket of operators and all daemons.
    async fn start_sessions(
        &self,
        dir: &Path,
        authority: &Authority,
        intake: SocketAddr,
        responder: SocketAddr,
        metrics: &mut Metrics,
    ) -> Result<RunningSessions, Failure> {
        let listener = TcpListener::bind(intake).await.map_err(|source| Failure::Listen { address: intake, source })?;
        let ledger = ledger(authority, dir)?;
        let store = self.store.open(dir).await?;
        let sessions = Sessions::new(store, ledger, self.policy.limits(), self.policy.policy()?);
        sessions.configure().await?;
        let url = self.certificate.public_url.clone().unwrap_or_else(|| format!("http://{responder}"));
        let settings = self.certificate.settings(&url, &file_name(authority.name()));
        let issue = Issue::new(sessions.clone(), authority.clone(), settings);
        *metrics = metrics.clone().sessions(sessions.clone());
        let parts = Parts {
            sessions: sessions.clone(),
            prober: Arc::new(self.probe.prober()),
            issue: Some(issue),
            metrics: metrics.clone(),
        };
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let ended = |mut stopped: tokio::sync::watch::Receiver<bool>| async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        let address = listener.local_addr()?;
        let control = private_socket(dir, CONTROL.as_ref())
            .map_err(|source| Failure::Socket { path: dir.join(CONTROL), source })?;
        tokio::spawn(Operators::new(sessions.clone()).serve(control, Limits::default(), ended(stopped.clone())));
        let mut limits = Limits::default();
        limits.body = 64 * 1024;
        let serving = tokio::spawn(Intake::new(sessions, chain(authority)).serve(listener, limits, ended(stopped)));
        Ok(RunningSessions { address, stop, serving, daemons: Daemons::start(&Stage::ALL, parts) })
    }
}

/// Where numbers for monitoring are.
#[derive(Clone, Debug)]
enum MetricsPlace {
    Address(SocketAddr),
    Socket(PathBuf),
}

impl FromStr for MetricsPlace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with('/') {
            return Ok(MetricsPlace::Socket(text.into()));
        }
        let address: SocketAddr =
            text.parse().map_err(|_| "write ADDRESS:PORT, or the path of a unix socket from the root".to_owned())?;
        // They tell of all clients, and the port has no password.
        if !address.ip().is_loopback() {
            return Err(format!("{} is not a loopback address; let a proxy with authentication ask", address.ip()));
        }
        Ok(MetricsPlace::Address(address))
    }
}

/// Starts to answer with the numbers. Returns where, as text.
async fn publish(place: Option<&MetricsPlace>, metrics: Metrics) -> Result<Option<String>, Failure> {
    Ok(Some(match place {
        None => return Ok(None),
        Some(MetricsPlace::Address(address)) => {
            let listen = |source| Failure::Listen { address: *address, source };
            let listener = TcpListener::bind(address).await.map_err(listen)?;
            let address = listener.local_addr()?;
            tokio::spawn(metrics.serve(listener, std::future::pending()));
            format!("http://{address}/metrics")
        }
        Some(MetricsPlace::Socket(path)) => {
            let (folder, name) = (path.parent().unwrap_or(Path::new("/")), path.file_name().unwrap_or_default());
            let listener =
                private_socket(folder, name).map_err(|source| Failure::Socket { path: path.clone(), source })?;
            tokio::spawn(metrics.serve_unix(listener, std::future::pending()));
            path.display().to_string()
        }
    }))
}

/// The ledger of an authority.
fn ledger(authority: &Authority, dir: &Path) -> Result<Arc<LedgerFile>, Failure> {
    authority.ledger_file().cloned().ok_or_else(|| Failure::NoLedger { path: dir.join(LEDGER) })
}

/// The certificates that follow each certificate of this authority: its own and those above, without the root.
fn chain(authority: &Authority) -> String {
    let above = authority.above().split_last().map_or(&[][..], |(_, below)| below);
    let own = (!authority.is_root()).then(|| authority.certificate_pem());
    own.into_iter().chain(above.iter().map(|der| pem::certificate(der))).collect()
}

/// A unix socket that only this user may open.
fn private_socket(folder: &Path, name: &OsStr) -> io::Result<UnixListener> {
    // Made in a directory of mode 0700, so that nobody connects before its own mode is set; then moved over an old socket.
    let private = tempfile::Builder::new().prefix(".socket").tempdir_in(folder)?;
    let path = private.path().join(name);
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&path, folder.join(name))?;
    Ok(listener)
}

fn runtime(threads: usize) -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(threads.max(1)).enable_all().build()
}

/// The intake and the daemons of `serve`.
struct RunningSessions {
    address: SocketAddr,
    stop: tokio::sync::watch::Sender<bool>,
    serving: tokio::task::JoinHandle<()>,
    daemons: Daemons,
}

impl RunningSessions {
    async fn stop(self) {
        let _ = self.stop.send(true);
        // A panic was reported by its thread.
        let _ = self.serving.await;
        self.daemons.stop().await;
    }
}

impl WorkArguments {
    pub(crate) fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        runtime(2)?.block_on(async {
            let store = self.store.in_redis().await?.ok_or(NoStore::RedisNeeded)?;
            let needs_directory = self.stage.iter().any(|stage| matches!(stage, Stage::Issue | Stage::Done));
            let dir = match (&self.dir, needs_directory) {
                (None, true) => return Err(Failure::DirNeeded),
                (dir, _) => dir.as_deref().filter(|_| needs_directory),
            };
            let (limits, policy) = (self.policy.limits(), self.policy.policy()?);
            let authority = dir.map(open).transpose()?;
            let sessions = match (&authority, dir) {
                (Some(authority), Some(dir)) => Sessions::new(store, ledger(authority, dir)?, limits, policy),
                _ => Sessions::without_ledger(store, limits, policy),
            };
            sessions.configure().await?;
            let issue = match authority.filter(|_| self.stage.contains(&Stage::Issue)) {
                Some(authority) => {
                    let url = self.certificate.public_url.as_ref().ok_or(Failure::UrlNeeded)?;
                    let settings = self.certificate.settings(url, &file_name(authority.name()));
                    Some(Issue::new(sessions.clone(), authority, settings))
                }
                None => None,
            };
            let shutdown = interrupted()?;
            let metrics = Metrics::new().sessions(sessions.clone());
            let parts = Parts { sessions, prober: Arc::new(self.probe.prober()), issue, metrics: metrics.clone() };
            let measured = publish(self.metrics.as_ref(), metrics).await?;
            let daemons = Daemons::start(&self.stage, parts);
            writeln!(out, "working")?;
            if let Some(address) = measured {
                writeln!(out, "metrics at {address}")?;
            }
            out.flush()?;
            shutdown.await;
            daemons.stop().await;
            Ok(())
        })
    }
}
