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
    /// The day of its release, as HAProxy writes it: `2026/10/14`. A distribution's version has the day of its packaging.
    pub(crate) released: String,
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
            released: value("Release_date").unwrap_or_default().to_owned(),
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

    /// Whether a new response may meet a handshake that reads the former one ([`has_response_race`]).
    pub(crate) fn has_response_race(&self) -> bool {
        has_response_race(&self.version_in_words, &self.released)
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

/// Whether this version takes responses over sockets of level admin only, and shows them there only.
pub(crate) fn pushes_need_admin(version: (u32, u32)) -> bool {
    version >= (3, 3)
}

/// Whether this version lacks the lock between a new response and handshakes that was added in July 2026: 3.2.22 and 3.5-dev4 have
/// it. Other versions are known by the day of their release, but for a distribution's version that only adds fixes to an old one:
/// its packager may have added this one.
fn has_response_race(version_in_words: &str, released: &str) -> bool {
    const FIXED: &str = "2026/07/29";
    let Some(version) = version(version_in_words) else { return false };
    let number_after = |text: &str| {
        let (_, rest) = version_in_words.split_once(text)?;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u32>().ok()
    };
    let is_old_with_fixes = version_in_words.contains("+deb") || version_in_words.contains("ubuntu");
    match version {
        (3, 2) => number_after("3.2.").is_some_and(|patch| patch < 22),
        (3, 5) => number_after("-dev").is_some_and(|dev| dev < 4),
        version if version > (3, 5) => false,
        _ => is_old_with_fixes || !released.is_empty() && released < FIXED,
    }
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

    #[test]
    fn versions_without_the_lock_of_responses_are_known() {
        for (version, released, expected) in [
            ("3.2.26-1", "2026/10/14", false),
            ("3.2.22", "2026/07/29", false),
            ("3.2.21", "2026/07/03", true),
            ("3.5-dev3", "2026/07/22", true),
            ("3.5-dev4-1234", "2026/08/06", false),
            ("3.5.1", "2026/11/01", false),
            ("3.6-dev1", "2026/12/01", false),
            ("3.0.11", "2025/06/03", true),
            ("3.0.25", "2026/08/01", false),
            ("3.4.0", "2026/06/03", true),
            // The day is that of the package.
            ("3.0.11-1+deb13u4", "2026/10/15", true),
            ("2.8.5-1ubuntu3.9", "2026/10/15", true),
            ("3.0.11", "", false),
            ("odd", "2020/01/01", false),
        ] {
            let info = format!("{INFO}Version: {version}\nRelease_date: {released}\n");
            let process = Process::read(&info).expect("info");
            assert_eq!(process.has_response_race(), expected, "{version} {released}");
        }
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
