//! `stapled-ca-lab`: an OCSP responder that fails on command.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use stapled_ca::lab::{Fault, Lab};
use stapled_ca::{Authority, Serial, interrupted};

/// An OCSP responder that fails on command, for tests
///
/// It answers for authorities that `stapled-ca` made. Without a fault the answers are right. Never use it in
/// production.
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
    /// An authority's directory, made by `stapled-ca root` or `stapled-ca init` (may be repeated)
    #[arg(long, required = true)]
    dir: Vec<PathBuf>,
    /// Address and port; port 0 chooses a free port and prints it
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// A fault that applies from the start (may be repeated): `SERIAL=KIND[:ARGUMENT]` or `all=...`
    #[arg(long, value_name = "SERIAL=FAULT", value_parser = assignment)]
    fault: Vec<(Option<Serial>, Fault)>,
    /// Let requests to /lab/ on the same port change faults; all clients can send them
    #[arg(long)]
    control: bool,
    /// The validity of a right response in seconds
    #[arg(long, default_value_t = 604_800, value_name = "SECONDS")]
    validity: u64,
    /// The time from the beginning of the validity to the signature, in seconds
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    backdate: u64,
    /// Let the delegates of `stapled-ca responder` sign, instead of the authorities
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
            // There is nothing to do when standard error fails, too.
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
            builder.delegated(&authority, authority.installed_delegate()?)
        } else {
            builder.authority(&authority)
        };
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let shutdown = interrupted()?;
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
        shutdown.await;
        Ok(())
    })
}

/// A certificate, or all (`None`), with its fault.
fn assignment(text: &str) -> Result<(Option<Serial>, Fault), String> {
    let (target, fault) = text.split_once('=').ok_or("write SERIAL=FAULT or all=FAULT")?;
    let fault = fault.parse().map_err(|error| format!("{error}"))?;
    let target = if target == "all" { None } else { Some(target.parse().map_err(|error| format!("{error}"))?) };
    Ok((target, fault))
}

/// The help text about faults.
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
  curl           '127.0.0.1:8888/lab/requests'            (the questions so far, JSON)

Exit status: 0 stopped by a signal, 1 failure, 2 wrong arguments.";
