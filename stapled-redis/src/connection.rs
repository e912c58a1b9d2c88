//! The connections: one for commands, which all calls share, and one that waits.

use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection};
use redis::{AsyncConnectionConfig, Client, Script, ScriptInvocation, Value};

use crate::error::RedisError;
use crate::reply::Reply;

/// How long a command may take. A server that is slower is treated as one that is down.
const COMMAND: Duration = Duration::from_secs(5);
/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long the waiting connection waits on the server for one name.
const WAIT: Duration = Duration::from_secs(20);

/// How many elements one command of a scan returns, more or less.
const SCAN: usize = 500;

/// The connections to one Redis, and the prefix of the scheduler's keys.
pub(crate) struct Connection {
    client: Client,
    commands: ConnectionManager,
    script: Script,
    /// The prefix in braces: the hash tag of all keys.
    tag: String,
}

impl Connection {
    pub(crate) async fn open(address: &str, prefix: &str) -> Result<Self, RedisError> {
        let client = Client::open(address).map_err(|error| RedisError::Address(error.category().to_owned()))?;
        let config = ConnectionManagerConfig::new()
            .set_response_timeout(Some(COMMAND))
            .set_connection_timeout(Some(CONNECT))
            .set_number_of_retries(1);
        let commands = client.get_connection_manager_with_config(config).await?;
        let script = Script::new(include_str!("scheduler.lua"));
        Ok(Connection { client, commands, script, tag: format!("{{{prefix}}}") })
    }

    /// A call of one procedure, without its arguments.
    pub(crate) fn call(&self, procedure: &str) -> ScriptInvocation<'_> {
        let mut call = self.script.key(self.tag.as_str());
        call.arg(procedure);
        call
    }

    /// Runs a call.
    pub(crate) async fn run(&self, call: &ScriptInvocation<'_>) -> Result<Reply, RedisError> {
        let value: Value = call.invoke_async(&mut self.commands.clone()).await?;
        Reply::of(value)
    }

    /// A connection of its own for waiting: a command that waits delays every other on the same connection. The client sets it
    /// no deadline, because the server may have given away a value that the client no longer waits for.
    pub(crate) async fn waiting(&self) -> Result<MultiplexedConnection, RedisError> {
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(Some(2 * WAIT));
        Ok(self.client.get_multiplexed_async_connection_with_config(&config).await?)
    }

    /// Waits for the next name on the wake list of this process. `None`: there was none for a while.
    pub(crate) async fn woken(
        &self,
        waiting: &mut MultiplexedConnection,
        process: &str,
    ) -> Result<Option<String>, RedisError> {
        let mut command = redis::cmd("BLPOP");
        command.arg(format!("{}:wake:{process}", self.tag)).arg(WAIT.as_secs());
        let popped: Option<(Vec<u8>, Vec<u8>)> = command.query_async(waiting).await?;
        Ok(popped.map(|(_, queue)| String::from_utf8_lossy(&queue).into_owned()))
    }

    /// Waits until this many replicas have everything that was written before.
    pub(crate) async fn replicated(&self, wanted: u32, within: Duration) -> Result<(), RedisError> {
        let mut wait = redis::cmd("WAIT");
        // 0 would wait for ever.
        wait.arg(wanted).arg(within.min(COMMAND).as_millis().max(1).to_string());
        let have: u32 = wait.query_async(&mut self.commands.clone()).await?;
        if have < wanted { Err(RedisError::NotReplicated { have, wanted }) } else { Ok(()) }
    }

    /// All members of a set, read in parts: no command takes long. Members that come or go meanwhile may be missing.
    pub(crate) async fn all_members(&self, name: &str) -> Result<Vec<String>, RedisError> {
        self.scan("SSCAN", name, 1).await
    }

    /// All subjects that a queue names anywhere.
    pub(crate) async fn all_names(&self, queue: &str) -> Result<Vec<String>, RedisError> {
        let mut names = self.scan("HSCAN", &format!("tasks:{queue}"), 2).await?;
        for order in ["waiting", "delayed", "parked", "leases"] {
            names.extend(self.scan("ZSCAN", &format!("{order}:{queue}"), 2).await?);
        }
        let mut range = redis::cmd("LRANGE");
        range.arg(format!("{}:queue:{queue}", self.tag)).arg(0).arg(-1);
        let listed: Vec<Vec<u8>> = range.query_async(&mut self.commands.clone()).await?;
        names.extend(listed.into_iter().map(|name| String::from_utf8_lossy(&name).into_owned()));
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// Every `step`th element of a scanned key.
    async fn scan(&self, command: &str, name: &str, step: usize) -> Result<Vec<String>, RedisError> {
        let (mut found, mut cursor) = (Vec::new(), "0".to_owned());
        loop {
            let mut scan = redis::cmd(command);
            scan.arg(format!("{}:{name}", self.tag)).arg(cursor.as_str()).arg("COUNT").arg(SCAN);
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
