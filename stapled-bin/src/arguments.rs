//! The arguments, as clap takes them.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use crate::commands::Command;
use crate::fault::ConfigurationError;
use crate::settings::{LOGGING, RUNNING, Settings};
use crate::text::distance;

/// Keeps OCSP staples fresh in HAProxy and beside certificates' files.
///
/// Finds certificates, asks their CA for an OCSP response, verifies it, writes it to a file beside the certificate
/// (CERT.ocsp) and hands it to running HAProxys over their admin sockets. Runs until it is told to stop, or once with
/// --one-off. The commands answer a question instead: what would be done, how everything stands, whether a response is right.
#[derive(Parser, Debug)]
#[command(
    name = "stapled",
    version,
    after_help = "`stapled --help` says more: examples, the configuration file, exit codes; `stapled COMMAND --help` of a \
                  command.",
    after_long_help = AFTER_HELP,
    max_term_width = 100,
    args_conflicts_with_subcommands = true
)]
pub(crate) struct Arguments {
    /// What to do instead of keeping staples fresh.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    #[command(flatten)]
    pub(crate) settings: Settings,

    /// The configuration file, instead of the first that exists of stapled.conf beside this program, ~/.stapled.conf
    /// and /etc/stapled/stapled.conf
    #[arg(short = 'c', long, value_name = "FILE", help_heading = RUNNING)]
    pub(crate) config: Option<PathBuf>,

    /// Check arguments and configuration file, say "configuration ok" or what is wrong, and exit
    #[arg(long, help_heading = RUNNING)]
    pub(crate) check_config: bool,

    /// More verbose by one; may be repeated
    #[arg(short = 'v', action = clap::ArgAction::Count, conflicts_with = "verbosity", help_heading = LOGGING)]
    pub(crate) verbose: u8,

    /// What belongs to no option: refused with advice.
    #[arg(hide = true)]
    pub(crate) stray: Vec<String>,
}

impl Arguments {
    /// What was said on the command line. Where clap has the last word (a mistake, or help), the process ends here.
    pub(crate) fn said(words: &[OsString]) -> Result<Self, ConfigurationError> {
        let first = words.get(1).map(|word| word.to_string_lossy().into_owned());
        Arguments::try_parse_from(words).map_err(|error| match first {
            // The options of a command that is misspelled are unknown, too; the command is what to tell.
            Some(first)
                if error.kind() == ErrorKind::UnknownArgument && !first.starts_with('-') && !is_command(&first) =>
            {
                stray(first)
            }
            _ => error.exit(),
        })
    }
}

/// What is wrong with a word that belongs to no option.
pub(crate) fn stray(stray: String) -> ConfigurationError {
    let nearest = commands().into_iter().map(|command| (distance(&stray, &command), command)).min();
    match nearest {
        Some((distance, command)) if distance <= 1 + command.len() / 4 => {
            ConfigurationError::Command { stray, command }
        }
        _ => ConfigurationError::Stray { stray },
    }
}

fn is_command(word: &str) -> bool {
    word == "help" || commands().iter().any(|command| command == word)
}

fn commands() -> Vec<String> {
    Arguments::command().get_subcommands().map(|command| command.get_name().to_owned()).collect()
}

const AFTER_HELP: &str = "\
Examples:
  Keep every staple fresh, in files and in a running HAProxy:
    stapled --cert-paths /etc/haproxy/certs --haproxy-sockets /run/haproxy/admin.sock
  Once, from cron; silent unless something is wrong:
    stapled --one-off --quiet --cert-paths /etc/haproxy/certs -s /run/haproxy/admin.sock
  A gate in a deploy hook: exit code 0 only when everything that should be stapled is:
    stapled --one-off --wait 60 --quiet -p /etc/haproxy/certs -s /run/haproxy/admin.sock
  What would be done for each certificate, and what stands in the way; nothing is changed:
    stapled check --haproxy-config /etc/haproxy/haproxy.cfg
  How everything stands, asked of the one that runs:
    stapled status
  Have the one that runs ask the CA now, and wait for what comes, as after a revocation:
    stapled renew --wait www.example.org
  Two HAProxys, each with certificates of its own:
    stapled -p /etc/haproxy/a /etc/haproxy/b -s /run/haproxy/a.sock /run/haproxy/b.sock
  Whether a staple is right, and if not, why; what is in it:
    stapled verify --response site.pem.ocsp --cert site.pem --issuer site.pem.issuer
    stapled inspect site.pem.ocsp

Configuration file:
  TOML; its settings have the names of the options without the dashes, and arguments win over them:
    cert-paths = [\"/etc/haproxy/certs\"]
    haproxy-sockets = \"/run/haproxy/admin.sock\"
    recursive = true
  Paths with sockets of their own can be written as groups:
    [[group]]
    paths = [\"/etc/haproxy/a\"]
    sockets = [\"/run/haproxy/a.sock\"]
  Relative paths in it are taken from the directory of the file.

Signals:
  SIGTERM and SIGINT end it, a second one at once. SIGHUP has it read its configuration again, by the same arguments:
  what is known is kept, and no CA is asked for it. A configuration that is wrong is refused whole, and the old one goes
  on. --pid-file, --control-socket, --haproxy-socket-keepalive and the logging take a restart. Changes of certificates
  are seen without any signal.

Hook:
  --hook names a program, which is run without arguments, for events (STAPLED_EVENT) such as renewed, renewal_failed,
  revoked, withdrawn, delivery_failed, short_lived, certificate_expired, must_staple_without_url, place_problem,
  source_problem. The
  first is told at once; the same about the same certificate again after --hook-debounce, with how often (STAPLED_COUNT)
  and since when (STAPLED_SINCE). All of these are set, and empty where they do not apply: STAPLED_SEVERITY (info, warning,
  error), STAPLED_AT, STAPLED_CERTIFICATE, STAPLED_SERIAL, STAPLED_FILES (joined by colons), STAPLED_MUST_STAPLE and
  STAPLED_OUTAGE (yes or no; an outage is a must-staple certificate without a staple), STAPLED_CODE, STAPLED_WHAT,
  STAPLED_SERVER, STAPLED_NEXT_TRY, STAPLED_STAPLE_UNTIL, and STAPLED_DROPPED: how many events it was too slow for.

Exit codes:
  0    stopped as asked; with --one-off, at the end of --wait: every certificate that has an OCSP URL and is not expired has a verified
       staple, every question that was due was answered, and every server has confirmed
  1    with --one-off: something of that is missing, or a must-staple certificate has no OCSP URL; otherwise: it
       could not start or go on
  2    wrong arguments or configuration
  3    with --one-off: a certificate is revoked, whatever else there is
  130  --one-off was interrupted (SIGINT), or a second SIGINT came
  143  --one-off was ended (SIGTERM), or a second SIGTERM came
  Those of the commands are told by `stapled COMMAND --help`.";

#[cfg(test)]
mod tests {
    use stapled_core::refresh::RefreshPolicy;
    use stapled_core::staple::JudgePolicy;

    use super::*;

    #[test]
    fn clap_agrees() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn help_tells_the_true_defaults() {
        let mut command = Arguments::command();
        command.build();
        let refresh = RefreshPolicy::default();
        for (name, default) in [
            ("minimum_validity", refresh.minimum_validity.as_secs()),
            ("minimum_interval", refresh.minimum_interval.as_secs()),
            ("maximum_interval", refresh.maximum_interval.as_secs()),
            ("clock_skew", JudgePolicy::default().clock_skew.as_secs()),
        ] {
            let argument = command.get_arguments().find(|argument| argument.get_id() == name).unwrap();
            let help = argument.get_help().unwrap().to_string();
            assert!(help.contains(&format!("[default: {default}]")), "{name}: {help}");
        }
    }
}
