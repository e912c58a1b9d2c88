//! Starts and controls the real `stapled`.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::process::Ended;
use crate::wait::{PATIENCE, wait_for, wait_for_within};
use crate::world::World;

/// The arguments of a `stapled` that is not started yet.
#[must_use]
pub struct StapledCommand {
    folder: PathBuf,
    /// The program that runs `stapled`, with its own arguments first.
    wrapper: Vec<OsString>,
    arguments: Vec<OsString>,
}

/// A running `stapled`. Its drop kills it.
pub struct Stapled {
    child: Child,
    log: PathBuf,
}

impl Stapled {
    /// A command without arguments yet. It reads no configuration file of this machine.
    pub fn of(world: &World) -> StapledCommand {
        Stapled::asked(world).args(["--config".into(), world.path("empty.conf")])
    }

    /// A command for another subcommand, such as `status`.
    pub fn asked(world: &World) -> StapledCommand {
        // The build comes first, so that it does not count in a time measurement.
        program();
        StapledCommand { folder: world.path(""), wrapper: Vec::new(), arguments: Vec::new() }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends the process a signal, such as `HUP`.
    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill").arg(format!("-{signal}")).arg(self.child.id().to_string()).status();
        assert!(status.expect("kill").success());
    }

    /// Whether the process runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("its status").is_none()
    }

    /// The complete log so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).expect("the log")).into_owned()
    }

    /// The lines of the log that contain all of `parts`.
    pub fn lines(&self, parts: &[&str]) -> Vec<String> {
        self.log().lines().filter(|line| parts.iter().all(|part| line.contains(part))).map(str::to_owned).collect()
    }

    /// Waits for a line of the log that contains all of `parts`.
    pub fn wait_for_line(&self, parts: &[&str]) -> String {
        self.wait_for_line_within(PATIENCE, parts)
    }

    /// Waits at most `patience` for a line of the log that contains all of `parts`.
    pub fn wait_for_line_within(&self, patience: Duration, parts: &[&str]) -> String {
        wait_for_within(patience, &format!("stapled logs {parts:?}"), || self.lines(parts).into_iter().next())
    }

    /// Ends the process as an administrator does, and waits for its end, which must be successful.
    pub fn stop(mut self) {
        self.signal("TERM");
        let status: ExitStatus = wait_for("stapled ends", || self.child.try_wait().expect("its status"));
        assert_eq!(status.code(), Some(0), "stapled ended with {status}");
    }

    /// Ends the process with SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().expect("kill");
        let _ = self.child.wait();
    }
}

impl Drop for Stapled {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- stapled:\n{}", tail(&self.log, 60));
        }
    }
}

impl StapledCommand {
    /// Adds arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Adds `--cert-paths` with these paths.
    pub fn certs<A: AsRef<OsStr>>(self, paths: impl IntoIterator<Item = A>) -> Self {
        self.args(["--cert-paths"]).args(paths)
    }

    /// Adds `--haproxy-sockets` with these sockets.
    pub fn sockets<A: AsRef<OsStr>>(self, sockets: impl IntoIterator<Item = A>) -> Self {
        self.args(["--haproxy-sockets"]).args(sockets)
    }

    /// Runs `stapled` through another program, which starts the command after its own arguments.
    pub fn by<A: AsRef<OsStr>>(mut self, words: impl IntoIterator<Item = A>) -> Self {
        self.wrapper.extend(words.into_iter().map(|word| word.as_ref().to_owned()));
        self
    }

    /// Starts `stapled` with a log of every step.
    pub fn start(self) -> Stapled {
        self.start_with_verbosity(4)
    }

    /// Starts `stapled` with a shorter log.
    pub fn start_with_verbosity(self, verbosity: u8) -> Stapled {
        static LOGS: AtomicUsize = AtomicUsize::new(0);
        let log = self.folder.join(format!("stapled-{}.log", LOGS.fetch_add(1, Ordering::Relaxed)));
        let file = std::fs::File::create(&log).expect("a log file");
        let mut command = self.args(["--verbosity", &verbosity.to_string()]).command();
        let child = command.stdout(Stdio::null()).stderr(file).spawn().expect("stapled");
        Stapled { child, log }
    }

    /// Runs `stapled` to its end.
    pub fn run(self) -> Ended {
        let output = self.command().output().expect("stapled");
        Ended {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).expect("text"),
            err: String::from_utf8(output.stderr).expect("text"),
        }
    }

    fn command(&self) -> Command {
        let words = self.wrapper.iter().map(OsString::as_os_str).chain([program().as_os_str()]);
        let mut words = words.chain(self.arguments.iter().map(OsString::as_os_str));
        let mut command = Command::new(words.next().expect("a program"));
        command.args(words).current_dir(&self.folder).env("HOME", &self.folder).stdin(Stdio::null());
        // Variables that would redirect questions or output.
        for variable in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
            command.env_remove(variable).env_remove(variable.to_uppercase());
        }
        command.env_remove("NOTIFY_SOCKET").env_remove("JOURNAL_STREAM");
        // A control socket of the test's own: tests do not share the machine's.
        command.env("RUNTIME_DIRECTORY", &self.folder);
        command
    }
}

/// The program `stapled` of this checkout: the one that the variable `STAPLED` names, or else one that cargo builds
/// now, with the profile of this test.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let tests = std::env::current_exe().expect("the path of this program");
        // target/PROFILE/deps/TESTS
        let profile = tests.parent().and_then(Path::parent).expect("a folder of build results");
        own_program(&profile.join("stapled"), || build(profile))
    })
}

/// The program `stapled` that cargo has built for the tests of its own package, whose path cargo gives to them. Another
/// checkout with the same target folder can overwrite it only between this build and the first test of the suite:
/// `.ci/suites` gives the program its own name right after the build instead, in the variable `STAPLED`.
pub fn built_program(path: &Path) -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| own_program(path, || ()))
}

/// The program that the variable `STAPLED` names, or else `program` under a name of this checkout's own.
///
/// If several checkouts share a target folder, each build overwrites `target/PROFILE/stapled`. So the program gets
/// another name there right after its build, with the path of this checkout in it.
fn own_program(program: &Path, build: impl FnOnce()) -> PathBuf {
    match std::env::var_os("STAPLED") {
        Some(named) => named.into(),
        None => renamed(program, env!("CARGO_MANIFEST_DIR"), build),
    }
}

/// Builds `program`, and gives it another name with the path of this checkout in it.
fn renamed(program: &Path, checkout: &str, build: impl FnOnce()) -> PathBuf {
    let all = program.with_file_name("stapled-of");
    let own = all.join(checkout.replace('/', "_"));
    std::fs::create_dir_all(&own).expect("a folder");
    // Other tests wait meanwhile, including those of other checkouts.
    let lock = std::fs::File::create(all.join("lock")).expect("a lock");
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).expect("the lock");
    build();
    let link = own.join(format!("stapled-{}", std::process::id()));
    let _ = std::fs::remove_file(&link);
    std::fs::hard_link(program, &link).expect("a link");
    // Running programs keep the file that they were started from.
    std::fs::rename(&link, own.join("stapled")).expect("the link's name");
    own.join("stapled")
}

fn build(profile: &Path) {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "-p", "stapled-bin", "--bin", "stapled"]);
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).env("CARGO_TARGET_DIR", profile.parent().expect("a folder"));
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let output = cargo.stdin(Stdio::null()).output().expect("cargo");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "stapled cannot be built: {errors}");
}

/// The last lines of a file.
pub(crate) fn tail(path: &Path, count: usize) -> String {
    let text = String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(count)..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_checkouts_that_share_a_target_folder_keep_their_own_programs() {
        let target = tempfile::tempdir().unwrap();
        let program = target.path().join("stapled");
        // cargo replaces the program, as a build of another checkout does.
        let build = |text: &'static str| {
            let program = program.clone();
            move || {
                let _ = std::fs::remove_file(&program);
                std::fs::write(&program, text).unwrap();
            }
        };
        let one = renamed(&program, "/checkouts/one", build("one"));
        let two = renamed(&program, "/checkouts/two", build("two"));
        assert_eq!(std::fs::read_to_string(&one).unwrap(), "one");
        assert_eq!(std::fs::read_to_string(&two).unwrap(), "two");
        assert_eq!(renamed(&program, "/checkouts/one", build("one, newer")), one);
        assert_eq!(std::fs::read_to_string(&one).unwrap(), "one, newer");
        assert_eq!(std::fs::read_to_string(&two).unwrap(), "two");
    }
}
