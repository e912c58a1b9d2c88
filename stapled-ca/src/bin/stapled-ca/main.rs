//! `stapled-ca`: a small certificate authority with an OCSP responder.

mod arguments;
mod commands;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_target(false).init();
    // clap itself ends the process with 2 when the arguments are wrong.
    let arguments = arguments::Arguments::parse();
    match commands::run(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing can be done if even that cannot be said.
            let _ = writeln!(std::io::stderr(), "stapled-ca: {error}");
            ExitCode::FAILURE
        }
    }
}
