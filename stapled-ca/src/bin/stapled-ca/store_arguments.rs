//! Where sessions are.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use stapled_ca::session::SessionStore;
use stapled_embedded::{EmbeddedError, EmbeddedScheduler};
use stapled_redis::{Keys, Loss, RedisAddress, RedisError, RedisScheduler};

/// The environment variable with the address of Redis.
const VARIABLE: &str = "STAPLED_CA_REDIS";
/// The file of the embedded store in an authority's directory.
const SESSIONS: &str = "sessions";

/// Where the sessions are: in DIR/sessions, or in Redis
#[derive(Debug, Args)]
pub(crate) struct StoreArguments {
    /// Keep the sessions in this Redis, for example redis://HOST:PORT/DB or redis+unix:///PATH, without a password
    /// [default: the environment variable STAPLED_CA_REDIS; without it, the file DIR/sessions]
    #[arg(long, value_name = "URL", global = true, conflicts_with = "redis_file")]
    redis: Option<String>,
    /// A file with the address of Redis, which may contain a password
    #[arg(long, value_name = "FILE", global = true)]
    redis_file: Option<PathBuf>,
    /// The prefix of the keys in Redis
    #[arg(long, value_name = "PREFIX", default_value = "ca:", global = true)]
    prefix: String,
    /// Accept a Redis that can lose acknowledged writes when its machine fails (without `appendfsync always`)
    #[arg(long, global = true)]
    accept_loss: bool,
}

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoStore {
    #[error("--redis: {0}")]
    Address(String),
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path}: {reason}", path = path.display())]
    File { path: PathBuf, reason: String },
    #[error("{0}; --accept-loss accepts it")]
    NotDurable(String),
    #[error(transparent)]
    Redis(#[from] RedisError),
    #[error("{0}; one process has the sessions of a directory open: does `stapled-ca serve` run there already?")]
    InUse(EmbeddedError),
    #[error("{0}; if the file is damaged, restore it from a backup, or move it away: certificates are in the ledger")]
    Embedded(EmbeddedError),
    #[error("there are no sessions in {}; `stapled-ca serve --intake` makes the file, and --redis names another place", path.display())]
    NoFile { path: PathBuf },
    #[error("several processes share sessions in Redis alone: name it with --redis")]
    RedisNeeded,
    #[error("name the authority's directory with --dir, or a Redis with --redis")]
    Nowhere,
}

impl StoreArguments {
    /// The address of Redis; `None` for the embedded store.
    pub(crate) fn address(&self) -> Result<Option<RedisAddress>, NoStore> {
        let from_file = |path: &PathBuf| {
            let text = std::fs::read_to_string(path).map_err(|source| NoStore::Read { path: path.clone(), source })?;
            let wrong = |error: &dyn std::fmt::Display| NoStore::File { path: path.clone(), reason: error.to_string() };
            text.trim().parse().map_err(|error| wrong(&error))
        };
        let address: RedisAddress = match (&self.redis, &self.redis_file, std::env::var(VARIABLE)) {
            (Some(text), ..) => {
                let instead = "write the address into a file and name it with --redis-file, or set STAPLED_CA_REDIS";
                RedisAddress::from_argument(text, instead).map_err(|error| NoStore::Address(error.to_string()))?
            }
            (None, Some(path), _) => from_file(path)?,
            (None, None, Ok(text)) if !text.is_empty() => {
                text.parse().map_err(|error| NoStore::Address(format!("{VARIABLE}: {error}")))?
            }
            _ => return Ok(None),
        };
        // For addresses with TLS. If this fails, there is a provider.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        Ok(Some(address))
    }

    /// The store in Redis; `None` for the embedded one.
    pub(crate) async fn in_redis(&self) -> Result<Option<Arc<dyn SessionStore>>, NoStore> {
        let Some(address) = self.address()? else { return Ok(None) };
        let loss = if self.accept_loss { Loss::Accept } else { Loss::Refuse };
        let scheduler = RedisScheduler::connect_with(&address, Keys::of_sessions(&self.prefix)).await?;
        let scheduler = scheduler.require_durable(loss).map_err(|error| match error {
            RedisError::NotDurable { .. } => NoStore::NotDurable(error.to_string()),
            other => NoStore::Redis(other),
        })?;
        Ok(Some(Arc::new(scheduler)))
    }

    /// The store in Redis, or the embedded one in this directory.
    pub(crate) async fn open(&self, dir: &Path) -> Result<Arc<dyn SessionStore>, NoStore> {
        match self.in_redis().await? {
            Some(store) => Ok(store),
            None => embedded(dir),
        }
    }
}

/// The embedded store in this directory, which must be there.
pub(crate) fn existing(dir: &Path) -> Result<Arc<dyn SessionStore>, NoStore> {
    let path = dir.join(SESSIONS);
    if path.exists() { embedded(dir) } else { Err(NoStore::NoFile { path }) }
}

/// The embedded store in this directory.
fn embedded(dir: &Path) -> Result<Arc<dyn SessionStore>, NoStore> {
    let failed =
        |error: EmbeddedError| if error.is_in_use() { NoStore::InUse(error) } else { NoStore::Embedded(error) };
    Ok(Arc::new(EmbeddedScheduler::open(dir.join(SESSIONS)).map_err(failed)?))
}
