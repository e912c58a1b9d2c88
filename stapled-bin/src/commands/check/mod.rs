//! `stapled check`: what an operator runs before and after stapled is pointed at a HAProxy. It changes nothing.
//!
//! [`inputs`] scans the daemon's own sources and asks the running HAProxys; [`items`] holds these against each other;
//! [`contents`] reads files. What follows is pure: [`issuer`] finds who issued a certificate, [`certificate`] (with
//! [`about_issuer`]) and [`general`] say what is to be told ([`finding`]), [`row`] is what is shown, [`render`] shows it.

mod about_issuer;
mod certificate;
mod contents;
mod finding;
mod general;
mod inputs;
mod issuer;
mod items;
mod render;
mod row;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Arg, Args};
use futures_util::stream::{self, StreamExt};
use stapled_core::IssuerStore;
use stapled_core::clock::{Clock, SystemClock};
use stapled_core::io::issuers::IssuerDirectory;
use stapled_core::reason::ReasonCode;
use stapled_core::time::Timestamp;

use self::certificate::Rules;
use self::contents::{Contents, Reader};
use self::finding::Finding;
use self::general::General;
use self::inputs::Inputs;
use self::issuer::{NotFound, Pool};
use self::items::{Item, Origin, Read};
use self::render::Answered;
use super::answer::{CommandError, GOOD, UNANSWERED, USAGE};
use crate::arguments::Arguments;
use crate::configuration::{Configuration, StapleFiles};
use crate::haproxys::Haproxys;
use crate::invocation;
use crate::progress::Terminal;
use crate::settings::{RUNNING, Settings};
use crate::stderr::say;
use crate::wiring::{self, WiringError};

/// How many files are read at once.
const READ_AT_ONCE: usize = 16;
/// How long one may take: a file system that hangs holds up its own files.
const PATIENCE: Duration = Duration::from_secs(30);

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
        let answered = runtime.block_on(answer(&configuration, &terminal));
        terminal.finish();
        // A file system that still hangs is left behind.
        runtime.shutdown_background();
        let answered = match answered {
            Ok(answered) => answered,
            Err(error) => {
                say(&error);
                return Ok(USAGE);
            }
        };
        let code = if answered.needs_operator() { UNANSWERED } else { GOOD };
        for note in &configuration.notes {
            say(&format!("note: {note}"));
        }
        if quiet {
            answered.problems().for_each(|problem| say(&problem));
        } else if json {
            answered.remarks().for_each(|remark| say(&remark));
        }
        let written = match (json, quiet) {
            (true, _) => answered.write_json(out),
            (false, true) => Ok(()),
            (false, false) => answered.write_words(out),
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

/// Finds everything out.
async fn answer(configuration: &Configuration, terminal: &Terminal) -> Result<Answered, WiringError> {
    let mut haproxys = Haproxys::open(configuration)?;
    let inputs = inputs::gather(configuration, &mut haproxys).await?;
    Ok(judged(configuration, inputs, SystemClock.now(), terminal).await)
}

/// Says what there is to be said of what was gathered.
async fn judged(configuration: &Configuration, inputs: Inputs, now: Timestamp, terminal: &Terminal) -> Answered {
    let issuer_directory = wiring::issuer_directory(configuration);
    let rules = Rules {
        now,
        judging: configuration.judging,
        staple_files: configuration.staple_files.clone(),
        transactions: configuration.transactions,
        fetch_issuers: configuration.fetch_issuers,
        overrides: configuration.network.overrides.clone(),
        issuer_directory: issuer_directory.display().to_string(),
    };
    let read = read(items::items(&inputs), terminal).await;
    let mut read = items::named(read, &inputs.processes);
    let pool = pool(&read, configuration, &issuer_directory);
    // Authorities' certificates in a directory are there for others.
    read.retain(|(item, contents)| {
        let has_only_authorities = |contents: &Arc<Contents>| contents.has_only_authorities();
        item.origin != Origin::Path || !contents.as_ref().is_ok_and(has_only_authorities)
    });
    let row = |(item, contents): &Read| {
        let issuer = match contents.as_ref().ok().and_then(|contents| Some((contents.end_entity()?, contents))) {
            Some((end_entity, contents)) => issuer::find(end_entity, &item.path(), contents, &pool),
            None => Err(NotFound::default()),
        };
        certificate::row(item, contents, issuer.as_ref(), &inputs.processes, &rules)
    };
    let mut rows: Vec<row::Row> = read.iter().map(row).collect();
    let items: Vec<&Item> = read.iter().map(|(item, _)| item).collect();
    let mut general = General::of(&inputs, &items, &rows);
    general.others.extend(staple_directory(configuration));
    rows.sort_by(|one, other| (one.group, &one.certificate).cmp(&(other.group, &other.certificate)));
    Answered { rows, general, processes: inputs.processes }
}

/// What is wrong with the directory for those staples that cannot lie beside their certificates.
fn staple_directory(configuration: &Configuration) -> Option<Finding> {
    let StapleFiles::In(directory) = &configuration.staple_files else { return None };
    let (code, what) = contents::unwritable(directory)?;
    Some(Finding::problem(code, format!("--staple-dir {what}"), "make the directory, and let this user write there"))
}

/// Reads the files, some at a time.
async fn read(items: Vec<Item>, terminal: &Terminal) -> Vec<Read> {
    let reader = Arc::new(Reader::default());
    let of = items.len();
    let reading = items.into_iter().map(|item| {
        let reader = Arc::clone(&reader);
        async move {
            let contents = match item.sighting.clone() {
                Some(sighting) => {
                    let staple = item.staple.clone();
                    in_time(&item, move || reader.read(&sighting, staple.as_deref())).await
                }
                None => Err(unreadable(&item, "no readable file holds it")),
            };
            (item, contents.map(Arc::new))
        }
    });
    let mut reading = stream::iter(reading).buffered(READ_AT_ONCE);
    let mut read = Vec::with_capacity(of);
    while let Some(one) = reading.next().await {
        read.push(one);
        terminal.show(read.len(), of);
    }
    read
}

async fn in_time(
    item: &Item,
    read: impl FnOnce() -> Result<Contents, Finding> + Send + 'static,
) -> Result<Contents, Finding> {
    match tokio::time::timeout(PATIENCE, tokio::task::spawn_blocking(read)).await {
        Ok(Ok(read)) => read,
        Ok(Err(error)) => Err(unreadable(item, &error.to_string())),
        Err(_) => Err(unreadable(
            item,
            &format!("it cannot be read within {} s: does its file system hang?", PATIENCE.as_secs()),
        )),
    }
}

fn unreadable(item: &Item, why: &str) -> Finding {
    let what = format!("{}: {why}", item.path_or_name());
    Finding::problem(ReasonCode::new("unreadable_file"), what, "let this user read it, and see that it is there")
}

/// The certificates of authorities, wherever the daemon would find them.
fn pool(read: &[Read], configuration: &Configuration, issuer_directory: &Path) -> Pool {
    let mut pool = Pool::default();
    for (item, contents) in read {
        if let Ok(contents) = contents {
            pool.add(&item.path(), contents);
        }
    }
    // To open it is to make it where there is none.
    if configuration.fetch_issuers && issuer_directory.is_dir() {
        let kept = IssuerDirectory::open(issuer_directory).map(|store| store.load()).unwrap_or_default();
        kept.into_iter().for_each(|issuer| pool.add_one(&Arc::new(issuer), issuer_directory));
    }
    pool
}

impl Item {
    fn path(&self) -> PathBuf {
        self.file.clone().unwrap_or_else(|| PathBuf::from(&self.name))
    }
}
