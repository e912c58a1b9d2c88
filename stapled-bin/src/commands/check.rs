//! `stapled check`: what an operator runs before and after stapled is pointed at a HAProxy. It changes nothing.
//!
//! The library makes the findings and their text ([`stapled_haproxy::check`]); this module has the arguments.

use std::io::Write;
use std::path::Path;

use clap::{Arg, Args};
use stapled_core::overview::json::json_line;
use stapled_haproxy::Processes;
use stapled_haproxy::check::{Acceptance, Check as HaproxyCheck, Report};

use super::answer::{CommandError, GOOD, UNANSWERED, answer};
use crate::configuration::Configuration;
use crate::fault::ConfigurationError;
use crate::options::arguments::{self, Options};
use crate::options::declarations as option;
use crate::options::file::USUAL_PATH;
use crate::options::option::Section;
use crate::progress::Terminal;
use crate::stderr::say;
use crate::wiring;

/// Show what would be done for each certificate, and what stands in the way
///
/// Takes the daemon's arguments and its configuration file. Shows for each certificate its file, the sockets that its
/// staples go to, its issuer and where that was found, its OCSP URLs, whether HAProxy will accept a first staple while it
/// runs, and every problem with what to do about it. No file is written, no CA is asked, and HAProxy is only asked to
/// show what it has.
#[derive(Args, Debug)]
#[command(
    after_long_help = AFTER_HELP.replace("{FIRST_STAPLE}", Acceptance::IN_WORDS).replace("{FIELDS}", Report::FIELDS),
    mut_args(explained)
)]
pub(crate) struct Check {
    #[command(flatten)]
    options: Options<arguments::Check>,
}

/// Two options of the daemon have another meaning here.
pub(super) fn explained(argument: Arg) -> Arg {
    if argument.get_id() == option::JSON.declaration.name {
        argument.help("Print one object a line for each certificate")
    } else if argument.get_id() == option::QUIET.declaration.name {
        let heading = Section::Running.heading();
        argument.help("Print nothing but problems, one a line on standard error").help_heading(heading)
    } else {
        argument
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

{FIRST_STAPLE}

Output with --json, one object a line; what is not known is null:
  {FIELDS} What is wrong with a socket
  or its configuration is in the problems of the certificates that it concerns, and once, with what
  concerns none, on standard error.

Exit codes:
  0    nothing needs you
  1    something does
  2    wrong arguments or configuration file, or a HAProxy configuration that cannot be read";

impl Check {
    pub(crate) fn run(self, out: &mut dyn Write) -> Result<u8, CommandError> {
        let settings = &self.options.settings;
        let (json, quiet) = (settings.get(&option::JSON), settings.get(&option::QUIET));
        let (configuration, report) = checked(&self.options, async |check| check.run().await)?;
        for note in &configuration.notes {
            say(&format!("note: {note}"));
        }
        if quiet {
            report.problems().for_each(|problem| say(&problem));
        } else if json {
            report.remarks().for_each(|remark| say(&remark));
        }
        let text = match (json, quiet) {
            (true, _) => report.lines().map(|line| json_line(&line)).collect(),
            (false, true) => String::new(),
            (false, false) => report.to_string(),
        };
        answer(out, &text, if report.needs_operator() { UNANSWERED } else { GOOD })
    }
}

/// Does this work with a check of what the daemon would do with these options.
pub(super) fn checked<T>(
    options: &Options<arguments::Check>,
    work: impl AsyncFnOnce(HaproxyCheck<'_>) -> T,
) -> Result<(Configuration, T), CommandError> {
    let settings = &options.settings;
    let terminal = match (settings.get(&option::QUIET), settings.get(&option::JSON)) {
        (true, _) => Terminal::plain(),
        (false, true) => Terminal::with_bar("certificates"),
        (false, false) => Terminal::with_progress("certificates"),
    };
    // In the daemon, --json needs --one-off.
    let configuration = Configuration::load(settings.clone().without(&option::JSON))?;
    let runtime = tokio::runtime::Runtime::new().map_err(CommandError::Start)?;
    let done = runtime.block_on(async { Ok(work(prepared(&configuration, &terminal)?).await) });
    terminal.finish();
    // A file system that still hangs is left behind.
    runtime.shutdown_background();
    Ok((configuration, done.map_err(CommandError::Setting)?))
}

/// A check of everything that the configuration names, by the daemon's settings.
fn prepared<'a>(configuration: &Configuration, terminal: &'a Terminal) -> Result<HaproxyCheck<'a>, ConfigurationError> {
    let mut haproxys = wiring::haproxys(configuration, &Processes::for_one_scan())?;
    let check = haproxys
        .check()
        .judge_policy(configuration.judging)
        .staple_files(configuration.staple_files.clone())
        .fetch_issuers(!configuration.settings.get(&option::NO_FETCH_ISSUERS))
        .issuer_directory(wiring::issuer_directory(configuration))
        .responder_overrides(configuration.network.overrides.clone())
        .progress(|read, of| terminal.show(read, of));
    let directories = configuration.servers.iter().filter_map(|server| Some((server.name(), server.directory()?)));
    let check = directories.fold(check, |check, (name, directory)| check.staple_directory(name, directory));
    // The service runs with this file.
    let is_services = configuration.settings.are_of(Path::new(USUAL_PATH));
    Ok(if is_services { check.service_unit("stapled.service") } else { check })
}
