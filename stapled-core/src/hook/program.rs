//! One run of a program: its process group, its deadline, its output.

use std::io;
use std::path::Path;
use std::pin::pin;
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

/// The most bytes of its output, and of its errors, that are kept. The rest is read and dropped, so that the program does not
/// block while it writes.
const MAX_OUTPUT: usize = 4096;
/// How long its output is read after its end: a process that it started can keep the pipes open.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// The variables of this program's own environment that programs get.
const HANDED_ON: [&str; 5] = ["PATH", "HOME", "LANG", "TZ", "TMPDIR"];

/// A command that runs a program in the root directory, with few variables and no arguments.
pub(super) fn bare(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(HANDED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.current_dir("/");
    command
}

/// Runs a program. Returns its status and the beginning of its output; `None` if it did not end in time and was killed with all
/// processes of its group. If the future is dropped, they are killed, too. Processes that a program leaves running at its end are
/// not killed.
pub(super) async fn run(command: &mut Command, input: &[u8], within: Duration) -> io::Result<Option<Output>> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A process group of its own: it can be killed with all processes that it started, and gets no signals of the terminal.
    let mut child = command.process_group(0).kill_on_drop(true).spawn()?;
    let mut group = Group::of(&child);
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    match tokio::time::timeout(within, exchange(&mut child, &mut group, input, &mut stdout, &mut stderr)).await {
        Ok(status) => Ok(Some(Output { status: status?, stdout, stderr })),
        Err(_) => {
            drop(group);
            // The process was killed; this removes its entry in the table of processes.
            let _ = child.wait().await;
            Ok(None)
        }
    }
}

/// Writes the input and reads the output until the program ends.
async fn exchange(
    child: &mut Child,
    group: &mut Group,
    input: &[u8],
    stdout: &mut Vec<u8>,
    stderr: &mut Vec<u8>,
) -> io::Result<ExitStatus> {
    let (stdin, out, err) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let write = async {
        if let Some(mut stdin) = stdin {
            // A program may need no input, and close it.
            drop(stdin.write_all(input).await);
        }
    };
    let mut streams = pin!(async { tokio::join!(write, read(out, stdout), read(err, stderr)) });
    let mut are_over = false;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            _ = &mut streams, if !are_over => are_over = true,
        }
    };
    group.0 = None;
    if !are_over {
        drop(tokio::time::timeout(LAST_WORDS, streams).await);
    }
    status
}

/// Reads a stream to its end, and keeps its beginning. If reading fails, the output so far counts.
async fn read(stream: Option<impl AsyncRead + Unpin>, beginning: &mut Vec<u8>) {
    let Some(mut stream) = stream else { return };
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        let room = MAX_OUTPUT.saturating_sub(beginning.len()).min(count);
        beginning.extend_from_slice(buffer.get(..room).unwrap_or_default());
    }
}

/// The process group of a program; killed when dropped.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Group(child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The child was not waited for yet, so no other process has its ID.
        if let Some(pid) = self.0 {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}
