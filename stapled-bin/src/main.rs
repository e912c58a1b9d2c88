//! `stapled`: keeps OCSP staples fresh in HAProxy and in files.
//!
//! Arguments ([`arguments`]) and a file ([`mod@file`]) say what is wanted in the same words ([`settings`]); merged and
//! checked they are the [`configuration`], which [`wiring`] makes into a stapler. It runs [`once`], with [`progress`]
//! and a [`summary`], or, by [`run`], until it is told to stop, in the foreground or as a [`daemon`], and takes a changed
//! configuration on the way; a [`comparison`] tells what running HAProxys have otherwise than their configurations. What happens is told by [`logging`] and by a [`hook`], and on the [`control`] socket.
//!
//! Beside that it has [`commands`], each of which answers one question and ends.

mod arguments;
mod commands;
mod comparison;
mod configuration;
mod control;
mod daemon;
mod fault;
mod file;
mod haproxys;
mod hook;
mod invocation;
mod judging;
mod logging;
mod network;
mod once;
mod progress;
mod run;
mod settings;
mod signals;
mod stderr;
mod summary;
mod text;
mod wiring;

use std::io::Write;
use std::process::ExitCode;

use stapled_haproxy::Processes;

use crate::configuration::{Configuration, Mode};
use crate::daemon::Detached;
use crate::invocation::Invocation;
use crate::stderr::fail;

fn main() -> ExitCode {
    let invocation = Invocation::new();
    let mut arguments = match invocation.arguments() {
        Ok(arguments) => arguments,
        Err(error) => return fail(&error, 2),
    };
    if let Some(command) = arguments.command.take() {
        return command.run();
    }
    let check_only = arguments.check_config;
    let configuration = match invocation::configuration(arguments) {
        Ok(configuration) => configuration,
        Err(error) => return fail(&error, 2),
    };
    if check_only {
        return checked(&configuration);
    }
    let mut ready = None;
    if matches!(configuration.mode, Mode::Background { .. }) {
        // Before anything else: a runtime's threads would stay behind.
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
    let mut out = std::io::stdout().lock();
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
