//! The processor time and the memory of this process.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The processor time of this process so far.
pub fn process_cpu() -> Duration {
    elapsed(ClockId::ProcessCPUTime)
}

/// The processor time of this thread so far.
pub fn thread_cpu() -> Duration {
    elapsed(ClockId::ThreadCPUTime)
}

/// The resident memory that this process has taken, in bytes, without the pages of its program, which are read from its file.
pub fn resident() -> u64 {
    status("RssAnon:")
}

/// The largest resident memory of this process so far, in bytes.
pub fn most_resident() -> u64 {
    status("VmHWM:")
}

fn elapsed(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap())
}

fn status(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}
