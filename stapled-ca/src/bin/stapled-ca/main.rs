//! `stapled-ca`: a small certificate authority with an OCSP responder.

mod arguments;
mod authorities;
mod client;
mod commands;
mod daemons;
mod failure;
mod metrics;
mod operate;
mod presign;
mod serve;
mod session_arguments;
mod shared_arguments;
mod signers;
mod store_arguments;
mod work;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let is_terminal = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(is_terminal).with_target(false).init();
    // With wrong arguments, clap ends the process with exit status 2.
    let arguments = arguments::Arguments::parse();
    match commands::run(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nothing to do when standard error fails, too.
            let _ = writeln!(std::io::stderr(), "stapled-ca: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
