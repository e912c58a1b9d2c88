//! File systems that only one program sees: small ones that fill up, and ones that can become read-only. Unlike
//! permission bits, they stop root as well.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::stapled::{Stapled, StapledCommand};

/// The way in which this system allows a program to have mounts of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Private {
    unshare: &'static [&'static str],
    enter: &'static [&'static str],
}

impl Private {
    /// Finds the way. If there is none, the test is [skipped](crate::skip).
    #[track_caller]
    pub fn find() -> Option<Private> {
        let ways = [
            Private { unshare: &["--mount"], enter: &["--mount"] },
            Private {
                unshare: &["--mount", "--map-root-user"],
                enter: &["--mount", "--user", "--preserve-credentials"],
            },
        ];
        let works = |way: &Private| {
            let mut command = Command::new("unshare");
            command.args(way.unshare).args(["sh", "-c", "mount -t tmpfs none /tmp && nsenter --version"]);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        let found = ways.into_iter().find(works);
        if found.is_none() {
            crate::skip("this system lets nobody have mounts of its own (unshare --mount)");
        }
        found
    }

    /// Runs a test of this program again, in a process with mounts of its own, which its child processes share. Returns
    /// whether the calling process is that process.
    pub fn is_inside(self, test: &str) -> bool {
        const INSIDE: &str = "STAPLED_TEST_INSIDE";
        if std::env::var_os(INSIDE).is_some() {
            return true;
        }
        let mut command = Command::new("unshare");
        command.args(self.unshare).arg(std::env::current_exe().expect("the path of this program"));
        command.args(["--exact", test, "--nocapture"]).env(INSIDE, "yes");
        assert!(command.status().expect("unshare").success(), "{test} failed inside");
        false
    }

    /// Mounts an empty file system of this many KiB at a directory. Only for the process with its own mounts.
    pub fn mount(self, directory: &Path, kib: u64) {
        mount(&["-t", "tmpfs", "-o", &format!("size={kib}k,mode=755"), "none"], directory);
    }

    /// Mounts the file system again with `ro` or `rw`. Only for the process with its own mounts.
    pub fn remount_here(self, directory: &Path, options: &str) {
        mount(&["-o", &format!("remount,bind,{options}")], directory);
    }

    /// Makes `stapled` see this directory, with its present contents, on a separate file system of this many KiB.
    pub fn small(self, stapled: StapledCommand, directory: &Path, kib: u64) -> StapledCommand {
        let script = "set -e; directory=$1 size=$2; shift 2; copy=$(mktemp -d); cp -a \"$directory/.\" \"$copy\"; \
                      mount -t tmpfs -o size=${size}k,mode=755 none \"$directory\"; cp -a \"$copy/.\" \"$directory\"; \
                      rm -rf \"$copy\"; exec \"$@\"";
        let words = ["sh", "-c", script, "sh", directory.to_str().expect("text"), &kib.to_string()].map(str::to_owned);
        stapled.by(["unshare"]).by(self.unshare).by(words)
    }

    /// Makes `stapled` see this file as the system's list of host names.
    pub fn hosts(self, stapled: StapledCommand, hosts: &Path) -> StapledCommand {
        let script = "set -e; mount --bind \"$1\" /etc/hosts; shift; exec \"$@\"";
        let words = ["sh", "-c", script, "sh", hosts.to_str().expect("text")].map(str::to_owned);
        stapled.by(["unshare"]).by(self.unshare).by(words)
    }

    /// The path by which the program sees this path.
    pub fn inside(self, stapled: &Stapled, path: &Path) -> PathBuf {
        Path::new("/proc").join(stapled.id().to_string()).join("root").join(path.strip_prefix("/").expect("absolute"))
    }

    /// Mounts the program's directory again with `ro` or `rw`. Only that mount changes: the options of its file system
    /// stay.
    pub fn remount(self, stapled: &Stapled, directory: &Path, options: &str) {
        let mut command = Command::new("nsenter");
        command.arg("--target").arg(stapled.id().to_string()).args(self.enter);
        command.args(["mount", "-o", &format!("remount,bind,{options}")]).arg(directory);
        let output = command.output().expect("nsenter");
        let errors: &dyn Display = &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "remount: {errors}");
    }
}

fn mount(options: &[&str], directory: &Path) {
    let output = Command::new("mount").args(options).arg(directory).output().expect("mount");
    assert!(output.status.success(), "mount: {}", String::from_utf8_lossy(&output.stderr));
}
