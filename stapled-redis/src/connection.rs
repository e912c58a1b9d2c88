//! The connections: one for commands, which all calls share, and one that waits.

use std::collections::BTreeSet;
use std::time::Duration;

use redis::ErrorKind::Server;
use redis::ServerErrorKind::{NoPerm, ResponseError};
use redis::{Cmd, FromRedisValue, Value};

use crate::address::{Place, RedisAddress};
use crate::error::RedisError;
use crate::keys::Keys;
use crate::link::{Deadlines, Link};
use crate::reply::Reply;
use crate::script::{Call, Script};

/// How long connecting, and a command may take. A server that is slower is treated as one that is down.
const DEADLINES: Deadlines = Deadlines { connect: Duration::from_secs(5), command: Duration::from_secs(5) };
/// How long the waiting connection waits on the server for one name.
const WAIT: Duration = Duration::from_secs(20);

/// How many elements one command of a scan returns, more or less.
const SCAN: usize = 500;
/// How many commands a search for other schedulers may take.
const SCANS: usize = 40;

/// The connections to one Redis, and the names of the scheduler's keys.
pub(crate) struct Connection {
    commands: Link,
    /// A connection of its own for waiting. Its deadline is long: the server may have given away a value that the client no
    /// longer waits for.
    waiting: Link,
    script: Script,
    keys: Keys,
}

impl Connection {
    pub(crate) async fn open(address: &RedisAddress, keys: Keys) -> Result<Self, RedisError> {
        if matches!(address.place, Place::Cluster(_)) && !keys.have_hash_tag() {
            return Err(RedisError::Prefix);
        }
        let commands = Link::open(address, DEADLINES).await?;
        let waiting = commands.own(2 * WAIT);
        let script = Script::new(format!("{}{}", keys.definition(), include_str!("scheduler.lua")));
        Ok(Connection { commands, waiting, script, keys })
    }

    /// A call of one procedure, without its arguments.
    pub(crate) fn call(&self, procedure: &str) -> Call<'_> {
        let mut call = self.script.call(self.keys.prefix());
        call.arg(procedure);
        call
    }

    /// Runs a call.
    pub(crate) async fn run(&self, call: &Call<'_>) -> Result<Reply, RedisError> {
        self.reply(call.run(&self.commands).await?)
    }

    /// The reply of the script, unless the keys are newer than the script.
    fn reply(&self, value: Value) -> Result<Reply, RedisError> {
        let mut reply = Reply::of(value)?;
        if reply.word() == "newer" {
            let prefix = self.prefix().to_owned();
            return Err(RedisError::NewerSchema { prefix, found: reply.number()?, known: reply.number()? });
        }
        Ok(reply)
    }

    /// The prefix, as the owner wrote it.
    pub(crate) fn prefix(&self) -> &str {
        self.keys.written_prefix()
    }

    /// The reply to a command about the server that has the scheduler's keys; `None` where the server has no such command, forbids
    /// it to this user, or answers in another form. Writes nothing, and is an error if the keys are newer than the script.
    pub(crate) async fn if_permitted<T: FromRedisValue>(&self, command: &Cmd) -> Result<Option<T>, RedisError> {
        let (hello, value) = self.call("hello").run_and(&self.commands, command).await?;
        self.reply(hello)?;
        match value {
            Ok(value) => Ok(redis::from_redis_value(value).ok()),
            Err(error) if matches!(error.kind(), Server(NoPerm | ResponseError)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Connects the waiting connection, unless it is connected.
    pub(crate) async fn wait(&self) -> Result<(), RedisError> {
        Ok(self.waiting.connect().await?)
    }

    /// Waits for the next name on the wake list of this process. `None`: there was none for a while.
    pub(crate) async fn woken(&self, process: &str) -> Result<Option<String>, RedisError> {
        let mut command = redis::cmd("BLPOP");
        command.arg(self.keys.of("wake", process)).arg(WAIT.as_secs());
        let popped: Option<(Vec<u8>, Vec<u8>)> = command.query_async(&mut self.waiting.clone()).await?;
        Ok(popped.map(|(_, queue)| String::from_utf8_lossy(&queue).into_owned()))
    }

    /// Runs a call, and waits until this many replicas have what it wrote. Returns how many have it. Both are on one
    /// connection: the server waits for what was written on the connection that asks.
    pub(crate) async fn run_replicated(
        &self,
        call: &Call<'_>,
        wanted: u32,
        within: Duration,
    ) -> Result<(Reply, Result<u32, RedisError>), RedisError> {
        let mut wait = redis::cmd("WAIT");
        // The reply comes before the deadline of the command. 0 would wait for ever.
        wait.arg(wanted).arg(within.min(DEADLINES.command * 4 / 5).as_millis().max(1).to_string());
        let (value, have) = call.run_and(&self.commands, &wait).await?;
        let have = have.and_then(|have| redis::from_redis_value(have).map_err(redis::RedisError::from));
        Ok((self.reply(value)?, have.map_err(RedisError::from)))
    }

    /// Whether any program has used the scheduler.
    pub(crate) async fn has_clock(&self) -> Result<bool, RedisError> {
        let mut exists = redis::cmd("EXISTS");
        exists.arg(self.keys.key("clock"));
        Ok(exists.query_async(&mut self.commands.clone()).await?)
    }

    /// The prefixes of schedulers on this server, at most `most`. The search ends after some ten thousand keys.
    pub(crate) async fn prefixes(&self, most: usize) -> Result<Vec<String>, RedisError> {
        let (mut found, mut cursor) = (BTreeSet::new(), "0".to_owned());
        for _ in 0..SCANS {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor.as_str()).arg("MATCH").arg("{*}:clock").arg("COUNT").arg(SCAN);
            let (next, keys): (String, Vec<String>) = scan.query_async(&mut self.commands.clone()).await?;
            let prefix = |key: &String| Some(key.strip_prefix('{')?.strip_suffix("}:clock")?.to_owned());
            found.extend(keys.iter().filter_map(prefix));
            cursor = next;
            if cursor == "0" || found.len() >= most {
                break;
            }
        }
        Ok(found.into_iter().take(most).collect())
    }

    /// The names of all queues, read in parts: no command takes long. Names that come or go meanwhile may be missing.
    pub(crate) async fn all_queues(&self) -> Result<Vec<String>, RedisError> {
        self.scan("SSCAN", &self.keys.key("queues"), 1).await
    }

    /// The subjects on record that are not settled.
    pub(crate) async fn all_active(&self) -> Result<Vec<String>, RedisError> {
        let key = self.keys.key("active");
        if self.keys.is_chosen("active") { self.all_listed(&key).await } else { self.scan("SSCAN", &key, 1).await }
    }

    /// How many subjects on record are not settled.
    pub(crate) async fn count_active(&self) -> Result<usize, RedisError> {
        let mut length = redis::cmd(if self.keys.is_chosen("active") { "LLEN" } else { "SCARD" });
        length.arg(self.keys.key("active"));
        Ok(length.query_async(&mut self.commands.clone()).await?)
    }

    /// How many members a group has.
    pub(crate) async fn members(&self, group: &str) -> Result<usize, RedisError> {
        let mut members = redis::cmd("HGET");
        members.arg(self.keys.key("groups")).arg(group);
        let members: Option<usize> = members.query_async(&mut self.commands.clone()).await?;
        Ok(members.unwrap_or(0))
    }

    /// All subjects that a queue names anywhere.
    pub(crate) async fn all_names(&self, queue: &str) -> Result<Vec<String>, RedisError> {
        let mut names = self.scan("HSCAN", &self.keys.of("tasks", queue), 2).await?;
        names.extend(self.scan("HSCAN", &self.keys.of("followers", queue), 2).await?);
        for order in ["waiting", "delayed", "parked", "leases"] {
            names.extend(self.scan("ZSCAN", &self.keys.of(order, queue), 2).await?);
        }
        names.extend(self.all_listed(&self.keys.of("queue", queue)).await?);
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// The elements of a list.
    async fn all_listed(&self, key: &str) -> Result<Vec<String>, RedisError> {
        let mut range = redis::cmd("LRANGE");
        range.arg(key).arg(0).arg(-1);
        let listed: Vec<Vec<u8>> = range.query_async(&mut self.commands.clone()).await?;
        Ok(listed.into_iter().map(|name| String::from_utf8_lossy(&name).into_owned()).collect())
    }

    /// Every `step`th element of a scanned key.
    async fn scan(&self, command: &str, key: &str, step: usize) -> Result<Vec<String>, RedisError> {
        let (mut found, mut cursor) = (Vec::new(), "0".to_owned());
        loop {
            let mut scan = redis::cmd(command);
            scan.arg(key).arg(cursor.as_str()).arg("COUNT").arg(SCAN);
            let (next, part): (String, Vec<Vec<u8>>) = scan.query_async(&mut self.commands.clone()).await?;
            let names = part.into_iter().step_by(step).map(String::from_utf8);
            found.extend(names.collect::<Result<Vec<_>, _>>().map_err(|_| RedisError::Reply("a name is not UTF-8"))?);
            cursor = next;
            if cursor == "0" {
                // A scan may return an element twice.
                found.sort_unstable();
                found.dedup();
                return Ok(found);
            }
        }
    }
}
