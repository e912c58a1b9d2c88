//! The commands `presign` and `respond`: responses on a machine without the key.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use stapled_ca::responder::{FileResponder, Limits, Responder, ResponseFileError, SameFileName};
use stapled_ca::{Authority, AuthorityError, interrupted};
use tokio::net::TcpListener;

use crate::signers::answer_for;

/// Why one of the commands fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PresignFailure {
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    #[error(transparent)]
    File(#[from] ResponseFileError),
    #[error(transparent)]
    Names(#[from] SameFileName),
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}

#[derive(Debug, Args)]
pub(crate) struct Presign {
    /// An authority's directory (may be repeated)
    #[arg(long, required = true)]
    pub(crate) dir: Vec<PathBuf>,
    /// The file for the responses; it is replaced atomically, and has no private key
    #[arg(long, short, value_name = "FILE")]
    out: PathBuf,
    /// The validity of a response in seconds
    #[arg(long, default_value_t = 345_600, value_name = "SECONDS")]
    validity: u64,
    /// The time from the beginning of the validity to the signature, in seconds
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    backdate: u64,
    /// The validity of a revocation list in seconds
    #[arg(long, default_value_t = 604_800, value_name = "SECONDS")]
    crl_validity: u64,
    /// Refuse unless each authority has a delegate. An authority's delegate signs wherever there is one
    #[arg(long)]
    delegate: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Respond {
    /// A file of `stapled-ca presign` (may be repeated); a replaced file is read again within a second
    #[arg(required = true)]
    file: Vec<PathBuf>,
    /// Address and port; port 0 chooses a free port and prints it
    #[arg(long, default_value = "127.0.0.1:8888", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// The number of threads that answer
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

/// Writes the responses of these authorities, whose directories are in the arguments.
pub(crate) fn presign(
    arguments: &Presign,
    authorities: &[Authority],
    out: &mut impl Write,
) -> Result<(), PresignFailure> {
    let mut builder = Responder::builder()
        .validity(Duration::from_secs(arguments.validity))
        .backdate(Duration::from_secs(arguments.backdate))
        .publish_crls(Duration::from_secs(arguments.crl_validity));
    for authority in authorities {
        builder = answer_for(builder, authority, arguments.delegate)?;
    }
    builder.check_file_names()?;
    let written = builder.build().write_responses(&arguments.out)?;
    let (responses, certificates) = (written.responses, written.certificates);
    writeln!(out, "{responses} responses about {certificates} certificates {}", arguments.out.display())?;
    Ok(())
}

/// Answers from files until interrupted.
pub(crate) fn respond(arguments: &Respond, out: &mut impl Write) -> Result<(), PresignFailure> {
    let responder = Arc::new(FileResponder::open(&arguments.file)?);
    let _watch = responder.watch()?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(arguments.threads.max(1)).enable_all().build()?;
    runtime.block_on(async {
        let listen = |source| PresignFailure::Listen { address: arguments.listen, source };
        let listener = TcpListener::bind(arguments.listen).await.map_err(listen)?;
        // Signals are caught before the address is printed: a reader of the address may stop the server at once.
        let shutdown = interrupted()?;
        writeln!(out, "OCSP at http://{}/", listener.local_addr()?)?;
        out.flush()?;
        let serving = tokio::spawn(responder.serve(listener, Limits::default(), shutdown));
        serving.await.map_err(io::Error::other)?;
        Ok(())
    })
}
