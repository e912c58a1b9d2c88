//! `stapled clean`: removes staple files that would hinder HAProxy's start. The library decides
//! ([`stapled_haproxy::check`]); this module has the arguments.

use std::io::Write;

use clap::{Arg, Args};
use stapled_core::overview::json::json_line;
use stapled_haproxy::check::{Check, Cleaned, Removal};

use super::answer::{CommandError, GOOD, UNANSWERED, answer};
use super::check;
use crate::options::arguments::{self, Options};
use crate::options::declarations as option;
use crate::stderr::say;

/// Remove staple files (CERT.ocsp) that keep HAProxy from starting, or mislead it
///
/// Takes the daemon's arguments and its configuration file. Removes the file in which HAProxy looks for a certificate's
/// staple when its OCSP response has ended, is about another certificate (the certificate was renewed), or is not good.
/// HAProxy warns of such a file, and with `zero-warning` it neither starts nor reloads. So run this before it does:
/// `systemctl enable stapled-clean.service` does that at every start. No CA is asked.
#[derive(Args, Debug)]
#[command(
    after_long_help = AFTER_HELP.replace("{RULES}", Cleaned::RULES).replace("{FIELDS}", Cleaned::FIELDS),
    mut_args(explained)
)]
pub(crate) struct Clean {
    /// Remove nothing; name what would be removed
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    options: Options<arguments::Check>,
}

fn explained(argument: Arg) -> Arg {
    if argument.get_id() == option::JSON.declaration.name {
        argument.help("Print one object a line for each file that is removed or needs you")
    } else {
        check::explained(argument)
    }
}

const AFTER_HELP: &str = "\
Examples:
  Show the files that would be removed:
    stapled clean --dry-run --haproxy-config /etc/haproxy/haproxy.cfg
  Before HAProxy starts after an outage, or before a reload after a renewal:
    stapled clean --config /etc/stapled/stapled.conf && systemctl reload haproxy
  Certificates in a directory, without HAProxy's configuration:
    stapled clean -p /etc/haproxy/certs

HAProxy is not running when it is about to start, and its socket cannot tell its certificates: name
its configuration (--haproxy-config) or the certificates (-p).

{RULES} The daemon writes a new file as soon as it
has a staple.

Output with --json, one object a line: {FIELDS}

Exit codes:
  0    no file is left that hinders HAProxy
  1    a file is left that does (with --dry-run, also one that would be removed), or a place could not
       be searched
  2    wrong arguments or configuration file, or a HAProxy configuration that cannot be read";

impl Clean {
    pub(crate) fn run(self, out: &mut dyn Write) -> Result<u8, CommandError> {
        let settings = &self.options.settings;
        let (json, quiet) = (settings.get(&option::JSON), settings.get(&option::QUIET));
        let removal = if self.dry_run { Removal::Named } else { Removal::Done };
        let work = async |check: Check<'_>| check.clean(removal).await;
        let (_, cleaned) = check::checked(&self.options, work)?;
        if quiet {
            cleaned.problems().for_each(|problem| say(&problem));
        } else if json {
            cleaned.unseen.iter().for_each(|unseen| say(unseen));
        }
        let text = match (json, quiet) {
            (true, _) => cleaned.files.iter().map(json_line).collect(),
            (false, true) => String::new(),
            (false, false) => cleaned.to_string(),
        };
        answer(out, &text, if cleaned.needs_operator() { UNANSWERED } else { GOOD })
    }
}
