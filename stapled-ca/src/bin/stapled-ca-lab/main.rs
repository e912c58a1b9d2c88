//! `stapled-ca-lab`: an OCSP responder that fails on command.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use stapled_ca::lab::{Fault, Lab};
use stapled_ca::{Authority, Serial};

/// An OCSP responder that fails on command, for tests and laboratories
///
/// It answers for the authorities that `stapled-ca` made, rightly unless told
/// otherwise. Never use it for anything but experiments.
#[derive(Debug, Parser)]
#[command(version, after_help = faults())]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer OCSP requests over HTTP until interrupted
    #[command(after_help = faults())]
    Serve(Serve),
}

#[derive(Debug, Args)]
struct Serve {
    /// An authority's directory, made by `stapled-ca init` (may be repeated)
    #[arg(long, required = true)]
    dir: Vec<PathBuf>,
    /// Address and port; port 0 takes any free one and says which
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// A fault from the start (may be repeated): `SERIAL=KIND[:ARGUMENT]` or `all=...`
    #[arg(long, value_name = "SERIAL=FAULT", value_parser = assignment)]
    fault: Vec<(Option<Serial>, Fault)>,
    /// Let requests to /lab/ on the same port change faults; whoever reaches it can
    #[arg(long)]
    control: bool,
    /// How many seconds right answers are valid
    #[arg(long, default_value_t = 604_800, value_name = "SECONDS")]
    validity: u64,
    /// How many seconds before its signature an answer begins to be valid
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    backdate: u64,
    /// Let the delegates sign that `stapled-ca responder` made
    #[arg(long)]
    delegate: bool,
    /// Echo nonces
    #[arg(long)]
    nonce: bool,
}

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(io::stderr).with_target(false).init();
    let Command::Serve(arguments) = Arguments::parse().command;
    match serve(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing can be done if even that cannot be said.
            let _ = writeln!(io::stderr(), "stapled-ca-lab: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: Serve) -> Result<(), Box<dyn std::error::Error>> {
    let mut builder = Lab::builder()
        .listen(arguments.listen)
        .control(arguments.control)
        .validity(Duration::from_secs(arguments.validity))
        .backdate(Duration::from_secs(arguments.backdate))
        .echo_nonce(arguments.nonce);
    for dir in &arguments.dir {
        let authority = Authority::open(dir).map_err(|error| format!("cannot open {}: {error}", dir.display()))?;
        builder = if arguments.delegate {
            let delegate = authority.installed_delegate()?;
            let advice = || format!("{0} has no delegate; `stapled-ca responder {0}` makes one", dir.display());
            builder.delegated(&authority, delegate.ok_or_else(advice)?)
        } else {
            builder.authority(&authority)
        };
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        use tokio::signal::unix::{SignalKind, signal};
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let lab = builder.start().map_err(|error| format!("cannot listen on {}: {error}", arguments.listen))?;
        for (serial, fault) in arguments.fault {
            match serial {
                Some(serial) => lab.fault(&serial, fault),
                None => lab.fault_all(fault),
            }
        }
        let mut out = io::stdout();
        writeln!(out, "OCSP at {}", lab.url())?;
        out.flush()?;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Ok(())
    })
}

fn assignment(text: &str) -> Result<(Option<Serial>, Fault), String> {
    let (whom, fault) = text.split_once('=').ok_or("write SERIAL=FAULT or all=FAULT")?;
    let fault = fault.parse().map_err(|error| format!("{error}"))?;
    let whom = if whom == "all" { None } else { Some(whom.parse().map_err(|error| format!("{error}"))?) };
    Ok((whom, fault))
}

fn faults() -> String {
    let mut text = String::from("Faults:\n");
    for (usage, meaning) in Fault::KINDS {
        text.push_str(&format!("  {usage:<27} {meaning}\n"));
    }
    text.push_str(EXAMPLES);
    text
}

const EXAMPLES: &str = "
Examples:
  stapled-ca-lab serve --dir ca --listen 127.0.0.1:8888 --fault all=delay:200
  stapled-ca-lab serve --dir ca --listen 127.0.0.1:8888 --control
  curl -X POST   '127.0.0.1:8888/lab/fault?serial=0A1F&fault=try_later&times=3'
  curl -X POST   '127.0.0.1:8888/lab/fault?serial=all&fault=http_status:503:120'
  curl -X DELETE '127.0.0.1:8888/lab/fault?serial=0A1F'   (without serial: all faults)
  curl -X POST   '127.0.0.1:8888/lab/revoke?serial=0A1F&reason=superseded'
  curl -X POST   '127.0.0.1:8888/lab/validity?seconds=60'
  curl           '127.0.0.1:8888/lab/requests'            (what was asked, JSON)

Exit status: 0 interrupted, 1 failed, 2 wrong arguments.";
