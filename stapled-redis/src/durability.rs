//! The settings of the server by which tasks survive a power failure and a full memory.

use std::fmt;

/// The steps that survive when the machine of the server loses power. `docs/redis.md` has the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Durability {
    /// Every acknowledged step (`appendonly yes`, `appendfsync always`).
    Always,
    /// All steps but those of about the last two seconds (`appendfsync everysec`).
    EverySecond,
    /// All steps but those of about the last half minute: the operating system writes the file when it likes (`appendfsync no`).
    OperatingSystem,
    /// The steps before the last snapshot (`save`). Where only INFO may be asked, there may be no snapshots either.
    Snapshots,
    /// Nothing: the server writes nothing to its disk.
    None,
    /// The server does not tell: its rules (ACL) forbid CONFIG GET to this user, and INFO does not say enough.
    Unknown,
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Durability::Always => "every step is on the disk before it is acknowledged",
            Durability::EverySecond => "steps are on the disk after two seconds",
            Durability::OperatingSystem => "steps are on the disk after half a minute",
            Durability::Snapshots => "snapshots at most are on the disk",
            Durability::None => "nothing is on the disk",
            Durability::Unknown => "unknown, because this user may not CONFIG GET",
        })
    }
}

impl Durability {
    /// Why a server with this durability is refused, and what to do.
    pub(crate) fn refusal(self) -> String {
        match self {
            Durability::Unknown => "its settings are not known, because this user may not read them; allow that with \
                                    `ACL SETUSER USER +config|get +info`, or accept the loss"
                .to_owned(),
            other => {
                format!("{other}; set `appendonly yes` and `appendfsync always` in redis.conf, or accept the loss")
            }
        }
    }
}

/// Whether the server deletes keys when its memory is full.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Eviction {
    /// It refuses writes instead (`maxmemory-policy noeviction`), as the scheduler needs it.
    Never,
    /// It deletes keys by this policy, so that tasks and records vanish.
    Policy(String),
    /// The server does not tell: its rules (ACL) forbid INFO and CONFIG GET to this user.
    Unknown,
}

/// Whether a program accepts that acknowledged steps are lost with the machine of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// It refuses to run then.
    Refuse,
    /// It accepts that.
    Accept,
}
