//! The hook: a program of the operator that may refuse sessions.

use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Output};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::process::Command;
use tokio::sync::Semaphore;

use super::shown::shown;

/// How long one run may take, unless the operator says otherwise. A daemon has two minutes for a session.
const WITHIN: Duration = Duration::from_secs(30);
/// How many runs there are at once, at each of the two stages.
const AT_ONCE: usize = 8;
/// The most characters of a reason.
const LONGEST_REASON: usize = 200;
/// The variables of the authority's own environment that the program gets.
const HANDED_ON: [&str; 2] = ["PATH", "TZ"];

/// A program that is asked before a session is accepted, and again before its certificate is signed.
///
/// It gets a JSON object on its standard input, and answers by its exit status: 0 allows, and 1 refuses, with the first line of its
/// standard output as the reason. Anything else is a failure: nothing is signed, and the program is asked again later.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Hook {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// How long one run may take, with the time in which it waits for others. A run that takes longer is killed with all
    /// processes that it started. Shorter than [`LEASE`](super::LEASE).
    pub within: Duration,
    submits: Arc<Semaphore>,
    issues: Arc<Semaphore>,
}

/// When the hook is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Stage {
    /// Before a session is accepted.
    Submit,
    /// Before a certificate is signed.
    Issue,
}

/// What the program gets.
#[derive(Debug, Serialize)]
pub(crate) struct Question<'a> {
    pub(crate) version: u8,
    pub(crate) stage: Stage,
    /// The name of the session; none before it is accepted.
    pub(crate) session: Option<&'a str>,
    pub(crate) client: &'a str,
    pub(crate) names: Vec<String>,
    /// SHA-256 of the SubjectPublicKeyInfo, in hexadecimal.
    pub(crate) key: String,
    /// The certificate request, PEM.
    pub(crate) csr: String,
}

/// The answer of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Allowed,
    /// With the reason.
    Refused(String),
}

/// Why the hook gave no answer. It is no refusal: another attempt may succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HookError {
    /// The program cannot be run.
    #[error("cannot run the hook {}: {source}", program.display())]
    Run {
        /// The program.
        program: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The program ended with another status than 0 and 1.
    #[error("the hook {} ended with {status}: {errors}", program.display())]
    Ended {
        /// The program.
        program: PathBuf,
        /// Its status.
        status: ExitStatus,
        /// The first line of its errors.
        errors: String,
    },
    /// The program took too long, and was killed.
    #[error("the hook {} did not end within {} s", program.display(), within.as_secs())]
    TimedOut {
        /// The program.
        program: PathBuf,
        /// How long it may take.
        within: Duration,
    },
}

impl Hook {
    /// The hook that runs this program without arguments, for 30 s at most.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        let several = || Arc::new(Semaphore::new(AT_ONCE));
        let (program, arguments) = (program.into(), Vec::new());
        Hook { program, arguments, within: WITHIN, submits: several(), issues: several() }
    }

    /// Runs the program. If this is dropped, the program is killed with all processes that it started.
    pub(crate) async fn ask(&self, question: &Question<'_>) -> Result<Answer, HookError> {
        let turns = if question.stage == Stage::Submit { &self.submits } else { &self.issues };
        let run = async {
            // The semaphore is never closed.
            let _turn = turns.acquire().await;
            self.run(question).await
        };
        let timed_out = |_| HookError::TimedOut { program: self.program.clone(), within: self.within };
        tokio::time::timeout(self.within, run).await.map_err(timed_out)?
    }

    async fn run(&self, question: &Question<'_>) -> Result<Answer, HookError> {
        let failed = |source| HookError::Run { program: self.program.clone(), source };
        let question = serde_json::to_vec(question).map_err(|error| failed(error.into()))?;
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).current_dir("/").env_clear();
        command.envs(HANDED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        let ended =
            stapled_core::hook::Hook::run_program(&mut command, &question, self.within).await.map_err(failed)?;
        let timed_out = HookError::TimedOut { program: self.program.clone(), within: self.within };
        let Output { status, stdout, stderr } = ended.ok_or(timed_out)?;
        match status.code() {
            Some(0) => Ok(Answer::Allowed),
            Some(1) => Ok(Answer::Refused(first_line(&stdout))),
            _ => Err(HookError::Ended { program: self.program.clone(), status, errors: first_line(&stderr) }),
        }
    }
}

/// The first line, escaped and cut.
fn first_line(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    shown(text.lines().next().unwrap_or_default().trim(), LONGEST_REASON)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_one_short_line() {
        for (output, line) in [
            ("no\nmore", "no"),
            ("  it's \"no\" \\ \n", "it's \"no\" \\"),
            ("a\x1b[0m\u{202e}b\0", "a\\u{1b}[0m\\u{202e}b\\u{0}"),
            ("\u{fc}n", "\u{fc}n"),
            ("", ""),
        ] {
            assert_eq!(first_line(output.as_bytes()), line);
        }
        assert_eq!(first_line(&[b'x'; 5000]).len(), LONGEST_REASON);
        assert_eq!(first_line(b"\xff\xfe"), "\u{fffd}\u{fffd}");
    }
}
