//! `stapled`: keeps OCSP staples fresh in HAProxy and in files.
//!
//! The command line ([`cli`]) and the configuration file give values to [`options`]; merged and checked, they are the
//! [`configuration`], which [`wiring`] makes into a stapler. The stapler makes one pass ([`once`], with [`progress`] and a
//! [`summary`]), or runs until a signal stops it ([`run`]), in the foreground or as a [`daemon`], and follows changes of
//! the configuration; a [`comparison`] reports where running HAProxys differ from their configurations. Events go to the
//! log ([`logging`]), to the hook of [`stapled_core::hook`], and to clients of the [`control`] socket.
//!
//! Besides, there are [`commands`]: each answers one question and ends.

mod cli;
mod commands;
mod comparison;
mod configuration;
mod control;
mod daemon;
mod fault;
mod haproxys;
mod invocation;
mod judging;
mod logging;
mod network;
mod once;
mod options;
mod progress;
mod run;
mod run_error;
mod signals;
mod stderr;
mod summary;
mod text;
mod wiring;

use std::io::{self, Write};
use std::process::ExitCode;

use stapled_haproxy::Processes;

use crate::cli::Cli;
use crate::commands::answer::{answer, exit};
use crate::configuration::{Configuration, Mode};
use crate::daemon::Detached;
use crate::invocation::Invocation;
use crate::options::example::example;
use crate::options::table as option;
use crate::stderr::fail;

fn main() -> ExitCode {
    let cli = match Cli::of_process() {
        Ok(cli) => cli,
        Err(error) => return fail(&error, 2),
    };
    if let Some(command) = cli.command {
        return command.run();
    }
    let arguments = cli.options.settings;
    if arguments.get(&option::EXAMPLE_CONFIG) {
        return exit(answer(&mut io::stdout(), &example(), 0));
    }
    if arguments.get(&option::MAN) {
        return match cli::manual() {
            Ok(manual) => exit(answer(&mut io::stdout(), &manual, 0)),
            Err(error) => fail(&format!("the manual page cannot be made: {error}"), 1),
        };
    }
    let invocation = Invocation::new(arguments.clone());
    let check_only = arguments.get(&option::CHECK_CONFIG);
    let configuration = match Configuration::load(arguments) {
        Ok(configuration) => configuration,
        Err(error) => return fail(&error, 2),
    };
    if check_only {
        return checked(&configuration);
    }
    let mut ready = None;
    if matches!(configuration.mode, Mode::Background { .. }) {
        // Before the runtime starts: its threads do not survive the fork.
        match daemon::detach() {
            Ok(Detached::Parent(word)) => return ExitCode::from(word.wait()),
            Ok(Detached::Child(child)) => ready = Some(child),
            Err(error) => return fail(&format!("cannot go to the background: {error}"), 1),
        }
    }
    match run::run(configuration, invocation, &mut ready) {
        Ok(code) => code,
        Err(error) => {
            let code = error.exit_code();
            let exit = fail(&error, code);
            if let Some(ready) = ready {
                ready.failed(code);
            }
            exit
        }
    }
}

fn checked(configuration: &Configuration) -> ExitCode {
    let haproxys = match haproxys::open(configuration, &Processes::for_one_scan()) {
        Ok(haproxys) => haproxys,
        Err(error) => return fail(&error, 2),
    };
    let mut out = io::stdout().lock();
    for note in &configuration.notes {
        let _ = writeln!(out, "note: {note}");
    }
    for note in haproxys::notes(&haproxys) {
        let _ = writeln!(out, "note: {}", text::visible(&note));
    }
    for group in configuration.groups.iter().filter(|group| !group.path.exists()) {
        let _ = writeln!(out, "note: {} does not exist, or this user cannot see it", group.path.display());
    }
    let _ = writeln!(out, "configuration ok");
    ExitCode::SUCCESS
}
