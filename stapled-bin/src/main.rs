//! `stapled`: keeps OCSP staples fresh in HAProxy and in files.
//!
//! The command line ([`Cli`]) and the configuration file give values to [`options`]; merged and checked, they are the
//! [`configuration`], which [`wiring`] makes into a stapler. The stapler makes one pass ([`once`], with [`progress`] and a
//! [`summary`]), or runs until a signal stops it ([`run`]), in the foreground or as a [`daemon`], and follows changes of
//! the configuration. Events go to the log ([`logging`]), to the administrator's programs ([`stapled_core::hook`]), and to clients of
//! the [`control`] socket.
//!
//! Besides, there are [`commands`]: each answers one question and ends. [`documents`] are made from the command line.

mod commands;
mod configuration;
mod control;
mod daemon;
mod documents;
mod fault;
mod judging;
mod logging;
mod monitoring;
mod network;
mod once;
mod options;
mod progress;
mod run;
mod run_error;
mod servers;
mod serving;
mod show;
mod signals;
mod stderr;
mod summary;
mod text;
mod wiring;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use stapled_core::hook::settings::HookSettings;
use stapled_core::overview::nagios::NagiosCheck;
use stapled_haproxy::{Haproxy, Known, Processes};

use crate::commands::answer::{CommandError, GOOD, answer, exit};
use crate::commands::{check, clean, convert_config, fetch, inspect, log_level, probe, renew, serve, status, verify};
use crate::configuration::{Configuration, Invocation, Mode};
use crate::daemon::Detached;
use crate::documents::{completions, manual};
use crate::fault::ConfigurationError;
use crate::options::arguments::{Daemon, Options};
use crate::options::declarations as option;
use crate::options::example::example;
use crate::stderr::say;
use crate::text::{nearest, visible};

/// Keeps OCSP staples fresh in HAProxy and in files.
///
/// Finds certificates, asks their CA for an OCSP response, verifies the response, writes it to a file beside the
/// certificate (CERT.ocsp) and delivers it to running HAProxys over their admin sockets. Runs until a signal stops it, or
/// makes one pass with --one-off. A command answers one question instead: what would be done, what state everything is in,
/// whether a response is valid.
#[derive(Parser, Debug)]
#[command(
    name = "stapled",
    version,
    after_help = "`stapled --help` says more: examples, the configuration file, exit codes; `stapled COMMAND --help` of a \
                  command.",
    after_long_help = AFTER_HELP.replace("{HOOK}", HookSettings::HELP),
    max_term_width = 100,
    args_conflicts_with_subcommands = true
)]
struct Cli {
    /// The command; without one, `stapled` keeps staples fresh.
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    options: Options<Daemon>,
}

#[derive(Subcommand, Debug)]
enum Command {
    Check(Box<check::Check>),
    Clean(Box<clean::Clean>),
    Status(status::Status),
    Renew(renew::Renew),
    Serve(Box<serve::Serve>),
    LogLevel(log_level::LogLevel),
    Verify(verify::Verify),
    Fetch(Box<fetch::Fetch>),
    Inspect(inspect::Inspect),
    ConvertConfig(convert_config::ConvertConfig),
    Probe(Box<probe::ProbeCommand>),
    #[cfg(feature = "redis")]
    Redis(commands::redis::Redis),
    Completions(Completions),
}

/// Print the completions of a shell
///
/// They go where the shell looks for them, such as /usr/share/bash-completion/completions/stapled.
#[derive(Args, Debug)]
struct Completions {
    /// The shell
    shell: Shell,
}

fn main() -> ExitCode {
    // For TLS to Redis. If this fails, there is a provider.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    exit(Cli::of_process().and_then(Cli::run))
}

impl Cli {
    /// The parsed command line. Where clap has the last word (a mistake, or help), the process ends here.
    fn of_process() -> Result<Self, CommandError> {
        let first = std::env::args_os().nth(1).map(|word| word.to_string_lossy().into_owned());
        let of_command = || first.as_deref().is_some_and(is_command);
        let cli = Cli::try_parse().map_err(|error| match error.get(ContextKind::InvalidSubcommand) {
            Some(ContextValue::String(word)) if !of_command() => stray(word.clone()),
            // In the world of Nagios, 2 means that something is critical.
            _ if error.use_stderr() && std::env::args_os().any(|word| word == "--nagios") => {
                let _ = error.print();
                std::process::exit(NagiosCheck::unknown("wrong arguments").exit_code().into())
            }
            _ => error.exit(),
        })?;
        if cli.command.is_some() {
            return Ok(cli);
        }
        // An option with several values took the command for one of them.
        match cli.values().into_iter().find(|value| is_command(value)) {
            Some(command) => Err(ConfigurationError::SwallowedCommand { command }.into()),
            None => Ok(cli),
        }
    }

    /// The values of the options that take several.
    fn values(&self) -> Vec<String> {
        let given = &self.options.settings;
        let paths = [&option::CERT_PATHS, &option::DIRECTORIES, &option::HAPROXY_CONFIG].into_iter();
        let paths = paths.flat_map(|option| given.get(option)).map(|path| path.to_string_lossy().into_owned());
        paths.chain(given.get(&option::HAPROXY_SOCKETS)).collect()
    }

    /// Does what the command line asks for, and returns the exit code.
    fn run(self) -> Result<u8, CommandError> {
        let arguments = match self.command {
            Some(Command::Serve(serve)) => serve.settings(),
            Some(command) => return command.run(&mut io::stdout().lock()),
            None => self.options.settings,
        };
        if arguments.get(&option::EXAMPLE_CONFIG) {
            return answer(&mut io::stdout(), &example(), GOOD);
        }
        if arguments.get(&option::MAN) {
            return answer(&mut io::stdout(), &manual(Cli::command()).map_err(CommandError::Manual)?, GOOD);
        }
        let invocation = Invocation::new(arguments.clone());
        let check_only = arguments.get(&option::CHECK_CONFIG);
        let configuration = Configuration::load(arguments)?;
        if check_only {
            return checked(&configuration);
        }
        let mut ready = None;
        if matches!(configuration.mode, Mode::Background { .. }) {
            // Before the runtime starts: its threads do not survive the fork.
            match daemon::detach().map_err(CommandError::Background)? {
                Detached::Parent(code) => return Ok(code),
                Detached::Child(child) => ready = Some(child),
            }
        }
        run::run(configuration, invocation, &mut ready).or_else(|error| {
            let code = error.exit_code();
            say(&error);
            if let Some(ready) = ready {
                ready.failed(code);
            }
            Ok(code)
        })
    }
}

impl Command {
    /// Runs the command to its end, and returns the exit code.
    fn run(self, out: &mut dyn Write) -> Result<u8, CommandError> {
        match self {
            Command::Check(check) => check.run(out),
            Command::Clean(clean) => clean.run(out),
            Command::Status(status) => status.run(out),
            Command::Renew(renew) => renew.run(out),
            Command::Serve(_) => Ok(GOOD),
            Command::LogLevel(level) => level.run(out),
            Command::Verify(verify) => verify.run(out),
            Command::Fetch(fetch) => fetch.run(out),
            Command::Inspect(inspect) => inspect.run(out),
            Command::ConvertConfig(convert) => convert.run(out),
            Command::Probe(probe) => probe.run(out),
            #[cfg(feature = "redis")]
            Command::Redis(redis) => redis.run(out),
            Command::Completions(Completions { shell }) => answer(out, &completions(Cli::command(), shell), GOOD),
        }
    }
}

/// Prints what `--check-config` shows of a configuration without an error.
fn checked(configuration: &Configuration) -> Result<u8, CommandError> {
    let haproxys = wiring::haproxys(configuration, &Processes::for_one_scan())?;
    let of_haproxys = haproxys.iter().flat_map(Haproxy::notes).map(|note| visible(&note));
    let missing = configuration.haproxys.iter().filter_map(Known::path).filter(|path| !path.exists());
    let missing = missing.map(|path| format!("{} does not exist, or this user cannot see it", path.display()));
    let notes = configuration.notes.iter().cloned().chain(of_haproxys).chain(missing);
    let notes: String = notes.map(|note| format!("note: {note}\n")).collect();
    answer(&mut io::stdout(), &format!("{notes}configuration ok\n"), GOOD)
}

/// The error about a word that belongs to no option.
fn stray(stray: String) -> ConfigurationError {
    let commands = command_names();
    match nearest(&stray, commands.iter().map(String::as_str)) {
        Some(command) => ConfigurationError::Command { command: command.to_owned(), stray },
        None => ConfigurationError::Stray { stray },
    }
}

fn is_command(word: &str) -> bool {
    word == "help" || command_names().iter().any(|command| command == word)
}

fn command_names() -> Vec<String> {
    Cli::command().get_subcommands().map(|command| command.get_name().to_owned()).collect()
}

const AFTER_HELP: &str = "\
Examples:
  Keep every staple fresh, in files and in a running HAProxy:
    stapled --cert-paths /etc/haproxy/certs --haproxy-sockets /run/haproxy/admin.sock
  Once, from cron; silent unless something is wrong:
    stapled --one-off --quiet --cert-paths /etc/haproxy/certs -s /run/haproxy/admin.sock
  A gate in a deploy hook: exit code 0 only when every certificate that should have a staple has one:
    stapled --one-off --wait 60 --quiet -p /etc/haproxy/certs -s /run/haproxy/admin.sock
  Show the planned work for each certificate and its obstacles; change nothing:
    stapled check --haproxy-config /etc/haproxy/haproxy.cfg
  Remove staple files that would keep HAProxy from starting, before it starts:
    stapled clean --haproxy-config /etc/haproxy/haproxy.cfg
  The state of everything, as the running daemon knows it:
    stapled status
  Have the running daemon ask the CA now, as after a revocation, and wait for the result:
    stapled renew --wait www.example.org
  Two HAProxys, each with certificates of its own:
    stapled -p /etc/haproxy/a /etc/haproxy/b -s /run/haproxy/a.sock /run/haproxy/b.sock
  Show the handshake of a TLS server with its staple, as clients get it:
    stapled probe www.example.org:443
  Whether a staple is valid, and if not, why; what is in it:
    stapled verify --response site.pem.ocsp --cert site.pem --issuer site.pem.issuer
    stapled inspect site.pem.ocsp

Configuration file:
  TOML. Settings have the names of the options without the dashes, and arguments win over them:
    cert-paths = [\"/etc/haproxy/certs\"]
    haproxy-sockets = \"/run/haproxy/admin.sock\"
    recursive = true
  Paths with sockets of their own can be written as groups:
    [[group]]
    paths = [\"/etc/haproxy/a\"]
    sockets = [\"/run/haproxy/a.sock\"]
  Relative paths are resolved from the directory of the file. `stapled --example-config` prints a file with every setting.

Durations:
  DURATION is a number of seconds (90), or has units: 90s, 15m, 2h, 7d, 1h30m. In the file, a
  duration with units is a text: refresh-interval = \"15m\".

Signals:
  SIGTERM and SIGINT stop stapled, a second one at once. SIGHUP makes it read its configuration again, with the same
  arguments: it keeps its staples, and asks no CA because of the reload. A configuration with an error is refused as a
  whole, and the old one stays in effect. Changes of --pid-file, --control-socket, --listen, --haproxy-socket-keepalive and the
  logging options need a restart. Changes of certificates need no signal.

Hook:
{HOOK}

Exit codes:
  0    stopped by a signal; with --one-off, at the end of --wait: every certificate that has an OCSP URL and is not
       expired has a verified staple, every request that was due was answered, and every server has confirmed its staples
  1    with --one-off: something of that is missing, or a must-staple certificate has no OCSP URL; otherwise: stapled
       could not start or continue
  2    wrong arguments or configuration
  3    with --one-off: a certificate is revoked, whatever else is the case
  130  --one-off was interrupted (SIGINT), or a second SIGINT came
  143  --one-off was ended (SIGTERM), or a second SIGTERM came
  `stapled COMMAND --help` lists the exit codes of a command.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::declarations::ALL;
    use crate::options::example::example;
    use crate::options::option::{Declaration, Example, Place};

    #[test]
    fn clap_accepts_the_declarations() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_option_is_in_the_help_the_man_page_the_completions_and_the_example() {
        let help = Cli::command().render_long_help().to_string();
        let manual = manual(Cli::command()).unwrap().replace('\\', "");
        let (bash, fish) = (completions(Cli::command(), Shell::Bash), completions(Cli::command(), Shell::Fish));
        let example = example();
        let is_argument = |option: &&Declaration| option.place != Place::File;
        for option in ALL.iter().filter(is_argument) {
            let name = option.long().map_or_else(|| format!("-{}", option.short.unwrap()), |long| format!("--{long}"));
            for (place, text) in [("help", &help), ("man page", &manual), ("bash", &bash)] {
                assert!(text.contains(&name), "{name} is not in the {place}");
            }
            let in_fish =
                option.long().map_or_else(|| format!("-s {}", option.short.unwrap()), |long| format!("-l {long}"));
            assert!(fish.contains(&in_fish), "{name} is not in the completions of fish");
            if option.is_key() && !matches!(option.example, Example::OldName) {
                let line = format!("{} = ", option.name);
                let has_line = example.lines().any(|text| text.trim_start_matches('#').starts_with(&line));
                assert!(has_line, "{name} is not in the example");
            }
        }
    }

    #[test]
    fn the_help_says_how_options_and_defaults_belong_together() {
        let help = Cli::command().render_help().to_string();
        for words in ["[default: 2h]", "[default: 1m]", "[default: 5m]", "Certificates:", "HAProxy:"] {
            assert!(help.contains(words), "{words}");
        }
    }
}
