//! The settings of the server that decide whether tasks survive.

use std::collections::HashMap;

use crate::connection::Connection;
use crate::durability::{Durability, Eviction};
use crate::error::RedisError;

/// The settings and the memory of the server, as far as they are known.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) durability: Durability,
    pub(crate) eviction: Eviction,
    /// In bytes.
    pub(crate) used_memory: Option<u64>,
}

impl Server {
    /// Asks the server. What its rules forbid is unknown.
    pub(crate) async fn ask(connection: &Connection) -> Result<Self, RedisError> {
        let info: Option<String> = connection.if_permitted(&redis::cmd("INFO")).await?;
        let settings = |pattern: &'static str| async move {
            let mut command = redis::cmd("CONFIG");
            command.arg("GET").arg(pattern);
            connection.if_permitted::<HashMap<String, String>>(&command).await
        };
        let (append, save, policy) =
            (settings("append*").await?, settings("save").await?, settings("maxmemory-policy").await?);
        let told = |name: &str| info.as_deref().and_then(|info| line(info, name));
        let set = |settings: &Option<HashMap<String, String>>, name: &str| settings.as_ref()?.get(name).cloned();
        let policy = set(&policy, "maxmemory-policy").or_else(|| told("maxmemory_policy").map(str::to_owned));
        Ok(Server {
            durability: durability(
                set(&append, "appendonly").as_deref().or_else(|| told("aof_enabled")),
                set(&append, "appendfsync").as_deref(),
                set(&save, "save").as_deref(),
            ),
            eviction: match policy {
                None => Eviction::Unknown,
                Some(policy) if policy == "noeviction" => Eviction::Never,
                Some(policy) => Eviction::Policy(policy),
            },
            used_memory: told("used_memory").and_then(|bytes| bytes.parse().ok()),
        })
    }
}

/// The durability under these settings, as far as they are known. `INFO` writes yes as 1.
fn durability(appendonly: Option<&str>, appendfsync: Option<&str>, save: Option<&str>) -> Durability {
    match (appendonly, appendfsync, save) {
        (Some("yes" | "1"), Some("always"), _) => Durability::Always,
        (Some("yes" | "1"), Some("everysec"), _) => Durability::EverySecond,
        (Some("yes" | "1"), Some("no"), _) => Durability::OperatingSystem,
        (Some("no" | "0"), _, Some("")) => Durability::None,
        (Some("no" | "0"), ..) => Durability::Snapshots,
        _ => Durability::Unknown,
    }
}

/// The value of a line of INFO.
fn line<'i>(info: &'i str, name: &str) -> Option<&'i str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}
