//! `stapled check`: what an operator runs before and after stapled is pointed at a HAProxy. It changes nothing.
//!
//! What is found out is the library's ([`stapled_haproxy::check`]); here are the arguments, and [`render`] shows the
//! report.

mod render;

use std::io::Write;
use std::path::PathBuf;

use clap::{Arg, Args};
use stapled_haproxy::check::{Report, StapleFiles};
use stapled_haproxy::{Haproxys, Processes};

use super::answer::{CommandError, GOOD, UNANSWERED, USAGE};
use crate::arguments::Arguments;
use crate::configuration::{self, Configuration};
use crate::haproxys::{self, HaproxyError};
use crate::invocation;
use crate::progress::Terminal;
use crate::settings::{RUNNING, Settings};
use crate::stderr::say;
use crate::wiring;

/// Show what would be done for each certificate, and what stands in the way
///
/// Takes the daemon's arguments and its configuration file. Shows for each certificate its file, the sockets that its
/// staples go to, its issuer and where that was found, its OCSP URLs, whether HAProxy will accept a first staple while it
/// runs, and every problem with what to do about it. No file is written, no CA is asked, and HAProxy is only asked to
/// show what it has.
#[derive(Args, Debug)]
#[command(after_long_help = AFTER_HELP, mut_args(offered))]
pub(crate) struct Check {
    #[command(flatten)]
    settings: Settings,

    /// The daemon's configuration file [default: as the daemon finds it]
    #[arg(short = 'c', long, value_name = "FILE", help_heading = RUNNING)]
    config: Option<PathBuf>,
}

/// Options of the daemon that make a difference here. The others are taken, so that its arguments can be given as they
/// are.
const OFFERED: [&str; 16] = [
    "cert_paths",
    "recursive",
    "file_extensions",
    "ignore",
    "issuer_dir",
    "no_fetch_issuers",
    "haproxy_sockets",
    "no_haproxy_sockets",
    "haproxy_config",
    "staple_dir",
    "no_staple_files",
    "responder",
    "default_responder",
    "json",
    "quiet",
    "config",
];

fn offered(argument: Arg) -> Arg {
    let is_offered = OFFERED.iter().any(|offered| argument.get_id() == offered);
    match argument.get_id().as_str() {
        "json" => argument.help("Print one object a line for each certificate").help_heading(RUNNING),
        "quiet" => argument.help("Nothing but problems, one a line on standard error").help_heading(RUNNING),
        _ => argument.hide(!is_offered),
    }
}

const AFTER_HELP: &str = "\
Examples:
  Before stapled is started: does it find everything, and will HAProxy take it?
    stapled check --haproxy-config /etc/haproxy/haproxy.cfg
  What a running HAProxy has loaded:
    stapled check -s /run/haproxy/admin.sock
  With the daemon's own configuration file, for a program:
    stapled check --config /etc/stapled/stapled.conf --json

A PROBLEM needs you; a note does not: stapled copes with it. With --haproxy-config the running
HAProxy is asked over the sockets in it, and what it serves is held against the configuration; where
they differ, HAProxy is right about what is served. Run it as the user that the daemon runs as: what
that one may not read, it cannot staple.

First staple, whether HAProxy will accept one at run time:
  already      it takes responses for the certificate
  yes          by a transaction (`set ssl cert`, `commit ssl cert`), which takes `level admin`
  no           for the reason that follows
  unknown      HAProxy could not be asked
  not needed   the certificate names no OCSP responder

Output with --json, one object a line; what is not known is null:
  certificate (its name in HAProxy's `show ssl cert`), name, serial, not_before, not_after,
  must_staple, file, named_at (the line of the configuration), sockets, issuer, issuer_found_in,
  issuer_found_by_haproxy, ocsp_urls, asked_urls (the same, but for --responder and
  --default-responder), staple_file (where HAProxy looks for one when it starts),
  staple (null: none there; good, empty, revoked, or a reason), staple_until, first_staple (already,
  yes, no, unknown, not_needed), first_staple_reason, first_staple_what, needs_operator, and problems:
  a list of reason (a stable word), needs_operator, what, remedy, socket. What is wrong with a socket
  or its configuration is in the problems of the certificates that it concerns, and once, with what
  concerns none, on standard error.

Exit codes:
  0    nothing needs you
  1    something does
  2    wrong arguments or configuration file, or a HAProxy configuration that cannot be read";

impl Check {
    pub(super) fn run(self, out: &mut dyn Write) -> Result<u8, CommandError> {
        let (json, quiet) = (self.settings.json, self.settings.quiet);
        let configuration = match self.configuration() {
            Ok(configuration) => configuration,
            Err(error) => {
                say(&error);
                return Ok(USAGE);
            }
        };
        let runtime = tokio::runtime::Runtime::new().map_err(CommandError::Start)?;
        let terminal = if quiet { Terminal::plain() } else { Terminal::with_bar() };
        let report = runtime.block_on(report(&configuration, &terminal));
        terminal.finish();
        // A file system that still hangs is left behind.
        runtime.shutdown_background();
        let report = match report {
            Ok(report) => report,
            Err(error) => {
                say(&error);
                return Ok(USAGE);
            }
        };
        let code = if report.needs_operator() { UNANSWERED } else { GOOD };
        for note in &configuration.notes {
            say(&format!("note: {note}"));
        }
        if quiet {
            render::problems(&report).for_each(|problem| say(&problem));
        } else if json {
            render::remarks(&report).for_each(|remark| say(&remark));
        }
        let written = match (json, quiet) {
            (true, _) => render::write_json(&report, out),
            (false, true) => Ok(()),
            (false, false) => render::write_words(&report, out),
        };
        written.and_then(|()| out.flush()).map(|()| code).map_err(|error| CommandError::Output { error, code })
    }

    /// The daemon's configuration, by the same arguments.
    fn configuration(self) -> Result<Configuration, crate::fault::ConfigurationError> {
        // There, it belongs to the summary of a pass.
        let settings = Settings { json: false, ..self.settings };
        invocation::configuration(Arguments {
            command: None,
            settings,
            config: self.config,
            check_config: false,
            verbose: 0,
            stray: Vec::new(),
        })
    }
}

/// Checks everything that the configuration names, by the daemon's settings.
async fn report(configuration: &Configuration, terminal: &Terminal) -> Result<Report, HaproxyError> {
    let mut haproxys: Haproxys = haproxys::open(configuration, &Processes::for_one_scan())?;
    let staple_files = match &configuration.staple_files {
        configuration::StapleFiles::Nowhere => StapleFiles::Nowhere,
        configuration::StapleFiles::BesideCertificates => StapleFiles::BesideCertificates,
        configuration::StapleFiles::In(directory) => StapleFiles::In(directory.clone()),
    };
    let check = haproxys
        .check()
        .judge_policy(configuration.judging)
        .staple_files(staple_files)
        .fetch_issuers(configuration.fetch_issuers)
        .issuer_directory(wiring::issuer_directory(configuration))
        .responder_overrides(configuration.network.overrides.clone())
        .progress(|read, of| terminal.show(read, of));
    Ok(check.run().await)
}
