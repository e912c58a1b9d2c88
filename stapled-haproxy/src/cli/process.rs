//! The identity of a HAProxy process, from the reply to `show info`. Pure.

/// A HAProxy process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u64,
    /// HAProxy's name for its machine: process ids repeat across machines.
    pub(crate) node: String,
    /// When it started, in seconds since the Unix epoch, if HAProxy shows it.
    pub(crate) started: Option<u64>,
    /// The time since its start, in seconds.
    pub(crate) uptime: u64,
    /// Whether the process is about to end, as after a reload.
    pub(crate) is_stopping: bool,
    /// The first two numbers of its version; zeros if it shows none.
    pub(crate) version: (u32, u32),
    /// The version as HAProxy writes it.
    pub(crate) version_in_words: String,
}

impl Process {
    /// Reads the reply to `show info`.
    pub(crate) fn read(reply: &str) -> Option<Self> {
        let value = |key: &str| reply.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim);
        let number = |key: &str| value(key)?.parse::<u64>().ok();
        Some(Process {
            pid: number("Pid")?,
            node: value("node").unwrap_or_default().to_owned(),
            started: number("Start_time_sec"),
            uptime: number("Uptime_sec")?,
            is_stopping: number("Stopping").is_some_and(|stopping| stopping != 0),
            version: value("Version").and_then(version).unwrap_or_default(),
            version_in_words: value("Version").unwrap_or_default().to_owned(),
        })
    }

    /// Whether `later` is still this process. In containers another process may have the same process id.
    pub(crate) fn is_same(&self, later: &Process) -> bool {
        self.pid == later.pid
            && self.node == later.node
            && match (self.started, later.started) {
                (Some(this), Some(that)) => this == that,
                // The replies to two commands may arrive in another order than the commands were sent.
                _ => later.uptime.saturating_add(2) > self.uptime,
            }
    }

    /// Whether it can show a response in base64.
    pub(crate) fn shows_bytes(&self) -> bool {
        self.version >= (2, 8)
    }

    /// Whether it may add the parts that other clients set, for any certificate, to our transaction. 2.6 does, 3.0 does
    /// not; versions between them were not measured and count as 2.6.
    pub(crate) fn mixes_transactions(&self) -> bool {
        mixes_transactions(self.version)
    }

    /// The key that distinguishes the process from every other one on this machine.
    pub(crate) fn key(&self) -> (String, u64, Option<u64>) {
        (self.node.clone(), self.pid, self.started)
    }
}

/// Whether this version mixes the transactions of its clients ([`Process::mixes_transactions`]).
pub(crate) fn mixes_transactions(version: (u32, u32)) -> bool {
    version < (3, 0)
}

/// The first two numbers of a version such as `3.0.11-1+deb13u4` or `3.5-dev2`.
pub(crate) fn version(text: &str) -> Option<(u32, u32)> {
    let (major, rest) = text.split_once('.')?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((major.parse().ok()?, digits.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const INFO: &str =
        "Name: HAProxy\nPid: 42\nUptime: 0d 0h00m07s\nUptime_sec: 7\nnode: vm\nStopping: 0\nStart_time_sec: 100\n";

    #[test]
    fn a_process_is_known_by_pid_and_start() {
        let first = Process::read(INFO).expect("info");
        assert_eq!((first.pid, first.uptime, first.started, first.is_stopping), (42, 7, Some(100), false));
        let later = Process { uptime: 9, is_stopping: true, ..first.clone() };
        assert!(first.is_same(&later));
        assert!(!first.is_same(&Process { pid: 43, ..first.clone() }));
        assert!(!first.is_same(&Process { started: Some(101), ..first.clone() }));
    }

    #[test]
    fn versions_are_read_as_numbers() {
        let of = |version: &str| Process::read(&format!("{INFO}Version: {version}\n")).expect("info");
        assert_eq!(of("3.0.11-1+deb13u4").version, (3, 0));
        assert_eq!(of("3.5-dev2").version, (3, 5));
        assert!(of("2.10.1").shows_bytes() && of("2.8.0").shows_bytes());
        assert!(!of("2.6.12-1+deb12u4").shows_bytes() && !of("odd").shows_bytes());
    }

    #[test]
    fn without_a_start_time_a_shorter_uptime_is_another_process() {
        let old = Process { started: None, uptime: 100, ..Process::read(INFO).expect("info") };
        assert!(!old.is_same(&Process { uptime: 3, ..old.clone() }));
        assert!(old.is_same(&Process { uptime: 99, ..old.clone() }));
    }

    proptest! {
        #[test]
        fn no_reply_panics(said in "(?s).{0,200}", number in any::<u64>()) {
            let _ = Process::read(&said);
            if let Some(process) = Process::read(&format!("Pid: {number}\nUptime_sec: {number}\n")) {
                let _ = process.is_same(&process);
            }
        }
    }
}
