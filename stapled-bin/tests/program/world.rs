//! A directory with certificates, their authority with its responder, and the program that runs there.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use stapled_ca::lab::Lab;
use stapled_ca::{Authority, Issued, Profile};
pub(crate) use stapled_tests::{Ended, PATIENCE, Running, signal_to, until};

pub(crate) struct World {
    harness: stapled_tests::World,
    pub(crate) lab: Lab,
}

impl Deref for World {
    type Target = stapled_tests::World;

    fn deref(&self) -> &Self::Target {
        &self.harness
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let harness = stapled_tests::World::under(Authority::root("Test CA").create().unwrap());
        let lab = Lab::start([&harness.ca]).unwrap();
        World { harness, lab }
    }

    /// The profile of a certificate whose responder is the lab.
    pub(crate) fn profile(&self, name: &str) -> Profile {
        Profile::server(name).ocsp_url(self.lab.url())
    }

    /// Issues a certificate into `certs/FILE`, with its issuer and key.
    pub(crate) fn issue(&self, file: &str, profile: &Profile) -> Issued {
        let issued = self.ca.issue(profile).unwrap();
        issued.write_bundle(&self.path("certs").join(file)).unwrap();
        issued
    }

    pub(crate) fn staple(&self, file: &str) -> PathBuf {
        self.path("certs").join(format!("{file}.ocsp"))
    }

    /// The command that runs the program in this directory, isolated from the configuration of the machine.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        command_in(&self.path(""), arguments)
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        Running::start(self.command(arguments)).end(PATIENCE)
    }

    /// One pass over `certs` with further arguments.
    pub(crate) fn one_off(&self, arguments: &[&str]) -> Ended {
        self.run(&[&["--one-off", "--cert-paths", "certs"], arguments].concat())
    }
}

/// The command that runs the program in a directory, isolated from the configuration of the machine.
pub(crate) fn command_in(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(stapled_tests::built_program(env!("CARGO_BIN_EXE_stapled").as_ref()));
    command.args(arguments).current_dir(directory).env_clear().env("HOME", directory.join("home"));
    // So that tests do not share the control socket of the machine.
    command.env("RUNTIME_DIRECTORY", directory).stdin(Stdio::null());
    command
}

/// The text of all files of a directory, one after the other.
pub(crate) fn contents(directory: &Path) -> String {
    let Ok(entries) = std::fs::read_dir(directory) else { return String::new() };
    entries.flatten().filter_map(|entry| std::fs::read_to_string(entry.path()).ok()).collect()
}
