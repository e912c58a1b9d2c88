//! `serve`: the responder, the intake and all daemons in one process.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use stapled_ca::responder::{Limits, Responder, UnknownSerial, file_name};
use stapled_ca::session::{Intake, Issue, Operators, Sessions};
use stapled_ca::{Authority, Metrics, interrupted, pem, store};
use stapled_core::io::own_socket::OwnSocket;
use tokio::net::{TcpListener, UnixListener};

use crate::authorities::{CONTROL, ROOT, open};
use crate::daemons::{Daemons, Parts, Stage};
use crate::failure::Failure;
use crate::metrics::publish;
use crate::shared_arguments::{SharedArguments, ledger, runtime};
use crate::signers::answer_for;

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
    #[command(flatten)]
    shared: SharedArguments,
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
        let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let given: Vec<PathBuf> = self.dir.iter().map(|dir| whole(dir)).collect();
        let roots = self.dir.iter().map(|dir| dir.join(ROOT));
        for root in roots.filter(|root| root.is_dir() && !given.contains(&whole(root))) {
            if !root.join(store::CA_KEY).exists() {
                let directory = root.display();
                tracing::info!(%directory, "the root's key is not here: nothing is answered about the authority's own certificate");
                continue;
            }
            builder = builder.authority(&open(&root)?);
        }
        builder.check_file_names()?;
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
        let measured = working.block_on(publish(self.shared.metrics.as_ref(), metrics))?;
        answering.block_on(async {
            // Signals are caught before the address is printed: a reader of the address may stop the server at once.
            let shutdown = interrupted()?;
            writeln!(out, "OCSP at http://{address}/")?;
            if let Some(running) = &sessions {
                writeln!(out, "intake at http://{}/", running.address)?;
            }
            if let Some(measured) = &measured {
                writeln!(out, "metrics at {}", measured.place)?;
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
        let store = self.shared.store.open(dir).await?;
        let sessions = Sessions::new(store, ledger, self.shared.policy.limits(), self.shared.policy.policy()?);
        sessions.configure().await?;
        let url = self.shared.certificate.public_url.clone().unwrap_or_else(|| format!("http://{responder}"));
        let settings = self.shared.certificate.settings(&url, &file_name(authority.name()));
        let issue = Issue::new(sessions.clone(), authority.clone(), settings);
        *metrics = metrics.clone().sessions(sessions.clone());
        let parts = Parts {
            sessions: sessions.clone(),
            prober: Arc::new(self.shared.probe.prober()),
            issue: Some(issue),
            metrics: metrics.clone(),
        };
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let ended = |mut stopped: tokio::sync::watch::Receiver<bool>| async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        let address = listener.local_addr()?;
        let socket = OwnSocket::make(&dir.join(CONTROL))?;
        let control = UnixListener::from_std(socket.as_ref().try_clone()?)?;
        tokio::spawn(Operators::new(sessions.clone()).serve(control, Limits::default(), ended(stopped.clone())));
        let mut limits = Limits::default();
        limits.body = 64 * 1024;
        let serving = tokio::spawn(Intake::new(sessions, chain(authority)).serve(listener, limits, ended(stopped)));
        Ok(RunningSessions { address, stop, serving, daemons: Daemons::start(&Stage::ALL, parts), _socket: socket })
    }
}

/// The certificates that follow each certificate of this authority: its own and those above, without the root.
fn chain(authority: &Authority) -> String {
    let above = authority.above().split_last().map_or(&[][..], |(_, below)| below);
    let own = (!authority.is_root()).then(|| authority.certificate_pem());
    own.into_iter().chain(above.iter().map(|der| pem::certificate(der))).collect()
}

/// The intake and the daemons of `serve`.
struct RunningSessions {
    address: SocketAddr,
    stop: tokio::sync::watch::Sender<bool>,
    serving: tokio::task::JoinHandle<()>,
    daemons: Daemons,
    _socket: OwnSocket,
}

impl RunningSessions {
    async fn stop(self) {
        let _ = self.stop.send(true);
        // A panic was reported by its thread.
        let _ = self.serving.await;
        self.daemons.stop().await;
    }
}
